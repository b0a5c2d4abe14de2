#include "api/probe_metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/imap_metrics.h"
#include "api/samples.h"

#define MS_PER_S 1e3
#define FINGERPRINT_SIZE (2 * sizeof((struct chain_link *)0)->sha256 + 1)

/* The first address that was connected to, else tried, else resolved. Family 0: there is none. */
static struct ip address_of(const struct report *r)
{
    for (size_t i = 0; i < r->port_count; i++) {
        if (r->ports[i].address.family != 0) {
            return r->ports[i].address;
        }
    }
    for (size_t i = 0; i < r->port_count; i++) {
        if (r->ports[i].try_count > 0) {
            return r->ports[i].tries[r->ports[i].try_count - 1].address;
        }
    }
    return r->dns.address_count > 0 ? r->dns.addresses[0] : (struct ip){.family = 0};
}

/* FNV-1a of 32 bits over the octets of the address. */
static double hash_of(const struct ip *ip)
{
    uint32_t hash = 2166136261u;
    if (ip->family == 0) {
        return 0;
    }
    for (size_t i = 0; i < (ip->family == 4 ? 4 : sizeof ip->bytes); i++) {
        hash = (hash ^ ip->bytes[i]) * 16777619u;
    }
    return hash;
}

/* The server said something, and not what IMAP demands. */
static bool said_other(const struct report *r)
{
    for (size_t i = 0; i < r->port_count; i++) {
        switch (r->ports[i].error.code) {
        case ERROR_NOT_IMAP:
        case ERROR_SERVER_BYE:
        case ERROR_RESPONSE_TOO_LONG:
        case ERROR_MALFORMED_RESPONSE:
        case ERROR_STARTTLS_NOT_OFFERED:
        case ERROR_STARTTLS_REFUSED:
        case ERROR_PLAINTEXT_AFTER_STARTTLS:
            return true;
        default:
            break;
        }
    }
    return false;
}

static void whole(struct samples *s, const struct report *r)
{
    struct ip ip = address_of(r);
    samples_gauge(s, "probe_success", "Whether the verdict is ok or warnings.",
                  imap_metrics_success(r->verdict));
    samples_gauge(s, "probe_duration_seconds", "How long the test took.", r->duration_ms / MS_PER_S);
    samples_gauge(s, "probe_dns_lookup_time_seconds", "How long the name resolution took.",
                  r->dns.duration_ms / MS_PER_S);
    samples_gauge(s, "probe_ip_protocol", "4 or 6; 0 where there was no address.", ip.family);
    samples_gauge(s, "probe_ip_addr_hash", "Changes with the address; 0 where there was none.", hash_of(&ip));
    samples_gauge(s, "probe_failed_due_to_regex", "Whether the test failed by what the server said.",
                  !imap_metrics_success(r->verdict) && said_other(r));
}

/* Of all that were sent, on any port, trusted or not. */
static double earliest_expiry(const struct report *r)
{
    double earliest = NAN;
    for (size_t i = 0; i < r->port_count; i++) {
        const struct certificate *c = &r->ports[i].certificate;
        for (size_t k = 0; k < c->chain_count; k++) {
            earliest = fmin(earliest, (double)c->chain[k].not_after);
        }
    }
    return earliest;
}

/* When connections begin to fail. What has expired already while the chain is valid is on no path to a root.
 */
static double chain_expiry(const struct report *r)
{
    double earliest = NAN;
    for (size_t i = 0; i < r->port_count; i++) {
        const struct certificate *c = &r->ports[i].certificate;
        if (c->seen && !imap_metrics_chain_valid(c)) {
            return NAN;
        }
        for (size_t k = 0; k < c->chain_count; k++) {
            if (c->chain[k].not_after >= r->tested_at) {
                earliest = fmin(earliest, (double)c->chain[k].not_after);
            }
        }
    }
    return earliest;
}

static const char *fingerprint(const struct chain_link *link, char out[FINGERPRINT_SIZE])
{
    for (size_t i = 0; i < sizeof link->sha256; i++) {
        snprintf(out + 2 * i, 3, "%02x", link->sha256[i]);
    }
    return out;
}

/* The DNS names with commas between; as many as a label shows. */
static struct text dns_names(const struct certificate *c, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < c->san_count; i++) {
        const struct text *name = &c->sans[i].value;
        if (c->sans[i].type == SAN_DNS && used + name->len + 1 <= size) {
            if (used > 0) {
                out[used++] = ',';
            }
            memcpy(out + used, name->data, name->len);
            used += name->len;
        }
    }
    return (struct text){out, used};
}

static void chain_info(struct samples *s, const struct port_report *p)
{
    const struct chain_link *leaf = imap_metrics_leaf(p);
    char hex[FINGERPRINT_SIZE], names[8 * LIMIT_TEXT_CHARS];
    const struct exposition_label labels[] = {
        samples_label("fingerprint_sha256", fingerprint(leaf, hex)),
        {"subject", leaf->subject},
        {"issuer", leaf->issuer},
        {"subjectalternative", dns_names(&p->certificate, names, sizeof names)},
    };
    samples_put(s, labels, sizeof labels / sizeof labels[0], 1);
}

static bool same_leaf(const struct port_report *a, const struct port_report *b)
{
    const struct chain_link *one = imap_metrics_leaf(a), *other = imap_metrics_leaf(b);
    return one != NULL && other != NULL && memcmp(one->sha256, other->sha256, sizeof one->sha256) == 0;
}

/* These have no labels for the port, so what both ports share is one sample. */
static void tls(struct samples *s, const struct report *r)
{
    const struct port_report *ports = r->ports;
    size_t count = r->port_count;
    samples_gauge(s, "probe_ssl_earliest_cert_expiry",
                  "The earliest expiry of the certificates sent, valid or not, as Unix time.",
                  earliest_expiry(r));
    samples_gauge(s, "probe_ssl_last_chain_expiry_timestamp_seconds",
                  "The earliest expiry on the trusted path, as Unix time; only where the chain is valid.",
                  chain_expiry(r));
    samples_family(s, "probe_ssl_last_chain_info", "The server's certificate.");
    for (size_t i = 0; i < count; i++) {
        if (imap_metrics_leaf(&ports[i]) != NULL && (i == 0 || !same_leaf(&ports[i - 1], &ports[i]))) {
            chain_info(s, &ports[i]);
        }
    }
    samples_family(s, "probe_tls_version_info", "The TLS version negotiated.");
    for (size_t i = 0; i < count; i++) {
        if (ports[i].tls.completed && (i == 0 || !ports[i - 1].tls.completed ||
                                       strcmp(ports[i - 1].tls.version, ports[i].tls.version) != 0)) {
            samples_put(s, &(struct exposition_label){"version", text_of(ports[i].tls.version)}, 1, 1);
        }
    }
}

char *probe_metrics(const struct report *r, struct piece_cache *pieces)
{
    struct samples s;
    (void)pieces;
    samples_init(&s);
    whole(&s, r);
    tls(&s, r);
    imap_metrics(&s, r);
    char *text = exposition_take(&s.out);
    samples_deinit(&s);
    return text;
}

#include "api/imap_metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/report/gaps.h"

#define MS_PER_S 1e3
#define WRONG_ORDER (1u << CHAIN_WRONG_ORDER)

/* A fact that a port does not have, or that was not learnt: there is no sample of it. */
#define ABSENT NAN

bool imap_metrics_success(enum verdict v)
{
    return v == VERDICT_OK || v == VERDICT_WARNINGS;
}

bool imap_metrics_chain_valid(const struct certificate *c)
{
    return c->parsed && (c->chain_errors & ~WRONG_ORDER) == 0;
}

const struct chain_link *imap_metrics_leaf(const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    return c->parsed && c->chain_count > 0 ? &c->chain[0] : NULL;
}

/* A sample of the port with up to two labels more. */
static void put_port(struct samples *s, const struct port_report *p, const struct exposition_label *more,
                     size_t count, double value)
{
    char port[sizeof "65535"], address[IP_TEXT_SIZE] = "";
    snprintf(port, sizeof port, "%u", (unsigned)p->number);
    if (p->address.family != 0) {
        ip_format(&p->address, address);
    }
    struct exposition_label labels[4] = {samples_label("port", port), samples_label("address", address)};
    for (size_t i = 0; i < count; i++) {
        labels[2 + i] = more[i];
    }
    samples_put(s, labels, 2 + count, value);
}

static void put_state(struct samples *s, const struct port_report *p, enum verdict is)
{
    for (unsigned v = VERDICT_OK; v <= VERDICT_UNREACHABLE; v++) {
        const struct exposition_label one = samples_label("verdict", verdict_name((enum verdict)v));
        if (p != NULL) {
            put_port(s, p, &one, 1, is == (enum verdict)v);
        } else {
            samples_put(s, &one, 1, is == (enum verdict)v);
        }
    }
}

static void verdicts(struct samples *s, const struct report *r)
{
    samples_family(s, "imap_test_verdict", "1 for the verdict of the test, 0 for the others.");
    put_state(s, NULL, r->verdict);
    samples_family(s, "imap_test_port_verdict", "1 for the verdict of the port, 0 for the others.");
    for (size_t i = 0; i < r->port_count; i++) {
        put_state(s, &r->ports[i], r->ports[i].verdict);
    }
    samples_gauge(s, "imap_test_timestamp_seconds", "When the test was made, as Unix time.",
                  (double)r->tested_at);
    samples_gauge(s, "imap_test_deadline_exceeded", "Whether the time limit of the test cut it short.",
                  r->deadline_exceeded);
}

static double success(const struct port_report *p)
{
    return imap_metrics_success(p->verdict);
}

static double reachable(const struct port_report *p)
{
    return p->reachable;
}

static double starttls_supported(const struct port_report *p)
{
    return p->tls_port ? ABSENT : p->starttls_supported;
}

static double implicit_tls(const struct port_report *p)
{
    return p->tls_port ? p->implicit_tls : ABSENT;
}

static double expiry(const struct port_report *p)
{
    const struct chain_link *leaf = imap_metrics_leaf(p);
    return leaf != NULL ? (double)leaf->not_after : ABSENT;
}

static double name_matches(const struct port_report *p)
{
    return p->certificate.seen ? p->certificate.hostname_match : ABSENT;
}

static double chain_valid(const struct port_report *p)
{
    return p->certificate.seen ? imap_metrics_chain_valid(&p->certificate) : ABSENT;
}

static const struct fact {
    const char *family, *help;
    double (*value)(const struct port_report *p);
} facts[] = {
    {"imap_test_port_success", "Whether the verdict of the port is ok or warnings.", success},
    {"imap_test_port_reachable", "Whether a TCP connection was accepted.", reachable},
    {"imap_test_starttls_supported", "Whether STARTTLS led to TLS.", starttls_supported},
    {"imap_test_implicit_tls", "Whether the port speaks TLS from the first byte.", implicit_tls},
    {"imap_test_certificate_expiry_timestamp_seconds",
     "The expiry of the server's certificate, valid or not, as Unix time.", expiry},
    {"imap_test_certificate_hostname_match", "Whether the certificate is for the name of the host.",
     name_matches},
    {"imap_test_certificate_chain_valid", "Whether the certificate is trusted, whatever its name.",
     chain_valid},
};

static void put_fact(struct samples *s, const struct report *r, const struct fact *fact)
{
    samples_family(s, fact->family, fact->help);
    for (size_t i = 0; i < r->port_count; i++) {
        double value = fact->value(&r->ports[i]);
        if (!isnan(value)) {
            put_port(s, &r->ports[i], NULL, 0, value);
        }
    }
}

static void remaining(struct samples *s, const struct report *r)
{
    samples_family(s, "imap_test_certificate_remaining_seconds",
                   "From the test to the expiry of the server's certificate; negative once it has expired.");
    for (size_t i = 0; i < r->port_count; i++) {
        const struct chain_link *leaf = imap_metrics_leaf(&r->ports[i]);
        if (leaf != NULL) {
            put_port(s, &r->ports[i], NULL, 0, (double)(leaf->not_after - r->tested_at));
        }
    }
}

static void errors(struct samples *s, const struct report *r)
{
    samples_family(s, "imap_test_error_info", "Why the dialogue did not reach its end.");
    for (size_t i = 0; i < r->port_count; i++) {
        const struct failure *f = &r->ports[i].error;
        if (f->code != ERROR_NONE) {
            const struct exposition_label both[] = {samples_label("code", error_name(f->code)),
                                                    samples_label("phase", phase_name(f->phase))};
            put_port(s, &r->ports[i], both, 2, 1);
        }
    }
}

static void phases(struct samples *s, const struct report *r)
{
    samples_family(s, "imap_test_phase_duration_seconds",
                   "How long each phase took that was reached; total is the port's whole dialogue.");
    for (size_t i = 0; i < r->port_count; i++) {
        const struct timings *t = &r->ports[i].timings;
        const struct {
            const char *name;
            double ms;
        } all[] = {{"connect", t->connect},
                   {"greeting", t->greeting},
                   {"tls_handshake", t->tls_handshake},
                   {"total", t->total}};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
            const struct exposition_label one = samples_label("phase", all[k].name);
            if (all[k].ms >= 0) {
                put_port(s, &r->ports[i], &one, 1, all[k].ms / MS_PER_S);
            }
        }
    }
}

static void counts(struct samples *s, const struct report *r)
{
    samples_family(s, "imap_test_findings", "How much was found, by severity.");
    for (unsigned severity = 0; severity < SEVERITY_COUNT; severity++) {
        const struct exposition_label one = samples_label("severity", severity_name((enum severity)severity));
        double count = 0;
        for (size_t i = 0; i < r->finding_count; i++) {
            count += r->findings[i].severity == (enum severity)severity;
        }
        samples_put(s, &one, 1, count);
    }
}

static bool is_same(const struct finding *a, const struct finding *b)
{
    return a->id == b->id && a->port == b->port && ip_equal(&a->address, &b->address);
}

static void put_finding(struct samples *s, const struct finding *f)
{
    char port[sizeof "65535"] = "", address[IP_TEXT_SIZE] = "";
    if (f->port != 0) {
        snprintf(port, sizeof port, "%u", (unsigned)f->port);
    }
    if (f->address.family != 0) {
        ip_format(&f->address, address);
    }
    const struct exposition_label labels[] = {samples_label("port", port), samples_label("address", address),
                                              samples_label("id", finding_row(f->id)->id),
                                              samples_label("severity", severity_name(f->severity))};
    samples_put(s, labels, sizeof labels / sizeof labels[0], 1);
}

/* Two samples of the same labels would spoil the whole answer. */
static void findings(struct samples *s, const struct report *r)
{
    samples_family(s, "imap_test_finding_info", "What was found; without a port it concerns the whole host.");
    for (size_t i = 0; i < r->finding_count; i++) {
        size_t first = 0;
        while (!is_same(&r->findings[first], &r->findings[i])) {
            first++;
        }
        if (first == i) {
            put_finding(s, &r->findings[i]);
        }
    }
}

/* What clients miss most, and the revisions of the protocol: a fixed number, whatever a server lists. */
static bool is_counted(const struct catalogue_row *row)
{
    return row->gap || strcmp(row->name, "IMAP4rev1") == 0 || strcmp(row->name, "IMAP4rev2") == 0;
}

/* Some are only ever listed with a value: THREAD=REFERENCES (RFC 5256 section 1). */
static bool is_listed(const struct caps *caps, unsigned in, const char *name)
{
    char prefix[LIMIT_CAPABILITY_BYTES + 2];
    snprintf(prefix, sizeof prefix, "%s=", name);
    return caps_has(caps, in, name) || caps_has_prefix(caps, in, prefix);
}

static void capabilities(struct samples *s, const struct report *r)
{
    size_t count;
    const struct catalogue_row *rows = catalogue_rows(&count);
    samples_family(s, "imap_test_capability",
                   "Whether it is advertised before login: inside TLS, where a list was seen there.");
    for (size_t i = 0; i < r->port_count; i++) {
        const struct port_report *p = &r->ports[i];
        unsigned in = gaps_phases(r, p);
        for (size_t k = 0; k < count && caps_seen(&p->caps, in); k++) {
            const struct exposition_label one = samples_label("capability", rows[k].name);
            if (is_counted(&rows[k])) {
                put_port(s, p, &one, 1, is_listed(&p->caps, in, rows[k].name));
            }
        }
    }
}

void imap_metrics(struct samples *s, const struct report *r)
{
    verdicts(s, r);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        put_fact(s, r, &facts[i]);
    }
    remaining(s, r);
    errors(s, r);
    phases(s, r);
    counts(s, r);
    findings(s, r);
    capabilities(s, r);
}

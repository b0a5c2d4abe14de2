#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "probe/report/judge_internal.h"

#define EXPIRES_SOON (14 * (int64_t)SECONDS_PER_DAY)
#define VALIDITY_LONG (398 * (int64_t)SECONDS_PER_DAY)

/* How many names of a certificate are spelled out in a sentence. */
#define NAMES_SHOWN 5u

#define BIT(error) (1u << CHAIN_##error)
#define OUT_OF_TIME (BIT(EXPIRED) | BIT(NOT_YET_VALID))

int64_t judge_days_remaining(const struct report *r, const struct certificate *c)
{
    int64_t left = c->chain_count > 0 ? c->chain[0].not_after - r->tested_at : 0;
    return left / SECONDS_PER_DAY - (left % SECONDS_PER_DAY < 0);
}

#define DATE_SIZE 32

static const char *date(int64_t seconds, char *s)
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm) == NULL || strftime(s, DATE_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        snprintf(s, DATE_SIZE, "an unknown time");
    }
    return s;
}

static const char *subject(struct report *r, const struct certificate *c)
{
    const char *shown = c->chain_count > 0 ? judge_quote(r, c->chain[0].subject) : "";
    return shown[0] != '\0' ? shown : "without a subject";
}

static const char *days(struct report *r, int64_t seconds)
{
    int64_t n = seconds / SECONDS_PER_DAY;
    const char *words =
        n == 0 ? "less than a day" : arena_printf(&r->arena, "%" PRId64 " day%s", n, n == 1 ? "" : "s");
    return words != NULL ? words : "";
}

/* Dates of the leaf, where it could be read. */
static void dates(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    char from[DATE_SIZE], to[DATE_SIZE];
    if (!c->parsed || c->chain_count == 0) {
        return;
    }
    const struct chain_link *leaf = &c->chain[0];
    date(leaf->not_before, from);
    date(leaf->not_after, to);
    if (c->leaf_errors & BIT(EXPIRED)) {
        judge_add(r, p, FINDING_CERTIFICATE_EXPIRED,
                  arena_printf(&r->arena, "The certificate %s expired on %s, %s ago.", subject(r, c), to,
                               days(r, r->tested_at - leaf->not_after)));
    }
    if (c->leaf_errors & BIT(NOT_YET_VALID)) {
        judge_add(r, p, FINDING_CERTIFICATE_NOT_YET_VALID,
                  arena_printf(&r->arena, "The certificate %s becomes valid on %s, in %s.", subject(r, c),
                               from, days(r, leaf->not_before - r->tested_at)));
    }
    if (leaf->not_after - leaf->not_before > VALIDITY_LONG) {
        judge_add(r, p, FINDING_CERTIFICATE_VALIDITY_LONG,
                  arena_printf(&r->arena, "The certificate is valid for %" PRId64 " days, from %s to %s.",
                               (leaf->not_after - leaf->not_before) / SECONDS_PER_DAY, from, to));
    }
}

static void expires_soon(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    if (!c->parsed || c->chain_count == 0 || (c->leaf_errors & BIT(EXPIRED))) {
        return;
    }
    int64_t left = c->chain[0].not_after - r->tested_at;
    int64_t lifetime = c->chain[0].not_after - c->chain[0].not_before;
    if (left < 0 || left >= EXPIRES_SOON || left >= lifetime / 3) {
        return;
    }
    char to[DATE_SIZE];
    int64_t days = judge_days_remaining(r, c);
    const char *title = "The certificate expires in less than a day";
    if (days > 0) {
        title = arena_printf(&r->arena, "The certificate expires in %" PRId64 " day%s", days,
                             days == 1 ? "" : "s");
    }
    judge_add_as(r, p, FINDING_CERTIFICATE_EXPIRES_SOON, SEVERITY_WARNING, title, NULL,
                 arena_printf(&r->arena, "The certificate %s expires on %s.", subject(r, c),
                              date(c->chain[0].not_after, to)));
}

/* RFC 5280 section 6.1.3: each certificate of the path has its own time. */
static void chain_expired(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    if (((c->chain_errors & ~c->leaf_errors) & OUT_OF_TIME) == 0 && c->bad_ca.data == NULL) {
        return;
    }
    judge_add(r, p, FINDING_CERTIFICATE_CHAIN_EXPIRED,
              arena_printf(&r->arena, "The CA certificate %s has expired or is not yet valid.",
                           judge_quote(r, c->bad_ca)));
}

/* What is missing can be fetched by the administrator, never by us: the certificate itself names the place.
 */
static void tell_where(struct report *r, const struct certificate *c, enum finding_id id)
{
    struct finding *last = r->finding_count > 0 ? &r->findings[r->finding_count - 1] : NULL;
    if (last == NULL || last->id != id || c->issuer_url.len == 0) {
        return;
    }
    const char *remedy = arena_printf(&r->arena, "%s The missing issuer's certificate can be had at %s",
                                      last->remedy, judge_quote(r, c->issuer_url));
    last->remedy = remedy != NULL ? remedy : last->remedy;
}

static void chain_incomplete(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    if (c->chain_errors & BIT(MISSING_INTERMEDIATE)) {
        judge_add(
            r, p, FINDING_CERTIFICATE_CHAIN_INCOMPLETE,
            arena_printf(&r->arena,
                         "The issuer \"%s\" is neither among the certificates sent (%zu) nor a root that is "
                         "trusted.",
                         judge_quote(r, c->missing_issuer), c->chain_sent));
        tell_where(r, c, FINDING_CERTIFICATE_CHAIN_INCOMPLETE);
    }
}

static void untrusted(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    const char *why = NULL;
    if (c->chain_errors & BIT(BAD_SIGNATURE)) {
        why = "A signature in the chain is wrong";
    } else if (c->chain_errors & BIT(CONSTRAINT_VIOLATION)) {
        why = "A CA of the chain was not permitted to issue this certificate";
    } else if (c->chain_errors & BIT(UNKNOWN_ISSUER)) {
        why = "The chain does not lead to a root that is trusted";
    } else if (!c->parsed) {
        why = "The certificate cannot be read";
    } else if (c->chain_errors & BIT(OTHER)) {
        why = "The chain did not pass the check";
    }
    if (why == NULL) {
        return;
    }
    struct text last = c->missing_issuer;
    if (last.len == 0 && c->chain_count > 0) {
        last = c->chain[c->chain_count - 1].issuer;
    }
    const char *end = last.len > 0 ? judge_quote(r, last) : "";
    judge_add(r, p, FINDING_CERTIFICATE_UNTRUSTED,
              arena_printf(&r->arena, "%s%s%s%s.", why, end[0] != '\0' ? "; it ends at the issuer \"" : "",
                           end, end[0] != '\0' ? "\"" : ""));
    if (c->chain_errors & BIT(UNKNOWN_ISSUER)) {
        tell_where(r, c, FINDING_CERTIFICATE_UNTRUSTED);
    }
}

static void chain(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    if (c->chain_errors & BIT(SELF_SIGNED)) {
        judge_add(r, p, FINDING_CERTIFICATE_SELF_SIGNED,
                  arena_printf(&r->arena, "The certificate %s is its own issuer and is not a trusted root.",
                               subject(r, c)));
    }
    if (c->chain_errors & BIT(WRONG_ORDER)) {
        judge_add(r, p, FINDING_CERTIFICATE_CHAIN_DISORDERED,
                  arena_printf(&r->arena, "The %zu certificates link up only after sorting.", c->chain_sent));
    }
    if (c->chain_errors & BIT(WEAK_KEY)) {
        judge_add(r, p, FINDING_CERTIFICATE_KEY_WEAK,
                  c->weak_key.len > 0
                      ? arena_printf(&r->arena, "%s.", judge_quote(r, c->weak_key))
                      : arena_printf(&r->arena, "The key of %s is too short.", subject(r, c)));
    }
    if (c->chain_errors & BIT(WEAK_SIGNATURE)) {
        judge_add(r, p, FINDING_CERTIFICATE_SIGNATURE_WEAK,
                  c->weak_signature.len > 0
                      ? arena_printf(&r->arena, "%s.", judge_quote(r, c->weak_signature))
                      : arena_printf(&r->arena, "The signature of %s is too weak.", subject(r, c)));
    }
    if (c->chain_errors & BIT(WRONG_PURPOSE)) {
        judge_add(r, p, FINDING_CERTIFICATE_WRONG_PURPOSE,
                  arena_printf(&r->arena, "The extended key usage of %s does not hold serverAuth.",
                               (c->leaf_errors & BIT(WRONG_PURPOSE)) || c->wrong_purpose.len == 0
                                   ? subject(r, c)
                                   : judge_quote(r, c->wrong_purpose)));
    }
    if (c->chain_errors & BIT(REVOKED)) {
        judge_add(r, p, FINDING_CERTIFICATE_REVOKED,
                  arena_printf(&r->arena,
                               "The OCSP response that the server itself sent says that %s is revoked.",
                               subject(r, c)));
    }
    if (c->surplus > 0) {
        judge_add(r, p, FINDING_CERTIFICATE_CHAIN_SURPLUS,
                  arena_printf(&r->arena, "%zu of %zu certificates sent are not on the path to the root.",
                               c->surplus, c->chain_sent));
    }
}

static const char *names(struct report *r, const struct certificate *c)
{
    const char *list = NULL;
    for (size_t i = 0; i < c->san_count && i < NAMES_SHOWN; i++) {
        list = arena_printf(&r->arena, "%s%s%s", list != NULL ? list : "", list != NULL ? ", " : "",
                            judge_quote(r, c->sans[i].value));
    }
    size_t total = c->san_total > c->san_count ? c->san_total : c->san_count;
    if (total > NAMES_SHOWN) {
        list = arena_printf(&r->arena, "%s and %zu more", list != NULL ? list : "", total - NAMES_SHOWN);
    }
    return list != NULL ? list : "no name at all";
}

/* RFC 9525 section 6: subject alternative names alone count. */
static void hostname(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    if (!c->parsed || c->hostname_match) {
        return;
    }
    const char *host = judge_quote(r, text_of(r->host));
    if (c->common_name_match) {
        judge_add(r, p, FINDING_CERTIFICATE_COMMON_NAME_ONLY,
                  arena_printf(&r->arena,
                               "The common name \"%s\" would match %s, but the subject alternative names are "
                               "for %s.",
                               judge_quote(r, c->common_name), host, names(r, c)));
    } else {
        judge_add(
            r, p, FINDING_CERTIFICATE_HOSTNAME_MISMATCH,
            arena_printf(&r->arena, "The certificate is for %s; %s is not among them.", names(r, c), host));
    }
}

static void stapling(struct report *r, const struct port_report *p)
{
    const struct certificate *c = &p->certificate;
    bool invalid = c->ocsp_stapling == OCSP_INVALID;
    if (c->must_staple && (invalid || c->ocsp_stapling == OCSP_NONE)) {
        judge_add(r, p, FINDING_CERTIFICATE_MUST_STAPLE_UNMET,
                  arena_printf(&r->arena,
                               "The certificate %s demands a stapled OCSP response; the server sent %s.",
                               subject(r, c), invalid ? "one that is not valid" : "none"));
    }
    if (invalid) {
        judge_add(r, p, FINDING_OCSP_STAPLE_INVALID,
                  arena_printf(&r->arena,
                               "The OCSP response stapled for %s cannot be read, is out of its time, or is "
                               "not signed by whom it should be.",
                               subject(r, c)));
    }
}

static void differ(struct report *r)
{
    for (size_t i = 1; i < r->port_count; i++) {
        const struct certificate *a = &r->ports[0].certificate, *b = &r->ports[i].certificate;
        if (!a->seen || !b->seen || a->chain_count == 0 || b->chain_count == 0) {
            continue;
        }
        if (memcmp(a->chain[0].sha256, b->chain[0].sha256, sizeof a->chain[0].sha256) == 0) {
            continue;
        }
        char to_a[DATE_SIZE], to_b[DATE_SIZE];
        judge_add(r, NULL, FINDING_CERTIFICATES_DIFFER_BETWEEN_PORTS,
                  arena_printf(&r->arena, "Port %u: %s, until %s. Port %u: %s, until %s.",
                               (unsigned)r->ports[0].number, subject(r, a), date(a->chain[0].not_after, to_a),
                               (unsigned)r->ports[i].number, subject(r, b),
                               date(b->chain[0].not_after, to_b)));
    }
}

static void (*const rules[])(struct report *, const struct port_report *) = {
    dates, expires_soon, chain_expired, chain_incomplete, untrusted, chain, hostname, stapling,
};

void judge_certificate(struct report *r)
{
    for (size_t i = 0; i < r->port_count; i++) {
        for (size_t k = 0; r->ports[i].certificate.seen && k < sizeof rules / sizeof rules[0]; k++) {
            rules[k](r, &r->ports[i]);
        }
    }
    differ(r);
}

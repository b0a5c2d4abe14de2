#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "probe/report/judge_internal.h"

#define BIT(error) (1u << CHAIN_##error)

/* What of a port that works is worth a word, the worst first. */
static const struct {
    enum finding_id id;
    const char *words;
} reservations[] = {
    {FINDING_PLAINTEXT_LOGIN_ALLOWED, "passwords can be sent without encryption"},
    {FINDING_TLS_VERSION_WEAK, "this version of TLS is obsolete"},
    {FINDING_CIPHER_WEAK, "the cipher is weak"},
    {FINDING_KEY_EXCHANGE_WEAK, "the key exchange is weak"},
    {FINDING_CAPABILITY_REFUSED, "the CAPABILITY command is refused"},
    {FINDING_IMAP_REVISION_MISSING, "no IMAP revision is advertised"},
    {FINDING_NO_FORWARD_SECRECY, "there is no forward secrecy"},
    {FINDING_ADDRESS_FAMILY_UNREACHABLE, "not over every address family"},
};

static const char *reservation(const struct report *r, const struct port_report *p)
{
    for (size_t i = 0; i < sizeof reservations / sizeof reservations[0]; i++) {
        if (judge_found(r, p, reservations[i].id) != NULL ||
            judge_found(r, NULL, reservations[i].id) != NULL) {
            return reservations[i].words;
        }
    }
    return NULL;
}

static const char *reason(const struct failure *f)
{
    switch (f->code) {
    case ERROR_CONNECTION_REFUSED:
        return "connection refused";
    case ERROR_CONNECTION_TIMEOUT:
    case ERROR_DEADLINE_EXCEEDED:
        return "no answer in time";
    case ERROR_NETWORK_UNREACHABLE:
    case ERROR_HOST_UNREACHABLE:
        return "no way to its address";
    case ERROR_ADDRESS_BLOCKED:
        return "its address may not be tested";
    default:
        return "the connection failed";
    }
}

static const char *version(const struct port_report *p)
{
    return p->tls.version != NULL ? p->tls.version : "TLS";
}

static const char *complete(struct report *r, const struct port_report *p)
{
    unsigned port = p->number;
    if (p->dialogue.greeting == GREETING_PREAUTH && !p->tls_port) {
        return arena_printf(&r->arena, "port %u takes every client as logged in and leaves no way to TLS",
                            port);
    }
    if (!p->tls.completed) {
        return arena_printf(&r->arena, "port %u answers without TLS", port);
    }
    const char *but = reservation(r, p);
    return arena_printf(&r->arena, "port %u works with %s%s%s%s", port, p->tls_port ? "" : "STARTTLS and ",
                        version(p), but != NULL ? ", but " : "", but != NULL ? but : "");
}

/* What became of one port, to be put into a sentence; NULL: no memory. */
static const char *clause(struct report *r, const struct port_report *p)
{
    static const char *const words[] = {
        [OUTCOME_UNRESOLVED] = "was not tested",
        [OUTCOME_NO_GREETING] = "accepts connections but sent no greeting",
        [OUTCOME_NOT_IMAP] = "does not speak IMAP",
        [OUTCOME_REFUSED] = "refuses its service",
        [OUTCOME_REFUSED_FOR_NOW] = "turned the test away for now",
        [OUTCOME_STARTTLS_MISSING] = "offers no STARTTLS",
        [OUTCOME_STARTTLS_FAILED] = "offers STARTTLS, but it fails",
        [OUTCOME_STARTTLS_INJECTED] = "sends plain text behind its answer to STARTTLS",
        [OUTCOME_TLS_FAILED] = "accepts connections, but the TLS handshake fails",
        [OUTCOME_CUT_OFF] = "greeted, but the dialogue broke off",
    };
    enum outcome outcome = judge_outcome(p);
    if (outcome == OUTCOME_COMPLETE) {
        return complete(r, p);
    }
    if (outcome == OUTCOME_UNREACHABLE) {
        return arena_printf(&r->arena, "port %u cannot be reached (%s)", (unsigned)p->number,
                            reason(&p->error));
    }
    /* Not listed, but accepted: the word "offers" would be wrong. */
    if (outcome == OUTCOME_STARTTLS_FAILED && p->dialogue.starttls.status == REPLY_OK) {
        return arena_printf(&r->arena, "port %u accepts STARTTLS, but the TLS handshake fails",
                            (unsigned)p->number);
    }
    const char *protocol = judge_foreign(&p->error);
    if (protocol != NULL && outcome == OUTCOME_NOT_IMAP) {
        return arena_printf(&r->arena, "port %u speaks %s, not IMAP", (unsigned)p->number, protocol);
    }
    if (protocol != NULL && outcome == OUTCOME_TLS_FAILED) {
        return arena_printf(&r->arena, "port %u speaks %s without TLS", (unsigned)p->number, protocol);
    }
    const char *more = "";
    if (outcome == OUTCOME_STARTTLS_MISSING && judge_plaintext_login(p)) {
        more = " and lets passwords be sent without encryption";
    }
    return arena_printf(&r->arena, "port %u %s%s", (unsigned)p->number, words[outcome], more);
}

/* Both ports in one clause where the same holds of them; NULL: it does not, or no memory. */
static const char *clause_of_both(struct report *r)
{
    const struct port_report *a = &r->ports[0], *b = &r->ports[1];
    enum outcome outcome = judge_outcome(a);
    if (outcome != judge_outcome(b)) {
        return NULL;
    }
    if (outcome == OUTCOME_UNREACHABLE && strcmp(reason(&a->error), reason(&b->error)) == 0) {
        return arena_printf(&r->arena, "neither port %u nor port %u can be reached (%s)", (unsigned)a->number,
                            (unsigned)b->number, reason(&a->error));
    }
    if (outcome == OUTCOME_COMPLETE && a->starttls_supported && b->implicit_tls &&
        reservation(r, a) == NULL && reservation(r, b) == NULL && strcmp(version(a), version(b)) == 0) {
        return arena_printf(&r->arena, "ports %u (STARTTLS) and %u work with %s", (unsigned)a->number,
                            (unsigned)b->number, version(a));
    }
    return NULL;
}

/* The worst that is wrong with a certificate; NULL: it is trusted. */
static const char *defect(struct report *r, const struct certificate *c)
{
    static const struct {
        unsigned errors;
        const char *words;
    } rest[] = {
        {BIT(NOT_YET_VALID), "is not valid at this time or has such a CA"},
        {BIT(SELF_SIGNED), "is self-signed"},
        {BIT(MISSING_INTERMEDIATE), "comes with an incomplete chain"},
        {BIT(EXPIRED), "has an expired CA in its chain"},
        {BIT(WRONG_PURPOSE), "is not meant for servers"},
        {BIT(WEAK_KEY) | BIT(WEAK_SIGNATURE), "rests on weak cryptography"},
    };
    if (!c->parsed) {
        return "cannot be read";
    }
    if (c->chain_errors & BIT(REVOKED)) {
        return "is revoked";
    }
    if (c->leaf_errors & BIT(EXPIRED)) {
        int64_t days = (r->tested_at - c->chain[0].not_after) / SECONDS_PER_DAY;
        return days < 1
                   ? "has expired within the last day"
                   : arena_printf(&r->arena, "expired %" PRId64 " day%s ago", days, days == 1 ? "" : "s");
    }
    if (c->leaf_errors & BIT(NOT_YET_VALID)) {
        return "is not yet valid";
    }
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        if (c->chain_errors & rest[i].errors) {
            return rest[i].words;
        }
    }
    return (c->chain_errors & ~BIT(WRONG_ORDER)) != 0 ? "is not trusted" : NULL;
}

/* What is to be said of a certificate, without its subject; NULL: no memory. */
static const char *predicate(struct report *r, const struct certificate *c)
{
    const char *bad = defect(r, c);
    if (bad != NULL) {
        return arena_printf(&r->arena, "%s%s", bad,
                            c->parsed && !c->hostname_match ? " and does not match the host name" : "");
    }
    if (!c->hostname_match) {
        return "is trusted but does not match the host name";
    }
    if (c->must_staple && (c->ocsp_stapling == OCSP_NONE || c->ocsp_stapling == OCSP_INVALID)) {
        return "is trusted but lacks the stapled OCSP response that it demands";
    }
    int64_t days = judge_days_remaining(r, c);
    if (days < 1) {
        return "is trusted and expires in less than a day";
    }
    return arena_printf(&r->arena, "is trusted and expires in %" PRId64 " day%s", days, days == 1 ? "" : "s");
}

/* " The certificate ...", empty where none was seen; NULL: no memory. */
static const char *certificates(struct report *r)
{
    const char *text[REPORT_PORTS] = {NULL};
    unsigned number[REPORT_PORTS] = {0};
    size_t count = 0;
    for (size_t i = 0; i < r->port_count; i++) {
        if (!r->ports[i].certificate.seen) {
            continue;
        }
        number[count] = r->ports[i].number;
        text[count] = predicate(r, &r->ports[i].certificate);
        if (text[count++] == NULL) {
            return NULL;
        }
    }
    if (count == 0) {
        return "";
    }
    if (count == 1 || strcmp(text[0], text[1]) == 0) {
        return arena_printf(&r->arena, " The certificate %s.", text[0]);
    }
    return arena_printf(&r->arena, " The certificate of port %u %s; that of port %u %s.", number[0], text[0],
                        number[1], text[1]);
}

static const char *ports(struct report *r)
{
    const char *both = r->port_count == 2 ? clause_of_both(r) : NULL;
    if (both != NULL || r->port_count == 0) {
        return both != NULL ? both : "no port was tested";
    }
    const char *first = clause(r, &r->ports[0]);
    const char *second = r->port_count == 2 ? clause(r, &r->ports[1]) : NULL;
    if (first == NULL || r->port_count == 1) {
        return first;
    }
    return second != NULL ? arena_printf(&r->arena, "%s; %s", first, second) : NULL;
}

const char *judge_summary(struct report *r)
{
    const struct finding *unresolved = judge_found(r, NULL, FINDING_HOST_NOT_RESOLVED);
    if (unresolved != NULL) {
        return arena_printf(
            &r->arena, "The host name cannot be resolved, so no port was tested. %s",
            error_sentence(r->dns.error.code != ERROR_NONE ? r->dns.error.code : r->ports[0].error.code));
    }
    const char *text = ports(r), *certificate = certificates(r);
    if (text == NULL || certificate == NULL) {
        return NULL;
    }
    char *summary = arena_printf(&r->arena, "%s.%s", text, certificate);
    if (summary != NULL) {
        summary[0] = (char)toupper((unsigned char)summary[0]);
    }
    return summary;
}

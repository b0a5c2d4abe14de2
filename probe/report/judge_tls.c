#include "probe/report/judge_internal.h"

#define DH_BITS_MIN 2048u

static void tls_handshake_failed(struct report *r, const struct port_report *p)
{
    if (judge_outcome(p) == OUTCOME_TLS_FAILED) {
        const char *protocol = judge_foreign(&p->error);
        judge_add_as(r, p, FINDING_TLS_HANDSHAKE_FAILED, SEVERITY_CRITICAL,
                     protocol != NULL ? arena_printf(&r->arena, "The port speaks %s without TLS", protocol)
                                      : NULL,
                     NULL, arena_printf(&r->arena, "%s%s", judge_explain(r, &p->error), judge_silence(p)));
    }
}

static void client_certificate_required(struct report *r, const struct port_report *p)
{
    if (p->error.code == ERROR_CLIENT_CERTIFICATE_REQUIRED) {
        judge_add(r, p, FINDING_CLIENT_CERTIFICATE_REQUIRED, judge_explain(r, &p->error));
    }
}

static bool names_alpn(const struct failure *f)
{
    return f->code != ERROR_NONE && f->alert != NULL && text_is(text_of(f->alert), "no_application_protocol");
}

/* RFC 7301 section 3.2: a server that knows other protocols only ends the handshake with this alert. */
static void alpn_refused(struct report *r, const struct port_report *p)
{
    bool refused = names_alpn(&p->error);
    for (size_t i = 0; i < p->try_count; i++) {
        refused = refused || names_alpn(&p->tries[i].error);
    }
    if (refused) {
        judge_add(
            r, p, FINDING_ALPN_REFUSED,
            arena_printf(&r->arena,
                         "Port %u answered a handshake that offered the protocol \"imap\" with the alert "
                         "no_application_protocol.",
                         (unsigned)p->number));
    }
}

static const char *known(const char *name)
{
    return name != NULL ? name : "an unknown one";
}

static void version(struct report *r, const struct port_report *p)
{
    if (!p->tls.version_weak && p->tls.version_latest) {
        return;
    }
    judge_add(r, p, p->tls.version_weak ? FINDING_TLS_VERSION_WEAK : FINDING_TLS_VERSION_OLD_ONLY,
              arena_printf(&r->arena, "Port %u chose %s although TLS 1.3 was offered.", (unsigned)p->number,
                           known(p->tls.version)));
}

static void cipher(struct report *r, const struct port_report *p)
{
    if (p->tls.cipher_class == CIPHER_STRONG) {
        return;
    }
    bool broken = p->tls.cipher_class == CIPHER_BROKEN;
    judge_add_as(r, p, FINDING_CIPHER_WEAK, broken ? SEVERITY_CRITICAL : SEVERITY_WARNING, NULL, NULL,
                 arena_printf(&r->arena, "Port %u chose %s%s.", (unsigned)p->number,
                              known(p->tls.cipher_suite), broken ? "" : ", which uses CBC with SHA-1"));
}

static void key_exchange(struct report *r, const struct port_report *p)
{
    if (p->tls.dh_bits > 0 && p->tls.dh_bits < DH_BITS_MIN) {
        judge_add(r, p, FINDING_KEY_EXCHANGE_WEAK,
                  arena_printf(&r->arena, "The Diffie-Hellman group of port %u has %u bits.",
                               (unsigned)p->number, p->tls.dh_bits));
    }
    if (!p->tls.forward_secrecy) {
        judge_add(r, p, FINDING_NO_FORWARD_SECRECY,
                  arena_printf(&r->arena,
                               "The key exchange of port %u is %s: whoever gets the server's key later can "
                               "read what was recorded before.",
                               (unsigned)p->number, known(p->tls.key_exchange)));
    }
}

static void (*const session_rules[])(struct report *, const struct port_report *) = {
    version,
    cipher,
    key_exchange,
};

void judge_tls(struct report *r)
{
    for (size_t i = 0; i < r->port_count; i++) {
        const struct port_report *p = &r->ports[i];
        tls_handshake_failed(r, p);
        client_certificate_required(r, p);
        alpn_refused(r, p);
        for (size_t k = 0; p->tls.completed && k < sizeof session_rules / sizeof session_rules[0]; k++) {
            session_rules[k](r, p);
        }
    }
}

#include "probe/report/gaps.h"
#include "probe/report/judge_internal.h"

#define PLAIN (CAPS_IN(CAPS_GREETING) | CAPS_IN(CAPS_COMMAND))

static void greeting(struct report *r, const struct port_report *p)
{
    enum outcome outcome = judge_outcome(p);
    const char *protocol = judge_foreign(&p->error);
    if (outcome == OUTCOME_NOT_IMAP) {
        judge_add_as(r, p, FINDING_NOT_AN_IMAP_SERVER, SEVERITY_CRITICAL,
                     protocol != NULL ? arena_printf(&r->arena, "The port speaks %s, not IMAP", protocol)
                                      : NULL,
                     NULL, judge_explain(r, &p->error));
    }
    if (outcome == OUTCOME_NO_GREETING) {
        judge_add(r, p, FINDING_NO_GREETING,
                  arena_printf(&r->arena, "%s%s", judge_explain(r, &p->error), judge_silence(p)));
    }
}

static void server_refuses_service(struct report *r, const struct port_report *p)
{
    const struct dialogue *d = &p->dialogue;
    enum outcome outcome = judge_outcome(p);
    if (outcome != OUTCOME_REFUSED && outcome != OUTCOME_REFUSED_FOR_NOW) {
        return;
    }
    const struct resp_text *said = &d->starttls.text;
    if (d->greeting == GREETING_BYE) {
        said = &d->greeting_text;
    } else if (p->error.code == ERROR_SERVER_BYE) {
        said = &d->bye_text;
    }
    bool now = outcome == OUTCOME_REFUSED_FOR_NOW;
    judge_add_as(r, p, FINDING_SERVER_REFUSES_SERVICE, now ? SEVERITY_WARNING : SEVERITY_CRITICAL,
                 now ? "The server turned the test away for now" : NULL, NULL,
                 arena_printf(&r->arena, "The server answered %s with \"%s\".%s",
                              d->greeting == GREETING_BYE ? "the connection" : "during the dialogue",
                              judge_quote_answer(r, said),
                              p->tls.completed ? "" : " Nothing can be said of its TLS."));
}

static void dialogue_incomplete(struct report *r, const struct port_report *p)
{
    static const char *const where[PHASE_COUNT] = {
        [PHASE_CAPABILITY] = " while its capabilities were asked for",
        [PHASE_STARTTLS] = " after STARTTLS was sent",
    };
    bool bye = p->error.code == ERROR_SERVER_BYE && p->dialogue.greeting != GREETING_BYE;
    enum outcome outcome = judge_outcome(p);
    if (outcome != OUTCOME_CUT_OFF && !(outcome == OUTCOME_REFUSED_FOR_NOW && bye)) {
        return;
    }
    const char *phase = where[p->error.phase];
    judge_add(r, p, FINDING_DIALOGUE_INCOMPLETE,
              arena_printf(&r->arena, "The server greeted, but the dialogue on port %u broke off%s: %s",
                           (unsigned)p->number, phase != NULL ? phase : "", judge_explain(r, &p->error)));
}

static void starttls_missing(struct report *r, const struct port_report *p)
{
    if (judge_outcome(p) != OUTCOME_STARTTLS_MISSING) {
        return;
    }
    bool login = judge_plaintext_login(p);
    judge_add_as(
        r, p, FINDING_STARTTLS_MISSING, login ? SEVERITY_CRITICAL : SEVERITY_WARNING, NULL, NULL,
        arena_printf(&r->arena,
                     "STARTTLS is not listed on port %u, and the command was answered with \"%s\".%s",
                     (unsigned)p->number, judge_quote_answer(r, &p->dialogue.starttls.text),
                     login ? " Logins are allowed all the same." : ""));
}

static void starttls_failed(struct report *r, const struct port_report *p)
{
    if (judge_outcome(p) != OUTCOME_STARTTLS_FAILED) {
        return;
    }
    if (p->error.code == ERROR_STARTTLS_REFUSED) {
        judge_add(r, p, FINDING_STARTTLS_FAILED,
                  arena_printf(&r->arena,
                               "STARTTLS is listed on port %u, but the command was answered with \"%s\".",
                               (unsigned)p->number, judge_quote_answer(r, &p->dialogue.starttls.text)));
    } else {
        judge_add(r, p, FINDING_STARTTLS_FAILED,
                  arena_printf(&r->arena,
                               "The server accepted STARTTLS on port %u, but the TLS handshake failed: %s",
                               (unsigned)p->number, judge_explain(r, &p->error)));
    }
}

static void starttls_response_injection(struct report *r, const struct port_report *p)
{
    if (judge_outcome(p) == OUTCOME_STARTTLS_INJECTED) {
        judge_add(r, p, FINDING_STARTTLS_RESPONSE_INJECTION, judge_explain(r, &p->error));
    }
}

static void starttls_listing(struct report *r, const struct port_report *p)
{
    if (p->starttls_supported && !caps_has(&p->caps, PLAIN, "STARTTLS")) {
        judge_add(r, p, FINDING_STARTTLS_NOT_ADVERTISED,
                  "The server accepts STARTTLS although it does not list it before TLS.");
    }
    /* RFC 9051 section 6.2.1: not once TLS is there. */
    if (caps_has(&p->caps, gaps_tls_phases(p), "STARTTLS")) {
        judge_add(r, p, FINDING_STARTTLS_STILL_OFFERED,
                  arena_printf(&r->arena, "STARTTLS stands in the list that port %u gives inside TLS.",
                               (unsigned)p->number));
    }
}

static void preauth(struct report *r, const struct port_report *p)
{
    if (p->dialogue.greeting != GREETING_PREAUTH) {
        return;
    }
    judge_add(r, p, p->tls_port ? FINDING_PREAUTH_INSIDE_TLS : FINDING_PREAUTH_BEFORE_TLS,
              arena_printf(&r->arena, "Port %u greeted with PREAUTH: \"%s\".", (unsigned)p->number,
                           judge_quote_answer(r, &p->dialogue.greeting_text)));
}

static void plaintext_login_allowed(struct report *r, const struct port_report *p)
{
    if (!judge_plaintext_login(p)) {
        return;
    }
    bool plain = caps_has(&p->caps, PLAIN, "AUTH=PLAIN"), login = caps_has(&p->caps, PLAIN, "AUTH=LOGIN");
    bool disabled = caps_has(&p->caps, PLAIN, "LOGINDISABLED");
    judge_add(r, p, FINDING_PLAINTEXT_LOGIN_ALLOWED,
              arena_printf(&r->arena, "Before TLS, port %u %s%s%s%s%s.", (unsigned)p->number,
                           plain || login ? "lists " : "", plain ? "AUTH=PLAIN" : "",
                           plain && login ? " and " : "", login ? "AUTH=LOGIN" : "",
                           disabled         ? ""
                           : plain || login ? " and does not list LOGINDISABLED"
                                            : "does not list LOGINDISABLED"));
}

#define SYNTAX (1u << DEVIATION_CAPS_SYNTAX | 1u << DEVIATION_CAPS_DUPLICATE | 1u << DEVIATION_CAPS_LISTS)

static void deviations(struct report *r, const struct port_report *p, enum finding_id id, unsigned mask)
{
    static const char *const what[DEVIATION_COUNT] = {
        [DEVIATION_BARE_LF] = "A line ended without a carriage return",
        [DEVIATION_FOREIGN_TAG] = "A tagged line answered no command",
        [DEVIATION_UNPARSED_LINE] = "A line follows no rule of the grammar",
        [DEVIATION_CONTINUATION] = "A continuation was asked for where there was nothing to continue",
        [DEVIATION_UNEXPECTED_DATA] = "Mailbox data came before any login",
        [DEVIATION_NUL] = "A line held a NUL",
        [DEVIATION_NO_UNTAGGED_CAPS] = "CAPABILITY was answered with OK but without an untagged list",
        [DEVIATION_CAPS_SYNTAX] =
            "A list of capabilities is empty or holds more than atoms and single spaces",
        [DEVIATION_CAPS_DUPLICATE] = "A list names the same capability twice",
        [DEVIATION_CAPS_LISTS] = "One answer held several lists of capabilities",
    };
    const char *list = NULL;
    for (unsigned d = 0; d < DEVIATION_COUNT; d++) {
        if ((p->dialogue.deviations & mask & 1u << d) == 0) {
            continue;
        }
        list = arena_printf(&r->arena, "%s%s%s: \"%s\".", list != NULL ? list : "", list != NULL ? " " : "",
                            what[d], judge_quote(r, p->dialogue.deviation_example[d]));
    }
    judge_add(r, p, id, list);
}

static void capability_syntax(struct report *r, const struct port_report *p)
{
    deviations(r, p, FINDING_CAPABILITY_SYNTAX, SYNTAX);
}

static void protocol_violation(struct report *r, const struct port_report *p)
{
    deviations(r, p, FINDING_PROTOCOL_VIOLATION, ~SYNTAX);
}

static void (*const rules[])(struct report *, const struct port_report *) = {
    greeting,
    server_refuses_service,
    dialogue_incomplete,
    starttls_missing,
    starttls_failed,
    starttls_response_injection,
    starttls_listing,
    preauth,
    plaintext_login_allowed,
    capability_syntax,
    protocol_violation,
};

void judge_dialogue(struct report *r)
{
    for (size_t i = 0; i < r->port_count; i++) {
        for (size_t k = 0; k < sizeof rules / sizeof rules[0]; k++) {
            rules[k](r, &r->ports[i]);
        }
    }
}

#include "probe/report/judge_internal.h"

#define PLAIN (CAPS_IN(CAPS_GREETING) | CAPS_IN(CAPS_COMMAND))

static bool contains(struct text t, const char *word)
{
    struct text wanted = text_of(word);
    for (size_t i = 0; wanted.len <= t.len && i <= t.len - wanted.len; i++) {
        struct text part = {.data = t.data + i, .len = wanted.len};
        if (text_equal_nocase(part, wanted)) {
            return true;
        }
    }
    return false;
}

static bool contains_any(struct text t, const char *const words[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (contains(t, words[i])) {
            return true;
        }
    }
    return false;
}

/* RFC 5530 section 3 */
static bool temporary_code(const struct resp_text *t)
{
    return text_is(t->code, "UNAVAILABLE") || text_is(t->code, "LIMIT") || text_is(t->code, "INUSE");
}

#define CONTAINS_ANY(text, words) contains_any(text, words, sizeof(words) / sizeof((words)[0]))

/* Words of a refusal that no patience mends: they win over those below. */
static const char *const for_good[] = {"permanent", "no longer", "discontinued", "decommissioned"};

/* Words that servers use when they are short of something, or when a client came too often; the last two
 * are Exchange's. */
static const char *const for_now[] = {"again later",
                                      "try again",
                                      "try later",
                                      "back later",
                                      "retry",
                                      "reconnect",
                                      "temporar",
                                      "transient",
                                      "at the moment",
                                      "right now",
                                      "throttl",
                                      "backoff",
                                      "rate limit",
                                      "rate-limit",
                                      "limit exceeded",
                                      "limit reached",
                                      "limit hit",
                                      "connection limit",
                                      "more connections",
                                      "queue full",
                                      "queue is full",
                                      "too often",
                                      "too fast",
                                      "too quickly",
                                      "too frequent",
                                      "slow down",
                                      "busy",
                                      "overload",
                                      "high load",
                                      "load average",
                                      "load is too high",
                                      "out of memory",
                                      "out of resources",
                                      "unavailable",
                                      "service not available",
                                      "not ready",
                                      "maintenance",
                                      "shutting down",
                                      "going down",
                                      "by signal",
                                      "restarting",
                                      "starting up",
                                      "connection closed. 1",
                                      "connection is closed. 1"};

/* What there may be too many of for a while. Too many wrong commands were sent by the client. */
static const char *const crowd[] = {"connection", "client",  "session", "user",    "login",
                                    "logon",      "process", "thread",  "request", "attempt"};

static bool crowded(struct text t)
{
    static const char *const excess[] = {"too many", "maximum", "max.", "max conn", "exceed"};
    static const char *const faults[] = {"command", "error", "syntax"};
    return CONTAINS_ANY(t, excess) && CONTAINS_ANY(t, crowd) && !CONTAINS_ANY(t, faults);
}

/* Whether a BYE turns us away for now: by its code, or by words that servers use. */
static bool temporary_bye(const struct resp_text *t)
{
    /* All that Exchange says past its limit on connections. */
    static const char bare[] = "Connection refused";
    if (temporary_code(t) || text_is(t->text, bare)) {
        return true;
    }
    if (text_is(t->code, "CONTACTADMIN") || CONTAINS_ANY(t->text, for_good)) {
        return false;
    }
    return CONTAINS_ANY(t->text, for_now) || CONTAINS_ANY(t->code, for_now) || crowded(t->text);
}

/* Before the greeting: silence, or something that is none. */
static enum outcome without_greeting(const struct port_report *p)
{
    switch (p->error.code) {
    case ERROR_NOT_IMAP:
    case ERROR_MALFORMED_RESPONSE:
    case ERROR_RESPONSE_TOO_LONG:
        return OUTCOME_NOT_IMAP;
    default:
        return OUTCOME_NO_GREETING;
    }
}

static enum outcome after_greeting(const struct port_report *p)
{
    switch (p->error.code) {
    case ERROR_STARTTLS_NOT_OFFERED:
        return OUTCOME_STARTTLS_MISSING;
    case ERROR_STARTTLS_REFUSED: /* a limit that was hit says nothing of STARTTLS; bare words are too vague
                                    here */
        return temporary_code(&p->dialogue.starttls.text) ? OUTCOME_REFUSED_FOR_NOW : OUTCOME_STARTTLS_FAILED;
    case ERROR_PLAINTEXT_AFTER_STARTTLS:
        return OUTCOME_STARTTLS_INJECTED;
    case ERROR_SERVER_BYE:
        return temporary_bye(&p->dialogue.bye_text) ? OUTCOME_REFUSED_FOR_NOW : OUTCOME_CUT_OFF;
    default:
        return OUTCOME_CUT_OFF;
    }
}

enum outcome judge_outcome(const struct port_report *p)
{
    if (!p->reachable) {
        return p->error.code != ERROR_NONE && p->error.phase == PHASE_DNS ? OUTCOME_UNRESOLVED
                                                                          : OUTCOME_UNREACHABLE;
    }
    if (p->error.code != ERROR_NONE && p->error.phase == PHASE_TLS &&
        p->error.code != ERROR_PLAINTEXT_AFTER_STARTTLS) {
        return p->tls_port ? OUTCOME_TLS_FAILED : OUTCOME_STARTTLS_FAILED;
    }
    if (p->dialogue.greeting == GREETING_BYE) {
        return temporary_bye(&p->dialogue.greeting_text) ? OUTCOME_REFUSED_FOR_NOW : OUTCOME_REFUSED;
    }
    if (p->error.code == ERROR_NONE) {
        return OUTCOME_COMPLETE;
    }
    return p->dialogue.greeting == GREETING_NONE ? without_greeting(p) : after_greeting(p);
}

/* RFC 9051 section 11.7: LOGIN works unless LOGINDISABLED is listed; both mechanisms send the password as it
 * is. */
bool judge_plaintext_login(const struct port_report *p)
{
    if (p->tls_port || p->dialogue.greeting == GREETING_PREAUTH || !caps_seen(&p->caps, PLAIN)) {
        return false;
    }
    return caps_has(&p->caps, PLAIN, "AUTH=PLAIN") || caps_has(&p->caps, PLAIN, "AUTH=LOGIN") ||
           !caps_has(&p->caps, PLAIN, "LOGINDISABLED");
}

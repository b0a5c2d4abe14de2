#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/report/sample.h"

static struct report r;
static struct port_report *const plain = &r.ports[0];
static struct port_report *const secure = &r.ports[1];

static void speaks_http(void)
{
    sample_stop(plain, ERROR_NOT_IMAP, PHASE_GREETING);
    plain->error.said = text_of("HTTP/1.1 400 Bad Request");
}

static void secure_speaks_http(void)
{
    sample_stop(secure, ERROR_NOT_IMAP, PHASE_GREETING);
}

static void endless_greeting(void)
{
    sample_stop(plain, ERROR_RESPONSE_TOO_LONG, PHASE_GREETING);
}

static void silent(void)
{
    sample_stop(plain, ERROR_READ_TIMEOUT, PHASE_GREETING);
}

static void closed_at_once(void)
{
    sample_stop(plain, ERROR_CONNECTION_CLOSED, PHASE_GREETING);
}

static void secure_silent_inside(void)
{
    sample_stop(secure, ERROR_READ_TIMEOUT, PHASE_GREETING);
}

static void greet_with_bye(struct port_report *p, const char *code, const char *text)
{
    sample_stop(p, ERROR_SERVER_BYE, PHASE_GREETING);
    p->dialogue.greeting = GREETING_BYE;
    p->dialogue.greeting_text = (struct resp_text){.code = text_of(code), .text = text_of(text)};
}

static void bye_for_good(void)
{
    greet_with_bye(plain, NULL, "You are not welcome here");
}

static void bye_too_many(void)
{
    greet_with_bye(plain, NULL, "Too Many connections from your address");
}

static void bye_unavailable(void)
{
    greet_with_bye(plain, "unavailable", "Sorry");
}

static void bye_limit(void)
{
    greet_with_bye(plain, "LIMIT", NULL);
}

static void both_bye_limit(void)
{
    greet_with_bye(plain, "LIMIT", NULL);
    greet_with_bye(secure, "LIMIT", NULL);
}

static void bye_later(void)
{
    sample_stop(plain, ERROR_SERVER_BYE, PHASE_CAPABILITY);
    plain->dialogue.bye = true;
    plain->dialogue.bye_text.text = text_of("Autologout");
}

static void bye_later_for_now(void)
{
    bye_later();
    plain->dialogue.bye_text.text = text_of("Server too busy, try again");
}

static void closed_in_capability(void)
{
    sample_stop(plain, ERROR_CONNECTION_CLOSED, PHASE_CAPABILITY);
}

static void silent_after_starttls(void)
{
    sample_stop(plain, ERROR_READ_TIMEOUT, PHASE_STARTTLS);
}

static void refuse_starttls(enum error_code error, const char *lists, const char *code)
{
    sample_stop(plain, error, PHASE_STARTTLS);
    sample_caps(&r, plain, CAPS_COMMAND, lists);
    plain->dialogue.starttls.status = REPLY_NO;
    plain->dialogue.starttls.text =
        (struct resp_text){.code = text_of(code), .text = text_of("TLS unavailable")};
}

static void no_starttls(void)
{
    refuse_starttls(ERROR_STARTTLS_NOT_OFFERED, "IMAP4rev1 AUTH=PLAIN", NULL);
}

static void no_starttls_no_login(void)
{
    refuse_starttls(ERROR_STARTTLS_NOT_OFFERED, "IMAP4rev1 LOGINDISABLED", NULL);
}

static void no_starttls_no_list(void)
{
    refuse_starttls(ERROR_STARTTLS_NOT_OFFERED, "", NULL);
}

static void starttls_refused(void)
{
    refuse_starttls(ERROR_STARTTLS_REFUSED, "IMAP4rev1 STARTTLS LOGINDISABLED", NULL);
}

static void starttls_refused_for_now(void)
{
    refuse_starttls(ERROR_STARTTLS_REFUSED, "IMAP4rev1 STARTTLS LOGINDISABLED", "LIMIT");
}

static void starttls_handshake(void)
{
    sample_stop(plain, ERROR_TLS_HANDSHAKE_FAILED, PHASE_TLS);
}

static void starttls_then_closed(void)
{
    sample_stop(plain, ERROR_CONNECTION_CLOSED, PHASE_TLS);
}

static void not_advertised(void)
{
    sample_caps(&r, plain, CAPS_GREETING, "IMAP4rev1 SASL-IR ID IDLE LOGINDISABLED");
    sample_caps(&r, plain, CAPS_COMMAND, "IMAP4rev1 SASL-IR ID IDLE LOGINDISABLED");
}

static void advertised_in_greeting_only(void)
{
    sample_caps(&r, plain, CAPS_COMMAND, "IMAP4rev1 SASL-IR ID IDLE LOGINDISABLED");
}

static void still_offered(void)
{
    sample_caps(&r, plain, CAPS_STARTTLS, "IMAP4rev1 SASL-IR ID IDLE AUTH=PLAIN starttls");
}

static void still_offered_on_secure(void)
{
    sample_caps(&r, secure, CAPS_GREETING, "STARTTLS");
}

static void injected(void)
{
    sample_stop(plain, ERROR_PLAINTEXT_AFTER_STARTTLS, PHASE_STARTTLS);
}

static const struct sample_found found[] = {
    {speaks_http, FINDING_NOT_AN_IMAP_SERVER, SEVERITY_CRITICAL, 143},
    {secure_speaks_http, FINDING_NOT_AN_IMAP_SERVER, SEVERITY_CRITICAL, 993},
    {endless_greeting, FINDING_NOT_AN_IMAP_SERVER, SEVERITY_CRITICAL, 143},
    {silent, FINDING_NO_GREETING, SEVERITY_WARNING, 143},
    {closed_at_once, FINDING_NO_GREETING, SEVERITY_WARNING, 143},
    {secure_silent_inside, FINDING_NO_GREETING, SEVERITY_WARNING, 993},
    {bye_for_good, FINDING_SERVER_REFUSES_SERVICE, SEVERITY_CRITICAL, 143},
    {bye_too_many, FINDING_SERVER_REFUSES_SERVICE, SEVERITY_WARNING, 143},
    {bye_unavailable, FINDING_SERVER_REFUSES_SERVICE, SEVERITY_WARNING, 143},
    {bye_limit, FINDING_SERVER_REFUSES_SERVICE, SEVERITY_WARNING, 143},
    {both_bye_limit, FINDING_SERVER_REFUSES_SERVICE, SEVERITY_WARNING, 993},
    {bye_later_for_now, FINDING_SERVER_REFUSES_SERVICE, SEVERITY_WARNING, 143},
    {starttls_refused_for_now, FINDING_SERVER_REFUSES_SERVICE, SEVERITY_WARNING, 143},
    {bye_later, FINDING_DIALOGUE_INCOMPLETE, SEVERITY_WARNING, 143},
    {bye_later_for_now, FINDING_DIALOGUE_INCOMPLETE, SEVERITY_WARNING, 143},
    {closed_in_capability, FINDING_DIALOGUE_INCOMPLETE, SEVERITY_WARNING, 143},
    {silent_after_starttls, FINDING_DIALOGUE_INCOMPLETE, SEVERITY_WARNING, 143},
    {no_starttls, FINDING_STARTTLS_MISSING, SEVERITY_CRITICAL, 143},
    {no_starttls_no_login, FINDING_STARTTLS_MISSING, SEVERITY_WARNING, 143},
    {no_starttls_no_list, FINDING_STARTTLS_MISSING, SEVERITY_WARNING, 143},
    {starttls_refused, FINDING_STARTTLS_FAILED, SEVERITY_CRITICAL, 143},
    {starttls_handshake, FINDING_STARTTLS_FAILED, SEVERITY_CRITICAL, 143},
    {starttls_then_closed, FINDING_STARTTLS_FAILED, SEVERITY_CRITICAL, 143},
    {not_advertised, FINDING_STARTTLS_NOT_ADVERTISED, SEVERITY_NOTICE, 143},
    {still_offered, FINDING_STARTTLS_STILL_OFFERED, SEVERITY_NOTICE, 143},
    {still_offered_on_secure, FINDING_STARTTLS_STILL_OFFERED, SEVERITY_NOTICE, 993},
    {injected, FINDING_STARTTLS_RESPONSE_INJECTION, SEVERITY_CRITICAL, 143},
};

/* What comes close and must not be found. FINDING_COUNT: nothing at all. */
static const struct sample_absent absent[] = {
    {speaks_http, FINDING_NO_GREETING},
    {silent, FINDING_DIALOGUE_INCOMPLETE},
    {bye_too_many, FINDING_STARTTLS_MISSING},
    {bye_too_many, FINDING_NO_GREETING},
    {starttls_refused_for_now, FINDING_STARTTLS_FAILED},
    {starttls_refused_for_now, FINDING_DIALOGUE_INCOMPLETE},
    {bye_later, FINDING_SERVER_REFUSES_SERVICE},
    {closed_in_capability, FINDING_NO_GREETING},
    {no_starttls_no_login, FINDING_PLAINTEXT_LOGIN_ALLOWED},
    {no_starttls_no_list, FINDING_PLAINTEXT_LOGIN_ALLOWED},
    {no_starttls, FINDING_STARTTLS_FAILED},
    {starttls_refused, FINDING_STARTTLS_MISSING},
    {starttls_handshake, FINDING_TLS_HANDSHAKE_FAILED},
    {starttls_handshake, FINDING_DIALOGUE_INCOMPLETE},
    {injected, FINDING_STARTTLS_FAILED},
    {advertised_in_greeting_only, FINDING_COUNT},
};

static const struct sample_verdict verdicts[] = {
    {silent, VERDICT_INCONCLUSIVE, VERDICT_OK, VERDICT_WARNINGS,
     "Port 143 accepts connections but sent no greeting; port 993 works with TLS 1.3. The certificate is "
     "trusted and "
     "expires in 60 days."},
    {bye_limit, VERDICT_INCONCLUSIVE, VERDICT_OK, VERDICT_WARNINGS, NULL},
    {starttls_refused_for_now, VERDICT_INCONCLUSIVE, VERDICT_OK, VERDICT_WARNINGS, NULL},
    {bye_later_for_now, VERDICT_INCONCLUSIVE, VERDICT_OK, VERDICT_WARNINGS, NULL},
    {both_bye_limit, VERDICT_INCONCLUSIVE, VERDICT_WARNINGS, VERDICT_WARNINGS, NULL},
    {secure_silent_inside, VERDICT_OK, VERDICT_WARNINGS, VERDICT_WARNINGS, NULL},
    {bye_for_good, VERDICT_PROBLEMS, VERDICT_OK, VERDICT_PROBLEMS, NULL},
    {no_starttls, VERDICT_PROBLEMS, VERDICT_OK, VERDICT_PROBLEMS,
     "Port 143 offers no STARTTLS and lets passwords be sent without encryption; port 993 works with TLS "
     "1.3. The "
     "certificate is trusted and expires in 60 days."},
    {no_starttls_no_login, VERDICT_WARNINGS, VERDICT_OK, VERDICT_WARNINGS, NULL},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void closed_after_some_bytes(void)
{
    closed_at_once();
    plain->received = 3;
}

static void half_a_greeting(void)
{
    silent();
    plain->error.said = text_of("* OK ha");
}

static void secure_closed_inside(void)
{
    sample_stop(secure, ERROR_CONNECTION_CLOSED, PHASE_GREETING);
}

static void secure_silent(void)
{
    sample_stop(secure, ERROR_READ_TIMEOUT, PHASE_TLS);
}

static void secure_reset(void)
{
    sample_stop(secure, ERROR_CONNECTION_RESET, PHASE_TLS);
}

static void secure_speaks_plain_imap(void)
{
    sample_stop(secure, ERROR_TLS_NOT_SPOKEN, PHASE_TLS);
    secure->error.said = text_of("* OK ready");
}

static void starttls_then_smtp(void)
{
    sample_stop(plain, ERROR_TLS_NOT_SPOKEN, PHASE_TLS);
    plain->error.said = text_of("220 mx.example.com ESMTP");
}

/* What speaks on the port, or may be behind its silence, is named. */
static void test_words(void **state)
{
    (void)state;
    static const struct {
        void (*change)(void);
        enum finding_id id;
        unsigned port;
        const char *title, *detail_end, *summary_part; /* NULL: not compared */
    } rows[] = {
        {speaks_http, FINDING_NOT_AN_IMAP_SERVER, 143, "The port speaks HTTP, not IMAP",
         "The server said: \"HTTP/1.1 400 Bad Request\" That is how HTTP begins.",
         "Port 143 speaks HTTP, not IMAP"},
        {secure_speaks_http, FINDING_NOT_AN_IMAP_SERVER, 993, "The port does not speak IMAP", "greeting.",
         "port 993 does not speak IMAP"},
        {secure_speaks_plain_imap, FINDING_TLS_HANDSHAKE_FAILED, 993, "The port speaks IMAP without TLS",
         "The server said: \"* OK ready\" That is how IMAP begins.", "port 993 speaks IMAP without TLS"},
        {starttls_then_smtp, FINDING_STARTTLS_FAILED, 143, NULL, " That is how SMTP begins.", NULL},
        {silent, FINDING_NO_GREETING, 143, NULL,
         " Not a single byte came: a service in which the client speaks first, such as TLS from the first "
         "byte or "
         "HTTP, is silent like this, and so is a proxy whose server does not answer.",
         NULL},
        {half_a_greeting, FINDING_NO_GREETING, 143, NULL, " The server said: \"* OK ha\"", NULL},
        {closed_at_once, FINDING_NO_GREETING, 143, NULL, " turns this tester's address away.", NULL},
        {closed_after_some_bytes, FINDING_NO_GREETING, 143, NULL, "The server closed the connection.", NULL},
        {secure_silent_inside, FINDING_NO_GREETING, 993, NULL,
         " such as HTTPS, is silent like this, and so is a proxy whose server does not answer.", NULL},
        {secure_closed_inside, FINDING_NO_GREETING, 993, NULL, " when the server behind it does not answer.",
         NULL},
        {secure_silent, FINDING_TLS_HANDSHAKE_FAILED, 993, NULL,
         " for a server that does not answer is silent like this.", NULL},
        {secure_reset, FINDING_TLS_HANDSHAKE_FAILED, 993, NULL, " turns this tester's address away.", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sample_report(&r);
        rows[i].change();
        assert_true(judge(&r));
        const struct finding *f = sample_find(&r, rows[i].id, rows[i].port);
        assert_non_null(f);
        if (rows[i].title != NULL) {
            assert_string_equal(f->title, rows[i].title);
        }
        size_t len = strlen(f->detail), end = strlen(rows[i].detail_end);
        if (len < end || strcmp(f->detail + len - end, rows[i].detail_end) != 0) {
            fail_msg("\"%s\" does not end in \"%s\"", f->detail, rows[i].detail_end);
        }
        if (rows[i].summary_part != NULL) {
            assert_non_null(strstr(r.summary, rows[i].summary_part));
        }
        report_deinit(&r);
    }
}

static void test_found(void **state)
{
    (void)state;
    sample_check_found(&r, found, COUNT(found));
    sample_check_rows(found, COUNT(found), FINDING_NOT_AN_IMAP_SERVER, FINDING_STARTTLS_RESPONSE_INJECTION);
}

/* How servers turn a client away; those of products as they send them. */
static const struct {
    const char *code, *text;
    bool for_now;
} refusals[] = {
    {NULL, "Connection queue full", true},                                             /* Dovecot */
    {NULL, "Disconnected by proxy: Process shutting down", true},                      /* Dovecot */
    {"UNAVAILABLE", "Account is temporarily unavailable.", true},                      /* Dovecot */
    {NULL, "Temporary problem, please try again later", true},                         /* Courier */
    {NULL, "Courier-IMAP server shut down by signal.", true},                          /* Courier */
    {NULL, "Server Unavailable. 15", true},                                            /* Exchange */
    {NULL, "Connection is closed. 14", true},                                          /* Exchange */
    {NULL, "Connection closed. 14", true},                                             /* Exchange */
    {NULL, "Request is throttled. Suggested Backoff Time: 299923 milliseconds", true}, /* Exchange */
    {NULL, "Temporary System Error", true},                                            /* Gmail */
    {"ALERT", "Too many simultaneous connections. (Failure)", true},                   /* Gmail */
    {"LIMIT", "Rate limit hit.", true},                                                /* Yahoo */
    {"ALERT", "The system is down for maintenance until noon", true}, /* Cyrus: its shutdown file */
    {"INUSE", NULL, true},
    {"THROTTLED", NULL, true},
    {NULL, "Connection refused", true}, /* Exchange */
    {NULL, "Maximum connections reached", true},
    {NULL, "Maximum number of connections exceeded", true},
    {NULL, "Maximum number of connections from user+IP exceeded", true},
    {NULL, "Max. sessions per host", true},
    {NULL, "No more connections from your address", true},
    {NULL, "Too many failed login attempts", true},
    {NULL, "You are connecting too often", true},
    {NULL, "Server too busy", true},
    {NULL, "Service not available, closing transmission channel", true},
    {NULL, "Cannot fork: out of memory", true},
    {"UNAVAILABLE", "This is permanent", true},
    {NULL, NULL, false},
    {"ALERT", "Access denied", false},
    {NULL, "Connection refused: not a customer", false},
    {NULL, "Too many invalid IMAP commands.", false}, /* Dovecot */
    {NULL, "Too many bad commands from client", false},
    {NULL, "Too many protocol errors in this session", false},
    {NULL, "Maximum line length is 8192 octets", false},
    {NULL, "Use TLS 1.2 or later", false},
    {NULL, "Use STARTTLS on port 143", false},
    {NULL, "Your address is permanently blocked. Do not try again.", false},
    {NULL, "IMAP is no longer available here; the service is unavailable since June", false},
    {"CONTACTADMIN", "Service unavailable", false},
    {NULL, "imap.maxis.example does not talk to your client", false},
    {NULL, "Only for business customers", false},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        sample_report(&r);
        greet_with_bye(plain, refusals[i].code, refusals[i].text);
        judge(&r);
        const struct finding *f = sample_find(&r, FINDING_SERVER_REFUSES_SERVICE, 143);
        assert_non_null(f);
        enum severity expected = refusals[i].for_now ? SEVERITY_WARNING : SEVERITY_CRITICAL;
        if (f->severity != expected) {
            fail_msg("[%s] %s: %s", refusals[i].code, refusals[i].text, f->title);
        }
        report_deinit(&r);
    }
}

static void test_absent(void **state)
{
    (void)state;
    sample_check_absent(&r, absent, COUNT(absent));
}

static void test_verdicts(void **state)
{
    (void)state;
    sample_check_verdicts(&r, verdicts, COUNT(verdicts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),  cmocka_unit_test(test_found),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_absent), cmocka_unit_test(test_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

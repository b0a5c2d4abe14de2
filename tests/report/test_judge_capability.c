#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/report/sample.h"

static struct report r;
static struct port_report *const plain = &r.ports[0];
static struct port_report *const secure = &r.ports[1];

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

static void preauth(void)
{
    sample_stop(plain, ERROR_NONE, PHASE_CAPABILITY);
    plain->dialogue.greeting = GREETING_PREAUTH;
    sample_caps(&r, plain, CAPS_COMMAND, "IMAP4rev1 IDLE AUTH=PLAIN");
}

static void preauth_inside(void)
{
    secure->dialogue.greeting = GREETING_PREAUTH;
}

static void plain_lists(const char *words)
{
    sample_caps(&r, plain, CAPS_GREETING, "");
    sample_caps(&r, plain, CAPS_COMMAND, words);
}

static void lists_auth_plain(void)
{
    plain_lists("IMAP4rev1 STARTTLS LOGINDISABLED auth=plain");
}

static void lists_auth_login(void)
{
    plain_lists("IMAP4rev1 STARTTLS LOGINDISABLED AUTH=LOGIN");
}

static void lists_auth_cram(void)
{
    plain_lists("IMAP4rev1 STARTTLS LOGINDISABLED AUTH=CRAM-MD5");
}

static void login_not_disabled(void)
{
    plain_lists("IMAP4rev1 STARTTLS");
}

static void plain_lists_nothing(void)
{
    plain_lists("");
    plain->starttls_supported = false;
}

static void tls_lists(const char *words)
{
    sample_caps(&r, plain, CAPS_STARTTLS, words);
    sample_caps(&r, secure, CAPS_COMMAND, words);
}

static void no_revision(void)
{
    tls_lists("IDLE AUTH=PLAIN");
}

static void old_revision_only(void)
{
    tls_lists("IMAP4 IDLE AUTH=PLAIN");
}

static void revision_two(void)
{
    tls_lists("imap4REV2 AUTH=PLAIN");
}

static void no_revision_on_one_port(void)
{
    no_revision();
    r.port_count = 1;
}

static void capability_bad(void)
{
    plain->dialogue.capability_plain.status = REPLY_BAD;
}

static void capability_no_inside(void)
{
    secure->dialogue.capability_tls.status = REPLY_NO;
}

static void caps_duplicate(void)
{
    plain->dialogue.deviations = 1u << DEVIATION_CAPS_DUPLICATE;
    plain->dialogue.deviation_example[DEVIATION_CAPS_DUPLICATE] = text_of("* CAPABILITY IDLE IDLE");
}

static void bare_lf(void)
{
    plain->dialogue.deviations = 1u << DEVIATION_BARE_LF;
}

static void other_caps(void)
{
    sample_caps(&r, secure, CAPS_COMMAND, "IMAP4rev1 SASL-IR ID IDLE AUTH=PLAIN MOVE");
}

static void same_caps_in_other_words(void)
{
    sample_caps(&r, plain, CAPS_STARTTLS, "imap4REV1 id AUTH=PLAIN IDLE SASL-IR LOGINDISABLED");
}

static const struct sample_found found[] = {
    {preauth, FINDING_PREAUTH_BEFORE_TLS, SEVERITY_CRITICAL, 143},
    {preauth_inside, FINDING_PREAUTH_INSIDE_TLS, SEVERITY_NOTICE, 993},
    {lists_auth_plain, FINDING_PLAINTEXT_LOGIN_ALLOWED, SEVERITY_CRITICAL, 143},
    {lists_auth_login, FINDING_PLAINTEXT_LOGIN_ALLOWED, SEVERITY_CRITICAL, 143},
    {login_not_disabled, FINDING_PLAINTEXT_LOGIN_ALLOWED, SEVERITY_CRITICAL, 143},
    {no_starttls, FINDING_PLAINTEXT_LOGIN_ALLOWED, SEVERITY_CRITICAL, 143},
    {no_revision, FINDING_IMAP_REVISION_MISSING, SEVERITY_WARNING, 0},
    {old_revision_only, FINDING_IMAP_REVISION_MISSING, SEVERITY_WARNING, 0},
    {no_revision_on_one_port, FINDING_IMAP_REVISION_MISSING, SEVERITY_WARNING, 143},
    {capability_bad, FINDING_CAPABILITY_REFUSED, SEVERITY_WARNING, 143},
    {capability_no_inside, FINDING_CAPABILITY_REFUSED, SEVERITY_WARNING, 993},
    {caps_duplicate, FINDING_CAPABILITY_SYNTAX, SEVERITY_NOTICE, 143},
    {bare_lf, FINDING_PROTOCOL_VIOLATION, SEVERITY_NOTICE, 143},
    {other_caps, FINDING_CAPABILITIES_DIFFER_BETWEEN_PORTS, SEVERITY_NOTICE, 0},
};

/* What comes close and must not be found. FINDING_COUNT: nothing at all. */
static const struct sample_absent absent[] = {
    {plain_lists_nothing, FINDING_COUNT}, {preauth, FINDING_PLAINTEXT_LOGIN_ALLOWED},
    {preauth, FINDING_STARTTLS_MISSING},  {lists_auth_cram, FINDING_COUNT},
    {revision_two, FINDING_COUNT},        {caps_duplicate, FINDING_PROTOCOL_VIOLATION},
    {bare_lf, FINDING_CAPABILITY_SYNTAX}, {same_caps_in_other_words, FINDING_COUNT},
};

static const struct sample_verdict verdicts[] = {
    {preauth, VERDICT_PROBLEMS, VERDICT_OK, VERDICT_PROBLEMS, NULL},
    {login_not_disabled, VERDICT_PROBLEMS, VERDICT_OK, VERDICT_PROBLEMS, NULL},
    {no_revision, VERDICT_OK, VERDICT_OK, VERDICT_WARNINGS,
     "Port 143 works with STARTTLS and TLS 1.3, but no IMAP revision is advertised; port 993 works with TLS "
     "1.3, but no "
     "IMAP revision is advertised. The certificate is trusted and expires in 60 days."},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void test_found(void **state)
{
    (void)state;
    sample_check_found(&r, found, COUNT(found));
    sample_check_rows(found, COUNT(found), FINDING_PREAUTH_BEFORE_TLS,
                      FINDING_CAPABILITIES_DIFFER_BETWEEN_PORTS);
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

static void has_many_words(void)
{
    sample_caps(&r, secure, CAPS_COMMAND, "IMAP4rev1 SASL-IR ID IDLE AUTH=PLAIN a b c d e f g h i j");
}

/* Wherever the memory of the report ends, the judge tells. */
static void test_no_memory(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t more = 0; more < 12000; more += 64) {
        sample_report(&r);
        has_many_words();
        secure->certificate.leaf_errors = secure->certificate.chain_errors = 1u << CHAIN_EXPIRED;
        /* Uses up what the arena has already taken. */
        r.arena.max = r.arena.used;
        while (arena_alloc(&r.arena, 1) != NULL) {
        }
        r.arena.failed = false;
        r.arena.max += more;
        bool ok = judge(&r);
        assert_int_equal(ok, !r.arena.failed);
        failures += !ok;
        report_deinit(&r);
    }
    assert_in_range(failures, 20, 180);
}

/* Of many words the first are named and the others counted. */
static void test_many_words(void **state)
{
    (void)state;
    sample_report(&r);
    has_many_words();
    assert_true(judge(&r));
    const struct finding *f = sample_find(&r, FINDING_CAPABILITIES_DIFFER_BETWEEN_PORTS, 0);
    assert_non_null(f);
    assert_string_equal(
        f->detail, "Only port 143 lists: nothing. Only port 993 lists: a, b, c, d, e, f, g, h and 2 more.");
    report_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),      cmocka_unit_test(test_absent),    cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_many_words), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

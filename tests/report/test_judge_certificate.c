#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/report/sample.h"

#define BIT(error) (1u << CHAIN_##error)

static struct report r;
static struct port_report *const plain = &r.ports[0];
static struct port_report *const secure = &r.ports[1];

static struct chain_link *leaf(struct port_report *p)
{
    return &p->certificate.chain[0];
}

static void leaf_error(unsigned errors)
{
    plain->certificate.chain_errors = plain->certificate.leaf_errors = errors;
}

static void expired(void)
{
    leaf(plain)->not_after = SAMPLE_NOW - 3 * SAMPLE_DAY;
    leaf_error(BIT(EXPIRED));
}

static void not_yet_valid(void)
{
    leaf(plain)->not_before = SAMPLE_NOW + 1;
    leaf_error(BIT(NOT_YET_VALID));
}

static void ca_expired(void)
{
    plain->certificate.chain_errors = BIT(EXPIRED);
    plain->certificate.bad_ca = text_of("CN=Old CA");
}

static void leaf_and_ca_expired(void)
{
    expired();
    plain->certificate.bad_ca = text_of("CN=Old CA");
}

static void incomplete(void)
{
    plain->certificate.chain_errors = BIT(MISSING_INTERMEDIATE);
}

static void unknown_issuer(void)
{
    plain->certificate.chain_errors = BIT(UNKNOWN_ISSUER);
}

static void bad_signature(void)
{
    plain->certificate.chain_errors = BIT(BAD_SIGNATURE);
}

static void constraint(void)
{
    plain->certificate.chain_errors = BIT(CONSTRAINT_VIOLATION);
}

static void other_error(void)
{
    plain->certificate.chain_errors = BIT(OTHER);
}

static void unreadable(void)
{
    plain->certificate = (struct certificate){.seen = true};
}

static void self_signed(void)
{
    plain->certificate.self_signed = true;
    leaf_error(BIT(SELF_SIGNED));
}

static void self_signed_root_of_ours(void)
{
    plain->certificate.self_signed = true;
}

static void disordered(void)
{
    plain->certificate.chain_errors = BIT(WRONG_ORDER);
}

static void weak_key(void)
{
    plain->certificate.chain_errors = BIT(WEAK_KEY);
}

static void weak_signature(void)
{
    plain->certificate.chain_errors = BIT(WEAK_SIGNATURE);
}

static void wrong_purpose(void)
{
    leaf_error(BIT(WRONG_PURPOSE));
}

static void revoked(void)
{
    leaf_error(BIT(REVOKED));
}

static void life(int64_t seconds_left, int64_t seconds)
{
    leaf(plain)->not_after = SAMPLE_NOW + seconds_left;
    leaf(plain)->not_before = leaf(plain)->not_after - seconds;
}

static void thirteen_days_left(void)
{
    life(14 * SAMPLE_DAY - 1, 90 * SAMPLE_DAY);
}

static void fourteen_days_left(void)
{
    life(14 * SAMPLE_DAY, 90 * SAMPLE_DAY);
}

static void short_lived(void)
{
    life(2 * SAMPLE_DAY, 6 * SAMPLE_DAY);
}

static void short_lived_and_late(void)
{
    life(2 * SAMPLE_DAY - 1, 6 * SAMPLE_DAY);
}

static void last_second(void)
{
    life(0, 90 * SAMPLE_DAY);
}

static void mismatch(void)
{
    plain->certificate.hostname_match = false;
}

static void common_name_only(void)
{
    plain->certificate.hostname_match = false;
    plain->certificate.common_name_match = true;
    plain->certificate.common_name = text_of("imap.example.com");
}

static void must_staple(void)
{
    plain->certificate.must_staple = true;
}

static void must_staple_met(void)
{
    plain->certificate.must_staple = true;
    plain->certificate.ocsp_stapling = OCSP_GOOD;
}

static void staple_invalid(void)
{
    plain->certificate.ocsp_stapling = OCSP_INVALID;
}

static void surplus(void)
{
    plain->certificate.surplus = 1;
}

static void valid_398_days(void)
{
    life(60 * SAMPLE_DAY, 398 * SAMPLE_DAY);
}

static void valid_399_days(void)
{
    life(60 * SAMPLE_DAY, 398 * SAMPLE_DAY + 1);
}

static void other_certificate(void)
{
    leaf(secure)->sha256[31] = 1;
}

static void other_intermediate(void)
{
    secure->certificate.chain[1].sha256[31] = 1;
}

static const struct sample_found found[] = {
    {expired, FINDING_CERTIFICATE_EXPIRED, SEVERITY_CRITICAL, 143},
    {not_yet_valid, FINDING_CERTIFICATE_NOT_YET_VALID, SEVERITY_CRITICAL, 143},
    {ca_expired, FINDING_CERTIFICATE_CHAIN_EXPIRED, SEVERITY_CRITICAL, 143},
    {leaf_and_ca_expired, FINDING_CERTIFICATE_CHAIN_EXPIRED, SEVERITY_CRITICAL, 143},
    {leaf_and_ca_expired, FINDING_CERTIFICATE_EXPIRED, SEVERITY_CRITICAL, 143},
    {incomplete, FINDING_CERTIFICATE_CHAIN_INCOMPLETE, SEVERITY_CRITICAL, 143},
    {unknown_issuer, FINDING_CERTIFICATE_UNTRUSTED, SEVERITY_CRITICAL, 143},
    {bad_signature, FINDING_CERTIFICATE_UNTRUSTED, SEVERITY_CRITICAL, 143},
    {constraint, FINDING_CERTIFICATE_UNTRUSTED, SEVERITY_CRITICAL, 143},
    {other_error, FINDING_CERTIFICATE_UNTRUSTED, SEVERITY_CRITICAL, 143},
    {unreadable, FINDING_CERTIFICATE_UNTRUSTED, SEVERITY_CRITICAL, 143},
    {self_signed, FINDING_CERTIFICATE_SELF_SIGNED, SEVERITY_CRITICAL, 143},
    {disordered, FINDING_CERTIFICATE_CHAIN_DISORDERED, SEVERITY_NOTICE, 143},
    {weak_key, FINDING_CERTIFICATE_KEY_WEAK, SEVERITY_CRITICAL, 143},
    {weak_signature, FINDING_CERTIFICATE_SIGNATURE_WEAK, SEVERITY_CRITICAL, 143},
    {wrong_purpose, FINDING_CERTIFICATE_WRONG_PURPOSE, SEVERITY_CRITICAL, 143},
    {revoked, FINDING_CERTIFICATE_REVOKED, SEVERITY_CRITICAL, 143},
    {thirteen_days_left, FINDING_CERTIFICATE_EXPIRES_SOON, SEVERITY_WARNING, 143},
    {short_lived_and_late, FINDING_CERTIFICATE_EXPIRES_SOON, SEVERITY_WARNING, 143},
    {last_second, FINDING_CERTIFICATE_EXPIRES_SOON, SEVERITY_WARNING, 143},
    {mismatch, FINDING_CERTIFICATE_HOSTNAME_MISMATCH, SEVERITY_CRITICAL, 143},
    {common_name_only, FINDING_CERTIFICATE_COMMON_NAME_ONLY, SEVERITY_CRITICAL, 143},
    {must_staple, FINDING_CERTIFICATE_MUST_STAPLE_UNMET, SEVERITY_CRITICAL, 143},
    {staple_invalid, FINDING_OCSP_STAPLE_INVALID, SEVERITY_WARNING, 143},
    {surplus, FINDING_CERTIFICATE_CHAIN_SURPLUS, SEVERITY_INFO, 143},
    {valid_399_days, FINDING_CERTIFICATE_VALIDITY_LONG, SEVERITY_INFO, 143},
    {other_certificate, FINDING_CERTIFICATES_DIFFER_BETWEEN_PORTS, SEVERITY_NOTICE, 0},
};

/* What comes close and must not be found. FINDING_COUNT: nothing at all. */
static const struct sample_absent absent[] = {
    {expired, FINDING_CERTIFICATE_CHAIN_EXPIRED},
    {expired, FINDING_CERTIFICATE_EXPIRES_SOON},
    {ca_expired, FINDING_CERTIFICATE_EXPIRED},
    {self_signed_root_of_ours, FINDING_COUNT},
    {unreadable, FINDING_CERTIFICATE_HOSTNAME_MISMATCH},
    {fourteen_days_left, FINDING_COUNT},
    {short_lived, FINDING_COUNT},
    {common_name_only, FINDING_CERTIFICATE_HOSTNAME_MISMATCH},
    {must_staple_met, FINDING_COUNT},
    {staple_invalid, FINDING_CERTIFICATE_MUST_STAPLE_UNMET},
    {valid_398_days, FINDING_COUNT},
    {other_intermediate, FINDING_COUNT},
};

static const struct sample_verdict verdicts[] = {
    {expired, VERDICT_PROBLEMS, VERDICT_OK, VERDICT_PROBLEMS,
     "Ports 143 (STARTTLS) and 993 work with TLS 1.3. The certificate of port 143 expired 3 days ago; that "
     "of port 993 "
     "is trusted and expires in 60 days."},
    {thirteen_days_left, VERDICT_WARNINGS, VERDICT_OK, VERDICT_WARNINGS, NULL},
    {surplus, VERDICT_OK, VERDICT_OK, VERDICT_OK, NULL},
    {other_certificate, VERDICT_OK, VERDICT_OK, VERDICT_OK, NULL},
    {unreadable, VERDICT_PROBLEMS, VERDICT_OK, VERDICT_PROBLEMS, NULL},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static void test_found(void **state)
{
    (void)state;
    sample_check_found(&r, found, COUNT(found));
    sample_check_rows(found, COUNT(found), FINDING_CERTIFICATE_EXPIRED,
                      FINDING_CERTIFICATES_DIFFER_BETWEEN_PORTS);
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

/* The place that a certificate names for its issuer's stands in the remedy, and only where something is
 * missing. */
static void test_url_of_missing_issuer(void **state)
{
    static const struct {
        enum chain_error error;
        enum finding_id id;
        bool told;
    } rows[] = {
        {CHAIN_MISSING_INTERMEDIATE, FINDING_CERTIFICATE_CHAIN_INCOMPLETE, true},
        {CHAIN_UNKNOWN_ISSUER, FINDING_CERTIFICATE_UNTRUSTED, true},
        {CHAIN_BAD_SIGNATURE, FINDING_CERTIFICATE_UNTRUSTED, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        sample_report(&r);
        struct certificate *c = &r.ports[0].certificate;
        c->chain_errors = 1u << rows[i].error;
        c->missing_issuer = text_of("CN=Missing CA");
        c->issuer_url = text_of("http://ca.example/issuing.der\x1b");
        assert_true(judge(&r));
        const struct finding *f = sample_find(&r, rows[i].id, 143);
        assert_non_null(f);
        assert_int_equal(strstr(f->remedy, "http://ca.example/issuing.der\\x1b") != NULL, rows[i].told);
        assert_non_null(strstr(f->detail, rows[i].told ? "CN=Missing CA" : "signature"));
        report_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_url_of_missing_issuer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

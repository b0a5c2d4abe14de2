#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "probe/report/judge.h"
#include "tests/report/sample.h"

#define BIT(error) (1u << CHAIN_##error)

static struct report r;
static struct port_report *const plain = &r.ports[0], *const secure = &r.ports[1];

static struct chain_link *leaf(struct port_report *p)
{
    return &p->certificate.chain[0];
}

static void first_try(const char *address, enum error_code code, const char *raw)
{
    plain->tries[1] = plain->tries[0];
    plain->tries[0] = (struct connect_try){.address = sample_ip(address),
                                           .error = {.code = code, .phase = PHASE_CONNECT, .raw = raw}};
    plain->try_count = 2;
}

static void six_refused(void)
{
    first_try("2001:db8::10", ERROR_CONNECTION_REFUSED, "ECONNREFUSED");
}

static void reply_of_3001_ms(void)
{
    plain->timings.slowest_reply = 3001;
}

static void greet_with_bye(struct port_report *p, const char *code, const char *text)
{
    sample_stop(p, ERROR_SERVER_BYE, PHASE_GREETING);
    p->dialogue.greeting = GREETING_BYE;
    p->dialogue.greeting_text = (struct resp_text){.code = text_of(code), .text = text_of(text)};
}

static void bye_limit(void)
{
    greet_with_bye(plain, "LIMIT", NULL);
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

static void broken_cipher(void)
{
    plain->tls.cipher_class = CIPHER_BROKEN;
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

static void life(int64_t seconds_left, int64_t seconds)
{
    leaf(plain)->not_after = SAMPLE_NOW + seconds_left;
    leaf(plain)->not_before = leaf(plain)->not_after - seconds;
}

static void mismatch(void)
{
    plain->certificate.hostname_match = false;
}

static void surplus(void)
{
    plain->certificate.surplus = 1;
}

static void other_certificate(void)
{
    leaf(secure)->sha256[31] = 1;
}

/* The words of the contract's example. */
static void test_summary_of_one_port(void **state)
{
    (void)state;
    sample_report(&r);
    r.port_count = 1;
    life(11 * SAMPLE_DAY + 5, 90 * SAMPLE_DAY);
    assert_true(judge(&r));
    assert_string_equal(r.summary,
                        "Port 143 works with STARTTLS and TLS 1.3. The certificate is trusted and expires "
                        "in 11 days.");
    assert_string_equal(sample_find(&r, FINDING_CERTIFICATE_EXPIRES_SOON, 143)->title,
                        "The certificate expires in 11 days");
    report_deinit(&r);
}

/* One port shut, the other silent: that is not enough to call the host unreachable. */
static void test_inconclusive_host(void **state)
{
    (void)state;
    for (int shut = 0; shut < 2; shut++) {
        sample_report(&r);
        if (shut) {
            sample_fail(secure, ERROR_CONNECTION_TIMEOUT, PHASE_CONNECT);
        } else {
            r.port_count = 1;
        }
        bye_limit();
        assert_true(judge(&r));
        assert_int_equal(r.verdict, VERDICT_INCONCLUSIVE);
        report_deinit(&r);
    }
}

/* Whatever ends a dialogue: the port is not ok, and a finding says why with the weight of the verdict. */
static void check_explained(const struct port_report *p, enum error_code code, enum phase phase)
{
    enum severity worst = SEVERITY_COUNT;
    for (size_t i = 0; i < r.finding_count; i++) {
        if ((r.findings[i].port == p->number || r.findings[i].port == 0) && r.findings[i].severity < worst) {
            worst = r.findings[i].severity;
        }
    }
    enum severity needed = p->verdict == VERDICT_PROBLEMS ? SEVERITY_CRITICAL : SEVERITY_WARNING;
    if (p->verdict == VERDICT_UNREACHABLE && p->error.code == ERROR_CONNECTION_REFUSED) {
        needed = SEVERITY_NOTICE;
    }
    if (p->verdict == VERDICT_OK || worst > needed) {
        fail_msg("port %u, %s in %s: verdict %s, worst finding %u", (unsigned)p->number, error_name(code),
                 phase_name(phase), verdict_name(p->verdict), worst);
    }
}

static void test_every_error_is_explained(void **state)
{
    (void)state;
    for (unsigned code = ERROR_NONE + 1; code < ERROR_COUNT; code++) {
        for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
            for (size_t i = 0; i < 2; i++) {
                sample_report(&r);
                if (phase <= PHASE_CONNECT) {
                    sample_fail(&r.ports[i], code, phase);
                } else {
                    sample_stop(&r.ports[i], code, phase);
                }
                if (phase == PHASE_DNS) {
                    r.dns.address_count = 0;
                }
                assert_true(judge(&r));
                check_explained(&r.ports[i], code, phase);
                report_deinit(&r);
            }
        }
    }
}

static void test_order(void **state)
{
    (void)state;
    static const struct {
        enum finding_id id;
        unsigned port;
    } order[] = {
        {FINDING_CERTIFICATE_EXPIRED, 143},
        {FINDING_CIPHER_WEAK, 143},
        {FINDING_CERTIFICATE_HOSTNAME_MISMATCH, 993},
        {FINDING_NO_FORWARD_SECRECY, 993},
        {FINDING_CERTIFICATES_DIFFER_BETWEEN_PORTS, 0},
        {FINDING_SLOW_RESPONSE, 143},
        {FINDING_CERTIFICATE_CHAIN_SURPLUS, 143},
    };
    sample_report(&r);
    surplus();
    reply_of_3001_ms();
    other_certificate();
    secure->tls.forward_secrecy = false;
    secure->certificate.hostname_match = false;
    broken_cipher();
    expired();
    assert_true(judge(&r));
    assert_true(judge(&r)); /* judging again changes nothing */
    assert_int_equal(r.finding_count, sizeof order / sizeof order[0]);
    for (size_t i = 0; i < r.finding_count; i++) {
        assert_string_equal(finding_row(r.findings[i].id)->id, finding_row(order[i].id)->id);
        assert_int_equal(r.findings[i].port, order[i].port);
    }
    report_deinit(&r);
}

static void test_addresses(void **state)
{
    (void)state;
    sample_report(&r);
    six_refused();
    r.ports[1].timings.slowest_reply = 4000;
    other_certificate();
    assert_true(judge(&r));
    struct ip four = sample_ip("192.0.2.10"), six = sample_ip("2001:db8::10");
    assert_true(ip_equal(&sample_find(&r, FINDING_SLOW_RESPONSE, 993)->address, &four));
    assert_true(ip_equal(&sample_find(&r, FINDING_ADDRESS_FAMILY_UNREACHABLE, 143)->address, &six));
    assert_int_equal(sample_find(&r, FINDING_CERTIFICATES_DIFFER_BETWEEN_PORTS, 0)->address.family, 0);
    report_deinit(&r);
}

/* In characters of UTF-8. */
static size_t length(const char *s)
{
    size_t count = 0;
    for (; *s != '\0'; s++) {
        count += ((unsigned char)*s & 0xC0) != 0x80;
    }
    return count;
}

/* What a server says stands in the detail, but as harmless text and not at full length. */
static void test_details_are_quoted(void **state)
{
    (void)state;
    static const char evil[] = "\x1b[31m\0\r\n\xff \xe2\x80\xae";
    char dns_name[600];
    memset(dns_name, 'n', sizeof dns_name);
    sample_report(&r);
    sample_stop(plain, ERROR_NOT_IMAP, PHASE_GREETING);
    plain->error.said = (struct text){.data = evil, .len = sizeof evil - 1};
    static struct san sans[600];
    for (size_t i = 0; i < 600; i++) {
        sans[i] = (struct san){.value = {.data = dns_name, .len = sizeof dns_name}};
    }
    secure->certificate.sans = sans;
    secure->certificate.san_count = 500;
    secure->certificate.san_total = 600;
    secure->certificate.hostname_match = false;
    assert_true(judge(&r));
    const char *detail = sample_find(&r, FINDING_NOT_AN_IMAP_SERVER, 143)->detail;
    assert_non_null(strstr(detail, "\\x1b[31m\\x00\\x0d\\x0a\xef\xbf\xbd \\u{202e}"));
    assert_null(strchr(detail, '\x1b'));
    assert_int_equal(length(sample_find(&r, FINDING_CERTIFICATE_HOSTNAME_MISMATCH, 993)->detail),
                     LIMIT_TEXT_CHARS);
    report_deinit(&r);
}

static void test_names_shown(void **state)
{
    (void)state;
    sample_report(&r);
    mismatch();
    assert_true(judge(&r));
    assert_string_equal(sample_find(&r, FINDING_CERTIFICATE_HOSTNAME_MISMATCH, 143)->detail,
                        "The certificate is for imap.example.com; imap.example.com is not among them.");
    report_deinit(&r);
}

/* A report whose memory was used up on the way is not taken for a judged one. */
static void test_no_memory(void **state)
{
    (void)state;
    sample_report(&r);
    bye_later_for_now();
    r.arena.max = r.arena.used;
    while (arena_text(&r.arena, "", 0).data != NULL) {
        continue;
    }
    r.arena.failed = false;
    assert_false(judge(&r));
    report_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary_of_one_port),
        cmocka_unit_test(test_inconclusive_host),
        cmocka_unit_test(test_every_error_is_explained),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_details_are_quoted),
        cmocka_unit_test(test_names_shown),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

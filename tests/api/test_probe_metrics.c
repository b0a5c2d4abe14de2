/* A report as Prometheus metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/probe_metrics.h"
#include "tests/report/sample.h"

static struct report report;
static char *text;

static int set_up(void **state)
{
    (void)state;
    sample_report(&report);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    report_deinit(&report);
    free(text);
    text = NULL;
    return 0;
}

static void render(void)
{
    assert_true(judge(&report));
    free(text);
    text = probe_metrics(&report, NULL);
    assert_non_null(text);
}

/* Number of lines that begin with this. */
static unsigned lines(const char *start)
{
    unsigned count = 0;
    for (const char *line = text; line[0] != '\0'; line = strchr(line, '\n') + 1) {
        count += strncmp(line, start, strlen(start)) == 0;
    }
    return count;
}

/* The sample is there, once, and its value is this number, however it is written. */
static void expect(const char *line)
{
    char sample[1200];
    size_t len = (size_t)(strrchr(line, ' ') - line) + 1;
    assert_true(len < sizeof sample);
    memcpy(sample, line, len);
    sample[len] = '\0';
    if (lines(sample) != 1) {
        fail_msg("%u times %s in\n%s", lines(sample), line, text);
    }
    const char *at = text;
    while (strncmp(at, sample, len) != 0) {
        at = strchr(at, '\n') + 1;
    }
    double is = strtod(at + len, NULL), wanted = strtod(line + len, NULL);
    if (fabs(is - wanted) > fabs(wanted) * 1e-12) {
        fail_msg("%s, not %.17g", line, is);
    }
}

static void expect_none(const char *start)
{
    if (lines(start) != 0) {
        fail_msg("%s in\n%s", start, text);
    }
}

#define BOTH(family, labels, value)                                                                          \
    expect(family "{port=\"143\",address=\"192.0.2.10\"" labels "} " value);                                 \
    expect(family "{port=\"993\",address=\"192.0.2.10\"" labels "} " value)

static void test_good(void **state)
{
    (void)state;
    render();
    expect("probe_success 1");
    expect("probe_duration_seconds 0.1824");
    expect("probe_dns_lookup_time_seconds 0.0042");
    expect("probe_ip_protocol 4");
    expect("probe_failed_due_to_regex 0");
    expect("probe_ssl_earliest_cert_expiry 1800642540");
    expect("probe_ssl_last_chain_expiry_timestamp_seconds 1800642540");
    expect("probe_ssl_last_chain_info{fingerprint_sha256="
           "\"5f0c000000000000000000000000000000000000000000000000000000000000\",subject=\"CN=imap.example."
           "com\","
           "issuer=\"CN=Example CA\",subjectalternative=\"imap.example.com\"} 1");
    expect("probe_tls_version_info{version=\"TLS 1.3\"} 1");
    expect("imap_test_verdict{verdict=\"ok\"} 1");
    expect("imap_test_verdict{verdict=\"inconclusive\"} 0");
    expect("imap_test_timestamp_seconds 1795458540");
    expect("imap_test_deadline_exceeded 0");
    BOTH("imap_test_port_verdict", ",verdict=\"ok\"", "1");
    BOTH("imap_test_port_verdict", ",verdict=\"warnings\"", "0");
    BOTH("imap_test_port_success", "", "1");
    BOTH("imap_test_port_reachable", "", "1");
    BOTH("imap_test_certificate_expiry_timestamp_seconds", "", "1800642540");
    BOTH("imap_test_certificate_remaining_seconds", "", "5184000");
    BOTH("imap_test_certificate_hostname_match", "", "1");
    BOTH("imap_test_certificate_chain_valid", "", "1");
    BOTH("imap_test_phase_duration_seconds", ",phase=\"connect\"", "0.01104");
    BOTH("imap_test_phase_duration_seconds", ",phase=\"tls_handshake\"", "0.03177");
    BOTH("imap_test_capability", ",capability=\"IDLE\"", "1");
    BOTH("imap_test_capability", ",capability=\"CONDSTORE\"", "0");
    expect("imap_test_starttls_supported{port=\"143\",address=\"192.0.2.10\"} 1");
    expect("imap_test_implicit_tls{port=\"993\",address=\"192.0.2.10\"} 1");
    assert_int_equal(lines("imap_test_starttls_supported"), 1);
    assert_int_equal(lines("imap_test_implicit_tls"), 1);
    expect("imap_test_findings{severity=\"critical\"} 0");
    expect("imap_test_findings{severity=\"info\"} 0");
    expect_none("imap_test_finding_info");
    expect_none("imap_test_error_info");
    expect_none("# TYPE imap_test_error_info");
}

/* Every verdict, what it means for success, and for the state set. */
static void test_success(void **state)
{
    (void)state;
    render();
    for (unsigned v = VERDICT_OK; v <= VERDICT_UNREACHABLE; v++) {
        char line[80];
        report.verdict = (enum verdict)v;
        free(text);
        text = probe_metrics(&report, NULL);
        assert_non_null(text);
        expect(v == VERDICT_OK || v == VERDICT_WARNINGS ? "probe_success 1" : "probe_success 0");
        snprintf(line, sizeof line, "imap_test_verdict{verdict=\"%s\"} 1", verdict_name(report.verdict));
        expect(line);
        assert_int_equal(lines("imap_test_verdict{"), 5);
    }
}

/* Dates are data, whatever else is wrong. */
static void test_bad_certificate(void **state)
{
    (void)state;
    struct certificate *c = &report.ports[1].certificate;
    c->chain[0].not_after = SAMPLE_NOW - 3 * SAMPLE_DAY;
    c->chain[0].sha256[0] = 1;
    c->chain_errors = c->leaf_errors = 1u << CHAIN_EXPIRED;
    c->hostname_match = false;
    render();
    expect("probe_success 0");
    expect("probe_ssl_earliest_cert_expiry 1795199340");
    expect_none("probe_ssl_last_chain_expiry_timestamp_seconds");
    assert_int_equal(lines("probe_ssl_last_chain_info{"), 2);
    assert_int_equal(lines("probe_tls_version_info{"), 1);
    expect("imap_test_certificate_expiry_timestamp_seconds{port=\"993\",address=\"192.0.2.10\"} 1795199340");
    expect("imap_test_certificate_remaining_seconds{port=\"993\",address=\"192.0.2.10\"} -259200");
    expect("imap_test_certificate_hostname_match{port=\"993\",address=\"192.0.2.10\"} 0");
    expect("imap_test_certificate_hostname_match{port=\"143\",address=\"192.0.2.10\"} 1");
    expect("imap_test_certificate_chain_valid{port=\"993\",address=\"192.0.2.10\"} 0");
    expect("imap_test_finding_info{port=\"993\",address=\"192.0.2.10\",id=\"certificate_expired\","
           "severity=\"critical\"} 1");
    expect("imap_test_findings{severity=\"critical\"} 2");
}

/* The earliest of all that was sent; on a chain that is valid an expired certificate is on no path. */
static void test_earliest(void **state)
{
    (void)state;
    report.ports[0].certificate.chain[1].not_after = SAMPLE_NOW + 5 * SAMPLE_DAY;
    report.ports[1].certificate.chain[1].not_after = SAMPLE_NOW - SAMPLE_DAY;
    report.ports[0].certificate.chain_errors = 1u << CHAIN_WRONG_ORDER;
    render();
    expect("probe_ssl_earliest_cert_expiry 1795372140");
    expect("probe_ssl_last_chain_expiry_timestamp_seconds 1795890540");
    expect("imap_test_certificate_chain_valid{port=\"143\",address=\"192.0.2.10\"} 1");
    assert_int_equal(lines("probe_ssl_last_chain_info{"), 1);
}

static void test_unreadable_leaf(void **state)
{
    (void)state;
    struct certificate *c = &report.ports[0].certificate;
    *c = (struct certificate){.seen = true, .chain = c->chain + 1, .chain_count = 1, .chain_sent = 2};
    render();
    expect("probe_ssl_earliest_cert_expiry 1800642540"); /* of the other port */
    expect_none("probe_ssl_last_chain_expiry_timestamp_seconds");
    expect("imap_test_certificate_chain_valid{port=\"143\",address=\"192.0.2.10\"} 0");
    assert_int_equal(lines("imap_test_certificate_expiry_timestamp_seconds{"), 1);
    assert_int_equal(lines("imap_test_certificate_remaining_seconds{"), 1);
}

static void test_unreachable(void **state)
{
    (void)state;
    for (size_t i = 0; i < report.port_count; i++) {
        sample_fail(&report.ports[i], ERROR_CONNECTION_REFUSED, PHASE_CONNECT);
    }
    render();
    expect("probe_success 0");
    expect("probe_ip_protocol 4");
    expect("imap_test_verdict{verdict=\"unreachable\"} 1");
    expect("imap_test_port_reachable{port=\"143\",address=\"\"} 0");
    expect("imap_test_error_info{port=\"993\",address=\"\",code=\"connection_refused\",phase=\"connect\"} 1");
    expect_none("probe_ssl_");
    expect_none("probe_tls_");
    expect_none("imap_test_certificate_");
    expect_none("imap_test_phase_duration_seconds");
    expect_none("imap_test_capability");
    expect_none("# TYPE imap_test_capability");
}

static void test_unresolved(void **state)
{
    (void)state;
    report.dns.address_count = 0;
    report.dns.error = (struct failure){.code = ERROR_DNS_NAME_NOT_FOUND, .phase = PHASE_DNS};
    for (size_t i = 0; i < report.port_count; i++) {
        sample_fail(&report.ports[i], ERROR_DNS_NAME_NOT_FOUND, PHASE_DNS);
    }
    render();
    expect("probe_success 0");
    expect("probe_ip_protocol 0");
    expect("probe_ip_addr_hash 0");
    expect("imap_test_error_info{port=\"143\",address=\"\",code=\"dns_name_not_found\",phase=\"dns\"} 1");
    expect("imap_test_finding_info{port=\"\",address=\"\",id=\"host_not_resolved\",severity=\"critical\"} 1");
}

static void test_inconclusive(void **state)
{
    (void)state;
    report.port_count = 1;
    sample_stop(&report.ports[0], ERROR_READ_TIMEOUT, PHASE_GREETING);
    report.deadline_exceeded = true;
    render();
    expect("probe_success 0");
    expect("imap_test_verdict{verdict=\"inconclusive\"} 1");
    expect("imap_test_port_verdict{port=\"143\",address=\"192.0.2.10\",verdict=\"inconclusive\"} 1");
    expect("imap_test_deadline_exceeded 1");
    expect("probe_failed_due_to_regex 0");
    assert_int_equal(lines("imap_test_port_success{"), 1);
}

/* What the server says decides, and only where the test failed by it. */
static void test_regex(void **state)
{
    (void)state;
    sample_stop(&report.ports[0], ERROR_NOT_IMAP, PHASE_GREETING);
    render();
    expect("probe_failed_due_to_regex 1");
    report.verdict = VERDICT_WARNINGS;
    free(text);
    text = probe_metrics(&report, NULL);
    assert_non_null(text);
    expect("probe_failed_due_to_regex 0");
}

/* The same value as blackbox_exporter 0.23 has for it. */
static void test_hash(void **state)
{
    (void)state;
    report.ports[0].address = report.ports[1].address = sample_ip("127.95.136.2");
    render();
    expect("probe_ip_addr_hash 268931433");
    report.ports[0].address = report.ports[1].address = sample_ip("2001:db8::1");
    render();
    expect("probe_ip_protocol 6");
    expect("imap_test_port_success{port=\"143\",address=\"2001:db8::1\"} 1");
}

/* What both ports share is one sample: two of the same labels would spoil the answer. */
static void test_no_sample_twice(void **state)
{
    (void)state;
    report.ports[1].tls.version = "TLS 1.2";
    report.ports[1].tls.version_latest = false;
    sample_caps(&report, &report.ports[1], CAPS_COMMAND, "IMAP4rev1 THREAD=REFERENCES idle literal-");
    render();
    struct finding twice[3];
    for (size_t i = 0; i < 3; i++) {
        twice[i] = (struct finding){.id = FINDING_NO_GREETING, .port = 143, .severity = SEVERITY_WARNING};
    }
    twice[1].port = 993;
    report.findings = twice;
    report.finding_count = 3;
    free(text);
    text = probe_metrics(&report, NULL);
    assert_non_null(text);
    assert_int_equal(lines("probe_tls_version_info{"), 2);
    expect("imap_test_finding_info{port=\"143\",address=\"\",id=\"no_greeting\",severity=\"warning\"} 1");
    assert_int_equal(lines("imap_test_finding_info{"), 2);
    expect("imap_test_findings{severity=\"warning\"} 3");
    expect("imap_test_capability{port=\"993\",address=\"192.0.2.10\",capability=\"THREAD\"} 1");
    expect("imap_test_capability{port=\"993\",address=\"192.0.2.10\",capability=\"IDLE\"} 1");
    expect("imap_test_capability{port=\"993\",address=\"192.0.2.10\",capability=\"LITERAL+\"} 0");
    for (const char *line = text; line[0] != '\0'; line = strchr(line, '\n') + 1) {
        char copy[1200];
        const char *end = strchr(line, '\n');
        size_t len = (size_t)((const char *)memrchr(line, ' ', (size_t)(end - line)) - line) + 1;
        if (line[0] != '#') {
            assert_true(len < sizeof copy);
            memcpy(copy, line, len);
            copy[len] = '\0';
            assert_int_equal(lines(copy), 1);
        }
    }
}

/* A certificate says what it likes. */
static void test_foreign_words(void **state)
{
    (void)state;
    struct san sans[600];
    static char name[300];
    struct certificate *c = &report.ports[0].certificate;
    memset(name, 'a', sizeof name);
    for (size_t i = 0; i < 600; i++) {
        sans[i] = (struct san){.type = i % 2 ? SAN_DNS : SAN_IP, .value = {name, sizeof name}};
    }
    c->sans = sans;
    c->san_count = 600;
    c->chain[0].subject = (struct text){"a\"b\\\n\0\xff{}", 9};
    c->chain[0].issuer = (struct text){NULL, 0};
    report.port_count = 1;
    render();
    assert_non_null(strstr(
        text, "subject=\"a\\\"b\\\\\\\\x0a\\\\x00\xEF\xBF\xBD{}\",issuer=\"\",subjectalternative=\"aaa"));
    assert_int_equal(lines("probe_ssl_last_chain_info{"), 1);
    assert_true(strlen(text) < 16384);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_good),       TEST(test_success),         TEST(test_bad_certificate),
        TEST(test_earliest),   TEST(test_unreadable_leaf), TEST(test_unreachable),
        TEST(test_unresolved), TEST(test_inconclusive),    TEST(test_regex),
        TEST(test_hash),       TEST(test_no_sample_twice), TEST(test_foreign_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

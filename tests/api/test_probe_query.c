/* The query and the header of GET /probe: every parameter, and every way to get it wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/query.h"

#define T "target=imap.example.com"

static const struct query_limits limits = {.imap_port = 143, .imaps_port = 993, .deadline_ms = 20000};

/* The bytes alone on the heap, so that the sanitizer sees a read past them. */
static bool parse(const char *raw, const char *header, struct query *q, struct problem *p)
{
    size_t len = strlen(raw);
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, raw, len);
    bool ok = query_parse_probe(copy, len, &limits, header, q, p);
    free(copy);
    return ok;
}

static const struct {
    const char *raw, *host, *address;
    bool imap, imaps, fresh;
    unsigned timeout_ms;
} good[] = {
    {T, "imap.example.com", "", true, true, false, 20000},
    {T ":143", "imap.example.com", "", true, false, false, 20000},
    {T ":993", "imap.example.com", "", false, true, false, 20000},
    {T "%3A993", "imap.example.com", "", false, true, false, 20000},
    {T ".:993", "imap.example.com", "", false, true, false, 20000},
    {"target=192.0.2.1:143", "192.0.2.1", "", true, false, false, 20000},
    {"target=2001:db8::1", "2001:db8::1", "", true, true, false, 20000},
    {"target=%5B2001:db8::1%5D", "2001:db8::1", "", true, true, false, 20000},
    {"target=[2001:db8::1]:993", "2001:db8::1", "", false, true, false, 20000},
    /* Without brackets a number behind is a part of the address. */
    {"target=2001:db8::993", "2001:db8::993", "", true, true, false, 20000},
    {"target=b%C3%BCcher.example:143", "xn--bcher-kva.example", "", true, false, false, 20000},
    {"module=imaps&" T, "imap.example.com", "", false, true, false, 20000},
    {"module=imap_starttls&" T, "imap.example.com", "", true, false, false, 20000},
    {"module=imaps&" T ":993", "imap.example.com", "", false, true, false, 20000},
    {"module=imap_starttls&" T ":143", "imap.example.com", "", true, false, false, 20000},
    {T "&address=192.0.2.7&fresh=true&timeout_ms=1500", "imap.example.com", "192.0.2.7", true, true, true,
     1500},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct query q;
        struct problem p = {.detail = ""};
        char address[IP_TEXT_SIZE];
        if (!parse(good[i].raw, NULL, &q, &p)) {
            fail_msg("%s: %s", good[i].raw, p.detail);
        }
        ip_format(&q.probe.address, address);
        if (q.probe.imap != good[i].imap || q.probe.imaps != good[i].imaps || q.fresh != good[i].fresh ||
            q.probe.timeout_ms != good[i].timeout_ms || q.form != QUERY_METRICS ||
            strcmp(q.probe.host, good[i].host) != 0 || strcmp(address, good[i].address) != 0) {
            fail_msg("%s: %s %s %d%d%d %u", good[i].raw, q.probe.host, address, q.probe.imap, q.probe.imaps,
                     q.fresh, q.probe.timeout_ms);
        }
    }
}

static const struct {
    const char *raw;
    enum problem_code code;
    const char *says;
} bad[] = {
    {"", PROBLEM_MISSING_HOST, "/probe?target=imap.example.com"},
    {"target=", PROBLEM_MISSING_HOST, "/probe?target="},
    {"target", PROBLEM_MISSING_HOST, "/probe?target="},
    {"module=imaps", PROBLEM_MISSING_HOST, "/probe?target="},
    {"target=:993", PROBLEM_INVALID_HOST, "empty"},
    {"target=[]:993", PROBLEM_INVALID_HOST, "IPv6"},
    {"target=-", PROBLEM_INVALID_HOST, "hyphen"},
    {"target=[::1", PROBLEM_INVALID_HOST, "closed"},
    {"target=[::1]x:993", PROBLEM_INVALID_HOST, "bracket"},
    {"target=a.test:993:993", PROBLEM_INVALID_HOST, "IPv6"},
    {"target=%zz", PROBLEM_INVALID_HOST, "hexadecimal"},
    {T ":", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":25", PROBLEM_INVALID_PARAMETER, "such as imap.example.com:993"},
    {T ":0993", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":+993", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":993%20", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":993%00", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":-993", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":imaps", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":66529", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {T ":4294968289", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {"target=[::1]:", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {"target=[::1]:25", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {"target=[::1]::993", PROBLEM_INVALID_PARAMETER, "143 and 993"},
    {"target=imaps://imap.example.com", PROBLEM_INVALID_PARAMETER, "the host alone"},
    {T "&module=", PROBLEM_INVALID_PARAMETER, "no value"},
    {T "&module=http_2xx", PROBLEM_INVALID_PARAMETER, "imap_starttls, imaps"},
    {T "&module=IMAPS", PROBLEM_INVALID_PARAMETER, "imap_starttls, imaps"},
    {T "&module=imaps%00", PROBLEM_INVALID_PARAMETER, "imap_starttls, imaps"},
    {T ":143&module=imaps", PROBLEM_INVALID_PARAMETER, "leave one of them out"},
    {"module=imap_starttls&" T ":993", PROBLEM_INVALID_PARAMETER, "leave one of them out"},
    {T "&debug=true", PROBLEM_UNKNOWN_PARAMETER, "target, module, address, timeout_ms, fresh."},
    {T "&hostname=a.test", PROBLEM_UNKNOWN_PARAMETER, "target, module"},
    {T "&ports=993", PROBLEM_UNKNOWN_PARAMETER, "target, module"},
    {T "&transcript=true", PROBLEM_UNKNOWN_PARAMETER, "target, module"},
    {"host=imap.example.com", PROBLEM_UNKNOWN_PARAMETER, "target, module"},
    {T "&" T, PROBLEM_REPEATED_PARAMETER, "`target`"},
    {T "&module=imaps&module=imaps", PROBLEM_REPEATED_PARAMETER, "`module`"},
    {T "&timeout_ms=999", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {T "&fresh=1", PROBLEM_INVALID_PARAMETER, "true or false"},
    {T "&address=imap.example.com", PROBLEM_INVALID_PARAMETER, "IPv4 or IPv6"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct query q;
        struct problem p = {.code = PROBLEM_COUNT};
        if (parse(bad[i].raw, NULL, &q, &p)) {
            fail_msg("%s: accepted", bad[i].raw);
        }
        if (p.code != bad[i].code || strstr(p.detail, bad[i].says) == NULL) {
            fail_msg("%s: %s: %s", bad[i].raw, p.code < PROBLEM_COUNT ? problem_name(p.code) : "none",
                     p.detail);
        }
    }
}

static const struct {
    const char *raw, *header;
    unsigned timeout_ms; /* 0: refused */
} timeouts[] = {
    {T, "10", 9500},
    {T, "9.5", 9000},
    {T, "3.25", 2750},
    {T, "0010", 9500},
    {T, "20.5", 20000},
    {T, "20", 19500},
    {T, "60", 20000},
    {T, "86400", 20000},
    {T, "99999999999999999999999999", 20000},
    {T, "4294967.296", 20000},
    {T, "1", 500},
    {T, "0.7", 200},
    {T, "0.6", 100},
    {T, "0.5", 100},
    {T, "0.001", 100},
    {T, "0", 100},
    {T, "0.0", 100},
    {T "&timeout_ms=5000", "10", 5000},
    {T "&timeout_ms=5000", "3", 2500},
    {T, "", 0},
    {T, " \t10", 9500},
    {T, "9.5 \t", 9000},
    {T, " ", 0},
    {T, "1 0", 0},
    {T, "10\n", 0},
    {T, "10s", 0},
    {T, "10.", 0},
    {T, ".5", 0},
    {T, "1.5.5", 0},
    {T, "10,5", 0},
    {T, "-1", 0},
    {T, "+1", 0},
    {T, "1e3", 0},
    {T, "1e309", 0},
    {T, "1E5", 0},
    {T, "0x10", 0},
    {T, "NaN", 0},
    {T, "nan(1)", 0},
    {T, "Inf", 0},
    {T, "infinity", 0},
    {T, "\xEF\xBC\x91", 0},
    {T, "1\x1b[2J", 0},
};

static void test_timeouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        struct query q;
        struct problem p = {.code = PROBLEM_COUNT};
        bool ok = parse(timeouts[i].raw, timeouts[i].header, &q, &p);
        if (ok != (timeouts[i].timeout_ms > 0) || (ok && q.probe.timeout_ms != timeouts[i].timeout_ms)) {
            fail_msg("%s, \"%s\": %d, %u", timeouts[i].raw, timeouts[i].header, ok, q.probe.timeout_ms);
        }
        if (!ok) {
            assert_int_equal(p.code, PROBLEM_INVALID_PARAMETER);
            assert_non_null(strstr(p.detail, QUERY_SCRAPE_TIMEOUT));
            assert_null(strchr(p.detail, '\x1b'));
        }
    }
}

/* As many digits as a header has room for. */
static void test_many_digits(void **state)
{
    (void)state;
    static char digits[LIMIT_REQUEST_HEADER_BYTES + 1];
    struct query q;
    struct problem p;
    memset(digits, '9', sizeof digits - 1);
    assert_true(parse(T, digits, &q, &p));
    assert_int_equal(q.probe.timeout_ms, 20000);
    digits[1] = '.';
    assert_true(parse(T, digits, &q, &p));
    assert_int_equal(q.probe.timeout_ms, 9500);
}

/* A report never answers who wants metrics, nor the other way round. */
static void test_keys(void **state)
{
    (void)state;
    struct query metrics, report;
    struct problem p;
    char a[QUERY_KEY_SIZE], b[QUERY_KEY_SIZE];
    assert_true(parse(T ":993", NULL, &metrics, &p));
    assert_true(query_parse("host=imap.example.com&ports=993", strlen("host=imap.example.com&ports=993"),
                            &limits, &report, &p));
    assert_string_not_equal(query_key(&metrics, a), query_key(&report, b));
    assert_true(parse(T "&module=imaps&fresh=true", "60", &report, &p));
    assert_string_equal(query_key(&metrics, a), query_key(&report, b));
    assert_true(parse(T "&module=imaps", "6", &report, &p));
    assert_string_not_equal(query_key(&metrics, a), query_key(&report, b));
}

static void test_other_ports(void **state)
{
    (void)state;
    const struct query_limits other = {.imap_port = 10143, .imaps_port = 10993, .deadline_ms = 1000};
    struct query q;
    struct problem p;
    assert_true(query_parse_probe(T ":10993", strlen(T ":10993"), &other, "0.9", &q, &p));
    assert_true(q.probe.imaps && !q.probe.imap);
    assert_int_equal(q.probe.timeout_ms, 400);
    assert_false(query_parse_probe(T ":993", strlen(T ":993"), &other, NULL, &q, &p));
    assert_non_null(strstr(p.detail, "10143 and 10993"));
    assert_true(query_parse_probe(T, strlen(T), &other, "9", &q, &p));
    assert_int_equal(q.probe.timeout_ms, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),  cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_many_digits), cmocka_unit_test(test_keys), cmocka_unit_test(test_other_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

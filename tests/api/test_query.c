/* The query of GET /v1/imap-test: every parameter, and every way to get it wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/query.h"

#define H "host=imap.example.com"

static const struct query_limits limits = {.imap_port = 143, .imaps_port = 993, .deadline_ms = 20000};

/* The bytes alone on the heap, so that the sanitizer sees a read past them. */
static bool parse(const char *raw, size_t len, const struct query_limits *l, struct query *q,
                  struct problem *p)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, raw, len);
    bool ok = query_parse(copy, len, l, q, p);
    free(copy);
    return ok;
}

struct good {
    const char *raw, *host, *address;
    bool imap, imaps, fresh;
    unsigned timeout_ms;
    bool transcript;
};

static const struct good good[] = {
    {H, "imap.example.com", "", true, true, false, 20000, false},
    {"&&" H "&", "imap.example.com", "", true, true, false, 20000, false},
    {"h%6Fst=imap%2eexample%2Ecom", "imap.example.com", "", true, true, false, 20000, false},
    {"host=b%C3%BCcher.example", "xn--bcher-kva.example", "", true, true, false, 20000, false},
    {"host=b\xC3\xBC"
     "cher.example",
     "xn--bcher-kva.example", "", true, true, false, 20000, false},
    {"host=%5B2001:db8::1%5D", "2001:db8::1", "", true, true, false, 20000, false},
    {"host=2001%3Adb8%3A%3A1", "2001:db8::1", "", true, true, false, 20000, false},
    {"ports=143&" H, "imap.example.com", "", true, false, false, 20000, false},
    {H "&ports=993", "imap.example.com", "", false, true, false, 20000, false},
    {H "&ports=143,993", "imap.example.com", "", true, true, false, 20000, false},
    {H "&ports=993%2C143", "imap.example.com", "", true, true, false, 20000, false},
    {H "&address=192.0.2.7", "imap.example.com", "192.0.2.7", true, true, false, 20000, false},
    {H "&address=2001:DB8::7", "imap.example.com", "2001:db8::7", true, true, false, 20000, false},
    {H "&address=%5b::1%5d", "imap.example.com", "::1", true, true, false, 20000, false},
    {H "&addresses=first&deep=false&transcript=false", "imap.example.com", "", true, true, false, 20000,
     false},
    {H "&fresh=true", "imap.example.com", "", true, true, true, 20000, false},
    {H "&fresh=false", "imap.example.com", "", true, true, false, 20000, false},
    {H "&timeout_ms=1000", "imap.example.com", "", true, true, false, 1000, false},
    {H "&timeout_ms=20000", "imap.example.com", "", true, true, false, 20000, false},
    {H "&transcript=true", "imap.example.com", "", true, true, false, 20000, true},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const struct good *g = &good[i];
        struct query q;
        struct problem p = {.detail = ""};
        if (!parse(g->raw, strlen(g->raw), &limits, &q, &p)) {
            fail_msg("%s: %s", g->raw, p.detail);
        }
        char address[IP_TEXT_SIZE];
        assert_string_equal(q.probe.host, g->host);
        assert_string_equal(ip_format(&q.probe.address, address), g->address);
        assert_int_equal(q.probe.imap, g->imap);
        assert_int_equal(q.probe.imaps, g->imaps);
        assert_int_equal(q.fresh, g->fresh);
        assert_int_equal(q.probe.transcript, g->transcript);
        assert_int_equal(q.probe.timeout_ms, g->timeout_ms);
    }
}

struct bad {
    const char *raw;
    enum problem_code code;
    const char *detail; /* words that it must hold */
};

static const struct bad bad[] = {
    {"", PROBLEM_MISSING_HOST, "/v1/imap-test?host="},
    {"&&&", PROBLEM_MISSING_HOST, "host="},
    {"host", PROBLEM_MISSING_HOST, "host="},
    {"host=", PROBLEM_MISSING_HOST, "host="},
    {"host=&ports=143", PROBLEM_MISSING_HOST, "host="},
    {"ports=143", PROBLEM_MISSING_HOST, "host="},
    {"ports=nonsense", PROBLEM_MISSING_HOST, "host="},
    /* hosts: one of each way; test_host has them all */
    {"host=a+b", PROBLEM_INVALID_HOST, "no spaces"},
    {"host=a%20b", PROBLEM_INVALID_HOST, "no spaces"},
    {"host=https://example.com/", PROBLEM_INVALID_HOST, "without https://"},
    {"host=a%2Fb", PROBLEM_INVALID_HOST, "path"},
    {"host=user@example.com", PROBLEM_INVALID_HOST, "e-mail"},
    {"host=example.com:993", PROBLEM_INVALID_HOST, "`ports`"},
    {"host=%5B::1%5D:993", PROBLEM_INVALID_HOST, "`ports`"},
    {"host=%00", PROBLEM_INVALID_HOST, "0x00"},
    {"host=example.com%00", PROBLEM_INVALID_HOST, "0x00"},
    {"host=example.com%0d%0aX", PROBLEM_INVALID_HOST, "0x0d"},
    {"host=127.1", PROBLEM_INVALID_HOST, "all four numbers"},
    {"host=0x7f.1", PROBLEM_INVALID_HOST, "all four numbers"},
    {"host=2130706433", PROBLEM_INVALID_HOST, "all four numbers"},
    {"host=a..b", PROBLEM_INVALID_HOST, "empty label"},
    {"host=fe80::1%25eth0", PROBLEM_INVALID_HOST, "Zone"},
    {"host=fe80::1%eth0", PROBLEM_INVALID_HOST, "%25"},
    {"host=a=b", PROBLEM_INVALID_HOST, "\"=\" may not stand"},
    {"host=%FF", PROBLEM_INVALID_HOST, "UTF-8"},
    {"host=%", PROBLEM_INVALID_HOST, "hexadecimal"},
    {"host=a%4", PROBLEM_INVALID_HOST, "hexadecimal"},
    {"host=a%4g", PROBLEM_INVALID_HOST, "hexadecimal"},
    {"host=a%-1", PROBLEM_INVALID_HOST, "hexadecimal"},
    /* names of parameters */
    {H "&port=143", PROBLEM_UNKNOWN_PARAMETER, "\"port\""},
    {"hots=example.com", PROBLEM_UNKNOWN_PARAMETER,
     "host, ports, address, addresses, timeout_ms, fresh, deep, transcript"},
    {"Host=example.com", PROBLEM_UNKNOWN_PARAMETER, "\"Host\""},
    {"host%00=example.com", PROBLEM_UNKNOWN_PARAMETER, "\"host\\x00\""},
    {H "&%0a%E2%80%AE=1", PROBLEM_UNKNOWN_PARAMETER, "\"\\x0a\\u{202e}\""},
    {H "&+fresh=true", PROBLEM_UNKNOWN_PARAMETER, "\" fresh\""},
    {H "&=", PROBLEM_UNKNOWN_PARAMETER, "\"\""},
    {"=" H, PROBLEM_UNKNOWN_PARAMETER, "\"\""},
    {H "&=x", PROBLEM_UNKNOWN_PARAMETER, "\"\""},
    {H "&fre%7sh=true", PROBLEM_INVALID_PARAMETER, "name of a parameter"},
    {H "&%", PROBLEM_INVALID_PARAMETER, "name of a parameter"},
    {H "&" H, PROBLEM_REPEATED_PARAMETER, "`host`"},
    {"host=&" H, PROBLEM_REPEATED_PARAMETER, "`host`"},
    {H "&h%6fst=b.example", PROBLEM_REPEATED_PARAMETER, "`host`"},
    {H "&fresh=true&fresh=true", PROBLEM_REPEATED_PARAMETER, "`fresh`"},
    {H "&ports=143&ports=993", PROBLEM_REPEATED_PARAMETER, "`ports`"},
    {H "&deep&deep", PROBLEM_REPEATED_PARAMETER, "`deep`"},
    /* ports */
    {H "&ports", PROBLEM_INVALID_PARAMETER, "`ports` has no value"},
    {H "&ports=", PROBLEM_INVALID_PARAMETER, "`ports` has no value"},
    {H "&ports=110", PROBLEM_INVALID_PARAMETER, "give 143, 993 or 143,993"},
    {H "&ports=143,143", PROBLEM_INVALID_PARAMETER, "each port once"},
    {H "&ports=143,993,143", PROBLEM_INVALID_PARAMETER, "each port once"},
    {H "&ports=143,", PROBLEM_INVALID_PARAMETER, "\"143,\""},
    {H "&ports=,143", PROBLEM_INVALID_PARAMETER, "\",143\""},
    {H "&ports=,", PROBLEM_INVALID_PARAMETER, "\",\""},
    {H "&ports=143+993", PROBLEM_INVALID_PARAMETER, "\"143 993\""},
    {H "&ports=143,+993", PROBLEM_INVALID_PARAMETER, "each port once"},
    {H "&ports=0143", PROBLEM_INVALID_PARAMETER, "each port once"},
    {H "&ports=%2B143", PROBLEM_INVALID_PARAMETER, "each port once"},
    {H "&ports=65679", PROBLEM_INVALID_PARAMETER, "each port once"},
    {H "&ports=4294967439", PROBLEM_INVALID_PARAMETER, "each port once"},
    {H "&ports=143%00", PROBLEM_INVALID_PARAMETER, "\"143\\x00\""},
    {H "&ports=both", PROBLEM_INVALID_PARAMETER, "each port once"},
    /* address and addresses */
    {H "&address=", PROBLEM_INVALID_PARAMETER, "`address` has no value"},
    {H "&address=mail.example.com", PROBLEM_INVALID_PARAMETER, "IPv4 or IPv6 address"},
    {H "&address=192.0.2.1:143", PROBLEM_INVALID_PARAMETER, "without port"},
    {H "&address=127.1", PROBLEM_INVALID_PARAMETER, "IPv4 or IPv6 address"},
    {H "&address=fe80::1%25lo", PROBLEM_INVALID_PARAMETER, "zone"},
    {H "&address=192.0.2.1%00", PROBLEM_INVALID_PARAMETER, "\\x00"},
    {H "&addresses=all", PROBLEM_INVALID_PARAMETER, "not available yet in this version"},
    {H "&addresses=one", PROBLEM_INVALID_PARAMETER, "`addresses` cannot be \"one\""},
    {H "&addresses=", PROBLEM_INVALID_PARAMETER, "`addresses` has no value"},
    /* time */
    {H "&timeout_ms=", PROBLEM_INVALID_PARAMETER, "`timeout_ms` has no value"},
    {H "&timeout_ms=999", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=20001", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=-5000", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=%2B5000", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=5e3", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=5000.0", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=0x1388", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=4294972296", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=18446744073709556616", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    {H "&timeout_ms=5000%00", PROBLEM_INVALID_PARAMETER, "from 1000 to 20000"},
    /* switches */
    {H "&fresh", PROBLEM_INVALID_PARAMETER, "`fresh` has no value"},
    {H "&fresh=1", PROBLEM_INVALID_PARAMETER, "give true or false"},
    {H "&fresh=True", PROBLEM_INVALID_PARAMETER, "give true or false"},
    {H "&fresh=true%00", PROBLEM_INVALID_PARAMETER, "give true or false"},
    {H "&fresh=%zz", PROBLEM_INVALID_PARAMETER, "`fresh` holds a \"%\""},
    {H "&deep=true", PROBLEM_INVALID_PARAMETER, "`deep=true` is not available yet in this version"},
    {H "&deep=yes", PROBLEM_INVALID_PARAMETER, "`deep` cannot be \"yes\""},
    {H "&transcript=yes", PROBLEM_INVALID_PARAMETER, "`transcript` cannot be \"yes\"; give true or false"},
    {H "&transcript=", PROBLEM_INVALID_PARAMETER, "`transcript` has no value"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct query q;
        struct problem p = {.detail = ""};
        if (parse(bad[i].raw, strlen(bad[i].raw), &limits, &q, &p)) {
            fail_msg("%s was accepted", bad[i].raw);
        }
        if (p.code != bad[i].code || strstr(p.detail, bad[i].detail) == NULL) {
            fail_msg("%s: %s: %s", bad[i].raw, problem_name(p.code), p.detail);
        }
        assert_int_equal(problem_status(p.code), 400);
        assert_int_equal(p.retry_after_s, 0);
        assert_null(p.allow);
    }
}

/* The numbers in use are the ones that may be asked for, no others. */
static void test_other_ports(void **state)
{
    (void)state;
    static const struct query_limits other = {.imap_port = 10143, .imaps_port = 10993, .deadline_ms = 1000};
    struct query q;
    struct problem p;
    static const char asked[] = H "&ports=10993";
    assert_true(parse(asked, strlen(asked), &other, &q, &p));
    assert_true(q.probe.imaps && !q.probe.imap);
    assert_int_equal(q.probe.timeout_ms, 1000);
    static const char usual[] = H "&ports=143";
    assert_false(parse(usual, strlen(usual), &other, &q, &p));
    assert_non_null(strstr(p.detail, "10143, 10993 or 10143,10993"));
}

/* As long as a request line may be; one byte more; and a value that fills all of it. */
static void test_length(void **state)
{
    (void)state;
    enum { MAX = LIMIT_REQUEST_LINE_BYTES };
    char *raw = malloc(MAX + 1);
    assert_non_null(raw);
    memset(raw, '&', MAX + 1);
    memcpy(raw, H, strlen(H));
    struct query q;
    struct problem p;
    assert_true(parse(raw, MAX, &limits, &q, &p));
    assert_false(parse(raw, MAX + 1, &limits, &q, &p));
    assert_int_equal(p.code, PROBLEM_URI_TOO_LONG);
    memset(raw + strlen(H), 'x', MAX - strlen(H));
    assert_false(parse(raw, MAX, &limits, &q, &p));
    assert_int_equal(p.code, PROBLEM_INVALID_HOST);
    memset(raw, 'x', MAX);
    assert_false(parse(raw, MAX, &limits, &q, &p));
    assert_int_equal(p.code, PROBLEM_UNKNOWN_PARAMETER);
    assert_true(strlen(p.detail) < 300);
    free(raw);
}

static void test_null(void **state)
{
    (void)state;
    struct query q;
    struct problem p;
    assert_false(query_parse(NULL, 0, &limits, &q, &p));
    assert_int_equal(p.code, PROBLEM_MISSING_HOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),  cmocka_unit_test(test_other_ports),
        cmocka_unit_test(test_length), cmocka_unit_test(test_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

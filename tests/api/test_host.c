/* What may be named as a host, and what a caller is told otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "api/host.h"

#define L50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L63 L50 "bbbbbbbbbbbbb"
/* 63 * 3 + 61 and three dots make 253. */
#define NAME_253 L63 "." L63 "." L63 "." L50 "bbbbbbbbbbb"

struct good {
    const char *input, *host, *unicode;
    int family;
};

static const struct good good[] = {
    {"imap.example.com", "imap.example.com", "", 0},
    {"IMAP.Example.COM.", "imap.example.com", "", 0},
    {"localhost", "localhost", "", 0},
    {"a", "a", "", 0},
    {"_imaps._tcp.example.com", "_imaps._tcp.example.com", "", 0},
    {"_", "_", "", 0},
    {"r3---sn-x.example.com", "r3---sn-x.example.com", "", 0},
    {"1.example", "1.example", "", 0},
    {"0x7f.example", "0x7f.example", "", 0},
    {"3com", "3com", "", 0},
    {"1.2.3.4a", "1.2.3.4a", "", 0},
    {L63 ".example", L63 ".example", "", 0},
    {NAME_253, NAME_253, "", 0},
    {NAME_253 ".", NAME_253, "", 0},
    /* internationalised */
    {"bücher.example", "xn--bcher-kva.example", "bücher.example", 0},
    {"BÜCHER.Example.", "xn--bcher-kva.example", "bücher.example", 0},
    {"bu\xCC\x88"
     "cher.example",
     "xn--bcher-kva.example", "bücher.example", 0},
    {"xn--bcher-kva.example", "xn--bcher-kva.example", "bücher.example", 0},
    {"XN--BCHER-KVA.example", "xn--bcher-kva.example", "bücher.example", 0},
    {"faß.example", "xn--fa-hia.example", "faß.example", 0},
    {"例え。テスト", "xn--r8jz45g.xn--zckzah", "例え.テスト", 0},
    {"例え.テスト。", "xn--r8jz45g.xn--zckzah", "例え.テスト", 0},
    {"مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv", "مثال.إختبار", 0},
    {"_imap.bücher.example", "_imap.xn--bcher-kva.example", "_imap.bücher.example", 0},
    {"r3---a.xn--bcher-kva.example", "r3---a.xn--bcher-kva.example", "r3---a.bücher.example", 0},
    {"r3---a.bücher.example", "r3---a.xn--bcher-kva.example", "r3---a.bücher.example", 0},
    {"ｅｘａｍｐｌｅ.com", "example.com", "", 0},
    /* literals */
    {"192.0.2.10", "192.0.2.10", "", 4},
    {"192.0.2.10.", "192.0.2.10", "", 4},
    {"0.0.0.0", "0.0.0.0", "", 4},
    {"2001:DB8:0:0::10", "2001:db8::10", "", 6},
    {"[2001:db8::10]", "2001:db8::10", "", 6},
    {"::1", "::1", "", 6},
    {"[::]", "::", "", 6},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1", "", 6},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct probe_request r;
        char why[HOST_WHY_SIZE];
        enum host_result result = host_parse(good[i].input, strlen(good[i].input), &r, why);
        if (result != HOST_OK) {
            fail_msg("%s: %s", good[i].input, why);
        }
        assert_string_equal(r.host, good[i].host);
        assert_string_equal(r.host_unicode, good[i].unicode);
        assert_int_equal(r.host_ip.family, good[i].family);
        assert_string_equal(why, "");
        if (good[i].family != 0) {
            char text[IP_TEXT_SIZE];
            assert_string_equal(ip_format(&r.host_ip, text), good[i].host);
        }
    }
}

struct bad {
    const char *input;
    const char *why; /* words that the answer must hold */
};

static const struct bad bad[] = {
    {"", "empty"},
    {".", "trailing dot"},
    {"..", "empty label"},
    {"example.com..", "empty label"},
    {".example.com", "empty label"},
    {"a..b", "empty label"},
    {"例え。。テスト", "empty label"},
    {"\xC2\xAD", "trailing dot"},
    {" example.com", "no spaces"},
    {"example com", "no spaces"},
    {"example.com ", "no spaces"},
    {"example\xC2\xA0.com", "may not stand"},
    {"https://example.com/", "without https://"},
    {"imaps://example.com", "without https://"},
    {"example.com/", "without a path"},
    {"192.0.2.0/24", "network length"},
    {"example.com\\x", "without a path"},
    {"example.com?x", "query"},
    {"example.com#x", "query"},
    {"user@example.com", "e-mail address"},
    {"@", "e-mail address"},
    {"example.com:993", "ports are chosen with `ports`"},
    {"192.0.2.1:993", "ports are chosen with `ports`"},
    {"[2001:db8::1]:993", "ports are chosen with `ports`"},
    {"bücher.example:993", "ports are chosen with `ports`"},
    {"example.com:", "ports are chosen with `ports`"},
    {"[2001:db8::1", "not closed"},
    {"[", "not closed"},
    {"[]", "not an IPv6 address"},
    {"[192.0.2.1]", "not an IPv6 address"},
    {"[example.com]", "not an IPv6 address"},
    {"[::1]x", "follow the closing bracket"},
    {"[::1].", "follow the closing bracket"},
    {"x[::1]", "Brackets"},
    {"2001:db8::1]", "Brackets"},
    {"]", "Brackets"},
    {"2001:db8:::1", "not a complete IPv6"},
    {"1:2:3", "not a complete IPv6"},
    {"2001:db8::1.", "not a complete IPv6"},
    {"fe80::1%eth0", "Zone ids"},
    {"[fe80::1%25eth0]", "Zone ids"},
    {"example%2ecom", "percent-encode it once"},
    {"a.example,b.example", "single host"},
    {"a.example;b", "single host"},
    {"exa\nmple.com", "control character (0x0a)"},
    {"example.com\x7f", "control character (0x7f)"},
    {"\x1b[31m", "Octet 1"},
    {"exa*mple.com", "\"*\" may not stand"},
    {"*.example.com", "\"*\" may not stand"},
    {"a'b", "\"'\" may not stand"},
    {"<b>", "\"<\" may not stand"},
    {"-example.com", "hyphen"},
    {"example-.com", "hyphen"},
    {"-", "hyphen"},
    {"-ü.example", "hyphen"},
    {"a" L63 ".example", "63 octets"},
    {"üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü" L50 ".example", "63 octets"},
    {NAME_253 "b", "253 octets"},
    {NAME_253 "bb", "253 octets"},
    {NAME_253 "." NAME_253 "." NAME_253 "." NAME_253 "." NAME_253, "253 octets"},
    {L63 "." L63 "." L63 ".üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü.aaaaaa", "253 octets"},
    {"127.1", "complete IPv4"},
    {"127.0.1", "complete IPv4"},
    {"2130706433", "complete IPv4"},
    {"0x7f.1", "complete IPv4"},
    {"0x7f000001", "complete IPv4"},
    {"0X7F.0.0.0x1", "complete IPv4"},
    {"0x", "complete IPv4"},
    {"0177.0.0.1", "complete IPv4"},
    {"127.0.0.01", "complete IPv4"},
    {"127.0.0.256", "complete IPv4"},
    {"1.2.3.4.5", "complete IPv4"},
    {"127.1.", "complete IPv4"},
    {"example.1", "complete IPv4"},
    {"example.0x1f", "complete IPv4"},
    {"１２７.１", "complete IPv4"},
    {"0", "complete IPv4"},
    /* internationalised, but not valid */
    {"b\xFC"
     "cher.example",
     "not valid UTF-8"},
    {"\xC0\x80.example", "not valid UTF-8"},
    {"\xED\xA0\x80.example", "not valid UTF-8"},
    {"xn--.example", "hyphen"},
    {"xn--zzzzzzzz99999.example", "not valid Punycode"},
    {"xn--abc-.example", "hyphen"},
    {"xn--a.example", "IDNA2008"},
    {"xn--6a", "not valid Punycode"},
    {"ü.xn--zzzzzzzz99999", "not valid Punycode"},
    {"ｘｎ--zzzzzzzz99999.example", "not valid Punycode"},
    {"\xE2\x80\xAE"
     "evil.example",
     "IDNA2008"},
    {"a\xC2\x85"
     "b.example",
     "IDNA2008"},
    {"\xF0\x9F\x92\xA9.example", "IDNA2008"},
    {"a\xE2\x84\x80"
     "b.example",
     "may not stand"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct probe_request r;
        memset(&r, 'x', sizeof r);
        char why[HOST_WHY_SIZE] = "";
        if (host_parse(bad[i].input, strlen(bad[i].input), &r, why) != HOST_INVALID) {
            fail_msg("%s was accepted as %s", bad[i].input, r.host);
        }
        if (strstr(why, bad[i].why) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].input, why, bad[i].why);
        }
        assert_string_equal(r.host, "");
        assert_string_equal(r.host_unicode, "");
        assert_int_equal(r.host_ip.family, 0);
        for (const char *p = why; *p != '\0'; p++) {
            assert_true(*p >= 0x20 && *p < 0x7F);
        }
        assert_true(strlen(why) < HOST_WHY_SIZE - 1);
    }
}

/* The length counts, not a NUL: "example.com" with a NUL behind it is another host to somebody. */
static void test_nul(void **state)
{
    (void)state;
    static const char inputs[][13] = {"example.com\0", "\0example.com", "exam\0ple.com",
                                      "\xC3\xBC.com\0x.co"};
    struct probe_request r;
    char why[HOST_WHY_SIZE];
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        assert_int_equal(host_parse(inputs[i], 12, &r, why), HOST_INVALID);
        assert_non_null(strstr(why, "control character (0x00)"));
    }
}

/* Every octet alone and inside a name: only the bytes of the contract get through, and nothing is read too
 * far. */
static void test_every_octet(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        struct probe_request r;
        char why[HOST_WHY_SIZE];
        char name[3] = {'a', (char)c, 'b'};
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
        enum host_result result = host_parse(name, sizeof name, &r, why);
        if ((result == HOST_OK) != allowed) {
            fail_msg("octet 0x%02x: %d", (unsigned)c, (int)result);
        }
    }
}

static void test_literal_alone(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        int family;
    } rows[] = {
        {"192.0.2.1", 4},
        {"2001:db8::1", 6},
        {"[2001:db8::1]", 6},
        {"[192.0.2.1]", 0},
        {"192.0.2", 0},
        {"192.0.2.1.", 0},
        {"", 0},
        {"[", 0},
        {"[]", 0},
        {"::1%lo", 0},
        {"192.0.2.1:1", 0},
        {"example.com", 0},
        {" ::1", 0},
        {"[::1", 0},
        {"::1]", 0},
    };
    struct ip ip;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool ok = host_parse_ip(rows[i].input, strlen(rows[i].input), &ip);
        if (ok != (rows[i].family != 0) || ip.family != rows[i].family) {
            fail_msg("%s: %d", rows[i].input, ip.family);
        }
    }
    assert_false(host_parse_ip("192.0.2.1\0", 10, &ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),           cmocka_unit_test(test_nul),
        cmocka_unit_test(test_every_octet), cmocka_unit_test(test_literal_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

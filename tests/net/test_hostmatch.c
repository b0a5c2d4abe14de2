#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/net/hostmatch.h"

struct row {
    struct text presented;
    const char *host;
    bool match;
};

#define T(s)                                                                                                 \
    {                                                                                                        \
        s, sizeof(s) - 1                                                                                     \
    }

static const struct row rows[] = {
    {T("imap.example.com"), "imap.example.com", true},
    {T("IMAP.Example.COM"), "imap.example.com", true},
    {T("imap.example.com"), "imap.example.org", false},
    {T("imap.example.com"), "xmap.example.com", false},
    {T("example.com"), "imap.example.com", false},
    {T("imap.example.com"), "example.com", false},
    {T("imap.example.com."), "imap.example.com", false},
    {T(".example.com"), "imap.example.com", false},
    {T("imap..example.com"), "imap..example.com", false},
    {T(""), "imap.example.com", false},
    /* RFC 9525 section 6.3: the wildcard is the whole left-most label and stands for exactly one */
    {T("*.example.com"), "imap.example.com", true},
    {T("*.EXAMPLE.com"), "imap.example.com", true},
    {T("*.example.com"), "a.imap.example.com", false},
    {T("*.example.com"), "example.com", false},
    {T("*.com"), "example.com", true},
    {T("*"), "localhost", false},
    {T("*.com"), "localhost", false},
    {T("im{p.example.com"), "im{p.example.com", false},
    {T("*."), "imap.example.com", false},
    {T("*.example.com"), "xexample.com", false},
    {T("i*.example.com"), "imap.example.com", false},
    {T("*p.example.com"), "imap.example.com", false},
    {T("imap.*.com"), "imap.example.com", false},
    {T("*.*.com"), "imap.example.com", false},
    {T("**.example.com"), "imap.example.com", false},
    {T("xn--*.example.com"), "xn--bcher-kva.example.com", false},
    {T("*.xn--bcher-kva.example"), "imap.xn--bcher-kva.example", true},
    {T("xn--BCHER-kva.example"), "xn--bcher-kva.example", true},
    {T("b\xC3\xBC"
       "cher.example"),
     "xn--bcher-kva.example", false},
    /* bytes that end a C string, or that no host name has, never match */
    {T("imap.example.com\0.evil.test"), "imap.example.com", false},
    {T("imap.example.com\0"), "imap.example.com", false},
    {T("imap.example.com\n"), "imap.example.com", false},
    {T("imap.example.com "), "imap.example.com", false},
    {T("*.example.com\0"), "imap.example.com", false},
    {T("_imap.example.com"), "_imap.example.com", true},
    {T("192.0.2.1"), "192.0.2.1", true}, /* an address is never asked for here; see cert.c */
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (hostmatch_dns(rows[i].presented, rows[i].host) != rows[i].match) {
            fail_msg("row %zu: \"%s\" for %s", i, rows[i].presented.data, rows[i].host);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

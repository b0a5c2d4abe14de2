#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "probe/base/ip.h"

static const struct {
    const char *in, *out; /* out NULL: refused */
} addresses[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"256.0.2.1", NULL},
    {"192.0.2", NULL},
    {"192.0.2.1.5", NULL},
    {"192.0.2.", NULL},
    {".192.0.2.1", NULL},
    {"192.0..1", NULL},
    {"192.0.2.01", NULL},
    {"192.0.2.00", NULL},
    {"0300.0.2.1", NULL},
    {"0xC0.0.2.1", NULL},
    {"3221225985", NULL},
    {"127.1", NULL},
    {"192.0.2.-1", NULL},
    {"192.0.2.+1", NULL},
    {" 192.0.2.1", NULL},
    {"192.0.2.1 ", NULL},
    {"192.0.2.1\n", NULL},
    {"192.0.2.1:143", NULL},
    {"192.0.2.1/32", NULL},
    {"", NULL},
    {".", NULL},
    {"example.com", NULL},
    {"\xD9\xA1.2.3.4", NULL},
    {"::", "::"},
    {"::1", "::1"},
    {"2001:DB8::A", "2001:db8::a"},
    {"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
    {"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, /* RFC 5952 section 4.2.2 */
    {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},          /* section 4.2.3: the longest run */
    {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},    /* the first of equal ones */
    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    {"fe80::", "fe80::"},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
    {"::FFFF:C000:0201", "::ffff:192.0.2.1"},
    {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
    {"ff02::1:2", "ff02::1:2"},
    {"[::1]", NULL},
    {"::1%eth0", NULL},
    {"fe80::1%1", NULL},
    {"fe80::1%", NULL},
    {":::", NULL},
    {":", NULL},
    {"1::2::3", NULL},
    {"1:2:3:4:5:6:7", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
    {"1:2:3:4:5:6:7:8::", NULL},
    {"::1:2:3:4:5:6:7:8", NULL},
    {"1:2:3:4:5:6:7:8:", NULL},
    {":1:2:3:4:5:6:7:8", NULL},
    {"00001::", NULL},
    {"12345::", NULL},
    {"g::", NULL},
    {"::256.0.0.1", NULL},
    {"::1.2.3", NULL},
    {"::1.2.3.4:5", NULL},
    {"1.2.3.4::", NULL},
    {"::ffff:127.0.0.01", NULL},
    {"::1/128", NULL},
};

static void test_parse_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct ip ip, again;
        char text[IP_TEXT_SIZE];
        bool ok = ip_parse(&ip, addresses[i].in);
        if (ok != (addresses[i].out != NULL)) {
            fail_msg("\"%s\": %s", addresses[i].in, ok ? "accepted" : "refused");
        }
        assert_int_equal(ip.family, !ok ? 0 : strchr(addresses[i].in, ':') != NULL ? 6 : 4);
        if (!ok) {
            continue;
        }
        assert_ptr_equal(ip_format(&ip, text), text);
        assert_string_equal(text, addresses[i].out);
        assert_true(ip_parse(&again, text));
        assert_true(ip_equal(&ip, &again));
    }
}

static void test_format_edges(void **state)
{
    (void)state;
    char text[IP_TEXT_SIZE];
    struct ip none = {0};
    assert_string_equal(ip_format(&none, text), "");
    struct ip longest;
    assert_true(ip_parse(&longest, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"));
    assert_string_equal(ip_format(&longest, text), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_equal(void **state)
{
    (void)state;
    struct ip a, b, mapped;
    assert_true(ip_parse(&a, "192.0.2.1"));
    assert_true(ip_parse(&b, "192.0.2.2"));
    assert_true(ip_parse(&mapped, "::ffff:192.0.2.1"));
    assert_false(ip_equal(&a, &b));
    assert_false(ip_equal(&a, &mapped));
    b = a;
    memset(b.bytes + 4, 0xAA, 12); /* beyond an IPv4 address nothing counts */
    assert_true(ip_equal(&a, &b));
    assert_true(ip_parse(&a, "2001:db8::1"));
    assert_true(ip_parse(&b, "2001:db8::2"));
    assert_false(ip_equal(&a, &b));
    struct ip none = {0}, other = {.bytes = {1}};
    assert_true(ip_equal(&none, &other));
    assert_false(ip_equal(&none, &a));
}

static void test_sockaddr(void **state)
{
    (void)state;
    static const char *const texts[] = {"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ip ip, back;
        struct sockaddr_storage ss;
        assert_true(ip_parse(&ip, texts[i]));
        memset(&ss, 0xFF, sizeof ss);
        socklen_t len = ip_to_sockaddr(&ip, 993, &ss);
        if (ip.family == 4) {
            assert_int_equal(len, sizeof(struct sockaddr_in));
            assert_int_equal(((struct sockaddr_in *)&ss)->sin_port, htons(993));
        } else {
            assert_int_equal(len, sizeof(struct sockaddr_in6));
            assert_int_equal(((struct sockaddr_in6 *)&ss)->sin6_port, htons(993));
            assert_int_equal(((struct sockaddr_in6 *)&ss)->sin6_scope_id, 0);
        }
        assert_true(ip_from_sockaddr(&back, (const struct sockaddr *)&ss));
        assert_true(ip_equal(&ip, &back));
    }
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct ip ip;
    assert_false(ip_from_sockaddr(&ip, (const struct sockaddr *)&un));
    assert_int_equal(ip.family, 0);
    struct sockaddr_storage ss;
    assert_int_equal(ip_to_sockaddr(&ip, 1, &ss), 0);
}

static const struct {
    const char *in;
    int bits; /* -1: refused */
} networks[] = {
    {"192.0.2.0/24", 24},
    {"192.0.2.1", 32},
    {"192.0.2.1/32", 32},
    {"0.0.0.0/0", 0},
    {"128.0.0.0/1", 1},
    {"192.0.2.128/25", 25},
    {"192.0.2.254/31", 31},
    {"::/0", 0},
    {"::1", 128},
    {"2001:db8::/32", 32},
    {"2001:db8::1/128", 128},
    {"fe80::/10", 10},
    {"2001:db8::2/127", 127},
    {"192.0.2.1/24", -1},
    {"192.0.2.129/25", -1},
    {"192.0.2.255/31", -1},
    {"64.0.0.0/1", -1},
    {"0.0.0.1/0", -1},
    {"2001:db8::1/127", -1},
    {"fea0::/10", -1},
    {"fea0::/11", 11},
    {"192.0.2.0/33", -1},
    {"::/129", -1},
    {"192.0.2.0/", -1},
    {"192.0.2.0/-1", -1},
    {"192.0.2.0/+8", -1},
    {"10.0.0.0/08", -1},
    {"0.0.0.0/00", -1},
    {"192.0.2.0/ 24", -1},
    {"192.0.2.0/24 ", -1},
    {"0.0.0.0/0/8", -1},
    {"0.0.0.0/1/", -1},
    {"192.0.2.0/0x18", -1},
    {"192.0.2.0/255.255.255.0", -1},
    {"192.0.2.0/4294967320", -1},
    {"::/4294967296", -1},
    {"/24", -1},
    {"", -1},
    {"192.0.2/24", -1},
    {"example.com/24", -1},
    {"fe80::%1/10", -1},
    {"[::]/0", -1},
    {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/0", -1},
};

static void test_cidr_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        struct cidr cidr;
        bool ok = cidr_parse(&cidr, networks[i].in);
        if (networks[i].bits < 0) {
            if (ok) {
                fail_msg("\"%s\" accepted", networks[i].in);
            }
        } else if (!ok || (int)cidr.bits != networks[i].bits) {
            fail_msg("\"%s\": %s", networks[i].in, ok ? "wrong bits" : "refused");
        }
    }
}

static const struct {
    const char *network, *address;
    bool inside;
} contained[] = {
    {"192.0.2.0/24", "192.0.2.0", true},
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.1.255", false},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.64/26", "192.0.2.63", false},
    {"192.0.2.64/26", "192.0.2.64", true},
    {"192.0.2.64/26", "192.0.2.127", true},
    {"192.0.2.64/26", "192.0.2.128", false},
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.6", false},
    {"0.0.0.0/0", "255.255.255.255", true},
    {"0.0.0.0/0", "::", false},
    {"::/0", "ffff::", true},
    {"::/0", "1.2.3.4", false},
    {"::ffff:0:0/96", "1.2.3.4", false},
    {"::ffff:0:0/96", "::ffff:1.2.3.4", true},
    {"fe80::/10", "febf:ffff::1", true},
    {"fe80::/10", "fec0::", false},
    {"2001:db8::/33", "2001:db8:7fff::", true},
    {"2001:db8::/33", "2001:db8:8000::", false},
    {"2001:db8::2/127", "2001:db8::3", true},
    {"2001:db8::2/127", "2001:db8::1", false},
};

static void test_cidr_contains(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof contained / sizeof contained[0]; i++) {
        struct cidr cidr;
        struct ip ip;
        assert_true(cidr_parse(&cidr, contained[i].network));
        assert_true(ip_parse(&ip, contained[i].address));
        if (cidr_contains(&cidr, &ip) != contained[i].inside) {
            fail_msg("%s in %s", contained[i].address, contained[i].network);
        }
    }
    struct cidr none = {0};
    struct ip ip = {0};
    assert_false(cidr_contains(&none, &ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_format), cmocka_unit_test(test_format_edges),
        cmocka_unit_test(test_equal),        cmocka_unit_test(test_sockaddr),
        cmocka_unit_test(test_cidr_parse),   cmocka_unit_test(test_cidr_contains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

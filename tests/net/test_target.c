#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/net/target.h"

static struct ip address(const char *text)
{
    struct ip ip;
    if (!ip_parse(&ip, text)) {
        fail_msg("%s is no address", text);
    }
    return ip;
}

/* The built-in list: each network at both its edges. Neighbours stand as rows of their own. */
static const struct {
    const char *first, *last;
    const char *why; /* must stand in the reason; NULL: allowed */
} ranges[] = {
    /* IPv4, in order and without gaps */
    {"0.0.0.0", "0.0.0.0", "RFC 1122"},
    {"0.0.0.1", "0.255.255.255", "RFC 791"},
    {"1.0.0.0", "9.255.255.255", NULL},
    {"10.0.0.0", "10.255.255.255", "RFC 1918"},
    {"11.0.0.0", "100.63.255.255", NULL},
    {"100.64.0.0", "100.100.100.199", "RFC 6598"},
    {"100.100.100.200", "100.100.100.200", "metadata"},
    {"100.100.100.201", "100.127.255.255", "RFC 6598"},
    {"100.128.0.0", "126.255.255.255", NULL},
    {"127.0.0.0", "127.255.255.255", "loopback"},
    {"128.0.0.0", "168.63.129.15", NULL},
    {"168.63.129.16", "168.63.129.16", "cloud"},
    {"168.63.129.17", "169.253.255.255", NULL},
    {"169.254.0.0", "169.254.169.253", "RFC 3927"},
    {"169.254.169.254", "169.254.169.254", "metadata"},
    {"169.254.169.255", "169.254.255.255", "RFC 3927"},
    {"169.255.0.0", "172.15.255.255", NULL},
    {"172.16.0.0", "172.31.255.255", "RFC 1918"},
    {"172.32.0.0", "191.255.255.255", NULL},
    {"192.0.0.0", "192.0.0.7", "RFC 7335"},
    {"192.0.0.8", "192.0.0.8", "RFC 7600"},
    {"192.0.0.9", "192.0.0.9", "RFC 7723"},
    {"192.0.0.10", "192.0.0.10", "RFC 8155"},
    {"192.0.0.11", "192.0.0.169", "RFC 6890"},
    {"192.0.0.170", "192.0.0.171", "RFC 8880"},
    {"192.0.0.172", "192.0.0.191", "RFC 6890"},
    {"192.0.0.192", "192.0.0.192", "metadata"},
    {"192.0.0.193", "192.0.0.255", "RFC 6890"},
    {"192.0.1.0", "192.0.1.255", NULL},
    {"192.0.2.0", "192.0.2.255", "RFC 5737"},
    {"192.0.3.0", "192.31.195.255", NULL},
    {"192.31.196.0", "192.31.196.255", "RFC 7535"},
    {"192.31.197.0", "192.52.192.255", NULL},
    {"192.52.193.0", "192.52.193.255", "RFC 7450"},
    {"192.52.194.0", "192.88.98.255", NULL},
    {"192.88.99.0", "192.88.99.1", "RFC 7526"},
    {"192.88.99.2", "192.88.99.2", "RFC 6751"},
    {"192.88.99.3", "192.88.99.255", "RFC 7526"},
    {"192.88.100.0", "192.167.255.255", NULL},
    {"192.168.0.0", "192.168.255.255", "RFC 1918"},
    {"192.169.0.0", "192.175.47.255", NULL},
    {"192.175.48.0", "192.175.48.255", "RFC 7534"},
    {"192.175.49.0", "198.17.255.255", NULL},
    {"198.18.0.0", "198.19.255.255", "RFC 2544"},
    {"198.20.0.0", "198.51.99.255", NULL},
    {"198.51.100.0", "198.51.100.255", "RFC 5737"},
    {"198.51.101.0", "203.0.112.255", NULL},
    {"203.0.113.0", "203.0.113.255", "RFC 5737"},
    {"203.0.114.0", "223.255.255.255", NULL},
    {"224.0.0.0", "239.255.255.255", "RFC 5771"},
    {"240.0.0.0", "255.255.255.254", "RFC 1112"},
    {"255.255.255.255", "255.255.255.255", "RFC 919"},
    /* IPv6, in order and without gaps, but for the embedded IPv4 addresses */
    {"::", "::", "unspecified"},
    {"::1", "::1", "loopback"},
    {"::1:0:0", "::fffe:ffff:ffff", "not global unicast"},
    {"::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"},
    {"64:ff9b::1:0:0", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "not global unicast"},
    {"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "RFC 8215"},
    {"64:ff9b:2::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"},
    {"100::", "100::ffff:ffff:ffff:ffff", "RFC 6666"},
    {"100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", "RFC 9780"},
    {"100:0:0:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"},
    {"2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 4380"},
    {"2001:1::", "2001:1::", "RFC 2928"},
    {"2001:1::1", "2001:1::1", "RFC 7723"},
    {"2001:1::2", "2001:1::2", "RFC 8155"},
    {"2001:1::3", "2001:1::3", "RFC 9665"},
    {"2001:1::4", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 2928"},
    {"2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "RFC 5180"},
    {"2001:2:1::", "2001:2:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 2928"},
    {"2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 7450"},
    {"2001:4::", "2001:4:111:ffff:ffff:ffff:ffff:ffff", "RFC 2928"},
    {"2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", "RFC 7535"},
    {"2001:4:113::", "2001:f:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 2928"},
    {"2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 4843"},
    {"2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 7343"},
    {"2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 9374"},
    {"2001:40::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 2928"},
    {"2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 3849"},
    {"2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 3056"},
    {"2003::", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "RFC 7534"},
    {"2620:4f:8001::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 9637"},
    {"3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {"4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"},
    {"5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 9602"},
    {"5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"},
    {"fc00::", "fd00:ec2::253", "RFC 4193"},
    {"fd00:ec2::254", "fd00:ec2::254", "metadata"},
    {"fd00:ec2::255", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 4193"},
    {"fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"},
    {"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"},
    {"fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "RFC 3879"},
    {"ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"},
    /* IPv4 inside IPv6 counts as that IPv4 address */
    {"::2", "::ff:ffff", "RFC 791"},
    {"::100:0", "::9ff:ffff", NULL},
    {"::10.0.0.0", "::10.255.255.255", "RFC 1918"},
    {"::127.0.0.1", "::127.0.0.1", "loopback"},
    {"::255.255.255.255", "::255.255.255.255", "RFC 919"},
    {"::ffff:0.0.0.0", "::ffff:0.0.0.0", "RFC 1122"},
    {"::ffff:0.0.0.1", "::ffff:0.255.255.255", "RFC 791"},
    {"::ffff:1.0.0.0", "::ffff:9.255.255.255", NULL},
    {"::ffff:127.0.0.1", "::ffff:7f00:1", "loopback"},
    {"::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "metadata"},
    {"::ffff:192.168.1.1", "::ffff:192.168.1.1", "RFC 1918"},
    {"::ffff:223.255.255.255", "::ffff:223.255.255.255", NULL},
    {"::ffff:224.0.0.0", "::ffff:239.255.255.255", "RFC 5771"},
    {"::ffff:255.255.255.255", "::ffff:255.255.255.255", "RFC 919"},
    {"64:ff9b::", "64:ff9b::", "RFC 1122"},
    {"64:ff9b::8.8.8.8", "64:ff9b::9.9.9.9", NULL},
    {"64:ff9b::10.0.0.0", "64:ff9b::10.255.255.255", "RFC 1918"},
    {"64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", "metadata"},
    {"64:ff9b::255.255.255.255", "64:ff9b::255.255.255.255", "RFC 919"},
    {"::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "not global unicast"},
    {"2002:7f00:1::", "2002:808:808::1", "RFC 3056"},
};

static void check_special(const struct target_policy *policy, const char *text, const char *why)
{
    struct ip ip = address(text);
    const char *reason = target_special(&ip);
    if (why == NULL && reason != NULL) {
        fail_msg("%s is forbidden: %s", text, reason);
    }
    if (why != NULL && (reason == NULL || strstr(reason, why) == NULL)) {
        fail_msg("%s: %s, not %s", text, reason == NULL ? "allowed" : reason, why);
    }
    if (target_allowed(policy, &ip) != (why == NULL)) {
        fail_msg("%s: the policy differs from the list", text);
    }
}

static void test_special(void **state)
{
    (void)state;
    struct target_policy *policy = target_policy_create();
    assert_non_null(policy);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        check_special(policy, ranges[i].first, ranges[i].why);
        check_special(policy, ranges[i].last, ranges[i].why);
    }
    struct ip none = {0};
    assert_non_null(target_special(&none));
    assert_false(target_allowed(policy, &none));
    target_policy_free(&policy);
    assert_null(policy);
    target_policy_free(&policy);
}

/* The rows above leave no gap within a family, so that both neighbours of each edge are looked at. */
static void test_rows_have_no_gaps(void **state)
{
    (void)state;
    size_t gaps = 0, joints = 0;
    for (size_t i = 1; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct ip last = address(ranges[i - 1].last), first = address(ranges[i].first);
        if (last.family != first.family) {
            continue;
        }
        for (size_t b = last.family == 4 ? 4 : 16; b-- > 0 && ++last.bytes[b] == 0;) {
            ;
        }
        joints += ip_equal(&last, &first);
        if (last.family == 4) {
            gaps += !ip_equal(&last, &first);
        }
    }
    assert_int_equal(gaps, 0);
    assert_true(joints >= 95);
}

struct step {
    const char *rows; /* the operator's: "+" allow, "-" deny, "@" NAT64 prefix */
    const char *address;
    bool allowed;
};

static const struct step steps[] = {
    /* an operator's row goes before the list */
    {"+127.0.0.0/8", "127.0.0.1", true},
    {"+127.0.0.0/8", "127.255.255.255", true},
    {"+127.0.0.0/8", "128.0.0.0", true},
    {"+127.0.0.0/8", "126.255.255.255", true},
    {"+127.0.0.0/8", "10.0.0.1", false},
    {"+127.0.0.0/8", "::1", false},
    {"+127.0.0.1", "127.0.0.2", false},
    {"+::1", "::1", true},
    {"+::1", "127.0.0.1", false},
    {"+::1", "::", false},
    {"-8.8.8.0/24", "8.8.8.8", false},
    {"-8.8.8.0/24", "8.8.9.8", true},
    {"-2a00::/12", "2a00::1", false},
    {"-2a00::/12", "2a10::1", true},
    {"-0.0.0.0/0", "8.8.8.8", false},
    {"-0.0.0.0/0", "2a00::1", true},
    {"+0.0.0.0/0", "127.0.0.1", true},
    {"+0.0.0.0/0", "::1", false},
    {"+0.0.0.0/0", "::", false},
    {"+::/0", "fe80::1", true},
    {"+::/0", "::1", true},
    {"+::/0", "10.0.0.1", false},
    /* the longest prefix, whatever the order */
    {"-10.0.0.0/8 +10.1.0.0/16", "10.1.2.3", true},
    {"+10.1.0.0/16 -10.0.0.0/8", "10.1.2.3", true},
    {"-10.0.0.0/8 +10.1.0.0/16", "10.2.2.3", false},
    {"+10.0.0.0/8 -10.1.0.0/16 +10.1.1.0/24", "10.1.1.1", true},
    {"+10.1.1.0/24 -10.1.0.0/16 +10.0.0.0/8", "10.1.2.1", false},
    {"+10.0.0.0/8 -10.1.0.0/16 +10.1.1.0/24", "10.2.1.1", true},
    {"-0.0.0.0/0 +9.9.9.9", "9.9.9.9", true},
    {"-0.0.0.0/0 +9.9.9.9", "9.9.9.10", false},
    {"+fd00::/8 -fd00:1::/32", "fd00:1::1", false},
    {"+fd00::/8 -fd00:1::/32", "fd00:2::1", true},
    /* deny wins a tie, whatever the order */
    {"+10.0.0.0/8 -10.0.0.0/8", "10.0.0.1", false},
    {"-10.0.0.0/8 +10.0.0.0/8", "10.0.0.1", false},
    {"+10.0.0.0/8 -10.0.0.0/8 +10.0.0.0/8", "10.0.0.1", false},
    {"+9.9.9.9 -9.9.9.9", "9.9.9.9", false},
    {"+0.0.0.0/0 -0.0.0.0/0", "9.9.9.9", false},
    {"+::/0 -::/0", "2a00::1", false},
    /* IPv4 rows reach IPv4 addresses inside IPv6 */
    {"-9.9.9.0/24", "::ffff:9.9.9.1", false},
    {"-9.9.9.0/24", "64:ff9b::9.9.9.1", false},
    {"-9.9.9.0/24", "::9.9.9.1", false},
    {"-9.9.9.0/24", "::ffff:9.9.8.1", true},
    {"-192.0.2.0/24", "::ffff:192.0.2.1", false},
    {"+127.0.0.0/8", "::ffff:127.0.0.1", true},
    {"+127.0.0.0/8", "64:ff9b::127.0.0.1", true},
    {"+127.0.0.0/8", "::ffff:10.0.0.1", false},
    {"-127.0.0.1 +127.0.0.0/8", "::ffff:127.0.0.1", false},
    {"-127.0.0.1 +127.0.0.0/8", "::ffff:127.0.0.2", true},
    /* an IPv6 row that was not written for them does not let them through */
    {"+::/0", "::ffff:127.0.0.1", false},
    {"+::/0", "64:ff9b::10.0.0.1", false},
    {"+::/0", "::127.0.0.1", false},
    {"+64:ff9b::/64", "64:ff9b::10.0.0.1", false},
    {"+64:ff9b::/96", "64:ff9b::10.0.0.1", true},
    {"+64:ff9b::/96 -10.0.0.0/8", "64:ff9b::10.0.0.1", false},
    {"-64:ff9b::/96", "64:ff9b::9.9.9.9", false},
    {"-64:ff9b::/96", "9.9.9.9", true},
    {"-::/0", "::ffff:9.9.9.9", false},
    {"-::/0 +9.9.9.9", "::ffff:9.9.9.9", true},
    {"-::/0", "9.9.9.9", true},
    /* IPv4 written as IPv6 means IPv4, but for the whole range */
    {"-::ffff:9.9.9.9", "9.9.9.9", false},
    {"-::ffff:9.9.9.9", "::ffff:9.9.9.9", false},
    {"+::ffff:127.0.0.0/104", "127.0.0.1", true},
    {"+::ffff:127.0.0.0/104", "::ffff:127.0.0.1", true},
    {"+::ffff:127.0.0.0/104", "126.0.0.1", true},
    {"+::ffff:127.0.0.0/104", "10.0.0.1", false},
    {"-::ffff:0:0/96", "9.9.9.9", true},
    {"-::ffff:0:0/96", "::ffff:9.9.9.9", false},
    /* the networks' own NAT64 prefixes, each length of RFC 6052 section 2.2, around the u octet */
    {"@2a00:64::/32", "2a00:64:909:909::", true},
    {"@2a00:64::/32", "2a00:64:a01:203::", false},
    {"@2a00:64::/32", "2a00:64:909:909:100::", false},
    {"@2a00:64::/32", "2a00:64:909:909:ff::1", true},
    {"@2a00:64:100::/40", "2a00:64:109:909:9::", true},
    {"@2a00:64:100::/40", "2a00:64:109:909:109::", false},
    {"@2a00:64:0::/48", "2a00:64:0:909:9:900::", true},
    {"@2a00:64:0:100::/56", "2a00:64:0:109:9:909::", true},
    {"@2a00:64:0:1::/64", "2a00:64:0:1:9:909:900::", true},
    {"@2a00:64:0:1::/64", "2a00:64:0:1::a01:203", false},
    {"@2a00:64:0:1::/96", "2a00:64:0:1::9.9.9.9", true},
    {"@2a00:64:0:1::/96", "2a00:64:0:1::10.1.2.3", false},
    {"@2a00:64:0:1::/96", "2a00:64:0:1:0:1:a01:203", true}, /* beside it: any other address */
    /* the longest of nested prefixes; other prefixes stay as they are */
    {"@2a00:64::/32 @2a00:64:a01:203::/96", "2a00:64:a01:203::9.9.9.9", true},
    {"@2a00:64::/32 @2a00:64:a01:203::/96", "2a00:64:a01:203:0:1::", false},
    {"@2a00:64::/96", "64:ff9b::10.1.2.3", false},
    {"@2a00:64::/96", "::1", false},
    {"@::/32", "::1", false},
    {"@::/32", "::ffff:10.1.2.3", false},
    /* a prefix inside a network that is refused whole: RFC 8215 */
    {"@64:ff9b:1::/96", "64:ff9b:1::9.9.9.9", true},
    {"@64:ff9b:1::/96", "64:ff9b:1::127.0.0.1", false},
    {"@64:ff9b:1::/96", "64:ff9b:1::1:9.9.9.9", false},
    {"@64:ff9b:1::/48", "64:ff9b:1:909:9:900::", true},
    /* rows for the IPv4 network and for the IPv6 network: what fixes more of the IPv4 address wins */
    {"@2a00:64::/96 +10.0.0.0/8", "2a00:64::10.1.2.3", true},
    {"@2a00:64::/32 +10.0.0.0/8 -2a00:64:a00::/39", "2a00:64:a01:203::", true},
    {"@2a00:64::/32 +10.0.0.0/8 -2a00:64:a00::/40", "2a00:64:a01:203::", false},
    {"@2a00:64::/32 -10.0.0.0/8 +2a00:64:a00::/40", "2a00:64:a01:203::", false},
    {"@2a00:64::/32 -10.0.0.0/8 +2a00:64:a01::/48", "2a00:64:a01:203::", true},
    {"@2a00:64::/32 -10.1.2.3 +2a00:64:a01:203::", "2a00:64:a01:203::", false},
    {"@2a00:64::/64 -10.1.0.0/16 +2a00:64:0:0:a::/80", "2a00:64::a:102:300:0", false},
    {"@2a00:64::/64 -10.1.0.0/16 +2a00:64:0:0:a:100::/89", "2a00:64::a:102:300:0", true},
    {"@2a00:64::/56 -10.1.0.0/16 +2a00:64:0:a:1:200::/88", "2a00:64:0:a:1:203::", true},
    {"@2a00:64::/56 -10.1.0.0/16 +2a00:64:0:a::/72", "2a00:64:0:a:1:203::", false},
    {"@2a00:64::/40 +10.1.2.0/24 -2a00:64:a:102::/72", "2a00:64:a:102:3::", false},
    {"@2a00:64::/40 +10.1.2.3 -2a00:64:a:102::/72", "2a00:64:a:102:3::", true},
    {"@2a00:64::/96 +2a00:64::/32", "2a00:64::10.1.2.3", false},
    {"@2a00:64::/96 +2a00:64::/96", "2a00:64::10.1.2.3", true},
    {"@2a00:64::/32 +2a00:64::/32", "2a00:64:a01:203:100::", true},
    {"@2a00:64::/32 +2a00::/16", "2a00:64:a01:203:100::", false},
    {"@2a00:64::/32 +0.0.0.0/0", "2a00:64:a01:203:100::", false},
    {"@2a00:64::/96 -2a00::/16 +9.0.0.0/8", "2a00:64::9.9.9.9", true},
};

static void test_operator_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct target_policy *policy = target_policy_create();
        assert_non_null(policy);
        char rows[128];
        assert_true(strlen(steps[i].rows) < sizeof rows);
        strcpy(rows, steps[i].rows);
        char *rest = rows;
        for (char *row = strsep(&rest, " "); row != NULL; row = strsep(&rest, " ")) {
            struct cidr cidr;
            if (!cidr_parse(&cidr, row + 1)) {
                fail_msg("%s is no network", row + 1);
            }
            assert_true(row[0] == '@' ? target_policy_add_nat64(policy, &cidr)
                                      : target_policy_add(policy, &cidr, row[0] == '+'));
        }
        struct ip ip = address(steps[i].address);
        if (target_allowed(policy, &ip) != steps[i].allowed) {
            fail_msg("with %s: %s is %s", steps[i].rows, steps[i].address,
                     steps[i].allowed ? "forbidden" : "allowed");
        }
        target_policy_free(&policy);
    }
}

static void test_many_rows(void **state)
{
    (void)state;
    struct target_policy *policy = target_policy_create();
    for (unsigned i = 0; i < 1000; i++) {
        struct cidr cidr = {.ip = {.family = 4, .bytes = {10, (uint8_t)(i >> 8), (uint8_t)i, 7}}, .bits = 32};
        assert_true(target_policy_add(policy, &cidr, true));
    }
    for (unsigned i = 0; i < 1000; i++) {
        struct ip ip = {.family = 4, .bytes = {10, (uint8_t)(i >> 8), (uint8_t)i, 7}};
        assert_true(target_allowed(policy, &ip));
        ip.bytes[3] = 8;
        assert_false(target_allowed(policy, &ip));
    }
    target_policy_free(&policy);
}

/* Every length there is, and where the u octet lies in the prefix, its value. */
static void test_nat64_prefixes(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 128; bits++) {
        struct cidr prefix = {.ip = {.family = 6, .bytes = {0x20}}, .bits = bits};
        bool fits = bits == 32 || bits == 40 || bits == 48 || bits == 56 || bits == 64 || bits == 96;
        assert_int_equal(target_nat64_valid(&prefix), fits);
        prefix.ip.family = 4;
        assert_false(target_nat64_valid(&prefix));
    }
    struct cidr prefix = {.ip = {.family = 6, .bytes = {[9] = 0xff}}, .bits = 96};
    assert_true(target_nat64_valid(&prefix));
    prefix.ip.bytes[8] = 1;
    assert_false(target_nat64_valid(&prefix));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special),        cmocka_unit_test(test_rows_have_no_gaps),
        cmocka_unit_test(test_operator_rows),  cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_nat64_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

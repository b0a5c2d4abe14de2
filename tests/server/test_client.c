/* Who asks: through no proxy, through trusted ones, and through callers that would like to be somebody else.
 */
#include "server/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Trusted: 10/8, 2001:db8:aaaa::/48, 192.0.2.1, and 198.18/15 written as IPv4-mapped. */
static const char *const trusted[] = {"10.0.0.0/8", "2001:db8:aaaa::/48", "192.0.2.1",
                                      "::ffff:198.18.0.0/111"};

#define P "10.0.0.1" /* the proxy that asks */
#define X(value) "X-Forwarded-For: " value "\n"
#define F(value) "Forwarded: " value "\n"

static const struct row {
    const char *peer, *headers, *client;
} rows[] = {
    /* No proxy: what it says counts for nothing. */
    {"203.0.113.5", "", "203.0.113.5"},
    {"203.0.113.5", X("192.0.2.9"), "203.0.113.5"},
    {"203.0.113.5", F("for=192.0.2.9"), "203.0.113.5"},
    {"203.0.113.5", X("10.0.0.1"), "203.0.113.5"},
    {"2001:db8:bbbb::1", X("192.0.2.9"), "2001:db8:bbbb::1"},
    {"11.0.0.1", X("192.0.2.9"), "11.0.0.1"},
    {"192.0.2.2", X("192.0.2.9"), "192.0.2.2"},
    {"::1", X("192.0.2.9"), "::1"},
    {"::ffff:203.0.113.5", X("192.0.2.9"), "203.0.113.5"},
    /* Who is a proxy. */
    {P, "", P},
    {P, X("203.0.113.5"), "203.0.113.5"},
    {"10.255.255.255", X("203.0.113.5"), "203.0.113.5"},
    {"::ffff:10.0.0.1", X("203.0.113.5"), "203.0.113.5"},
    {"::ffff:10.0.0.1", "", P},
    {"192.0.2.1", X("203.0.113.5"), "203.0.113.5"},
    {"2001:db8:aaaa::1", X("203.0.113.5"), "203.0.113.5"},
    {"2001:db8:aaaa:ffff::1", X("203.0.113.5"), "203.0.113.5"},
    {"198.18.0.1", X("203.0.113.5"), "203.0.113.5"},
    {"::ffff:198.19.0.1", X("203.0.113.5"), "203.0.113.5"},
    {"198.20.0.1", X("203.0.113.5"), "198.20.0.1"},
    /* The walk from the right. */
    {P, X("192.0.2.9, 203.0.113.5"), "203.0.113.5"},
    {P, X("192.0.2.9, 203.0.113.5, 10.0.0.2"), "203.0.113.5"},
    {P, X("192.0.2.9, 203.0.113.5, 192.0.2.1, 10.0.0.2, 10.0.0.3"), "203.0.113.5"},
    {P, X("10.9.9.9, 203.0.113.5, 10.0.0.2"), "203.0.113.5"},
    {P, X("10.0.0.4, 10.0.0.3, 10.0.0.2"), "10.0.0.4"},
    {P, X("192.0.2.9, 2001:db8:aaaa::7"), "192.0.2.9"},
    {P, X("192.0.2.9, ::ffff:10.0.0.2"), "192.0.2.9"},
    {P, X("::ffff:192.0.2.9"), "192.0.2.9"},
    {P, X("2001:db8::9"), "2001:db8::9"},
    /* Several lines are one list. */
    {P, X("192.0.2.9") X("203.0.113.5"), "203.0.113.5"},
    {P, X("192.0.2.9") X("10.0.0.2"), "192.0.2.9"},
    {P, X("10.0.0.3") X("192.0.2.9, 10.0.0.2") X("10.0.0.4"), "192.0.2.9"},
    {P, "x-forwarded-for: 192.0.2.9\nX-FORWARDED-FOR: 203.0.113.5\n", "203.0.113.5"},
    {P, "X-Forwarded: 192.0.2.9\nX-Forwarded-For-2: 192.0.2.9\nX-Real-IP: 192.0.2.9\n", P},
    /* White space and empty elements (RFC 9110 section 5.6.1). */
    {P, X("  192.0.2.9\t"), "192.0.2.9"},
    {P, X("192.0.2.9,10.0.0.2"), "192.0.2.9"},
    {P, X("\t192.0.2.9 ,\t10.0.0.2"), "192.0.2.9"},
    {P, X(", ,192.0.2.9, ,\t,"), "192.0.2.9"},
    {P, X(""), P},
    {P, X(" , ,"), P},
    {P, X("192.0.2.9") X(""), "192.0.2.9"},
    /* Ports, brackets, quotation marks. */
    {P, X("192.0.2.9:4711"), "192.0.2.9"},
    {P, X("[2001:db8::9]:80"), "2001:db8::9"},
    {P, X("[2001:db8::9]"), "2001:db8::9"},
    {P, X("\"[2001:db8::9]:80\""), "2001:db8::9"},
    {P, X("\"192.0.2.9\""), "192.0.2.9"},
    {P, X("192.0.2.9:_port"), "192.0.2.9"},
    {P, X("192.0.2.9, 10.0.0.2:80, [2001:db8:aaaa::1]:443"), "192.0.2.9"},
    /* What is no address ends the walk: the proxy that reported it is the client. */
    {P, X("192.0.2.9, unknown"), P},
    {P, X("192.0.2.9, unknown, 10.0.0.2"), "10.0.0.2"},
    {P, X("192.0.2.9, unknown, 10.0.0.3, 10.0.0.2"), "10.0.0.3"},
    {P, X("unknown, 192.0.2.9"), "192.0.2.9"},
    {P, X("192.0.2.9, _hidden"), P},
    {P, X("192.0.2.9, example.com"), P},
    {P, X("192.0.2.9, 203.0.113.256"), P},
    {P, X("192.0.2.9, 203.0.113.05"), P},
    {P, X("192.0.2.9, 203.0.113"), P},
    {P, X("192.0.2.9, 3405803781"), P},
    {P, X("192.0.2.9, 203.0.113.5 x"), P},
    {P, X("192.0.2.9 203.0.113.5"), P},
    {P, X("192.0.2.9, 203.0.113.5:"), P},
    {P, X("192.0.2.9, 203.0.113.5:x"), P},
    {P, X("192.0.2.9, 203.0.113.5:123456"), P},
    {P, X("192.0.2.9, 203.0.113.5:_"), P},
    {P, X("192.0.2.9, [203.0.113.5]"), P},
    {P, X("192.0.2.9, [2001:db8::9"), P},
    {P, X("192.0.2.9, 2001:db8::9]"), P},
    {P, X("192.0.2.9, [2001:db8::9]80"), P},
    {P, X("192.0.2.9, [[2001:db8::9]]"), P},
    {P, X("192.0.2.9, []"), P},
    {P, X("192.0.2.9, fe80::1%eth0"), P},
    {P, X("192.0.2.9, [fe80::1%25eth0]:80"), P},
    {P, X("192.0.2.9, \"\""), P},
    {P, X("192.0.2.9, \""), P},
    {P, X("192.0.2.9, \"203.0.113.5"), P},
    {P, X("192.0.2.9, for=203.0.113.5"), P},
    {P, X("192.0.2.9, 10.0.0.0/8"), P},
    {P, X("192.0.2.9, 1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"), P},
    {P, X("\", 203.0.113.5"), "203.0.113.5"},
    /* Forwarded: the same walk. */
    {P, F("for=192.0.2.9"), "192.0.2.9"},
    {P, F("for=192.0.2.9, for=203.0.113.5"), "203.0.113.5"},
    {P, F("for=192.0.2.9, for=203.0.113.5,for=10.0.0.2"), "203.0.113.5"},
    {P, F("for=10.0.0.3,for=10.0.0.2"), "10.0.0.3"},
    {P, F("for=192.0.2.9") F("for=10.0.0.2"), "192.0.2.9"},
    {P, F("for=192.0.2.9, for=unknown, for=10.0.0.2"), "10.0.0.2"},
    {P, F("for=192.0.2.9, for=_hidden"), P},
    {P, F(", for=192.0.2.9 ,, "), "192.0.2.9"},
    {P, F(""), P},
    /* Its grammar (RFC 7239 section 4). */
    {P, F("For=192.0.2.9"), "192.0.2.9"},
    {P, "forwarded: FOR=\"192.0.2.9\"\n", "192.0.2.9"},
    {P, F("for=\"[2001:db8::9]\""), "2001:db8::9"},
    {P, F("For=\"[2001:DB8::9]:4711\""), "2001:db8::9"},
    {P, F("for=\"192.0.2.9:4711\""), "192.0.2.9"},
    {P, F("for=\"192.0.2.9:_x.y-z\""), "192.0.2.9"},
    {P, F("for=\"1\\92.0.2\\.9\""), "192.0.2.9"},
    {P, F("for=\"2001:db8::9\""), "2001:db8::9"},
    {P, F("for=\"::ffff:192.0.2.9\""), "192.0.2.9"},
    {P, F("for=192.0.2.9;proto=http;by=203.0.113.43"), "192.0.2.9"},
    {P, F("proto=http; by=203.0.113.43 ; for=192.0.2.9;"), "192.0.2.9"},
    {P, F(";;for=192.0.2.9"), "192.0.2.9"},
    {P, F("for=192.0.2.9;host=\"a,for=10.0.0.9;b\\\",\""), "192.0.2.9"},
    {P, F("host=\"x\\\\\";for=192.0.2.9"), "192.0.2.9"},
    {P, F("for=203.0.113.5;x=\"\", for=192.0.2.9"), "192.0.2.9"},
    {P, F("for=203.0.113.5;x=\"\tz\xC3\xA9\""), "203.0.113.5"},
    /* What keeps to it not ends the walk. */
    {P, F("for=192.0.2.9, for=203.0.113.5;for=203.0.113.6"), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;FOR=203.0.113.5"), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;for=203.0.113.5, for=10.0.0.2"), "10.0.0.2"},
    {P, F("for=192.0.2.9, proto=https"), P},
    {P, F("for=192.0.2.9, ;"), P},
    {P, F("for=192.0.2.9, 203.0.113.5"), P},
    {P, F("for=192.0.2.9, for"), P},
    {P, F("for=192.0.2.9, for="), P},
    {P, F("for=192.0.2.9, for=\"\""), P},
    {P, F("for=192.0.2.9, for =203.0.113.5"), P},
    {P, F("for=192.0.2.9, for= 203.0.113.5"), P},
    {P, F("for=192.0.2.9, =203.0.113.5"), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;"), "203.0.113.5"},
    {P, F("for=192.0.2.9, for=203.0.113.5;x"), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;x="), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;=x"), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;a b=x"), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;a:b=x"), P},
    {P, F("for=192.0.2.9, for=203.0.113.5:80"), P},
    {P, F("for=192.0.2.9, for=[2001:db8::9]"), P},
    {P, F("for=192.0.2.9, for=\"203.0.113.5\"x"), P},
    {P, F("for=192.0.2.9, for=\"203.0.113.5\" x"), P},
    {P, F("for=192.0.2.9, for=\" 203.0.113.5\""), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;x=\"\x01\""), P},
    {P, F("for=192.0.2.9, for=203.0.113.5;x=\"\x7F\""), P},
    {P, F("for=192.0.2.9, f\"o\"r=203.0.113.5"), P},
    {P, F("for=192.0.2.9, for=\"203.0.113.5"), P},
    {P, F("for=192.0.2.9, for=\"203.0.113.5\\"), P},
    {P, F("for=192.0.2.9, for=\"203.0.113.5\\\""), P},
    /* A string that a caller leaves open cannot choose an address, whatever the proxy adds. */
    {P, F("for=192.0.2.9;x=\", for=203.0.113.5"), P},
    {P, F("for=192.0.2.9;x=\", for=\"[2001:db8::5]\""), P},
    {P, F("x=\", for=203.0.113.5;host=\",for=192.0.2.9,\""), P},
    {P, F("x=\", for=203.0.113.5;host=\",for=192.0.2.9,\\\"\""), P},
    {P, F("for=192.0.2.9;x=\"") F("for=203.0.113.5"), "203.0.113.5"},
    {P, F("for=192.0.2.9;x=\"\\") F("for=203.0.113.5"), "203.0.113.5"},
    /* Both headers. */
    {P, X("192.0.2.9") F("for=192.0.2.9"), "192.0.2.9"},
    {P, F("for=\"192.0.2.9:1\"") X("192.0.2.9:2"), "192.0.2.9"},
    {P, X("203.0.113.7, 192.0.2.9") F("for=192.0.2.9, for=10.0.0.2"), "192.0.2.9"},
    {P, X("203.0.113.5") F("for=192.0.2.9"), P},
    {P, F("for=203.0.113.5") X("192.0.2.9"), P},
    {P, F("for=203.0.113.5") X("unknown"), P},
    {P, F("x") X("192.0.2.9"), P},
    {P, F("for=unknown") X("192.0.2.9, unknown"), P},
    {P, F("") X("192.0.2.9"), "192.0.2.9"},
    {P, F("for=192.0.2.9") X(" ,"), "192.0.2.9"},
};

static struct client_proxies *proxies;

static int set_up(void **state)
{
    (void)state;
    char *items[sizeof trusted / sizeof trusted[0]];
    struct config_list list = {.items = items, .count = sizeof items / sizeof items[0]};
    for (size_t i = 0; i < list.count; i++) {
        items[i] = (char *)(uintptr_t)trusted[i];
    }
    proxies = client_proxies_create(&list);
    return proxies ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    client_proxies_free(&proxies);
    return proxies ? -1 : 0;
}

/* Tells a client the lines; each value is a copy of its exact size, so that reading past its end is seen. */
static void tell(struct client *client, const char *headers)
{
    for (const char *line = headers; *line != '\0';) {
        size_t name = strcspn(line, ":"), end = strcspn(line, "\n");
        size_t len = end - name - 2;
        char *value = malloc(len > 0 ? len : 1);
        assert_non_null(value);
        memcpy(value, line + name + 2, len);
        client_header(client, (struct text){line, name}, (struct text){value, len});
        free(value);
        line += end + 1;
    }
}

static void assert_ip(const struct client *client, const char *want, const char *headers)
{
    struct ip ip = client_ip(client);
    char text[IP_TEXT_SIZE];
    if (strcmp(ip_format(&ip, text), want) != 0) {
        fail_msg("%s instead of %s for:\n%s", text, want, headers);
    }
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ip peer;
        struct client client;
        assert_true(ip_parse(&peer, rows[i].peer));
        client_init(&client, proxies, &peer);
        tell(&client, rows[i].headers);
        assert_ip(&client, rows[i].client, rows[i].headers);
    }
}

static void test_who_is_a_proxy(void **state)
{
    (void)state;
    static const struct {
        const char *peer;
        bool proxied;
    } peers[] = {
        {P, true},          {"::ffff:10.0.0.1", true},  {"198.19.255.255", true}, {"203.0.113.5", false},
        {"9.0.0.1", false}, {"2001:db8:aaab::", false}, {"192.0.2.0", false}};
    static const struct config_list none = {.count = 0};
    struct client_proxies *nobody = client_proxies_create(&none);
    assert_non_null(nobody);
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        struct ip peer;
        struct client client;
        assert_true(ip_parse(&peer, peers[i].peer));
        client_init(&client, proxies, &peer);
        assert_int_equal(client.proxied, peers[i].proxied);
        client_init(&client, nobody, &peer);
        assert_false(client.proxied);
    }
    client_proxies_free(&nobody);
    struct client client;
    client_init(&client, proxies, &(struct ip){.family = 0});
    tell(&client, X("192.0.2.9"));
    assert_false(client.proxied);
    assert_int_equal(client_ip(&client).family, 0);
}

/* As many elements as headers have room for: those at the right end decide. */
static void test_long_lists(void **state)
{
    (void)state;
    static const char *const beginnings[] = {"", "192.0.2.9,", "unknown,"};
    static const char *const middles[] = {"192.0.2.8,", "10.0.0.2,", "x,", ",", "\","};
    static const char *const ends[] = {"203.0.113.5", "203.0.113.5,10.0.0.2,10.0.0.3"};
    struct ip peer;
    assert_true(ip_parse(&peer, P));
    for (size_t i = 0; i < 3 * 5 * 2; i++) {
        char value[8300];
        size_t len = (size_t)snprintf(value, sizeof value, "%s", beginnings[i % 3]);
        while (len < 8192) {
            len += (size_t)snprintf(value + len, sizeof value - len, "%s", middles[i / 3 % 5]);
        }
        len += (size_t)snprintf(value + len, sizeof value - len, "%s", ends[i / 15]);
        struct client client;
        client_init(&client, proxies, &peer);
        client_header(&client, text_of("X-Forwarded-For"), (struct text){value, len});
        assert_ip(&client, "203.0.113.5", value);
    }
    struct client client;
    client_init(&client, proxies, &peer);
    tell(&client, X("192.0.2.9"));
    for (int i = 0; i < 2000; i++) {
        tell(&client, X("10.0.0.2"));
    }
    assert_ip(&client, "192.0.2.9", "192.0.2.9 and 2000 proxies");
}

/* Bytes that no C string holds, and values longer than any address. */
static void test_odd_bytes(void **state)
{
    (void)state;
#define BYTES(literal)                                                                                       \
    {                                                                                                        \
        literal, sizeof literal - 1                                                                          \
    }
    static const struct {
        const char *name;
        struct text value;
    } values[] = {
        {"X-Forwarded-For", BYTES("192.0.2.9, 203.0.113.5\0x")},
        {"X-Forwarded-For", BYTES("192.0.2.9, 203.0.113.5:8\0")},
        {"Forwarded", BYTES("for=192.0.2.9, for=203.0.113.5\0x")},
        {"Forwarded", BYTES("for=192.0.2.9, for=203.0.113.5;x=a\0b")},
        {"Forwarded", BYTES("for=192.0.2.9, for=203.0.113.5;x\0=a")},
        {"Forwarded", BYTES("for=192.0.2.9, for=\"203.0.113.5\\\0\"")},
    };
    struct ip peer;
    struct client client;
    assert_true(ip_parse(&peer, P));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        client_init(&client, proxies, &peer);
        client_header(&client, text_of(values[i].name), values[i].value);
        assert_ip(&client, P, values[i].value.data);
    }
    client_init(&client, proxies, &peer);
    client_header(&client, text_of("Forwarded"), text_of(NULL));
    client_header(&client, text_of("X-Forwarded-For"), text_of(NULL));
    assert_ip(&client, P, "absent values");
    /* The address alone would be good; what follows it is over the room for a node. */
    for (size_t len = 40; len < 200; len++) {
        char value[256];
        size_t used = (size_t)snprintf(value, sizeof value, "for=192.0.2.9, for=\"203.0.113.5:_");
        memset(value + used, 'a', len);
        snprintf(value + used + len, sizeof value - used - len, "\"");
        client_init(&client, proxies, &peer);
        client_header(&client, text_of("Forwarded"), text_of(value));
        assert_ip(&client, len + strlen("203.0.113.5:_") <= 80 ? "203.0.113.5" : P, value);
    }
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        uint8_t key[CLIENT_KEY_SIZE];
    } keys[] = {
        {"192.0.2.9", {4, 192, 0, 2, 9}},
        {"::ffff:192.0.2.9", {4, 192, 0, 2, 9}},
        {"2001:db8:1:2::", {6, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2}},
        {"2001:db8:1:2:ffff:ffff:ffff:ffff", {6, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2}},
        {"2001:db8:1:3::", {6, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 3}},
        {"::1", {6}},
        {"0.0.0.0", {4}},
        {"2002:c000:209::1", {6, 0x20, 0x02, 0xc0, 0, 0x02, 0x09}},
        {"64:ff9b::192.0.2.9", {6, 0, 0x64, 0xff, 0x9b}},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        uint8_t key[CLIENT_KEY_SIZE];
        struct ip ip;
        memset(key, 0xEE, sizeof key);
        assert_true(ip_parse(&ip, keys[i].ip));
        client_key(&ip, key);
        assert_memory_equal(key, keys[i].key, sizeof key);
    }
    /* Bytes that are no part of the address are none of the key. */
    struct ip padded = {4, {192, 0, 2, 9, 1, 2, 3, 4}};
    uint8_t key[CLIENT_KEY_SIZE];
    client_key(&padded, key);
    assert_memory_equal(key, keys[0].key, sizeof key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_who_is_a_proxy),
        cmocka_unit_test(test_long_lists), cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

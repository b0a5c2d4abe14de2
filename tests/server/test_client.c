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
#include "tests/server/clients.def"
};

static struct client_proxies *proxies;

static struct client_proxies *trust(const char *const *networks, size_t count)
{
    char *items[24];
    struct config_list list = {.items = items, .count = count};
    assert_in_range(count, 0, 24);
    for (size_t i = 0; i < count; i++) {
        items[i] = (char *)(uintptr_t)networks[i];
    }
    struct client_proxies *made = client_proxies_create(&list);
    assert_non_null(made);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    proxies = trust(trusted, sizeof trusted / sizeof trusted[0]);
    return 0;
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
        bool named = strstr(rows[i].headers, "orwarded") || strstr(rows[i].headers, "ORWARDED");
        assert_int_equal(client.ignored, named && !client.proxied);
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
    struct client_proxies *nobody = trust(NULL, 0);
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

/* Networks in any order, inside each other, twice: an address counts where any of them holds it. */
static void test_many_networks(void **state)
{
    (void)state;
    static const char *const networks[] = {
        "2001:db8::/32",   "192.0.2.128/25",  "10.0.0.0/8",      "10.1.0.0/16",
        "10.0.0.0/9",      "10.1.2.3",        "172.16.0.0/12",   "192.0.2.0/25",
        "::/64",           "10.255.255.254",  "198.51.100.7",    "198.51.100.7",
        "2001:db8:1::/48", "198.51.100.9",    "fe80::/10",       "::ffff:10.9.0.0/112",
        "fe80:0:0:1::/64", "fe80:0:0:2::/64", "fe80:0:0:3::/64", "fe80:0:0:4::/64",
        "fe80:0:0:5::/64", "fe80:0:0:6::/64"};
    static const struct {
        const char *first, *last; /* of a stretch in which all are trusted */
        const char *before, *after;
    } stretches[] = {
        {"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
        {"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
        {"192.0.2.127", "192.0.2.128", "192.0.1.1", "192.1.2.1"},
        {"198.51.100.7", "198.51.100.9", "198.51.100.8", "198.51.100.10"},
        {"::", "::ffff:ffff:ffff:ffff", "0:0:0:1::", "0.0.0.0"},
        {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "2001:db9::"},
        {"fe80::", "febf:ffff::", "fe7f:ffff::", "fec0::"},
    };
    struct client_proxies *many = trust(networks, sizeof networks / sizeof networks[0]);
    for (size_t i = 0; i < sizeof stretches / sizeof stretches[0]; i++) {
        const char *const peers[] = {stretches[i].first, stretches[i].last, stretches[i].before,
                                     stretches[i].after};
        for (size_t k = 0; k < 4; k++) {
            struct ip peer;
            struct client client;
            assert_true(ip_parse(&peer, peers[k]));
            client_init(&client, many, &peer);
            if (client.proxied != (k < 2)) {
                fail_msg("%s: %d", peers[k], client.proxied);
            }
        }
    }
    client_proxies_free(&many);
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
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_who_is_a_proxy),
        cmocka_unit_test(test_many_networks), cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_odd_bytes),     cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

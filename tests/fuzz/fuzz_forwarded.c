/* Any bytes as headers, one a line: a peer that is no proxy is the client itself; behind a proxy the client
 * is the peer or an address named, the one that a walk from the right reaches, and nothing that a caller
 * sends can hide or change what the proxy adds behind it. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "server/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ip proxy = {4, {10, 0, 0, 1}};
static const struct ip stranger = {4, {198, 51, 100, 1}};
static const struct client_proxies *proxies;

/* The line up to its end, which is cut off *rest. False: there is none. */
static bool next_line(struct text *rest, struct text *name, struct text *value)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->data, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->data) : rest->len;
    const char *colon = memchr(rest->data, ':', len);
    size_t name_len = colon ? (size_t)(colon - rest->data) : len;
    size_t value_start = colon ? name_len + 1 : len;
    *name = (struct text){rest->data, name_len};
    *value = (struct text){rest->data + value_start, len - value_start};
    size_t used = end ? len + 1 : len;
    *rest = (struct text){rest->data + used, rest->len - used};
    return true;
}

static struct client read_all(const struct ip *peer, struct text lines)
{
    struct client client;
    struct text name, value;
    client_init(&client, proxies, peer);
    while (next_line(&lines, &name, &value)) {
        client_header(&client, name, value);
    }
    return client;
}

static struct client read_one(const char *name, struct text value)
{
    struct client client;
    client_init(&client, proxies, &proxy);
    client_header(&client, text_of(name), value);
    return client;
}

/* The walk as the words have it, element by element from the right. */
static struct ip walk(struct text list)
{
    struct ip reached = proxy;
    while (list.len > 0) {
        const char *comma = memrchr(list.data, ',', list.len);
        size_t start = comma ? (size_t)(comma - list.data) + 1 : 0;
        struct client one = read_one("X-Forwarded-For", (struct text){list.data + start, list.len - start});
        struct ip ip = one.x_forwarded_for.reached;
        list.len = comma ? start - 1 : 0;
        if (!one.x_forwarded_for.any) {
            continue;
        }
        if (ip.family == 0) {
            break;
        }
        reached = ip;
        struct client as_peer;
        client_init(&as_peer, proxies, &ip);
        if (!as_peer.proxied) {
            break;
        }
    }
    return reached;
}

static void check_fit(struct ip ip)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    assert(ip.family == 4 || (ip.family == 6 && memcmp(ip.bytes, mapped, sizeof mapped) != 0));
}

/* What a proxy writes behind the caller's bytes, in the same line. */
static void check_addition(const char *name, struct text value, const char *addition, struct ip named,
                           bool sure)
{
    char line[4096];
    size_t len = strlen(addition);
    if (value.len + len > sizeof line) {
        return;
    }
    if (value.len > 0) {
        memcpy(line, value.data, value.len);
    }
    memcpy(line + value.len, addition, len);
    struct client client = read_one(name, (struct text){line, value.len + len});
    struct ip ip = client_ip(&client);
    assert(ip_equal(&ip, &named) || (!sure && ip_equal(&ip, &proxy)));
}

static void check_line(struct text name, struct text value)
{
    static const struct ip v4 = {4, {203, 0, 113, 9}}, v6 = {6, {0x20, 0x01, 0x0d, 0xb8, [15] = 9}};
    if (text_is(name, "X-Forwarded-For")) {
        struct client client = read_one("X-Forwarded-For", value);
        struct ip got = client_ip(&client), want = walk(value);
        assert(ip_equal(&got, &want));
        check_addition("X-Forwarded-For", value, ", 203.0.113.9", v4, true);
    } else if (text_is(name, "Forwarded")) {
        check_addition("Forwarded", value, ", for=203.0.113.9;proto=https", v4, false);
        check_addition("Forwarded", value, ", for=\"[2001:db8::9]:80\"", v6, false);
        check_addition("Forwarded", value, ", by=\"_b\";for=203.0.113.9;host=\",for=192.0.2.66,\"", v4,
                       false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char v4[] = "10.0.0.0/8", v6[] = "2001:db8:aaaa::/48", *networks[] = {v4, v6};
    static const struct config_list list = {networks, 2};
    struct text lines = {(const char *)data, size}, name, value;
    if (!proxies) {
        proxies = client_proxies_create(&list);
        assert(proxies);
    }
    struct client alone = read_all(&stranger, lines), behind = read_all(&proxy, lines);
    struct ip ip = client_ip(&alone);
    assert(!alone.proxied && ip_equal(&ip, &stranger));
    assert(behind.proxied);
    ip = client_ip(&behind);
    check_fit(ip);
    /* A line that the proxy adds decides, whatever stands in the caller's. */
    struct client x = behind, f = behind;
    x.forwarded.any = f.x_forwarded_for.any = false;
    client_header(&x, text_of("X-Forwarded-For"), text_of("203.0.113.9"));
    client_header(&f, text_of("Forwarded"), text_of("for=203.0.113.9"));
    static const struct ip added = {4, {203, 0, 113, 9}};
    struct ip from_x = client_ip(&x), from_f = client_ip(&f);
    assert(ip_equal(&from_x, &added) && ip_equal(&from_f, &added));
    while (next_line(&lines, &name, &value)) {
        check_line(name, value);
    }
    return 0;
}

#include "server/client.h"

#include <stdlib.h>
#include <string.h>

/* Of a node in Forwarded (RFC 7239 section 6): address, brackets and port. What is longer is none. */
#define NODE_SIZE 80
#define PORT_DIGITS 5

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct client_proxies {
    size_t count;
    struct cidr networks[];
};

/* ::ffff:0:0/96 (RFC 4291 section 2.5.5.2) */
static bool is_mapped(const struct ip *ip)
{
    static const uint8_t prefix[12] = {[10] = 0xFF, [11] = 0xFF};
    return ip->family == 6 && memcmp(ip->bytes, prefix, sizeof prefix) == 0;
}

static struct ip unmapped(const struct ip *ip)
{
    if (!is_mapped(ip)) {
        return *ip;
    }
    struct ip v4 = {.family = 4};
    memcpy(v4.bytes, ip->bytes + 12, 4);
    return v4;
}

static int order(const struct ip *a, const struct ip *b)
{
    return a->family != b->family ? a->family - b->family
                                  : memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16);
}

/* Of networks with the same first address the wider one goes first. */
static int order_networks(const void *a, const void *b)
{
    const struct cidr *left = a, *right = b;
    int ips = order(&left->ip, &right->ip);
    return ips != 0 ? ips : (int)left->bits - (int)right->bits;
}

/* Leaves the networks in order and apart from each other: one that begins inside another is part of it. */
static void tidy(struct client_proxies *proxies)
{
    size_t kept = 0;
    qsort(proxies->networks, proxies->count, sizeof(struct cidr), order_networks);
    for (size_t i = 0; i < proxies->count; i++) {
        if (kept == 0 || !cidr_contains(&proxies->networks[kept - 1], &proxies->networks[i].ip)) {
            proxies->networks[kept++] = proxies->networks[i];
        }
    }
    proxies->count = kept;
}

struct client_proxies *client_proxies_create(const struct config_list *networks)
{
    struct client_proxies *proxies = calloc(1, sizeof *proxies + networks->count * sizeof(struct cidr));
    if (!proxies) {
        return NULL;
    }
    for (size_t i = 0; i < networks->count; i++) {
        struct cidr *network = &proxies->networks[proxies->count];
        if (cidr_parse(network, networks->items[i])) {
            if (is_mapped(&network->ip) && network->bits >= 96) {
                network->ip = unmapped(&network->ip);
                network->bits -= 96;
            }
            proxies->count++;
        }
    }
    tidy(proxies);
    return proxies;
}

void client_proxies_free(struct client_proxies **proxies)
{
    free(*proxies);
    *proxies = NULL;
}

static int compare(const void *key, const void *item)
{
    const struct ip *ip = key;
    const struct cidr *network = item;
    return cidr_contains(network, ip) ? 0 : order(ip, &network->ip);
}

/* Asked for each element that a caller sends, so O(log networks). */
static bool is_proxy(const struct client_proxies *proxies, const struct ip *ip)
{
    return bsearch(ip, proxies->networks, proxies->count, sizeof(struct cidr), compare) != NULL;
}

void client_init(struct client *client, const struct client_proxies *proxies, const struct ip *peer)
{
    *client = (struct client){.proxies = proxies, .peer = unmapped(peer)};
    client->proxied = is_proxy(proxies, &client->peer);
}

/* Cuts the part before the next delimiter, without the white space around it, off *rest. With `strings`, what
 * stands in quoted strings (RFC 9110 section 5.6.4) delimits nothing. False: there is no more. */
static bool next_part(struct text *rest, char delimiter, bool strings, struct text *part)
{
    size_t len = 0;
    bool quoted = false;
    if (rest->len == 0) {
        return false;
    }
    for (; len < rest->len && (quoted || rest->data[len] != delimiter); len++) {
        if (strings && rest->data[len] == '"') {
            quoted = !quoted;
        } else if (quoted && rest->data[len] == '\\' && len + 1 < rest->len) {
            len++;
        }
    }
    *part = (struct text){rest->data, len};
    size_t used = len < rest->len ? len + 1 : len;
    *rest = (struct text){rest->data + used, rest->len - used};
    while (part->len > 0 && (part->data[0] == ' ' || part->data[0] == '\t')) {
        *part = (struct text){part->data + 1, part->len - 1};
    }
    while (part->len > 0 && (part->data[part->len - 1] == ' ' || part->data[part->len - 1] == '\t')) {
        part->len--;
    }
    return true;
}

/* At least one byte, and all of them of this set. */
static bool made_of(struct text t, const char *set)
{
    for (size_t i = 0; i < t.len; i++) {
        if (t.data[i] == '\0' || !strchr(set, t.data[i])) {
            return false;
        }
    }
    return t.len > 0;
}

/* Nothing, or a colon with a port or obfuscated port (RFC 7239 section 6). */
static bool is_port(struct text t)
{
    if (t.len < 2 || t.data[0] != ':') {
        return t.len == 0;
    }
    struct text port = {t.data + 1, t.len - 1};
    if (port.data[0] == '_') {
        return made_of((struct text){port.data + 1, port.len - 1}, DIGITS LETTERS "._-");
    }
    return port.len <= PORT_DIGITS && made_of(port, DIGITS);
}

/* ADDRESS, V4:PORT, [V6] or [V6]:PORT; of family 0 for anything else. Nobody else's reading of an address is
 * at stake, so IPv6 may lack the brackets that RFC 7239 asks for; it has no port then. */
static struct ip parse_node(struct text node)
{
    static const struct ip none = {.family = 0};
    char address[IP_TEXT_SIZE] = "";
    struct ip ip;
    bool bracketed = node.len > 0 && node.data[0] == '[';
    struct text host = node;
    if (bracketed) {
        const char *end = memchr(node.data, ']', node.len);
        if (!end) {
            return none;
        }
        host = (struct text){node.data + 1, (size_t)(end - node.data) - 1};
    } else {
        const char *colon = memchr(node.data, ':', node.len);
        size_t len = colon ? (size_t)(colon - node.data) : node.len;
        if (colon && !memchr(colon + 1, ':', node.len - len - 1)) {
            host.len = len;
        }
    }
    size_t used = host.len + (bracketed ? 2 : 0);
    if (!is_port((struct text){node.data + used, node.len - used}) || host.len >= sizeof address ||
        memchr(host.data, '\0', host.len)) {
        return none;
    }
    memcpy(address, host.data, host.len);
    if (!ip_parse(&ip, address) || (bracketed && ip.family != 6)) {
        return none;
    }
    return unmapped(&ip);
}

/* Makes the list one element longer at its right end, where the walk begins: past a proxy it goes on to what
 * was reached before, if anything was. What is no address (family 0) is no proxy either. */
static void extend(const struct client *client, struct client_walk *walk, const struct ip *ip)
{
    walk->any = true;
    if (walk->reached.family == 0 || !is_proxy(client->proxies, ip)) {
        walk->reached = *ip;
    }
}

/* Quotation marks are looked at only around an element: a lone one, sent by the caller, must not hide what
 * the proxy has written behind it. */
static void read_x_forwarded_for(struct client *client, struct text value)
{
    struct text element;
    while (next_part(&value, ',', false, &element)) {
        if (element.len > 2 && element.data[0] == '"' && element.data[element.len - 1] == '"') {
            element = (struct text){element.data + 1, element.len - 2};
        }
        if (element.len > 0) {
            struct ip ip = parse_node(element);
            extend(client, &client->x_forwarded_for, &ip);
        }
    }
}

static bool is_token(struct text t)
{
    return made_of(t, DIGITS LETTERS "!#$%&'*+-.^_`|~");
}

struct node {
    char bytes[NODE_SIZE];
    size_t len; /* may be more than there was room for */
};

static void append(struct node *node, char c)
{
    if (node->len < sizeof node->bytes) {
        node->bytes[node->len] = c;
    }
    node->len++;
}

/* A whole quoted string and nothing else. */
static bool unquote(struct text t, struct node *node)
{
    size_t i = 1;
    for (; i < t.len && t.data[i] != '"'; i++) {
        if (t.data[i] == '\\' && ++i == t.len) {
            return false;
        }
        unsigned char c = (unsigned char)t.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            return false;
        }
        append(node, (char)c);
    }
    return i + 1 == t.len;
}

/* NAME=TOKEN or NAME="STRING", without white space between (RFC 7239 section 4). */
static bool parse_pair(struct text pair, struct text *name, struct node *value)
{
    const char *equals = memchr(pair.data, '=', pair.len);
    size_t len = equals ? (size_t)(equals - pair.data) : pair.len;
    *name = (struct text){pair.data, len};
    value->len = 0;
    if (!equals || !is_token(*name)) {
        return false;
    }
    struct text right = {equals + 1, pair.len - len - 1};
    if (right.len > 0 && right.data[0] == '"') {
        return unquote(right, value);
    }
    for (size_t i = 0; i < right.len; i++) {
        append(value, right.data[i]);
    }
    return is_token(right);
}

/* Whom an element of Forwarded names; of family 0 where that is nobody, or more than one. */
static struct ip parse_element(struct text element)
{
    struct ip ip = {.family = 0};
    struct text pair, name;
    struct node value;
    unsigned fors = 0;
    while (next_part(&element, ';', true, &pair)) {
        if (pair.len == 0) {
            continue;
        }
        if (!parse_pair(pair, &name, &value)) {
            return (struct ip){.family = 0};
        }
        if (text_is(name, "for")) {
            fors++;
            if (value.len <= sizeof value.bytes) {
                ip = parse_node((struct text){value.bytes, value.len});
            }
        }
    }
    return fors == 1 ? ip : (struct ip){.family = 0};
}

/* Line by line: a string left open by the caller ends with its line. */
static void read_forwarded(struct client *client, struct text value)
{
    struct text element;
    while (next_part(&value, ',', true, &element)) {
        if (element.len > 0) {
            struct ip ip = parse_element(element);
            extend(client, &client->forwarded, &ip);
        }
    }
}

void client_header(struct client *client, struct text name, struct text value)
{
    bool x = text_is(name, "X-Forwarded-For");
    if (!x && !text_is(name, "Forwarded")) {
        return;
    }
    client->ignored = !client->proxied;
    if (client->proxied && x) {
        read_x_forwarded_for(client, value);
    } else if (client->proxied) {
        read_forwarded(client, value);
    }
}

struct ip client_ip(const struct client *client)
{
    const struct client_walk *x = &client->x_forwarded_for, *f = &client->forwarded;
    if (x->any && f->any && !ip_equal(&x->reached, &f->reached)) {
        return client->peer;
    }
    const struct ip *reached = x->any ? &x->reached : &f->reached;
    return reached->family != 0 ? *reached : client->peer;
}

void client_key(const struct ip *ip, uint8_t key[CLIENT_KEY_SIZE])
{
    struct ip plain = unmapped(ip);
    memset(key, 0, CLIENT_KEY_SIZE);
    key[0] = plain.family;
    memcpy(key + 1, plain.bytes, plain.family == 4 ? 4 : 8);
}

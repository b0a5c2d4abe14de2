#include "probe/net/target.h"

#include <assert.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(hextet) (uint8_t)((hextet) >> 8), (uint8_t)((hextet)&0xFF)

#define V4(a, b, c, d, length)                                                                               \
    {                                                                                                        \
        .ip = {.family = 4, .bytes = {a, b, c, d}}, .bits = length                                           \
    }

#define V6(a, b, c, d, e, f, g, h, length)                                                                   \
    {                                                                                                        \
        .ip = {.family = 6,                                                                                  \
               .bytes = {BYTES(a), BYTES(b), BYTES(c), BYTES(d), BYTES(e), BYTES(f), BYTES(g), BYTES(h)}},   \
        .bits = length                                                                                       \
    }

/* RFC 6052 section 2.2: bits 64 to 71 are zero, and no part of the IPv4 address around them. */
#define U_BIT 64u
#define U_OCTET (U_BIT / 8)

static const struct {
    struct cidr network;
    const char *why;
} special[] = {
#define X(network, why) {network, why},
#include "probe/net/special.def"
#undef X
};

static const struct cidr mapped = V6(0, 0, 0, 0, 0, 0xffff, 0, 0, 96); /* RFC 4291 section 2.5.5.2 */
static const struct cidr embedding[] = {
    V6(0, 0, 0, 0, 0, 0xffff, 0, 0, 96),    /* IPv4-mapped */
    V6(0, 0, 0, 0, 0, 0, 0, 0, 96),         /* IPv4-compatible: RFC 4291 section 2.5.5.1 */
    V6(0x64, 0xff9b, 0, 0, 0, 0, 0, 0, 96), /* NAT64: RFC 6052 section 2.1 */
};

/* RFC 4291 section 2.4; all that IANA has ever given out for global unicast. */
static const struct cidr global_unicast = V6(0x2000, 0, 0, 0, 0, 0, 0, 0, 3);

struct row {
    struct cidr network;
    bool allow;
};

struct address_list {
    struct ip *ips;
    size_t count, room;
};

/* The one part that changes while tests run. */
struct own {
    pthread_mutex_t lock; /* held while a few addresses are compared */
    struct address_list addresses;
};

struct target_policy {
    struct row *rows;
    size_t count, room;
    struct cidr *nat64;
    size_t nat64_count, nat64_room;
    struct own *own;
};

/* Where a connection to an address leads. */
struct destination {
    struct ip ip;    /* the address itself, or the IPv4 address inside; family 0: nowhere */
    unsigned prefix; /* bits in front of the IPv4 address inside; 0: there is none */
};

/* What stands behind the IPv4 address is not looked at: a translator ignores it (RFC 6052 section 2.2). */
static struct ip extract(const struct ip *ip, unsigned prefix)
{
    struct ip inside = {.family = 4};
    size_t from = prefix / 8;
    if (prefix <= U_BIT && ip->bytes[U_OCTET] != 0) {
        return (struct ip){0};
    }
    for (size_t i = 0; i < 4; i++) {
        from += from == U_OCTET;
        inside.bytes[i] = ip->bytes[from++];
    }
    return inside;
}

/* The longest prefix that holds the address counts, as it would for a router. */
static void look_inside(struct destination *d, const struct ip *ip, const struct cidr *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (prefixes[i].bits > d->prefix && cidr_contains(&prefixes[i], ip)) {
            *d = (struct destination){extract(ip, prefixes[i].bits), prefixes[i].bits};
        }
    }
}

/* policy NULL: no prefixes but the built-in ones. :: and ::1 have no IPv4 address inside. */
static struct destination find_destination(const struct target_policy *policy, const struct ip *ip)
{
    static const uint8_t zeros[15];
    struct destination d = {.ip = *ip};
    if (ip->family == 6 && memcmp(ip->bytes, zeros, sizeof zeros) == 0 && ip->bytes[15] <= 1) {
        return d;
    }
    look_inside(&d, ip, embedding, sizeof embedding / sizeof embedding[0]);
    if (policy != NULL) {
        look_inside(&d, ip, policy->nat64, policy->nat64_count);
    }
    return d;
}

struct target_policy *target_policy_create(void)
{
    struct target_policy *policy = calloc(1, sizeof *policy);
    struct own *own = calloc(1, sizeof *own);
    if (policy == NULL || own == NULL || pthread_mutex_init(&own->lock, NULL) != 0) {
        free(policy);
        free(own);
        return NULL;
    }
    policy->own = own;
    return policy;
}

void target_policy_free(struct target_policy **policy)
{
    if (*policy == NULL) {
        return;
    }
    free((*policy)->rows);
    free((*policy)->nat64);
    pthread_mutex_destroy(&(*policy)->own->lock);
    free((*policy)->own->addresses.ips);
    free((*policy)->own);
    free(*policy);
    *policy = NULL;
}

/* Room for one more element; NULL: out of memory, the array stays. */
static void *grow(void *array, size_t size, size_t count, size_t *room)
{
    if (count < *room) {
        return array;
    }
    size_t wanted = *room > 0 ? 2 * *room : 8;
    void *larger = reallocarray(array, wanted, size);
    if (larger != NULL) {
        *room = wanted;
    }
    return larger;
}

bool target_policy_add(struct target_policy *policy, const struct cidr *network, bool allow)
{
    struct row *rows = grow(policy->rows, sizeof *rows, policy->count, &policy->room);
    if (rows == NULL) {
        return false;
    }
    policy->rows = rows;
    struct row row = {.network = *network, .allow = allow};
    /* An IPv4 network that was written as IPv4-mapped means the IPv4 addresses too. Not so the whole mapped
     * range, which stands in many lists of networks to be denied and does not mean all of IPv4 there. */
    if (network->bits > mapped.bits && cidr_contains(&mapped, &network->ip)) {
        row.network.ip = extract(&network->ip, mapped.bits);
        row.network.bits = network->bits - mapped.bits;
    }
    rows[policy->count++] = row;
    return true;
}

bool target_nat64_valid(const struct cidr *prefix)
{
    static const unsigned lengths[] = {32, 40, 48, 56, 64, 96};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        if (prefix->ip.family == 6 && prefix->bits == lengths[i]) {
            return prefix->ip.bytes[U_OCTET] == 0;
        }
    }
    return false;
}

bool target_policy_add_nat64(struct target_policy *policy, const struct cidr *prefix)
{
    assert(target_nat64_valid(prefix));
    struct cidr *nat64 = grow(policy->nat64, sizeof *nat64, policy->nat64_count, &policy->nat64_room);
    if (nat64 == NULL) {
        return false;
    }
    policy->nat64 = nat64;
    nat64[policy->nat64_count++] = *prefix;
    return true;
}

static bool add_address(struct address_list *list, const struct sockaddr *address)
{
    struct ip ip;
    if (address == NULL || !ip_from_sockaddr(&ip, address)) {
        return true; /* of the link layer, or none */
    }
    for (size_t i = 0; i < list->count; i++) {
        if (ip_equal(&list->ips[i], &ip)) {
            return true;
        }
    }
    struct ip *ips = grow(list->ips, sizeof *ips, list->count, &list->room);
    if (ips == NULL) {
        return false;
    }
    list->ips = ips;
    ips[list->count++] = ip;
    return true;
}

/* False: out of memory. */
static bool list_own(struct address_list *list, const struct ifaddrs *interfaces)
{
    bool ok = true;
    for (const struct ifaddrs *i = interfaces; ok && i != NULL; i = i->ifa_next) {
        ok = add_address(list, i->ifa_addr);
        if (ok && (i->ifa_flags & IFF_BROADCAST) != 0) {
            ok = add_address(list, i->ifa_broadaddr);
        }
    }
    return ok;
}

bool target_policy_refresh_own(struct target_policy *policy)
{
    struct ifaddrs *interfaces;
    struct address_list fresh = {0};
    if (getifaddrs(&interfaces) != 0) {
        return false;
    }
    bool ok = list_own(&fresh, interfaces);
    freeifaddrs(interfaces);
    if (ok) {
        struct own *own = policy->own;
        pthread_mutex_lock(&own->lock);
        struct address_list old = own->addresses;
        own->addresses = fresh;
        pthread_mutex_unlock(&own->lock);
        fresh = old;
    }
    free(fresh.ips);
    if (!ok) {
        errno = ENOMEM;
    }
    return ok;
}

static bool is_own(struct own *own, const struct ip *ip)
{
    bool found = false;
    pthread_mutex_lock(&own->lock);
    for (size_t i = 0; !found && i < own->addresses.count; i++) {
        found = ip_equal(&own->addresses.ips[i], ip);
    }
    pthread_mutex_unlock(&own->lock);
    return found;
}

/* How many bits of the prefix and of the IPv4 address behind it a network of this length fixes. The u octet
 * and what stands behind the IPv4 address lead nowhere else, so naming them makes no row a closer one. */
static unsigned fixed_bits(unsigned prefix, unsigned bits)
{
    if (prefix <= U_BIT && bits > U_BIT) {
        bits = bits > U_BIT + 8 ? bits - 8 : U_BIT;
    }
    return bits < prefix + 32 ? bits : prefix + 32;
}

/* How closely a row of the operator's fits the address or the IPv4 address inside: bits that it fixes, those
 * of an IPv4 network counted behind the prefix in front; -1: not at all. A wide IPv6 network that is allowed
 * says nothing of IPv4 addresses wrapped into IPv6. */
static int fit(const struct row *row, const struct ip *ip, const struct destination *d)
{
    if (cidr_contains(&row->network, &d->ip)) {
        return (int)(d->prefix + row->network.bits);
    }
    if (d->prefix > 0 && cidr_contains(&row->network, ip) &&
        (!row->allow || row->network.bits >= d->prefix)) {
        return (int)fixed_bits(d->prefix, row->network.bits);
    }
    return -1;
}

static const char *special_reason(const struct destination *d)
{
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        if (cidr_contains(&special[i].network, &d->ip)) {
            return special[i].why;
        }
    }
    if (d->ip.family == 4 || cidr_contains(&global_unicast, &d->ip)) {
        return NULL;
    }
    if (d->ip.family == 6) {
        return "not global unicast (RFC 4291 section 2.4)";
    }
    return d->prefix > 0 ? "no translation, though in a NAT64 prefix (RFC 6052 section 2.2)"
                         : "no IP address";
}

bool target_allowed(const struct target_policy *policy, const struct ip *ip)
{
    struct destination d = find_destination(policy, ip);
    int best = -1;
    bool allow = false;
    for (size_t i = 0; i < policy->count; i++) {
        int bits = fit(&policy->rows[i], ip, &d);
        if (bits < 0 || bits < best) {
            continue;
        }
        allow = policy->rows[i].allow && (bits > best || allow);
        best = bits;
    }
    if (best >= 0) {
        return allow;
    }
    return !is_own(policy->own, ip) && !is_own(policy->own, &d.ip) && special_reason(&d) == NULL;
}

const char *target_special(const struct ip *ip)
{
    struct destination d = find_destination(NULL, ip);
    return special_reason(&d);
}

struct ip target_destination(const struct target_policy *policy, const struct ip *ip)
{
    struct destination d = find_destination(policy, ip);
    return d.ip.family != 0 ? d.ip : *ip;
}

#include "probe/net/target.h"

#include <errno.h>
#include <ifaddrs.h>
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

/* Bits in front of an IPv4 address inside an IPv6 one. */
#define EMBEDDING_BITS 96u

static const struct {
    struct cidr network;
    const char *why;
} special[] = {
#define X(network, why) {network, why},
#include "probe/net/special.def"
#undef X
};

static const struct cidr embedding[] = {
    V6(0, 0, 0, 0, 0, 0xffff, 0, 0, EMBEDDING_BITS),    /* IPv4-mapped: RFC 4291 section 2.5.5.2 */
    V6(0, 0, 0, 0, 0, 0, 0, 0, EMBEDDING_BITS),         /* IPv4-compatible: RFC 4291 section 2.5.5.1 */
    V6(0x64, 0xff9b, 0, 0, 0, 0, 0, 0, EMBEDDING_BITS), /* NAT64: RFC 6052 section 2.1 */
};

/* RFC 4291 section 2.4; all that IANA has ever given out for global unicast. */
static const struct cidr global_unicast = V6(0x2000, 0, 0, 0, 0, 0, 0, 0, 3);

struct row {
    struct cidr network;
    bool allow;
};

struct target_policy {
    struct row *rows;
    size_t count, room;
    struct ip *own;
    size_t own_count, own_room;
};

/* The address itself, or the IPv4 address inside. :: and ::1 are none of the IPv4-compatible ones. */
static struct ip judged(const struct ip *ip)
{
    static const uint8_t zeros[15];
    bool plain = ip->family == 6 && memcmp(ip->bytes, zeros, sizeof zeros) == 0 && ip->bytes[15] <= 1;
    for (size_t i = 0; !plain && i < sizeof embedding / sizeof embedding[0]; i++) {
        if (cidr_contains(&embedding[i], ip)) {
            struct ip inside = {.family = 4};
            memcpy(inside.bytes, ip->bytes + EMBEDDING_BITS / 8, 4);
            return inside;
        }
    }
    return *ip;
}

struct target_policy *target_policy_create(void)
{
    return calloc(1, sizeof(struct target_policy));
}

void target_policy_free(struct target_policy **policy)
{
    if (*policy == NULL) {
        return;
    }
    free((*policy)->rows);
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
    if (network->bits > EMBEDDING_BITS && cidr_contains(&embedding[0], &network->ip)) {
        row.network.ip = judged(&network->ip);
        row.network.bits = network->bits - EMBEDDING_BITS;
    }
    rows[policy->count++] = row;
    return true;
}

static bool add_own(struct target_policy *policy, const struct ip *ip)
{
    for (size_t i = 0; i < policy->own_count; i++) {
        if (ip_equal(&policy->own[i], ip)) {
            return true;
        }
    }
    struct ip *own = grow(policy->own, sizeof *own, policy->own_count, &policy->own_room);
    if (own == NULL) {
        return false;
    }
    policy->own = own;
    own[policy->own_count++] = *ip;
    return true;
}

bool target_policy_add_own(struct target_policy *policy)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) {
        return false;
    }
    bool ok = true;
    for (const struct ifaddrs *i = list; ok && i != NULL; i = i->ifa_next) {
        struct ip ip;
        if (i->ifa_addr != NULL && ip_from_sockaddr(&ip, i->ifa_addr)) {
            ok = add_own(policy, &ip);
        }
    }
    freeifaddrs(list);
    if (!ok) {
        errno = ENOMEM;
    }
    return ok;
}

/* How well a row of the operator's fits the address or the IPv4 address inside: bits of the 128 or 32
 * compared, those of an IPv4 network counted behind the 96 in front; -1: not at all. A wide IPv6 network that
 * is allowed says nothing of IPv4 addresses wrapped into IPv6. */
static int fit(const struct row *row, const struct ip *ip, const struct ip *inside)
{
    bool embedded = ip->family != inside->family;
    if (cidr_contains(&row->network, inside)) {
        return (int)(row->network.bits + (embedded ? EMBEDDING_BITS : 0));
    }
    if (embedded && cidr_contains(&row->network, ip) &&
        (!row->allow || row->network.bits >= EMBEDDING_BITS)) {
        return (int)row->network.bits;
    }
    return -1;
}

bool target_allowed(const struct target_policy *policy, const struct ip *ip)
{
    struct ip inside = judged(ip);
    int best = -1;
    bool allow = false;
    for (size_t i = 0; i < policy->count; i++) {
        int bits = fit(&policy->rows[i], ip, &inside);
        if (bits < 0 || bits < best) {
            continue;
        }
        allow = policy->rows[i].allow && (bits > best || allow);
        best = bits;
    }
    if (best >= 0) {
        return allow;
    }
    for (size_t i = 0; i < policy->own_count; i++) {
        if (ip_equal(&policy->own[i], &inside)) {
            return false;
        }
    }
    return target_special(ip) == NULL;
}

const char *target_special(const struct ip *ip)
{
    struct ip inside = judged(ip);
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        if (cidr_contains(&special[i].network, &inside)) {
            return special[i].why;
        }
    }
    if (inside.family == 4 || cidr_contains(&global_unicast, &inside)) {
        return NULL;
    }
    return inside.family == 6 ? "not global unicast (RFC 4291 section 2.4)" : "no IP address";
}

/* target.h: which addresses may be connected to. The operator's rows come first (longest prefix among them,
 * deny wins a tie); where none matches, this machine's own addresses and the IANA special-purpose registries
 * decide. An IPv6 address with an IPv4 address inside leads to that one and is judged by it: IPv4-mapped,
 * IPv4-compatible, NAT64. Pure but for target_policy_refresh_own(). */
#ifndef NET_TARGET_H
#define NET_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/base/ip.h"

struct target_policy;

/* A policy as whoever connects asks it. */
struct target_guard {
    bool (*allowed)(const void *context, const struct ip *ip);
    const void *context;
};

/* NULL: out of memory. */
struct target_policy *target_policy_create(void);
void target_policy_free(struct target_policy **policy);

/* Adds a row of the operator's. False: out of memory. */
bool target_policy_add(struct target_policy *policy, const struct cidr *network, bool allow);

/* Whether a network can be a NAT64 prefix: IPv6, one of the lengths of RFC 6052 section 2.2, bits 64 to 71
 * zero. */
bool target_nat64_valid(const struct cidr *prefix);

/* Adds a NAT64 prefix of this network's own beside 64:ff9b::/96; it must be a valid one. Addresses in it
 * whose bits 64 to 71 are not zero are no translations and are forbidden. False: out of memory. */
bool target_policy_add_nat64(struct target_policy *policy, const struct cidr *prefix);

/* Takes the addresses of this machine's interfaces, and the broadcast addresses of their networks, as
 * forbidden (unless an operator's row allows them), in place of those taken before. May be called while other
 * threads ask target_allowed(); all else that changes a policy may not. False, errno set: they could not be
 * read, and those taken before stay. */
bool target_policy_refresh_own(struct target_policy *policy);

/* Whether a test may connect to this address. O(rows). Any thread may ask. */
bool target_allowed(const struct target_policy *policy, const struct ip *ip);

/* Where a connection to the address leads: the IPv4 address inside, else the address itself. */
struct ip target_destination(const struct target_policy *policy, const struct ip *ip);

/* Why the built-in list forbids the address, with its RFC; NULL where it does not. */
const char *target_special(const struct ip *ip);

#endif

/* target.h: which addresses may be connected to. The operator's rows come first (longest prefix among them,
 * deny wins a tie); where none matches, this machine's own addresses and the IANA special-purpose registries
 * decide, an IPv4 address embedded in IPv6 being judged by itself. Pure but for target_policy_add_own(). */
#ifndef NET_TARGET_H
#define NET_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/base/ip.h"

struct target_policy;

/* NULL: out of memory. */
struct target_policy *target_policy_create(void);
void target_policy_free(struct target_policy **policy);

/* Adds a row of the operator's. False: out of memory. */
bool target_policy_add(struct target_policy *policy, const struct cidr *network, bool allow);

/* Takes the addresses of this machine's interfaces as forbidden (unless an operator's row allows them).
 * False, errno set: they could not be read. */
bool target_policy_add_own(struct target_policy *policy);

/* Whether a test may connect to this address. O(rows). */
bool target_allowed(const struct target_policy *policy, const struct ip *ip);

/* Why the built-in list forbids the address, with its RFC; NULL where it does not. */
const char *target_special(const struct ip *ip);

#endif

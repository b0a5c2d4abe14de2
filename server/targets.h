/* targets.h: which addresses may be tested, and how often each: the policy and the limit of the operator put
 * together, as the tests ask for them. */
#ifndef SERVER_TARGETS_H
#define SERVER_TARGETS_H

#include <stddef.h>

#include "probe/net/target.h"
#include "probe/probe.h"
#include "server/config.h"

struct targets;

/* NULL with a sentence in `why`. */
struct targets *targets_create(const struct config *config, char *why, size_t why_size);
void targets_free(struct targets **targets);

/* For struct probe_env; any thread may ask. The permit is answered at once. */
struct target_guard targets_guard(struct targets *targets);
unsigned targets_permit(void *targets, struct permit *permit);

/* What the tests of an address are counted under: however it is wrapped, it is the machine behind it that is
 * spared. */
#define TARGET_KEY_SIZE 17
void targets_key(const struct targets *targets, const struct ip *ip, uint8_t key[TARGET_KEY_SIZE]);

/* Follows changes of this machine's own addresses, as the guard does by itself now and then; any thread. */
void targets_refresh(struct targets *targets);

#endif

/* targets.h: which addresses may be tested, and how often each: the policy and the limit of the operator put
 * together, as the tests ask for them. */
#ifndef SERVER_TARGETS_H
#define SERVER_TARGETS_H

#include <stddef.h>

#include "probe/net/target.h"
#include "server/config.h"

struct targets;

/* NULL with a sentence in `why`. */
struct targets *targets_create(const struct config *config, char *why, size_t why_size);
void targets_free(struct targets **targets);

/* For struct probe_env; any thread may ask. */
struct target_guard targets_guard(struct targets *targets);
unsigned targets_permit(void *targets, const struct ip *ip);

/* Follows changes of this machine's own addresses, as the guard does by itself now and then; any thread. */
void targets_refresh(struct targets *targets);

#endif

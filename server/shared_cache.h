/* shared_cache.h: what several replicas share through a Redis server: results of tests, and how often an
 * address was tested of late. Each goes on with its own alone where the server does not answer.
 *
 * Results made with other options that shape a report (resolvers and the whole test's limit are none), other
 * roots or by another version are not found, nor is what was changed in the server. */
#ifndef SERVER_SHARED_CACHE_H
#define SERVER_SHARED_CACHE_H

#include <uv.h>

#include "probe/net/tls.h"
#include "probe/probe.h"
#include "server/cache.h"
#include "server/config.h"
#include "server/job.h"
#include "server/targets.h"

struct shared_cache; /* of the process */
struct shared_link;  /* of a worker, in its thread alone */

/* Figures since the start. */
struct shared_cache_stats {
    bool up; /* it answered when it was asked last */
    uint64_t hits, misses, stored;
    uint64_t permitted, limited; /* tests of an address */
    uint64_t unavailable;        /* questions that were left to this replica alone */
    uint64_t errors;             /* the server answered with an error, or with what cannot be */
    uint64_t rejected;           /* results that were found and not believed */
    uint64_t failures;           /* connections that failed or could not be made */
};

/* For config.shared_cache; `targets` must outlive it. NULL with a sentence in `why`. */
struct shared_cache *shared_cache_create(const struct config *config, struct targets *targets, char *why,
                                         size_t why_size);

/* When all links are closed. */
void shared_cache_free(struct shared_cache **cache);

/* Any thread. */
void shared_cache_stats(const struct shared_cache *cache, struct shared_cache_stats *stats);

/* NULL: no memory. */
struct shared_link *shared_link_open(struct shared_cache *cache, uv_loop_t *loop, const struct tls_env *tls);

/* Nothing may be asked any more; the memory goes once the loop has closed what is open. */
void shared_link_close(struct shared_link **link);

/* Jobs looked up from now on are tested with other roots. */
void shared_link_set_roots(struct shared_link *link, const struct tls_env *tls);

/* Looks for the result of a job that begins. True: on_looked_up follows from the loop, unless
 * shared_link_forget() comes first; where `found`, the job is filled in as if it had been tested. */
bool shared_link_look_up(struct shared_link *link, struct job *job,
                         void (*on_looked_up)(struct job *job, bool found));
void shared_link_forget(struct job *job);

/* Keeps the result of a job that has begun here. */
void shared_link_store(struct shared_link *link, const struct job *job, const struct cached *report);

/* For struct probe_env, with the link as context: the limit of all replicas, and this one's. */
unsigned shared_link_permit(void *link, struct permit *permit);
void shared_link_withdraw(void *link, struct permit *permit);

#endif

/* admission.h: who gets a test: limits, single flight, the short-lived cache, and the bound on tests under
 * way.
 *
 * A request asks once. It is answered at once, or waits with all others that ask the same until the one test
 * is done. Clients take turns, and the more tests a client has under way, the more places it leaves free for
 * others. Any thread. */
#ifndef SERVER_ADMISSION_H
#define SERVER_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/cache.h"
#include "server/client.h"
#include "server/job.h"
#include "server/limiter.h"
#include "server/pool.h"

struct admission;
struct flight;
struct metrics;

struct admission_env {
    struct pool *pool;
    struct limiter *clients; /* tests of a client */
    size_t max_in_flight;
    unsigned cache_seconds; /* 0: neither cache nor single flight */
    struct metrics *metrics;
};

/* How a test ended, for one of those who asked for it. */
struct answer {
    enum job_result result;
    struct cached report;   /* JOB_REPORTED; the body is held for the taker */
    unsigned retry_after_s; /* JOB_LIMITED */
    bool cached;            /* the test was not started by this very request */
    unsigned age_s;         /* since the test was done */
    unsigned max_age_s;     /* how long the result may answer again in all; 0: not at all */
};

/* One who waits; lives in the request. Calls come while and after the admission's own calls, never within. */
struct waiter {
    struct waiter *next, **link;
    struct flight *flight;       /* NULL: does not wait, or no more */
    const struct origin *origin; /* for the log of a test that it starts; NULL: nothing is known */
    /* Before it waits, from within admission_ask(): no answer can come earlier. */
    void (*on_wait)(struct waiter *waiter);
    /* Once, from a worker's thread, unless admission_forsake() came first; the waiter is its owner's again.
     */
    void (*on_answer)(struct waiter *waiter, const struct answer *answer);
};

enum admission_result {
    ADMISSION_ANSWERED, /* *answer holds the result */
    ADMISSION_WAITING,  /* on_answer follows */
    ADMISSION_LIMITED,  /* the client has asked for too many; answer->retry_after_s */
    ADMISSION_FULL,
    ADMISSION_STOPPING,
    ADMISSION_NO_MEMORY
};

/* NULL: out of memory. The environment's parts must outlive it. */
struct admission *admission_create(const struct admission_env *env);

/* Only when nothing is in flight and the pool has ended. */
void admission_free(struct admission **admission);

/* `client`: whose limit, turn and share count. `now`: ns of CLOCK_MONOTONIC. */
enum admission_result admission_ask(struct admission *admission, const struct query *query,
                                    const uint8_t client[CLIENT_KEY_SIZE], uint64_t now,
                                    struct waiter *waiter, struct answer *answer);

/* The caller is gone. True: it waited, and will get no answer; a test that nobody else waits for is cut
 * short. False: its answer is on the way. */
bool admission_forsake(struct admission *admission, struct waiter *waiter);

/* Results so far answer no more, but for those that replicas share: see shared_link_set_roots(). */
void admission_forget(struct admission *admission);

/* From now on others are to be asked, so the service is not ready; whoever asks nevertheless gets a test. */
void admission_retire(struct admission *admission);
bool admission_retiring(struct admission *admission);

/* From now on nothing enters. */
void admission_stop(struct admission *admission);
bool admission_full(struct admission *admission);

/* How it stands at this moment. */
struct admission_state {
    size_t in_flight;
    size_t cache_entries, cache_bytes;
    bool stopping, full; /* as /readyz goes by them */
};

struct admission_state admission_state(struct admission *admission);

/* Waits until nothing is in flight; false when `ms` were over first. */
bool admission_wait_idle(struct admission *admission, unsigned ms);

#endif

/* worker.h: a thread with its own event loop and resolver that runs thousands of tests at a time. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <stdatomic.h>
#include <stddef.h>

#include "probe/probe.h"

struct cached;
struct job;
struct metrics;
struct shared_cache;
struct turns;
struct worker;

/* What all workers share; but for `tls` constant while they run. */
struct worker_env {
    struct tls_env *tls; /* each worker holds it for itself */
    struct probe_settings settings;
    struct target_guard guard;
    unsigned (*permit)(void *context,
                       struct permit *permit); /* as in struct probe_env; any thread, at once */
    void *permit_context;
    struct shared_cache *shared; /* asked before both; NULL: this replica is alone */
    const char *dns_servers;     /* as dns_create() takes them */
    unsigned dns_timeout_ms;
    struct metrics *metrics; /* NULL: nothing is counted */
};

/* Starts the thread, which takes its jobs from `turns`. NULL with a sentence in `why`. */
struct worker *worker_create(const struct worker_env *env, struct turns *turns, char *why, size_t why_size);

/* Exchanges the TLS environment for the jobs that start from now on. Any thread. */
void worker_set_tls(struct worker *worker, struct tls_env *tls);

/* One more job waits, and this worker is to take one: that whose turn it is then. Any thread. */
void worker_call(struct worker *worker);

/* Nobody waits for the job any more: it is soon done, or when its turn comes, with JOB_CANCELLED unless it
 * was done by itself. Any thread, as long as the job is known not to be done yet. */
void worker_drop(struct job *job);

/* Lets other replicas have the result of a job that a worker has just handed back, in its thread. */
void worker_share(const struct job *job, const struct cached *report);

/* Jobs to be taken, or taken and not yet done. Any thread. */
size_t worker_load(struct worker *worker);

/* Cuts all jobs short: each is done with JOB_CANCELLED, those taken later as well. */
void worker_cancel(struct worker *worker);

/* Ends the thread once its jobs are done, waits for it, and frees. */
void worker_free(struct worker **worker);

#endif

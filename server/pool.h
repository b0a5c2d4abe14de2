/* pool.h: the workers together: spreads jobs over them, stops them. */
#ifndef SERVER_POOL_H
#define SERVER_POOL_H

#include "server/turns.h"
#include "server/worker.h"

struct pool;

/* Starts `count` workers; `env` must outlive the pool. NULL with a sentence in `why`. */
struct pool *pool_create(size_t count, const struct worker_env *env, char *why, size_t why_size);

/* The job waits for its client's turn, and the least loaded worker is to take one more; its on_done comes
 * from the thread of that which takes it. Any thread. */
void pool_submit(struct pool *pool, struct lane *lane, struct job *job);

/* Exchanges the TLS environment for the jobs that start from now on. */
void pool_set_tls(struct pool *pool, struct tls_env *tls);

/* Cuts all jobs short, also those submitted later. */
void pool_cancel(struct pool *pool);

/* Waits for the jobs that are left, ends the threads, frees. */
void pool_free(struct pool **pool);

#endif

#include "server/pool.h"

#include <stdlib.h>

struct pool {
    size_t count;
    atomic_size_t turn; /* so that idle workers take turns */
    struct turns *turns;
    struct worker *workers[];
};

struct pool *pool_create(size_t count, const struct worker_env *env, char *why, size_t why_size)
{
    struct pool *pool = calloc(1, sizeof *pool + count * sizeof(struct worker *));
    if (!pool || !(pool->turns = turns_create())) {
        free(pool);
        return NULL;
    }
    for (; pool->count < count; pool->count++) {
        pool->workers[pool->count] = worker_create(env, pool->turns, why, why_size);
        if (!pool->workers[pool->count]) {
            pool_free(&pool);
            return NULL;
        }
    }
    return pool;
}

void pool_submit(struct pool *pool, struct lane *lane, struct job *job)
{
    size_t first = atomic_fetch_add(&pool->turn, 1) % pool->count;
    struct worker *best = pool->workers[first];
    for (size_t i = 1; i < pool->count; i++) {
        struct worker *other = pool->workers[(first + i) % pool->count];
        if (worker_load(other) < worker_load(best)) {
            best = other;
        }
    }
    turns_add(pool->turns, lane, job);
    worker_call(best);
}

void pool_set_tls(struct pool *pool, struct tls_env *tls)
{
    for (size_t i = 0; i < pool->count; i++) {
        worker_set_tls(pool->workers[i], tls);
    }
}

void pool_cancel(struct pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        worker_cancel(pool->workers[i]);
    }
}

void pool_free(struct pool **pool)
{
    struct pool *p = *pool;
    *pool = NULL;
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        worker_free(&p->workers[i]);
    }
    turns_free(&p->turns);
    free(p);
}

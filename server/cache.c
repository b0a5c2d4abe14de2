#include "server/cache.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define NS_PER_S 1000000000u

struct kept {
    TAILQ_ENTRY(kept) recent;
    uint64_t stored;
    struct cached result;
    size_t bytes;
    const char *key; /* stands behind it */
};

TAILQ_HEAD(recency, kept);

struct cache {
    struct recency used; /* the most recently used first */
    void *tree;          /* by key; balanced, so that no choice of keys makes it slow */
    size_t count, bytes, max_count, max_bytes;
    uint64_t lifetime;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct kept *)a)->key, ((const struct kept *)b)->key);
}

struct cache *cache_create(unsigned seconds, size_t entries, size_t bytes)
{
    struct cache *c = calloc(1, sizeof *c);
    if (c) {
        TAILQ_INIT(&c->used);
        c->max_count = entries;
        c->max_bytes = bytes;
        c->lifetime = (uint64_t)seconds * NS_PER_S;
    }
    return c;
}

static void forget(struct cache *c, struct kept *k)
{
    (void)tdelete(k, &c->tree, compare);
    TAILQ_REMOVE(&c->used, k, recent);
    c->count--;
    c->bytes -= k->bytes;
    shared_release(k->result.body);
    free(k);
}

void cache_clear(struct cache *c)
{
    while (!TAILQ_EMPTY(&c->used)) {
        forget(c, TAILQ_FIRST(&c->used));
    }
}

void cache_free(struct cache **cache)
{
    if (*cache) {
        cache_clear(*cache);
    }
    free(*cache);
    *cache = NULL;
}

static struct kept *kept_create(const char *key, const struct cached *result, uint64_t now)
{
    size_t len = strlen(key);
    struct kept *k = malloc(sizeof *k + len + 1);
    if (k) {
        *k = (struct kept){.stored = now, .result = *result};
        k->bytes = sizeof *k + len + 1 + shared_len(result->body);
        k->key = memcpy(k + 1, key, len + 1);
        (void)shared_hold(result->body);
    }
    return k;
}

static void kept_free(struct kept *k)
{
    shared_release(k->result.body);
    free(k);
}

void cache_put(struct cache *c, const char *key, const struct cached *result, uint64_t now)
{
    struct kept *k = c->lifetime > 0 ? kept_create(key, result, now) : NULL;
    if (!k) {
        return;
    }
    if (k->bytes > c->max_bytes || c->max_count == 0) {
        kept_free(k);
        return;
    }
    struct kept **old = tfind(k, &c->tree, compare);
    if (old) {
        forget(c, *old);
    }
    while (c->count > 0 && (c->count >= c->max_count || c->bytes + k->bytes > c->max_bytes)) {
        forget(c, TAILQ_LAST(&c->used, recency));
    }
    if (!tsearch(k, &c->tree, compare)) {
        kept_free(k);
        return;
    }
    TAILQ_INSERT_HEAD(&c->used, k, recent);
    c->count++;
    c->bytes += k->bytes;
}

bool cache_get(struct cache *c, const char *key, uint64_t now, struct cached *result, uint64_t *age)
{
    const struct kept like = {.key = key};
    struct kept **found = tfind(&like, &c->tree, compare);
    if (!found) {
        return false;
    }
    struct kept *k = *found;
    uint64_t passed = now > k->stored ? now - k->stored : 0;
    if (passed >= c->lifetime) {
        forget(c, k);
        return false;
    }
    TAILQ_REMOVE(&c->used, k, recent);
    TAILQ_INSERT_HEAD(&c->used, k, recent);
    *result = k->result;
    (void)shared_hold(k->result.body);
    *age = passed;
    return true;
}

size_t cache_count(const struct cache *c)
{
    return c->count;
}

size_t cache_bytes(const struct cache *c)
{
    return c->bytes;
}

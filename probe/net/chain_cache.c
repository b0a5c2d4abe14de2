#include <gnutls/crypto.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "probe/base/arena.h"
#include "probe/base/memory.h"
#include "probe/net/chain_cache_internal.h"

struct kept {
    TAILQ_ENTRY(kept) recent;
    uint8_t key[CHAIN_KEY_BYTES];
    struct period period;
    struct certificate facts; /* what it points to lies in the arena */
    struct arena arena;
};

TAILQ_HEAD(recency, kept);

struct chain_cache {
    struct recency used; /* the most recently used first */
    void *tree;          /* by key */
    size_t count, bytes, max_count, max_bytes;
    gnutls_hash_hd_t hash;
    bool hash_failed;
    struct chain_cache_uses uses;
};

static int compare(const void *a, const void *b)
{
    return memcmp(((const struct kept *)a)->key, ((const struct kept *)b)->key, CHAIN_KEY_BYTES);
}

struct chain_cache *chain_cache_create(size_t entries, size_t bytes)
{
    struct chain_cache *c = calloc(1, sizeof *c);
    if (!c) {
        return NULL;
    }
    TAILQ_INIT(&c->used);
    c->max_count = entries;
    c->max_bytes = bytes;
    memory_guard_enter();
    int r = gnutls_hash_init(&c->hash, GNUTLS_DIG_SHA256);
    if (!memory_guard_leave() || r < 0) {
        c->hash = r < 0 ? NULL : c->hash;
        chain_cache_free(&c);
    }
    return c;
}

static void kept_free(struct kept *k)
{
    arena_deinit(&k->arena);
    free(k);
}

static size_t kept_bytes(const struct kept *k)
{
    return sizeof *k + k->arena.used;
}

static void forget(struct chain_cache *c, struct kept *k)
{
    (void)tdelete(k, &c->tree, compare);
    TAILQ_REMOVE(&c->used, k, recent);
    c->count--;
    c->bytes -= kept_bytes(k);
    kept_free(k);
}

void chain_cache_clear(struct chain_cache *c)
{
    while (!TAILQ_EMPTY(&c->used)) {
        forget(c, TAILQ_FIRST(&c->used));
    }
}

void chain_cache_free(struct chain_cache **cache)
{
    struct chain_cache *c = *cache;
    *cache = NULL;
    if (c) {
        chain_cache_clear(c);
        if (c->hash) {
            gnutls_hash_deinit(c->hash, NULL);
        }
        free(c);
    }
}

void chain_key_add(struct chain_cache *c, const void *data, size_t len)
{
    uint64_t length = len;
    c->hash_failed |=
        gnutls_hash(c->hash, &length, sizeof length) < 0 || (len > 0 && gnutls_hash(c->hash, data, len) < 0);
}

bool chain_key_end(struct chain_cache *c, uint8_t key[CHAIN_KEY_BYTES])
{
    bool made = !c->hash_failed;
    gnutls_hash_output(c->hash, key); /* begins anew, too */
    c->hash_failed = false;
    return made;
}

static struct kept *find(struct chain_cache *c, const uint8_t key[CHAIN_KEY_BYTES])
{
    struct kept like;
    memcpy(like.key, key, CHAIN_KEY_BYTES);
    struct kept **found = tfind(&like, &c->tree, compare);
    return found ? *found : NULL;
}

bool chain_cache_get(struct chain_cache *c, const uint8_t key[CHAIN_KEY_BYTES], int64_t now,
                     struct certificate *facts, struct arena *arena)
{
    struct kept *k = find(c, key);
    if (!k || !period_holds(&k->period, now)) {
        return false;
    }
    TAILQ_REMOVE(&c->used, k, recent);
    TAILQ_INSERT_HEAD(&c->used, k, recent);
    if (facts) {
        certificate_copy(facts, &k->facts, arena);
    }
    return true;
}

/* NULL: too large, or out of memory. */
static struct kept *kept_create(const struct chain_cache *c, const uint8_t key[CHAIN_KEY_BYTES],
                                const struct period *period, const struct certificate *facts)
{
    struct kept *k = c->max_bytes > sizeof *k ? malloc(sizeof *k) : NULL;
    if (!k) {
        return NULL;
    }
    *k = (struct kept){.period = *period};
    memcpy(k->key, key, CHAIN_KEY_BYTES);
    arena_init(&k->arena, c->max_bytes - sizeof *k);
    if (facts) {
        certificate_copy(&k->facts, facts, &k->arena);
    }
    if (k->arena.failed) {
        kept_free(k);
        return NULL;
    }
    return k;
}

static void add(struct chain_cache *c, const uint8_t key[CHAIN_KEY_BYTES], const struct period *period,
                const struct certificate *facts)
{
    struct kept *k = kept_create(c, key, period, facts), *old = find(c, key);
    if (!k) {
        return;
    }
    if (old) {
        forget(c, old);
    }
    while (c->count > 0 && (c->count >= c->max_count || c->bytes + kept_bytes(k) > c->max_bytes)) {
        forget(c, TAILQ_LAST(&c->used, recency));
    }
    if (!tsearch(k, &c->tree, compare)) {
        kept_free(k);
        return;
    }
    TAILQ_INSERT_HEAD(&c->used, k, recent);
    c->count++;
    c->bytes += kept_bytes(k);
}

void chain_cache_put(struct chain_cache *c, const uint8_t key[CHAIN_KEY_BYTES], const struct period *period,
                     const struct certificate *facts)
{
    unsigned long failures = memory_failures();
    if (c->max_count == 0) {
        return;
    }
    add(c, key, period, facts);
    /* A guarded thread may have been given of the reserve: that, and all else, is given back. */
    if (memory_failures() != failures) {
        chain_cache_clear(c);
    }
}

size_t chain_cache_count(const struct chain_cache *c)
{
    return c->count;
}

size_t chain_cache_bytes(const struct chain_cache *c)
{
    return c->bytes;
}

struct chain_cache_uses *chain_cache_uses(struct chain_cache *c)
{
    return &c->uses;
}

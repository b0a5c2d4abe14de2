#include "api/piece_cache.h"

#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"

/* Where a key may lie: a set of a few places, so that a search ends soon whatever the keys. */
#define SETS 256u
#define WAYS 4u

struct kept {
    uint64_t hash;
    size_t key_len, len;
    bool cut;
    unsigned char bytes[]; /* key, then text */
};

struct piece_cache {
    struct kept *sets[SETS][WAYS]; /* in each the most recently used first */
    size_t count, bytes, max_bytes;
    uint64_t hash;
    bool too_long; /* the key has no room */
    size_t key_len;
    unsigned char key[LIMIT_PIECE_BYTES];
};

struct piece_cache *piece_cache_create(size_t bytes)
{
    struct piece_cache *c = calloc(1, sizeof *c);
    if (c != NULL) {
        c->max_bytes = bytes;
    }
    return c;
}

static void forget(struct piece_cache *c, struct kept **place)
{
    struct kept *k = *place;
    if (k != NULL) {
        c->bytes -= sizeof *k + k->key_len + k->len;
        c->count--;
        free(k);
        *place = NULL;
    }
}

static void forget_all(struct piece_cache *c)
{
    for (size_t set = 0; set < SETS; set++) {
        for (size_t way = 0; way < WAYS; way++) {
            forget(c, &c->sets[set][way]);
        }
    }
}

void piece_cache_free(struct piece_cache **cache)
{
    if (*cache != NULL) {
        forget_all(*cache);
    }
    free(*cache);
    *cache = NULL;
}

static void append(struct piece_cache *c, const void *bytes, size_t len)
{
    if (len > sizeof c->key - c->key_len) {
        c->too_long = true;
    } else if (len > 0) {
        memcpy(c->key + c->key_len, bytes, len);
        c->key_len += len;
    }
}

void piece_cache_key(struct piece_cache *c, unsigned kind)
{
    c->key_len = 0;
    c->too_long = false;
    append(c, &kind, sizeof kind);
}

void piece_cache_number(struct piece_cache *c, int64_t number)
{
    append(c, &number, sizeof number);
}

void piece_cache_bytes(struct piece_cache *c, const void *bytes, size_t len)
{
    append(c, &len, sizeof len);
    append(c, bytes, len);
}

void piece_cache_text(struct piece_cache *c, struct text text)
{
    if (text.data != NULL) {
        piece_cache_bytes(c, text.data, text.len);
    } else {
        piece_cache_number(c, -1);
    }
}

void piece_cache_own(struct piece_cache *c, const char *s)
{
    piece_cache_text(c, text_of(s));
}

/* Eight bytes at a time. Keys that share a hash can be made at will; they only drive each other out of a set.
 */
static uint64_t hash_of(const unsigned char *bytes, size_t len)
{
    uint64_t hash = len;
    while (len > 0) {
        uint64_t word = 0;
        size_t step = len < sizeof word ? len : sizeof word;
        memcpy(&word, bytes, step);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
        bytes += step;
        len -= step;
    }
    return hash;
}

static void put_first(struct kept **set, size_t way)
{
    struct kept *k = set[way];
    memmove(set + 1, set, way * sizeof set[0]);
    set[0] = k;
}

bool piece_cache_find(struct piece_cache *c, struct piece *piece)
{
    if (c->too_long) {
        return false;
    }
    c->hash = hash_of(c->key, c->key_len);
    struct kept **set = c->sets[c->hash % SETS];
    for (size_t way = 0; way < WAYS && set[way] != NULL; way++) {
        const struct kept *k = set[way];
        if (k->hash == c->hash && k->key_len == c->key_len && memcmp(k->bytes, c->key, c->key_len) == 0) {
            *piece = (struct piece){(const char *)k->bytes + k->key_len, k->len, k->cut};
            put_first(set, way);
            return true;
        }
    }
    return false;
}

void piece_cache_keep(struct piece_cache *c, const struct piece *piece)
{
    size_t size = sizeof(struct kept) + c->key_len + piece->len;
    if (c->too_long || piece->len > LIMIT_PIECE_BYTES || size > c->max_bytes) {
        return;
    }
    struct kept *k = malloc(size);
    if (k == NULL) {
        return;
    }
    *k = (struct kept){.hash = c->hash, .key_len = c->key_len, .len = piece->len, .cut = piece->cut};
    memcpy(k->bytes, c->key, c->key_len);
    memcpy(k->bytes + c->key_len, piece->text, piece->len);
    if (size > c->max_bytes - c->bytes) {
        forget_all(c); /* what is used is soon there again */
    }
    struct kept **set = c->sets[c->hash % SETS];
    forget(c, &set[WAYS - 1]);
    set[WAYS - 1] = k;
    put_first(set, WAYS - 1);
    c->count++;
    c->bytes += size;
}

size_t piece_cache_count(const struct piece_cache *c)
{
    return c->count;
}

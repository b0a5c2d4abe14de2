/* piece_cache.h: pieces of JSON text that were written before, for reports that say the same again: each is
 * found by all that it was made from. Bounded; what was not used for longest goes first among a few. Knows
 * neither JSON nor any clock or lock: it belongs to one thread. For the api room, server only creates and
 * frees it. */
#ifndef API_PIECE_CACHE_H
#define API_PIECE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/base/text.h"

struct piece_cache;

struct piece {
    const char *text;
    size_t len;
    bool cut; /* some string in it was too long to be shown whole */
};

/* Bounded by the bytes of all pieces and their keys. NULL: out of memory. */
struct piece_cache *piece_cache_create(size_t bytes);
void piece_cache_free(struct piece_cache **cache);

/* A key: its kind, then each fact that the piece depends on, in an order of the kind's own. Every call tells
 * where its bytes end, so that no two lists of facts make one key. */
void piece_cache_key(struct piece_cache *cache, unsigned kind);
void piece_cache_number(struct piece_cache *cache, int64_t number);
void piece_cache_bytes(struct piece_cache *cache, const void *bytes, size_t len);
void piece_cache_text(struct piece_cache *cache,
                      struct text text);                        /* the absent text is unlike an empty one */
void piece_cache_own(struct piece_cache *cache, const char *s); /* NULL: the absent text */

/* What is kept under the key; lent until the next call that keeps something. */
bool piece_cache_find(struct piece_cache *cache, struct piece *piece);

/* Keeps a copy under the key that was last looked for in vain; one that is too large, or that no memory is
 * left for, is not kept. */
void piece_cache_keep(struct piece_cache *cache, const struct piece *piece);

size_t piece_cache_count(const struct piece_cache *cache);

#endif

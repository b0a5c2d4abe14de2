/* chain_cache_internal.h: reading and filling the memory of chain_cache.h; for the net room only. */
#ifndef NET_CHAIN_CACHE_INTERNAL_H
#define NET_CHAIN_CACHE_INTERNAL_H

#include <stdbool.h>

#include "probe/net/chain_cache.h"
#include "probe/net/period.h"
#include "probe/report/certificate.h"

#define CHAIN_KEY_BYTES 32u

struct arena;

/* A key is the SHA-256 of parts, each with its length before it. False at the end: no key could be made. */
void chain_key_add(struct chain_cache *cache, const void *data, size_t len);
bool chain_key_end(struct chain_cache *cache, uint8_t key[CHAIN_KEY_BYTES]);

/* What is kept under the key and holds at `now` (seconds since 1970); its facts are copied into the arena,
 * whose failure is to be looked at. `facts` may be NULL. */
bool chain_cache_get(struct chain_cache *cache, const uint8_t key[CHAIN_KEY_BYTES], int64_t now,
                     struct certificate *facts, struct arena *arena);

/* Keeps a copy of the facts (NULL: none) under the key, in place of older ones. Where memory runs short
 * nothing is kept. */
void chain_cache_put(struct chain_cache *cache, const uint8_t key[CHAIN_KEY_BYTES],
                     const struct period *period, const struct certificate *facts);

#endif

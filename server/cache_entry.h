/* cache_entry.h: a result as it lies in a store that replicas share: a head of fixed size, a keyed hash, the
 * body. Pure; what comes back from the store is taken for anything at all until it has been checked. */
#ifndef SERVER_CACHE_ENTRY_H
#define SERVER_CACHE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/base/text.h"
#include "server/cache.h"

#define CACHE_ENTRY_KEY_SIZE 32
#define CACHE_ENTRY_HEAD_SIZE 108

/* What was stored; the body lies in the bytes that were read. */
struct cache_entry {
    struct cached report; /* without body */
    unsigned lifetime_s;  /* how long the store keeps it in all */
    struct text body;
};

/* malloc'd, the caller's. The hash is made with `key`, over the name that it is stored under too. NULL: no
 * memory, or a body too long to be shared. */
char *cache_entry_encode(const uint8_t key[CACHE_ENTRY_KEY_SIZE], struct text name,
                         const struct cached *report, unsigned lifetime_s, size_t *len);

/* False: this was not stored by one of us under this name, or not as it is now. */
bool cache_entry_decode(const uint8_t key[CACHE_ENTRY_KEY_SIZE], struct text name, struct text bytes,
                        struct cache_entry *entry);

/* Writes the hash that the bytes, CACHE_ENTRY_HEAD_SIZE at least, should have into its place. */
void cache_entry_seal(const uint8_t key[CACHE_ENTRY_KEY_SIZE], struct text name, uint8_t *bytes, size_t len);

#endif

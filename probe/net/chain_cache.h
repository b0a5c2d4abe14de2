/* chain_cache.h: what was found out about certificate chains, for servers that show the same one again: the
 * verdict and the facts as shown, and which issuers led to a trusted root. Bounded; the least recently used
 * goes first. Knows no clock and no lock: it belongs to one event loop. */
#ifndef NET_CHAIN_CACHE_H
#define NET_CHAIN_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct chain_cache;

/* How chains came by their verdicts. */
struct chain_cache_uses {
    uint64_t verified;    /* chains parsed and verified */
    uint64_t below_known; /* of these, by the signature on the leaf alone: its issuers were known */
    uint64_t recalled;    /* chains neither parsed nor verified */
};

/* Bounded by the number of entries (0: nothing is kept) and by the bytes of them all. NULL: out of memory. */
struct chain_cache *chain_cache_create(size_t entries, size_t bytes);
void chain_cache_free(struct chain_cache **cache);

/* Forgets all. What was verified against other roots is not found in any case; this gives the memory back. */
void chain_cache_clear(struct chain_cache *cache);

size_t chain_cache_count(const struct chain_cache *cache);
size_t chain_cache_bytes(const struct chain_cache *cache);
struct chain_cache_uses *chain_cache_uses(struct chain_cache *cache);

#endif

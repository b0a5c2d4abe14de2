/* cache.h: results that may answer again for a short time, least recently used ones going first where there
 * is no more room. Knows no clock and no lock: its owner passes the time and serialises the calls. */
#ifndef SERVER_CACHE_H
#define SERVER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/report/report.h"
#include "server/shared.h"
#include "server/timing.h"

struct cache;

/* What is kept of a test. */
struct cached {
    struct shared *body;
    enum verdict verdict;
    struct ip address; /* as in struct job */
    double dns_ms, test_ms;
    struct port_phases phases; /* none: not known */
};

/* Results answer for `seconds` (0: none is kept). Bounded by the number of results and by the bytes of them
 * all, keys included. NULL: out of memory. */
struct cache *cache_create(unsigned seconds, size_t entries, size_t bytes);
void cache_free(struct cache **cache);

/* Keeps a result under a copy of the key, in place of an older one; the body is held for as long. Without
 * memory it is not kept. `now`: ns of a monotonic clock. */
void cache_put(struct cache *cache, const char *key, const struct cached *result, uint64_t now);

/* What is kept under the key and still fresh, its body held for the caller, with its age in ns. */
bool cache_get(struct cache *cache, const char *key, uint64_t now, struct cached *result, uint64_t *age);

/* Forgets all. */
void cache_clear(struct cache *cache);

size_t cache_count(const struct cache *cache);
size_t cache_bytes(const struct cache *cache);

#endif

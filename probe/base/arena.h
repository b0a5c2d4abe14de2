/* arena.h: memory with one lifetime, for one report; capped. Single allocations are never freed. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/base/text.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used, max; /* bytes taken from the heap, and how many may be; their bookkeeping included */
    size_t next;      /* size of the next block */
    bool failed;      /* an allocation was refused: what the arena holds is incomplete */
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_deinit(struct arena *a);

/* Zeroed memory, aligned for any type; NULL when the cap or the memory is exhausted (sets failed). */
void *arena_alloc(struct arena *a, size_t size);

/* Room for `count` elements of `size` bytes where `*room` were allocated and `used` hold data: returns the
 * old array while it suffices, else a copy at least twice as large with *room updated. NULL as arena_alloc.
 */
void *arena_grow(struct arena *a, void *old, size_t size, size_t used, size_t count, size_t *room);

/* A NUL-terminated copy of the bytes; the absent text gives the absent text. On failure data is NULL. */
struct text arena_text(struct arena *a, const void *data, size_t len);

/* Formats as printf; NULL when out of memory. */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

/* memory.h: what becomes of an allocation that fails. Most code here looks at the result of each one; the
 * libraries behind TLS and certificates do not: libtasn1 walks through NULL or silently loses a value, GMP
 * ends the process. While a thread is inside them it gets its memory from a small reserve instead, and
 * whoever called them is told. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* How many allocations have failed in this thread so far, whether or not the reserve stepped in. */
unsigned long memory_failures(void);

/* Around every call into such a library; pairs may be nested. Leaving says false where an allocation failed
 * since the outermost entering: what was learnt is to be thrown away, and its memory given back soon. */
void memory_guard_enter(void);
bool memory_guard_leave(void);

/* For the allocator of the process. The first notes that an allocation failed, and gives memory of the
 * reserve (as malloc() would, not cleared) where this thread is guarded and some is left, else NULL. */
void *memory_failed(size_t size);
void *memory_take(size_t size);
bool memory_owns(const void *p);
size_t memory_size(const void *p);
void memory_give(void *p);

#endif

/* memory.h: what becomes of an allocation that fails. Most code here looks at the result of each one; the
 * libraries behind TLS and certificates do not: libtasn1 walks through NULL or silently loses a value, GMP
 * ends the process. While a thread is inside them it is to get its memory from a reserve instead, and whoever
 * called them is told. Only the thread's own counters are kept here; the allocator is the process's matter.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>

/* How many allocations have failed in this thread so far, whether or not the reserve stepped in. */
unsigned long memory_failures(void);

/* Around every call into such a library; pairs may be nested. Leaving says false where an allocation failed
 * since the outermost entering: what was learnt is to be thrown away, and its memory given back soon. */
void memory_guard_enter(void);
bool memory_guard_leave(void);

/* For the allocator of the process: notes that an allocation failed. True: this thread is guarded. */
bool memory_note_failure(void);

#endif

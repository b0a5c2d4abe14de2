/* reserve.h: a small piece of memory that was there from the start, for when the allocator has none. Any
 * thread may take and give. */
#ifndef SERVER_RESERVE_H
#define SERVER_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

/* As malloc(); NULL where none of this size is left. */
void *reserve_take(size_t size);

/* Whether this block is one of the reserve's. The other two are for such blocks alone. */
bool reserve_owns(const void *p);
size_t reserve_size(const void *p);
void reserve_give(void *p);

#endif

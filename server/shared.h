/* shared.h: a text that several answers send at the same time, from several threads. Constant once made. */
#ifndef SERVER_SHARED_H
#define SERVER_SHARED_H

#include <stddef.h>

struct shared;

/* Copies `len` bytes. NULL: out of memory. The caller holds it once. */
struct shared *shared_create(const char *text, size_t len);

/* One more holder; returns it. */
struct shared *shared_hold(struct shared *shared);

/* Gives one hold up; the last one frees. NULL is nothing. */
void shared_release(struct shared *shared);

const char *shared_text(const struct shared *shared);
size_t shared_len(const struct shared *shared);

/* Bytes of all texts that somebody holds. */
size_t shared_total(void);

#endif

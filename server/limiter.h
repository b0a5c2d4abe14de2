/* limiter.h: a token bucket for each key (a client's network, an API key, a target) in a table of fixed size.
 *
 * A bucket holds `count` tokens, is full at first and again after `seconds` without a take; one token comes
 * back every seconds/count, in whole nanoseconds. It knows neither what the keys are nor a clock: time is
 * passed in, in ns of a clock that does not jump; threads that are a little behind one another do no harm.
 *
 * A full table never forgets a key whose next take would be refused, and never refuses a new one for want of
 * room: it gives up the key with the most tokens left, or does not record the new one. */
#ifndef SERVER_LIMITER_H
#define SERVER_LIMITER_H

#include <stddef.h>
#include <stdint.h>

#include "server/config.h"

struct limiter;

/* 16 bytes of memory for each entry, which cost nothing before their page is used; nothing is allocated
 * later. A rate of count 0 admits always and has no table. NULL: out of memory. */
struct limiter *limiter_create(struct rate rate, size_t entries);
void limiter_free(struct limiter **limiter);

struct rate limiter_rate(const struct limiter *limiter);

/* 0: admitted, and one token is taken. Else nothing is, and so many ns pass until there is one. Any thread.
 */
uint64_t limiter_take(struct limiter *limiter, const void *key, size_t len, uint64_t now_ns);

/* Puts a token back that was taken for nothing. Any thread. */
void limiter_give_back(struct limiter *limiter, const void *key, size_t len);

#endif

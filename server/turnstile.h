/* turnstile.h: lets a crowd through a few at a time. One thread sends them in, others see them out. */
#ifndef SERVER_TURNSTILE_H
#define SERVER_TURNSTILE_H

#include <pthread.h>

struct turnstile {
    pthread_mutex_t lock;
    pthread_cond_t empty;
    unsigned most, inside;
};

/* `most`: inside at a time, at least 1. */
void turnstile_init(struct turnstile *turnstile, unsigned most);
void turnstile_deinit(struct turnstile *turnstile);

/* One goes in, and may be seen out by another thread at once. */
void turnstile_in(struct turnstile *turnstile);
void turnstile_out(struct turnstile *turnstile);

/* Where it is full, waits until it is empty, or `ms` are over: who is still inside then counts no more, so
 * that one who never comes out holds the others up once. */
void turnstile_wait(struct turnstile *turnstile, unsigned ms);

#endif

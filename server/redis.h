/* redis.h: what one thread asks of a Redis server, never waiting long: a connection that is made when it is
 * needed, given up when an answer is late, and tried again after a pause that doubles.
 *
 * All of it in the thread of the loop. It does nothing, and wakes nobody, when nobody asks. */
#ifndef SERVER_REDIS_H
#define SERVER_REDIS_H

#include "server/redis_wire.h"

struct redis;
struct redis_ask;

/* How the connection fares; called from the loop, or from within redis_open() or redis_ask(), for the log. */
struct redis_watch {
    void (*on_up)(void *owner);                    /* also where it was known to be up */
    void (*on_down)(void *owner, const char *why); /* again for each try that fails */
    void *owner;
};

/* Connects at once; `url` and `watch` must outlive it. NULL: no memory. */
struct redis *redis_open(uv_loop_t *loop, const struct redis_url *url, const struct redis_watch *watch);

/* Nothing asked is answered any more. The memory goes once the loop has closed what is open. */
void redis_close(struct redis **redis);

/* Sends a command. on_reply comes once, from the loop, with NULL where there was no answer in time. NULL: no
 * answer will come, the server is not to be asked now. */
struct redis_ask *redis_ask(struct redis *redis, int count, const struct text *words,
                            void (*on_reply)(void *owner, const struct redis_reply *reply), void *owner);

/* No answer is wanted any more. */
void redis_forget(struct redis_ask *ask);

#endif

/* redis_wire.h: one connection to a Redis server: commands out, replies in, without an idea of what they
 * mean.
 *
 * Bytes go through libuv, commands are written and replies read by hiredis. (Its asynchronous interface would
 * do both, but ends the process by an assertion where a server says more than it was asked.) */
#ifndef SERVER_REDIS_WIRE_H
#define SERVER_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "probe/base/text.h"
#include "server/redis_url.h"

enum redis_kind { REDIS_KIND_TEXT, REDIS_KIND_STATUS, REDIS_KIND_INTEGER, REDIS_KIND_NIL, REDIS_KIND_ERROR };

struct redis_reply {
    enum redis_kind kind;
    long long integer;
    struct text text; /* of a text, a status or an error */
};

struct redis_wire;

/* Called from the loop, never from within a function below; redis_wire_close() may be called from each. */
struct redis_wire_events {
    void (*on_open)(void *owner);
    void (*on_reply)(void *owner, const struct redis_reply *reply);
    void (*on_end)(void *owner, const char *why); /* it cannot go on, and is to be closed */
};

/* Connects to the first address of the host that accepts; `url` must outlive the wire. NULL with a sentence
 * of the system's, or of ours, in *why. */
struct redis_wire *redis_wire_open(uv_loop_t *loop, const struct redis_url *url,
                                   const struct redis_wire_events *events, void *owner, const char **why);

/* No event comes any more; the memory goes once the loop has closed what is open. */
void redis_wire_close(struct redis_wire **wire);

/* A command as bytes, to be given to redis_wire_send() or redis_wire_drop(). bytes NULL: no memory. */
struct redis_command {
    char *bytes;
    size_t len;
};
struct redis_command redis_wire_command(int count, const struct text *words);
void redis_wire_drop(struct redis_command *command);

/* Takes the command over, once the wire is open. False: no memory. */
bool redis_wire_send(struct redis_wire *wire, struct redis_command *command);

/* Bytes that the server has not taken yet. */
size_t redis_wire_backlog(const struct redis_wire *wire);

#endif

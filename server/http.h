/* http.h: the HTTP side: receives, refuses or hands on, and answers. The only room that knows libmicrohttpd.
 */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "api/query.h"

struct admission;
struct keys;
struct pool;

struct http_env {
    struct pool *pool;
    struct admission *admission;
    const struct keys *keys; /* NULL: none needed */
    struct query_limits limits;
};

struct http;

/* Serves on listening sockets, which it takes over whatever the result; `env` is copied. `connections`: most
 * at a time for each socket. NULL with a sentence in `why`. */
struct http *http_create(const struct http_env *env, const int *sockets, size_t count, unsigned connections,
                         char *why, size_t why_size);

/* Takes no further connections; those there are go on. */
void http_quiesce(struct http *http);

/* Waits until every request that has begun is answered; false when `ms` were over first. */
bool http_drain(struct http *http, unsigned ms);

/* Ends all connections. Nothing may be in flight any more. */
void http_free(struct http **http);

#endif

/* http.h: the HTTP side: receives, refuses or hands on, and answers. With http_request.* and http_answer.*
 * the only room that knows libmicrohttpd. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "api/query.h"
#include "api/route.h"
#include "server/config.h"

struct admission;
struct callers;
struct client_proxies;
struct keys;
struct metrics;
struct scrape;

struct http_env {
    struct admission *admission;
    struct callers *callers;
    const struct keys *keys;                /* NULL: none needed */
    const struct client_proxies *proxies;   /* whose word on the client counts */
    const struct config_list *cors_origins; /* whose scripts may read the answers */
    bool access_log;                        /* whether requests that end well are logged */
    struct rate client_rate, target_rate;
    struct query_limits limits;
    unsigned routes;             /* what this port serves, a set as of route_find() */
    struct metrics *metrics;     /* what is counted of requests */
    const struct scrape *scrape; /* what /metrics answers */
};

struct http;

/* Serves on listening sockets, which it takes over whatever the result; `env` is copied. `connections`: most
 * at a time for each socket. NULL with a sentence in `why`. */
struct http *http_create(const struct http_env *env, const int *sockets, size_t count, unsigned connections,
                         char *why, size_t why_size);

/* Takes no further connections; those there are go on. With `shared` sockets, which somebody else holds as
 * well, whoever connects waits for the next process; sockets of ours alone are closed, once those that wait
 * at them have been let in. When it returns all of them are known to the callers,
 * but for those for which memory or descriptors ran out. */
void http_quiesce(struct http *http, bool shared);

/* Whether a request that has begun is not answered yet, or its answer not sent. */
bool http_active(const struct http *http);

/* Ends all connections. Nothing may be in flight any more. */
void http_free(struct http **http);

#endif

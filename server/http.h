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

/* Takes no further connections; those there are go on. */
void http_quiesce(struct http *http);

/* Waits until every request that has begun is answered; false when `ms` were over first. */
bool http_drain(struct http *http, unsigned ms);

/* Ends all connections. Nothing may be in flight any more. */
void http_free(struct http **http);

#endif

/* cors.h: which pages' scripts may read the answers (Fetch standard, "CORS protocol"). Pure.
 *
 * Cookies play no part here, so Access-Control-Allow-Credentials is never sent and "*" is harmless: an API
 * key is something that the script itself has. */
#ifndef SERVER_CORS_H
#define SERVER_CORS_H

#include <stdbool.h>

#include "server/config.h"

/* Headers of an answer, by name; NULL: not to be sent. The values outlive the request: constants, items of
 * the list, and what the caller gave as `allow`. */
struct cors {
    const char *allow_origin;   /* Access-Control-Allow-Origin */
    const char *vary;           /* Vary: the answer depends on who asks, also where it was a refusal */
    const char *expose_headers; /* Access-Control-Expose-Headers */
    const char *allow_methods;  /* Access-Control-Allow-Methods, this and the rest of a preflight only */
    const char *allow_headers;  /* Access-Control-Allow-Headers */
    const char *max_age;        /* Access-Control-Max-Age */
};

/* Of any answer. `origin` is the header Origin, NULL: none. An origin is compared byte for byte; "null",
 * which any sandboxed page can send, is let in by "*" alone. */
struct cors cors_answer(const struct config_list *origins, const char *origin);

/* Whether a request asks what another one may do. The last two are the headers Origin and
 * Access-Control-Request-Method, NULL: none. */
bool cors_is_preflight(const char *method, const char *origin, const char *request_method);

/* Of the answer to a preflight; `allow` lists the methods of the resource as in the header Allow. */
struct cors cors_preflight(const struct config_list *origins, const char *origin, const char *allow);

#endif

#include "server/cors.h"

#include <stddef.h>
#include <string.h>

/* Beside the key and the id, what libraries for scripts add unasked. */
#define ALLOW_HEADERS                                                                                        \
    "Authorization, X-Request-Id, Cache-Control, Content-Type, Pragma, X-Requested-With, traceparent, "      \
    "tracestate"
#define EXPOSE_HEADERS "X-Request-Id, Retry-After, Age, Server-Timing"
#define MAX_AGE_S "600"

static const char *find(const struct config_list *origins, const char *origin)
{
    for (size_t i = 0; i < origins->count; i++) {
        if (strcmp(origins->items[i], origin) == 0) {
            return origins->items[i];
        }
    }
    return NULL;
}

struct cors cors_answer(const struct config_list *origins, const char *origin)
{
    struct cors cors = {.allow_origin = find(origins, "*")};
    if (!cors.allow_origin && origins->count > 0) {
        cors.vary = "Origin";
        cors.allow_origin = origin ? find(origins, origin) : NULL;
    }
    if (cors.allow_origin) {
        cors.expose_headers = EXPOSE_HEADERS;
    }
    return cors;
}

bool cors_is_preflight(const char *method, const char *origin, const char *request_method)
{
    return strcmp(method, "OPTIONS") == 0 && origin && request_method;
}

struct cors cors_preflight(const struct config_list *origins, const char *origin, const char *allow)
{
    struct cors cors = cors_answer(origins, origin);
    cors.expose_headers = NULL;
    if (cors.allow_origin) {
        cors.allow_methods = allow;
        cors.allow_headers = ALLOW_HEADERS;
        cors.max_age = MAX_AGE_S;
    }
    return cors;
}

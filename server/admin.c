#include "server/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "probe/base/limits.h"
#include "server/callers.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/log.h"

/* Of monitoring and whoever watches; beyond most of them the slowest is cut. */
#define CONNECTIONS 64u
#define CROWDED 48u

#define DRAIN_MS 1000u
#define STEP_MS 5

struct admin {
    struct callers *callers;
    struct http *http;
    bool shared; /* the socket is open in the service manager too */
};

static void tell(int socket)
{
    char name[64];
    listen_name(socket, name, sizeof name);
    struct log_field field = log_text("address", name);
    log_event(LOG_LEVEL_INFO, "admin_listening", &field, 1);
}

struct admin *admin_create(int socket, bool shared, const struct http_env *env, char *why, size_t why_size)
{
    static const struct config_list no_origins = {NULL, 0};
    const struct callers_limits limits = {
        .crowded = CROWDED, .patience_ms = LIMIT_PATIENCE_MS, .transfer_ms = LIMIT_TRANSFER_MS};
    struct admin *admin = calloc(1, sizeof *admin);
    struct http_env own = *env;

    snprintf(why, why_size, "out of memory");
    if (admin) {
        admin->callers = callers_create(&limits, env->proxies, why, why_size);
    }
    if (!admin || !admin->callers) {
        close(socket);
        free(admin);
        return NULL;
    }
    admin->shared = shared;
    own.callers = admin->callers;
    own.routes = ROUTE_BIT(ROUTE_METRICS) | ROUTE_BIT(ROUTE_HEALTHZ) | ROUTE_BIT(ROUTE_READYZ);
    own.keys = NULL;
    own.cors_origins = &no_origins;
    admin->http = http_create(&own, &socket, 1, CONNECTIONS, why, why_size);
    if (!admin->http) {
        callers_free(&admin->callers);
        free(admin);
        return NULL;
    }
    tell(socket);
    return admin;
}

void admin_free(struct admin **admin)
{
    static const struct timespec step = {0, STEP_MS * 1000000L};
    struct admin *a = *admin;
    *admin = NULL;
    if (a) {
        http_quiesce(a->http, a->shared);
        callers_end(a->callers);
        for (unsigned ms = 0; ms < DRAIN_MS && (http_active(a->http) || callers_left(a->callers));
             ms += STEP_MS) {
            nanosleep(&step, NULL);
        }
        http_free(&a->http);
        callers_free(&a->callers);
        free(a);
    }
}

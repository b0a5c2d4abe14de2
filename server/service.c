#include "server/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/json_setup.h"
#include "probe/base/limits.h"
#include "server/admission.h"
#include "server/callers.h"
#include "server/client.h"
#include "server/http.h"
#include "server/keys.h"
#include "server/limiter.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/pool.h"
#include "server/shared_cache.h"
#include "server/targets.h"

/* A test under way holds its HTTP connection and one connection for each port. */
#define DESCRIPTORS_PER_TEST 3u
/* Everything else: log, loops, DNS, and callers that are told that there is no room. */
#define DESCRIPTORS_RESERVED 384u
#define DESCRIPTORS_PER_WORKER 16u
/* Of those: connections that were cut and are not closed yet. */
#define ROOM_TO_CLOSE (DESCRIPTORS_RESERVED / 4)

/* c-ares takes all servers in one string. */
static bool join_dns_servers(struct service *s, char *why)
{
    const struct config_list *list = &s->config.dns_server;
    size_t size = 1;
    for (size_t i = 0; i < list->count; i++) {
        size += strlen(list->items[i]) + 1;
    }
    s->dns_servers = list->count > 0 ? calloc(1, size) : NULL;
    if (list->count > 0 && !s->dns_servers) {
        snprintf(why, SERVICE_WHY_SIZE, "out of memory");
        return false;
    }
    for (size_t i = 0, at = 0; i < list->count; i++) {
        at += (size_t)snprintf(s->dns_servers + at, size - at, "%s%s", i > 0 ? "," : "", list->items[i]);
    }
    return true;
}

/* Tests beyond what the descriptors allow would fail for want of sockets and say nothing of their hosts. */
static void fit_descriptors(struct service *s)
{
    size_t descriptors = listen_raise_descriptors();
    size_t reserved = DESCRIPTORS_RESERVED + s->config.workers * DESCRIPTORS_PER_WORKER;
    size_t fit =
        descriptors > reserved + DESCRIPTORS_PER_TEST ? (descriptors - reserved) / DESCRIPTORS_PER_TEST : 1;

    if (s->config.max_in_flight > fit) {
        struct log_field fields[] = {log_int("asked", s->config.max_in_flight),
                                     log_int("in_flight", (int64_t)fit),
                                     log_int("descriptors", (int64_t)descriptors)};
        log_event(LOG_LEVEL_INFO, "max_in_flight_lowered", fields, 3);
        s->config.max_in_flight = (unsigned)fit;
    }
    /* The HTTP library counts those of each listening socket by themselves, so that a crowd at one would fill
     * its share without being one: all together are counted by callers.c alone. */
    s->connections = s->config.max_in_flight + DESCRIPTORS_RESERVED / 2 + 1;
    size_t used = reserved + DESCRIPTORS_PER_TEST * (size_t)s->config.max_in_flight;
    listen_make_room(used < descriptors ? used : descriptors);
}

bool service_build(struct service *s, char why[SERVICE_WHY_SIZE])
{
    const struct config *c = &s->config;
    snprintf(why, SERVICE_WHY_SIZE, "out of memory");
    s->dns_ready = dns_library_init();
    json_setup();
    if (!s->dns_ready) {
        return false;
    }
    s->keys = c->api_key_file ? keys_load(c->api_key_file, why, SERVICE_WHY_SIZE) : NULL;
    if (c->api_key_file && !s->keys) {
        return false;
    }
    s->tls = tls_env_create(c->trust_file, why, SERVICE_WHY_SIZE);
    s->targets = s->tls ? targets_create(c, why, SERVICE_WHY_SIZE) : NULL;
    if (!s->targets || !join_dns_servers(s, why)) {
        return false;
    }
    if (c->shared_cache && !c->check &&
        !(s->shared = shared_cache_create(c, s->targets, why, SERVICE_WHY_SIZE))) {
        return false;
    }
    fit_descriptors(s);
    s->worker_env = (struct worker_env){.tls = s->tls, .guard = targets_guard(s->targets)};
    s->worker_env.permit = targets_permit;
    s->worker_env.permit_context = s->targets;
    s->worker_env.shared = s->shared;
    s->worker_env.settings =
        (struct probe_settings){c->imap_port, c->imaps_port, c->connect_timeout_ms, c->io_timeout_ms};
    s->worker_env.dns_servers = s->dns_servers;
    s->worker_env.dns_timeout_ms = c->dns_timeout_ms;
    s->worker_env.metrics = c->check ? NULL : &s->metrics;
    s->pool = pool_create(c->workers, &s->worker_env, why, SERVICE_WHY_SIZE);
    return s->pool != NULL;
}

/* What stands between the callers and the tests. */
static bool build_front(struct service *s, char *why)
{
    const struct config *c = &s->config;
    struct callers_limits limits = {.per_client = c->client_connections, .transfer_ms = LIMIT_TRANSFER_MS};
    size_t all = s->connections;

    /* Near the end of the room for connections, but beyond as many tests as there may be; the library closes
     * the one that was cut a little later. */
    limits.tests = c->max_in_flight;
    limits.patience_ms = LIMIT_PATIENCE_MS;
    limits.crowded = all - (all / 16 < ROOM_TO_CLOSE ? all / 16 : ROOM_TO_CLOSE);
    if (!c->given[OPTION_CLIENT_CONNECTIONS]) {
        limits.per_client = c->client_rate.count == 0 ? 0 : limits.per_client;
        limits.per_client = limits.per_client > all / 2 ? (unsigned)(all / 2) : limits.per_client;
    }
    snprintf(why, SERVICE_WHY_SIZE, "out of memory");
    s->clients = limiter_create(c->client_rate, LIMIT_CLIENT_ENTRIES);
    s->proxies = client_proxies_create(&c->trusted_proxy);
    if (!s->clients || !s->proxies) {
        return false;
    }
    struct admission_env env = {s->pool, s->clients, c->max_in_flight, c->cache_seconds, &s->metrics};
    s->admission = admission_create(&env);
    s->callers = s->admission ? callers_create(&limits, s->proxies, why, SERVICE_WHY_SIZE) : NULL;
    s->scrape = (struct scrape){&s->metrics, s->admission, s->callers, s->shared};
    return s->callers != NULL;
}

void service_measure(struct service *s)
{
    metrics_set(&s->metrics, METRIC_TESTS_LIMIT, s->config.max_in_flight);
    metrics_set(&s->metrics, METRIC_CONNECTIONS_LIMIT, s->connections);
    metrics_set(&s->metrics, METRIC_WORKERS, s->config.workers);
    metrics_set(&s->metrics, METRIC_TRUSTED_ROOTS, tls_env_roots(s->tls));
    metrics_set(&s->metrics, METRIC_API_KEYS, s->keys ? keys_count(s->keys) : 0);
}

/* Of the start, and what does not change by itself. */
static void start_metrics(struct service *s)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    metrics_set(&s->metrics, METRIC_START_MS,
                (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u);
    metrics_set(&s->metrics, METRIC_LAST_RELOAD_SUCCESS, (uint64_t)now.tv_sec);
    metrics_set(&s->metrics, METRIC_LAST_RELOAD_SUCCESSFUL, 1);
    service_measure(s);
}

/* Those of --listen, or those that were passed in their place, which are taken over. NULL with a sentence in
 * `why`. */
static int *open_sockets(struct service *s, size_t *count, char *why)
{
    int *sockets = s->passed.sockets;
    s->sockets_shared = s->passed.count > 0;
    if (!s->sockets_shared) {
        return listen_open_all(&s->config.listen, count, why, SERVICE_WHY_SIZE);
    }
    if (s->config.given[OPTION_LISTEN]) {
        log_event(LOG_LEVEL_WARN, "listen_without_effect", NULL, 0); /* the manager's sockets come first */
    }
    for (size_t i = 0; i < s->passed.count; i++) {
        listen_adopt(sockets[i]);
    }
    *count = s->passed.count;
    s->passed.count = 0;
    s->passed.sockets = NULL;
    return sockets;
}

/* Whoever watches has a port of its own, where there is one. */
static bool open_admin(struct service *s, struct http_env *env, char *why)
{
    int socket = s->passed.admin;
    env->routes = ROUTES_ALL;
    if (socket < 0 && !s->config.admin_listen) {
        return true;
    }
    bool shared = socket >= 0;
    if (!shared) {
        socket = listen_open(s->config.admin_listen, why, SERVICE_WHY_SIZE);
    } else {
        listen_adopt(socket);
    }
    s->passed.admin = -1;
    s->admin = socket >= 0 ? admin_create(socket, shared, env, why, SERVICE_WHY_SIZE) : NULL;
    env->routes &= ~ROUTE_BIT(ROUTE_METRICS);
    return s->admin != NULL;
}

static void tell_listening(const struct service *s, int socket)
{
    char name[64];
    listen_name(socket, name, sizeof name);
    struct log_field fields[] = {log_text("address", name),
                                 log_text("version", IMAP_TESTD_VERSION),
                                 log_int("workers", s->config.workers),
                                 log_int("max_in_flight", s->config.max_in_flight),
                                 log_int("trusted_roots", (int64_t)tls_env_roots(s->tls)),
                                 log_int("api_keys", s->keys ? (int64_t)keys_count(s->keys) : 0)};
    log_event(LOG_LEVEL_INFO, "listening", fields, sizeof fields / sizeof fields[0]);
}

static bool listen_all(struct service *s, char *why)
{
    struct http_env env = {.admission = s->admission, .callers = s->callers, .keys = s->keys};
    size_t open = 0;

    env.proxies = s->proxies;
    env.cors_origins = &s->config.cors_origin;
    env.access_log = s->config.access_log;
    env.client_rate = s->config.client_rate;
    env.target_rate = s->config.target_rate;
    env.limits = (struct query_limits){s->config.imap_port, s->config.imaps_port, s->config.deadline_ms};
    env.metrics = &s->metrics;
    env.scrape = &s->scrape;
    if (!open_admin(s, &env, why)) {
        return false;
    }
    int *sockets = open_sockets(s, &open, why);
    s->http = sockets ? http_create(&env, sockets, open, s->connections, why, SERVICE_WHY_SIZE) : NULL;
    for (size_t i = 0; s->http && i < open; i++) {
        tell_listening(s, sockets[i]);
    }
    free(sockets);
    return s->http != NULL;
}

bool service_open(struct service *s, char why[SERVICE_WHY_SIZE])
{
    start_metrics(s);
    return build_front(s, why) && listen_all(s, why);
}

void service_free(struct service *s)
{
    admin_free(&s->admin); /* looks at the rest until here */
    pool_free(&s->pool);
    http_free(&s->http);
    callers_free(&s->callers);
    admission_free(&s->admission);
    client_proxies_free(&s->proxies);
    limiter_free(&s->clients);
    free(s->dns_servers);
    shared_cache_free(&s->shared);
    targets_free(&s->targets);
    tls_env_release(&s->tls);
    keys_free(&s->keys);
    activation_deinit(&s->passed);
    if (s->dns_ready) {
        dns_library_cleanup();
    }
    config_deinit(&s->config);
}

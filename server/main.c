/* main.c: builds the parts, wires them, waits for a signal, and takes them down in order. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/json_setup.h"
#include "probe/base/limits.h"
#include "server/admin.h"
#include "server/admission.h"
#include "server/callers.h"
#include "server/check.h"
#include "server/client.h"
#include "server/config.h"
#include "server/health.h"
#include "server/http.h"
#include "server/http_log.h"
#include "server/keys.h"
#include "server/limiter.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/pool.h"
#include "server/scrape.h"
#include "server/shared_cache.h"
#include "server/targets.h"

#define EXIT_USAGE 2
#define WHY_SIZE 512

/* A test under way holds its HTTP connection and one connection for each port. */
#define DESCRIPTORS_PER_TEST 3u
/* Everything else: log, loops, DNS, and callers that are told that there is no room. */
#define DESCRIPTORS_RESERVED 384u
#define DESCRIPTORS_PER_WORKER 16u
/* Of those: connections that were cut and are not closed yet. */
#define ROOM_TO_CLOSE (DESCRIPTORS_RESERVED / 4)

/* How long answers may take to be written once all tests have ended. */
#define DRAIN_MS 5000u
#define LAST_REQUESTS_MS 50u

struct service {
    struct config config;
    struct tls_env *tls;
    struct targets *targets;
    struct shared_cache *shared;
    struct limiter *clients;
    struct client_proxies *proxies;
    struct keys *keys;
    char *dns_servers;
    struct worker_env worker_env;
    struct pool *pool;
    struct admission *admission;
    struct callers *callers;
    struct http *http;
    struct admin *admin; /* NULL: no port of its own */
    struct metrics metrics;
    struct scrape scrape;
    unsigned connections; /* there is room for, on all listening sockets together */
    bool dns_ready;
};

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
        snprintf(why, WHY_SIZE, "out of memory");
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

/* What nobody reads may be a slip of the pen, and the option meant then has no effect. */
static void warn_of_unknown_variables(void)
{
    for (char **variable = environ; *variable; variable++) {
        if (!config_knows_variable(*variable)) {
            struct log_field field = log_bytes("variable", (struct text){*variable, strcspn(*variable, "=")});
            log_event(LOG_LEVEL_WARN, "unknown_variable", &field, 1);
        }
    }
}

static bool build(struct service *s, char *why)
{
    const struct config *c = &s->config;
    snprintf(why, WHY_SIZE, "out of memory");
    s->dns_ready = dns_library_init();
    json_setup();
    if (!s->dns_ready) {
        return false;
    }
    s->keys = c->api_key_file ? keys_load(c->api_key_file, why, WHY_SIZE) : NULL;
    if (c->api_key_file && !s->keys) {
        return false;
    }
    s->tls = tls_env_create(c->trust_file, why, WHY_SIZE);
    s->targets = s->tls ? targets_create(c, why, WHY_SIZE) : NULL;
    if (!s->targets || !join_dns_servers(s, why)) {
        return false;
    }
    if (c->shared_cache && !c->check && !(s->shared = shared_cache_create(c, s->targets, why, WHY_SIZE))) {
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
    s->pool = pool_create(c->workers, &s->worker_env, why, WHY_SIZE);
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
    snprintf(why, WHY_SIZE, "out of memory");
    s->clients = limiter_create(c->client_rate, LIMIT_CLIENT_ENTRIES);
    s->proxies = client_proxies_create(&c->trusted_proxy);
    if (!s->clients || !s->proxies) {
        return false;
    }
    struct admission_env env = {s->pool, s->clients, c->max_in_flight, c->cache_seconds, &s->metrics};
    s->admission = admission_create(&env);
    s->callers = s->admission ? callers_create(&limits, s->proxies, why, WHY_SIZE) : NULL;
    s->scrape = (struct scrape){&s->metrics, s->admission, s->callers, s->shared};
    return s->callers != NULL;
}

/* What does not change by itself. */
static void set_metrics(struct service *s)
{
    metrics_set(&s->metrics, METRIC_TESTS_LIMIT, s->config.max_in_flight);
    metrics_set(&s->metrics, METRIC_CONNECTIONS_LIMIT, s->connections);
    metrics_set(&s->metrics, METRIC_WORKERS, s->config.workers);
    metrics_set(&s->metrics, METRIC_TRUSTED_ROOTS, tls_env_roots(s->tls));
    metrics_set(&s->metrics, METRIC_API_KEYS, s->keys ? keys_count(s->keys) : 0);
}

static void start_metrics(struct service *s)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    metrics_set(&s->metrics, METRIC_START_MS,
                (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u);
    metrics_set(&s->metrics, METRIC_LAST_RELOAD_SUCCESS, (uint64_t)now.tv_sec);
    metrics_set(&s->metrics, METRIC_LAST_RELOAD_SUCCESSFUL, 1);
    set_metrics(s);
}

static bool listen_all(struct service *s, char *why)
{
    const struct config_list *list = &s->config.listen;
    int *sockets = calloc(list->count, sizeof *sockets);
    size_t open = 0;
    char name[64];

    while (sockets && open < list->count &&
           (sockets[open] = listen_open(list->items[open], why, WHY_SIZE)) >= 0) {
        open++;
    }
    if (sockets && open == list->count) {
        struct http_env env = {.admission = s->admission, .callers = s->callers, .keys = s->keys};
        env.proxies = s->proxies;
        env.cors_origins = &s->config.cors_origin;
        env.access_log = s->config.access_log;
        env.client_rate = s->config.client_rate;
        env.target_rate = s->config.target_rate;
        env.limits = (struct query_limits){s->config.imap_port, s->config.imaps_port, s->config.deadline_ms};
        env.metrics = &s->metrics;
        env.scrape = &s->scrape;
        env.routes = ROUTES_ALL & ~(s->config.admin_listen ? ROUTE_BIT(ROUTE_METRICS) : 0);
        s->admin = s->config.admin_listen ? admin_create(s->config.admin_listen, &env, why, WHY_SIZE) : NULL;
        if (s->admin || !s->config.admin_listen) {
            s->http = http_create(&env, sockets, open, s->connections, why, WHY_SIZE);
            open = s->http ? open : 0;
        }
    }
    for (size_t i = 0; i < open; i++) {
        if (!s->http) {
            close(sockets[i]);
        } else {
            listen_name(sockets[i], name, sizeof name);
            struct log_field fields[] = {log_text("address", name),
                                         log_text("version", IMAP_TESTD_VERSION),
                                         log_int("workers", s->config.workers),
                                         log_int("max_in_flight", s->config.max_in_flight),
                                         log_int("trusted_roots", (int64_t)tls_env_roots(s->tls)),
                                         log_int("api_keys", s->keys ? (int64_t)keys_count(s->keys) : 0)};
            log_event(LOG_LEVEL_INFO, "listening", fields, sizeof fields / sizeof fields[0]);
        }
    }
    free(sockets);
    return s->http != NULL;
}

/* Nobody who was let in goes without an answer: tests first, then the writing, then the threads. */
static void stop(struct service *s)
{
    static const struct timespec last_requests = {0, LAST_REQUESTS_MS * 1000000L};

    admission_stop(s->admission);
    if (!admission_wait_idle(s->admission, s->config.grace_ms)) {
        pool_cancel(s->pool);
        (void)admission_wait_idle(s->admission, DRAIN_MS);
    }
    http_quiesce(s->http);
    nanosleep(&last_requests, NULL); /* accepted just before, not yet read */
    callers_cut_asking(s->callers);
    if (!http_drain(s->http, DRAIN_MS)) {
        log_event(LOG_LEVEL_WARN, "answers_left_unwritten", NULL, 0);
    }
}

static void take_down(struct service *s)
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
    if (s->dns_ready) {
        dns_library_cleanup();
    }
    config_deinit(&s->config);
}

static void tell_reload_failed(const char *why)
{
    struct log_field field = log_text("reason", why);
    log_event(LOG_LEVEL_ERROR, "reload_failed", &field, 1);
}

/* The log file is opened anew, trusted roots and API keys are read anew; tests under way end with the old
 * roots. A file that cannot be opened changes nothing of what it stands for. */
static void reload(struct service *s)
{
    char why[WHY_SIZE] = "";

    if (!log_reopen(why, sizeof why)) {
        tell_reload_failed(why);
    }
    http_log_rearm();
    struct tls_env *tls = tls_env_create(s->config.trust_file, why, sizeof why);
    if (tls) {
        tls_env_release(&s->tls);
        s->tls = tls;
        pool_set_tls(s->pool, tls);
        admission_forget(s->admission);
    } else {
        tell_reload_failed(why);
    }
    bool keys = !s->keys || keys_reload(s->keys, why, sizeof why);
    if (!keys) {
        tell_reload_failed(why);
    }
    targets_refresh(s->targets);
    set_metrics(s);
    metrics_reloaded(&s->metrics, tls && keys, time(NULL));
    if (tls && keys) {
        struct log_field fields[] = {log_int("trusted_roots", (int64_t)tls_env_roots(tls)),
                                     log_int("api_keys", s->keys ? (int64_t)keys_count(s->keys) : 0)};
        log_event(LOG_LEVEL_INFO, "reloaded", fields, 2);
    }
}

/* Reloads when told to; returns the signal that ends the service. */
static int wait_for_end(struct service *s, const sigset_t *signals)
{
    for (;;) {
        int received = sigwaitinfo(signals, NULL);
        if (received == SIGHUP) {
            reload(s);
        } else if (received == SIGUSR1) {
            log_more();
        } else if (received == SIGUSR2) {
            log_as_configured();
        } else if (received > 0) {
            return received;
        }
    }
}

static int serve(struct service *s)
{
    char why[WHY_SIZE] = "";
    sigset_t signals;

    /* Blocked in all threads, taken by this one. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log file at the limit of its size is as good as a full disk */

    if (!log_open(s->config.log_file, s->config.log_format, s->config.log_level, why, WHY_SIZE)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    warn_of_unknown_variables();
    if (!build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    start_metrics(s);
    if (!build_front(s, why) || !listen_all(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_FAILURE;
    }
    int received = wait_for_end(s, &signals);
    struct log_field field = log_text("signal", received == SIGTERM ? "SIGTERM" : "SIGINT");
    log_event(LOG_LEVEL_INFO, "stopping", &field, 1);
    stop(s);
    log_event(LOG_LEVEL_INFO, "stopped", NULL, 0);
    return EXIT_SUCCESS;
}

/* One test, one worker, no listening; signals end the program as they end any other. */
static int check(struct service *s)
{
    char why[WHY_SIZE] = "";

    signal(SIGPIPE, SIG_IGN);
    (void)log_open(NULL, s->config.log_format, /* --log-file is the service's */
                   s->config.log_level < LOG_LEVEL_WARN ? s->config.log_level : LOG_LEVEL_WARN, why,
                   WHY_SIZE);
    s->config.workers = 1;
    s->config.target_rate.count = 0;
    if (!build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    return (int)check_run(&s->config, s->pool);
}

static int run(struct service *s)
{
    if (s->config.health_check) {
        return (int)health_check(&s->config);
    }
    return s->config.check ? check(s) : serve(s);
}

int main(int argc, char **argv)
{
    struct service service = {.http = NULL};
    char err[CONFIG_ERROR_SIZE] = "";
    int status = EXIT_SUCCESS;

    enum config_result loaded = config_load(&service.config, argc, argv, getenv, err);
    config_hide_secrets(argc, argv, getenv);
    switch (loaded) {
    case CONFIG_HELP:
        config_print_help(stdout);
        break;
    case CONFIG_VERSION:
        config_print_version(stdout);
        break;
    case CONFIG_USAGE:
        fprintf(stderr, "%s\n", err);
        status = EXIT_USAGE;
        break;
    case CONFIG_RUN:
        status = run(&service);
        break;
    }
    take_down(&service);
    return status;
}

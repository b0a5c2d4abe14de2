/* main.c: builds the parts, wires them, waits for a signal, and takes them down in order. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/json_setup.h"
#include "probe/base/limits.h"
#include "server/activation.h"
#include "server/admission.h"
#include "server/callers.h"
#include "server/check.h"
#include "server/client.h"
#include "server/config.h"
#include "server/http.h"
#include "server/keys.h"
#include "server/limiter.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/pool.h"
#include "server/stop.h"
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

struct service {
    struct config config;
    struct activation passed; /* sockets, by the service manager */
    struct notify manager;
    struct tls_env *tls;
    struct targets *targets;
    struct limiter *clients;
    struct client_proxies *proxies;
    struct keys *keys;
    char *dns_servers;
    struct worker_env worker_env;
    struct pool *pool;
    struct admission *admission;
    struct callers *callers;
    struct http *http;
    unsigned connections; /* there is room for, on all listening sockets together */
    bool sockets_shared;  /* the listening sockets are open in the service manager too */
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

static void warn_without_effect(const struct config *config)
{
    static const struct {
        enum config_option option;
        const char *name;
    } idle[] = {
        {OPTION_ADMIN_LISTEN, "admin-listen"},
    };
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        if (config->given[idle[i].option]) {
            struct log_field field = log_text("option", idle[i].name);
            log_event(LOG_LEVEL_WARN, "option_without_effect_yet", &field, 1);
        }
    }
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
    fit_descriptors(s);
    s->worker_env = (struct worker_env){.tls = s->tls, .guard = targets_guard(s->targets)};
    s->worker_env.permit = targets_permit;
    s->worker_env.permit_context = s->targets;
    s->worker_env.settings =
        (struct probe_settings){c->imap_port, c->imaps_port, c->connect_timeout_ms, c->io_timeout_ms};
    s->worker_env.dns_servers = s->dns_servers;
    s->worker_env.dns_timeout_ms = c->dns_timeout_ms;
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
    struct admission_env env = {s->pool, s->clients, c->max_in_flight, c->cache_seconds};
    s->admission = admission_create(&env);
    s->callers = s->admission ? callers_create(&limits, s->proxies, why, WHY_SIZE) : NULL;
    return s->callers != NULL;
}

/* Those of --listen, or those that were passed in their place, which are taken over. NULL with a sentence in
 * `why`. */
static int *open_sockets(struct service *s, size_t *count, char *why)
{
    int *sockets = s->passed.sockets;
    s->sockets_shared = s->passed.count > 0;
    if (!s->sockets_shared) {
        return listen_open_all(&s->config.listen, count, why, WHY_SIZE);
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

static bool listen_all(struct service *s, char *why)
{
    size_t open = 0;
    char name[64];

    int *sockets = open_sockets(s, &open, why);
    if (sockets) {
        struct http_env env = {.admission = s->admission, .callers = s->callers, .keys = s->keys};
        env.proxies = s->proxies;
        env.cors_origins = &s->config.cors_origin;
        env.client_rate = s->config.client_rate;
        env.target_rate = s->config.target_rate;
        env.limits = (struct query_limits){s->config.imap_port, s->config.imaps_port, s->config.deadline_ms};
        s->http = http_create(&env, sockets, open, s->connections, why, WHY_SIZE);
        open = s->http ? open : 0;
    }
    for (size_t i = 0; sockets && i < open; i++) {
        listen_name(sockets[i], name, sizeof name);
        struct log_field fields[] = {log_text("address", name),
                                     log_text("version", IMAP_TESTD_VERSION),
                                     log_int("workers", s->config.workers),
                                     log_int("max_in_flight", s->config.max_in_flight),
                                     log_int("trusted_roots", (int64_t)tls_env_roots(s->tls)),
                                     log_int("api_keys", s->keys ? (int64_t)keys_count(s->keys) : 0)};
        log_event(LOG_LEVEL_INFO, "listening", fields, sizeof fields / sizeof fields[0]);
    }
    free(sockets);
    return s->http != NULL;
}

static void stop(struct service *s, const sigset_t *signals)
{
    struct stop parts = {.admission = s->admission, .callers = s->callers, .pool = s->pool, .http = s->http};

    parts.signals = signals;
    parts.shared_sockets = s->sockets_shared;
    parts.drain_ms = s->config.drain_ms;
    parts.grace_ms = s->config.grace_ms;
    notify_stopping(&s->manager, "Running tests come to their end");
    stop_in_order(&parts);
}

static void take_down(struct service *s)
{
    pool_free(&s->pool);
    http_free(&s->http);
    callers_free(&s->callers);
    admission_free(&s->admission);
    client_proxies_free(&s->proxies);
    limiter_free(&s->clients);
    free(s->dns_servers);
    targets_free(&s->targets);
    tls_env_release(&s->tls);
    keys_free(&s->keys);
    activation_deinit(&s->passed);
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

/* Trusted roots and API keys are read anew; tests under way end with the old roots. A file that cannot be
 * read changes nothing of what it stands for. */
static void reload(struct service *s)
{
    char why[WHY_SIZE] = "";
    notify_reloading(&s->manager);
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
    if (tls && keys) {
        struct log_field fields[] = {log_int("trusted_roots", (int64_t)tls_env_roots(tls)),
                                     log_int("api_keys", s->keys ? (int64_t)keys_count(s->keys) : 0)};
        log_event(LOG_LEVEL_INFO, "reloaded", fields, 2);
    }
    notify_ready(&s->manager, tls && keys ? "Ready" : "Ready, with older files: the last reload failed");
}

/* Reloads when told to; returns the signal that ends the service. */
static int wait_for_end(struct service *s, const sigset_t *signals)
{
    for (;;) {
        int received = sigwaitinfo(signals, NULL);
        if (received == SIGHUP) {
            reload(s);
        } else if (received > 0) {
            return received;
        }
    }
}

static int serve(struct service *s, const sigset_t *signals)
{
    char why[WHY_SIZE] = "";

    log_open(s->config.log_format, s->config.log_level);
    notify_open(&s->manager);
    warn_without_effect(&s->config);
    warn_of_unknown_variables();
    if (!activation_take(&s->passed, why, sizeof why) || !build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    if (!build_front(s, why) || !listen_all(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_FAILURE;
    }
    notify_ready(&s->manager, "Ready");
    int received = wait_for_end(s, signals);
    struct log_field field = log_text("signal", received == SIGTERM ? "SIGTERM" : "SIGINT");
    log_event(LOG_LEVEL_INFO, "stopping", &field, 1);
    stop(s, signals);
    log_event(LOG_LEVEL_INFO, "stopped", NULL, 0);
    return EXIT_SUCCESS;
}

/* One test, one worker, no listening; signals end the program as they end any other. */
static int check(struct service *s, const sigset_t *signals)
{
    char why[WHY_SIZE] = "";

    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    log_open(s->config.log_format,
             s->config.log_level < LOG_LEVEL_WARN ? s->config.log_level : LOG_LEVEL_WARN);
    s->config.workers = 1;
    s->config.target_rate.count = 0;
    if (!build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    return (int)check_run(&s->config, s->pool);
}

int main(int argc, char **argv)
{
    struct service service = {.passed = {.admin = -1}};
    sigset_t signals;
    char err[CONFIG_ERROR_SIZE] = "";
    int status = EXIT_SUCCESS;

    /* Blocked in all threads, taken by this one, so that one that comes before all is set up waits for that.
     */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    switch (config_load(&service.config, argc, argv, getenv, err)) {
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
        status = service.config.check ? check(&service, &signals) : serve(&service, &signals);
        break;
    }
    take_down(&service);
    return status;
}

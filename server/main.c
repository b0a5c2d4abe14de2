/* main.c: builds the parts, wires them, waits for a signal, and takes them down in order. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/json_setup.h"
#include "probe/net/target.h"
#include "server/admission.h"
#include "server/check.h"
#include "server/config.h"
#include "server/http.h"
#include "server/keys.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/pool.h"

#define EXIT_USAGE 2
#define WHY_SIZE 512

/* A test under way holds its HTTP connection and one connection for each port. */
#define DESCRIPTORS_PER_TEST 3u
/* Everything else: log, loops, DNS, and callers that are told that there is no room. */
#define DESCRIPTORS_RESERVED 384u
#define DESCRIPTORS_PER_WORKER 16u

/* How long answers may take to be written once all tests have ended. */
#define DRAIN_MS 5000u
#define LAST_REQUESTS_MS 50u

struct service {
    struct config config;
    struct tls_env *tls;
    struct target_policy *policy;
    struct keys *keys;
    char *dns_servers;
    struct worker_env worker_env;
    struct pool *pool;
    struct admission admission;
    struct http *http;
    unsigned connections;
    bool dns_ready, admission_ready;
};

static bool on_permit(const void *context, const struct ip *ip)
{
    return target_allowed(context, ip);
}

static bool add_networks(struct target_policy *policy, const struct config_list *list, bool allow)
{
    for (size_t i = 0; i < list->count; i++) {
        struct cidr network;
        if (!cidr_parse(&network, list->items[i]) || !target_policy_add(policy, &network, allow)) {
            return false;
        }
    }
    return true;
}

static bool add_nat64(struct target_policy *policy, const struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct cidr prefix;
        if (!cidr_parse(&prefix, list->items[i]) || !target_policy_add_nat64(policy, &prefix)) {
            return false;
        }
    }
    return true;
}

static bool build_policy(struct service *s, char *why)
{
    s->policy = target_policy_create();
    if (!s->policy || !add_networks(s->policy, &s->config.allow_target, true) ||
        !add_networks(s->policy, &s->config.deny_target, false) ||
        !add_nat64(s->policy, &s->config.nat64_prefix) || !target_policy_refresh_own(s->policy)) {
        snprintf(why, WHY_SIZE, "the target policy cannot be set up");
        return false;
    }
    return true;
}

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
    /* Each listening socket counts its connections by itself; together they must leave the tests theirs. */
    s->connections =
        (s->config.max_in_flight + DESCRIPTORS_RESERVED / 2) / (unsigned)s->config.listen.count + 1;
}

static void warn_without_effect(const struct config *config)
{
    static const struct {
        enum config_option option;
        const char *name;
    } idle[] = {
        {OPTION_CACHE, "cache-seconds"},     {OPTION_CLIENT_RATE, "client-rate"},
        {OPTION_TARGET_RATE, "target-rate"}, {OPTION_TRUSTED_PROXY, "trusted-proxy"},
        {OPTION_CORS_ORIGIN, "cors-origin"}, {OPTION_ADMIN_LISTEN, "admin-listen"},
    };
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        if (config->given[idle[i].option]) {
            struct log_field field = log_text("option", idle[i].name);
            log_event(LOG_LEVEL_WARN, "option_without_effect_yet", &field, 1);
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
    if (!s->tls || !build_policy(s, why) || !join_dns_servers(s, why)) {
        return false;
    }
    fit_descriptors(s);
    s->worker_env = (struct worker_env){.tls = s->tls, .permit = on_permit, .permit_context = s->policy};
    s->worker_env.settings =
        (struct probe_settings){c->imap_port, c->imaps_port, c->connect_timeout_ms, c->io_timeout_ms};
    s->worker_env.dns_servers = s->dns_servers;
    s->worker_env.dns_timeout_ms = c->dns_timeout_ms;
    s->pool = pool_create(c->workers, &s->worker_env, why, WHY_SIZE);
    if (!s->pool) {
        return false;
    }
    admission_init(&s->admission, s->config.max_in_flight);
    s->admission_ready = true;
    return true;
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
        struct http_env env = {s->pool, &s->admission, s->keys, {0, 0, 0}};
        env.limits = (struct query_limits){s->config.imap_port, s->config.imaps_port, s->config.deadline_ms};
        s->http = http_create(&env, sockets, open, s->connections, why, WHY_SIZE);
        open = s->http ? open : 0;
    }
    for (size_t i = 0; i < open; i++) {
        if (!s->http) {
            close(sockets[i]);
        } else {
            listen_name(sockets[i], name, sizeof name);
            struct log_field fields[] = {log_text("address", name), log_text("version", IMAP_TESTD_VERSION),
                                         log_int("workers", s->config.workers),
                                         log_int("max_in_flight", s->config.max_in_flight),
                                         log_int("trusted_roots", (int64_t)tls_env_roots(s->tls))};
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

    admission_stop(&s->admission);
    if (!admission_wait_idle(&s->admission, s->config.grace_ms)) {
        pool_cancel(s->pool);
        (void)admission_wait_idle(&s->admission, DRAIN_MS);
    }
    http_quiesce(s->http);
    nanosleep(&last_requests, NULL); /* accepted just before, not yet read */
    if (!http_drain(s->http, DRAIN_MS)) {
        log_event(LOG_LEVEL_WARN, "answers_left_unwritten", NULL, 0);
    }
}

static void take_down(struct service *s)
{
    pool_free(&s->pool);
    http_free(&s->http);
    if (s->admission_ready) {
        admission_deinit(&s->admission);
    }
    free(s->dns_servers);
    target_policy_free(&s->policy);
    tls_env_release(&s->tls);
    keys_free(&s->keys);
    if (s->dns_ready) {
        dns_library_cleanup();
    }
    config_deinit(&s->config);
}

/* Trusted roots are read anew; tests under way end with the old ones. A file that cannot be read changes
 * nothing. */
static void reload(struct service *s)
{
    char why[WHY_SIZE] = "";
    struct tls_env *tls = tls_env_create(s->config.trust_file, why, sizeof why);
    if (!tls) {
        struct log_field field = log_text("reason", why);
        log_event(LOG_LEVEL_ERROR, "reload_failed", &field, 1);
        return;
    }
    tls_env_release(&s->tls);
    s->tls = tls;
    pool_set_tls(s->pool, tls);
    struct log_field field = log_int("trusted_roots", (int64_t)tls_env_roots(tls));
    log_event(LOG_LEVEL_INFO, "reloaded", &field, 1);
}

static int serve(struct service *s)
{
    char why[WHY_SIZE] = "";
    sigset_t signals;
    int received = 0;

    /* Blocked in all threads, taken by this one. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    log_open(s->config.log_format, s->config.log_level);
    warn_without_effect(&s->config);
    if (!build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    if (!listen_all(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_FAILURE;
    }
    while (sigwait(&signals, &received) != 0 || received == SIGHUP) {
        if (received == SIGHUP) {
            reload(s);
        }
    }
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
    log_open(s->config.log_format,
             s->config.log_level < LOG_LEVEL_WARN ? s->config.log_level : LOG_LEVEL_WARN);
    s->config.workers = 1;
    if (!build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    return (int)check_run(&s->config, s->pool);
}

int main(int argc, char **argv)
{
    struct service service = {.http = NULL};
    char err[CONFIG_ERROR_SIZE] = "";
    int status = EXIT_SUCCESS;

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
        status = service.config.check ? check(&service) : serve(&service);
        break;
    }
    take_down(&service);
    return status;
}

/* main.c: reads the options, starts the service or another command, waits for a signal, and takes all down
 * in order. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/admission.h"
#include "server/check.h"
#include "server/health.h"
#include "server/http_log.h"
#include "server/keys.h"
#include "server/log.h"
#include "server/pool.h"
#include "server/service.h"
#include "server/stop.h"
#include "server/targets.h"

#define EXIT_USAGE 2
#define WHY_SIZE SERVICE_WHY_SIZE

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
    notify_reloading(&s->manager);

    bool log = log_reopen(why, sizeof why);
    if (!log) {
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
    service_measure(s);
    metrics_reloaded(&s->metrics, tls && keys && log, time(NULL));
    if (tls && keys && log) {
        struct log_field fields[] = {log_int("trusted_roots", (int64_t)tls_env_roots(tls)),
                                     log_int("api_keys", s->keys ? (int64_t)keys_count(s->keys) : 0)};
        log_event(LOG_LEVEL_INFO, "reloaded", fields, 2);
    }
    notify_ready(&s->manager,
                 tls && keys && log ? "Ready" : "Ready, with older files: the last reload failed");
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

static int serve(struct service *s, const sigset_t *signals)
{
    char why[WHY_SIZE] = "";

    signal(SIGXFSZ, SIG_IGN); /* a log file at the limit of its size is as good as a full disk */
    if (!log_open(s->config.log_file, s->config.log_format, s->config.log_level, why, WHY_SIZE)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    notify_open(&s->manager);
    warn_of_unknown_variables();
    if (!activation_take(&s->passed, why, sizeof why) || !service_build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    if (!service_open(s, why)) {
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
    (void)log_open(NULL, s->config.log_format, /* --log-file is the service's */
                   s->config.log_level < LOG_LEVEL_WARN ? s->config.log_level : LOG_LEVEL_WARN, why,
                   WHY_SIZE);
    s->config.workers = 1;
    s->config.target_rate.count = 0;
    if (!service_build(s, why)) {
        fprintf(stderr, "imap-testd: %s\n", why);
        return EXIT_USAGE;
    }
    return (int)check_run(&s->config, s->pool);
}

static int run(struct service *s, const sigset_t *signals)
{
    if (s->config.health_check) {
        pthread_sigmask(SIG_UNBLOCK, signals, NULL);
        return (int)health_check(&s->config);
    }
    return s->config.check ? check(s, signals) : serve(s, signals);
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
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

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
        status = run(&service, &signals);
        break;
    }
    service_free(&service);
    return status;
}

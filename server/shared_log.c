#include "server/shared_log.h"

#include <time.h>

#include "server/log.h"

#define NS_PER_S 1000000000u

/* Between two lines that tell of the same. One that is back tells so where the log said that it was away. */
#define DOWN_EVERY_S 10u
#define ERROR_EVERY_S 60u

enum { STATE_UNKNOWN, STATE_UP, STATE_DOWN };

/* Never 0. */
static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec + 1;
}

static bool is_over(uint64_t since, unsigned seconds)
{
    return since == 0 || clock_ns() - since >= seconds * (uint64_t)NS_PER_S;
}

void shared_log_init(struct shared_log *log)
{
    atomic_init(&log->state, STATE_UNKNOWN);
    pthread_mutex_init(&log->lock, NULL);
}

void shared_log_deinit(struct shared_log *log)
{
    pthread_mutex_destroy(&log->lock);
}

bool shared_log_is_up(struct shared_log *log)
{
    return atomic_load(&log->state) == STATE_UP;
}

void shared_log_up(struct shared_log *log)
{
    if (shared_log_is_up(log)) {
        return;
    }
    pthread_mutex_lock(&log->lock);
    int before = atomic_exchange(&log->state, STATE_UP);
    if (before == STATE_UNKNOWN || (before == STATE_DOWN && log->told)) {
        log_event(LOG_LEVEL_INFO, "shared_cache_up", NULL, 0);
    }
    log->told = false;
    pthread_mutex_unlock(&log->lock);
}

void shared_log_down(struct shared_log *log, const char *why)
{
    pthread_mutex_lock(&log->lock);
    atomic_store(&log->state, STATE_DOWN);
    if (!log->told && is_over(log->told_at, DOWN_EVERY_S)) {
        struct log_field field = log_text("reason", why);
        log_event(LOG_LEVEL_WARN, "shared_cache_down", &field, 1);
        log->told = true;
        log->told_at = clock_ns();
    }
    pthread_mutex_unlock(&log->lock);
}

void shared_log_error(struct shared_log *log, struct text what)
{
    pthread_mutex_lock(&log->lock);
    log->errors++;
    if (is_over(log->error_at, ERROR_EVERY_S)) {
        struct log_field fields[] = {log_bytes("reason", what), log_int("errors", log->errors)};
        log_event(LOG_LEVEL_WARN, "shared_cache_error", fields, 2);
        log->errors = 0;
        log->error_at = clock_ns();
    }
    pthread_mutex_unlock(&log->lock);
}

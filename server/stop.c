#include "server/stop.h"

#include <stdint.h>
#include <time.h>

#include "server/admission.h"
#include "server/callers.h"
#include "server/http.h"
#include "server/log.h"
#include "server/pool.h"

/* How often it is looked whether what is waited for has come. */
#define STEP_MS 5

/* For a request on its way, or the next one of a caller that asks one after another. An idle connection is
 * ended then: a caller that asks more rarely than this meets the end of its connection hardly ever. */
#define LAST_REQUESTS_MS 250u

/* How long answers may take to be written once all tests have ended, and to be made of those cut. */
#define ANSWERS_MS 5000u

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static bool told_again(const struct stop *s)
{
    static const struct timespec at_once = {0, 0};
    int received;
    while ((received = sigtimedwait(s->signals, NULL, &at_once)) == SIGHUP) {
    }
    return received == SIGTERM || received == SIGINT;
}

/* False: the time was over first, or the signal came again where that is heeded (*hurry, else NULL). `came`
 * NULL: the time alone is waited for. */
static bool wait_for(const struct stop *s, bool (*came)(const struct stop *), uint64_t ms, bool *hurry)
{
    static const struct timespec step = {0, STEP_MS * 1000000L};
    uint64_t end = now_ms() + ms;
    while (!came || !came(s)) {
        if (hurry && !*hurry && told_again(s)) {
            log_event(LOG_LEVEL_INFO, "stopping_at_once", NULL, 0);
            *hurry = true;
        }
        if (now_ms() >= end || (hurry && *hurry)) {
            return false;
        }
        nanosleep(&step, NULL);
    }
    return true;
}

static bool nobody_asks(const struct stop *s)
{
    return !callers_asking(s->callers);
}

static bool all_done(const struct stop *s)
{
    return nobody_asks(s) && admission_wait_idle(s->admission, 0);
}

static bool all_gone(const struct stop *s)
{
    return all_done(s) && !http_active(s->http) && !callers_left(s->callers);
}

static void cut_tests(const struct stop *s)
{
    admission_stop(s->admission);
    pool_cancel(s->pool);
}

void stop_in_order(const struct stop *s)
{
    bool hurry = false;

    admission_retire(s->admission);
    (void)wait_for(s, NULL, s->drain_ms, &hurry);
    uint64_t end = now_ms() + s->grace_ms;
    http_quiesce(s->http, s->shared_sockets);
    (void)wait_for(s, nobody_asks, LAST_REQUESTS_MS, &hurry);
    callers_end(s->callers);
    uint64_t now = now_ms();
    if (!wait_for(s, all_done, end > now ? end - now : 0, &hurry)) {
        cut_tests(s);
        (void)admission_wait_idle(s->admission, ANSWERS_MS);
    }
    if (!wait_for(s, all_gone, ANSWERS_MS, NULL)) {
        log_event(LOG_LEVEL_WARN, "answers_left_unwritten", NULL, 0);
        pool_cancel(s->pool);
    }
    admission_stop(s->admission); /* for connections that nobody could count: the workers go next */
}

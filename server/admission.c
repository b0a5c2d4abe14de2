#include "server/admission.h"

#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/report_json.h"
#include "probe/base/limits.h"
#include "server/metrics.h"
#include "server/peers.h"

#define NS_PER_S 1000000000u
#define MS_PER_S 1000u
#define NS_PER_MS 1000000u

/* A client may have so many tests under way for each place that is free: the last places are for those who
 * have few. One alone gets all but one in 256, a few together not much less. */
#define TESTS_PER_FREE_PLACE 256u

/* A test under way and those who wait for it. */
struct flight {
    const char *key;
    bool joinable; /* stands in the tree under its key */
    unsigned generation;
    struct admission *admission;
    struct job *job;
    struct peer *client;    /* whose place it takes */
    struct waiter *waiters; /* in no order */
    struct waiter *starter; /* NULL: gone */
    char text[QUERY_KEY_SIZE];
};

struct admission {
    struct admission_env env;
    pthread_mutex_t lock; /* guards what follows, and the waiters that wait */
    pthread_cond_t idle;
    size_t in_flight;
    struct peers clients; /* with a test in flight */
    bool retiring, stopping;
    void *flights; /* a tree by key */
    struct cache *cache;
    unsigned generation; /* of what tests rest on; those of an older one answer only who waits already */
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct flight *)a)->key, ((const struct flight *)b)->key);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

struct admission *admission_create(const struct admission_env *env)
{
    struct admission *a = calloc(1, sizeof *a);
    struct cache *cache = cache_create(env->cache_seconds, LIMIT_CACHE_ENTRIES, LIMIT_CACHE_BYTES);
    pthread_condattr_t attr;
    if (!a || !cache) {
        free(a);
        cache_free(&cache);
        return NULL;
    }
    a->env = *env;
    a->cache = cache;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->idle, &attr);
    pthread_condattr_destroy(&attr);
    return a;
}

void admission_free(struct admission **admission)
{
    struct admission *a = *admission;
    *admission = NULL;
    if (a) {
        cache_free(&a->cache);
        pthread_cond_destroy(&a->idle);
        pthread_mutex_destroy(&a->lock);
        free(a);
    }
}

static void join(struct flight *f, struct waiter *w)
{
    w->on_wait(w);
    w->flight = f;
    w->next = f->waiters;
    w->link = &f->waiters;
    if (w->next) {
        w->next->link = &w->next;
    }
    f->waiters = w;
}

static void unlink_waiter(struct waiter *w)
{
    *w->link = w->next;
    if (w->next) {
        w->next->link = w->link;
    }
    w->flight = NULL;
}

/* Nobody joins it any more. */
static void close_flight(struct flight *f)
{
    if (f->joinable) {
        (void)tdelete(f, &f->admission->flights, compare);
        f->joinable = false;
    }
}

static void flight_free(struct flight *f)
{
    job_free(&f->job);
    free(f);
}

static void on_job_done(struct job *job);

static struct flight *flight_create(struct admission *a, const struct query *query)
{
    struct flight *f = calloc(1, sizeof *f);
    if (f) {
        f->admission = a;
        f->generation = a->generation;
        f->key = query_key(query, f->text);
        f->job = job_create(query, on_job_done, f);
        if (!f->job) {
            free(f);
            f = NULL;
        }
    }
    return f;
}

/* Those who ask later join this one; a `fresh` test takes the place of an earlier one. */
static void open_flight(struct flight *f)
{
    struct admission *a = f->admission;
    struct flight **other = tfind(f, &a->flights, compare);
    if (other) {
        close_flight(*other);
    }
    f->joinable = tsearch(f, &a->flights, compare) != NULL;
}

/* Under the lock. */
static bool has_place(const struct admission *a, const uint8_t client[CLIENT_KEY_SIZE])
{
    size_t max = a->env.max_in_flight, free_places = max > a->in_flight ? max - a->in_flight : 0;
    return free_places > 0 && peers_count(&a->clients, client) < TESTS_PER_FREE_PLACE * free_places;
}

/* Under the lock. */
static enum admission_result start(struct admission *a, const struct query *query,
                                   const uint8_t client[CLIENT_KEY_SIZE], struct waiter *w)
{
    struct flight *f = flight_create(a, query);
    if (!f) {
        return ADMISSION_NO_MEMORY;
    }
    f->client = peers_enter(&a->clients, client);
    if (!f->client) {
        flight_free(f);
        return ADMISSION_NO_MEMORY;
    }
    if (a->env.cache_seconds > 0) {
        open_flight(f);
    }
    f->starter = w;
    if (w->origin) {
        f->job->origin = *w->origin;
    }
    a->in_flight++;
    join(f, w);
    metrics_add(a->env.metrics, METRIC_TESTS_QUEUED, 1);
    pool_submit(a->env.pool, peer_lane(f->client), f->job);
    return ADMISSION_WAITING;
}

/* Under the lock: what is there already, or under way. */
static bool find(struct admission *a, const struct query *query, uint64_t now, struct waiter *w,
                 struct answer *answer)
{
    char text[QUERY_KEY_SIZE];
    const struct flight like = {.key = query_key(query, text)};
    uint64_t age = 0;

    if (cache_get(a->cache, like.key, now, &answer->report, &age)) {
        metrics_add(a->env.metrics, METRIC_CACHE_HIT, 1);
        answer->result = JOB_REPORTED;
        answer->cached = true;
        answer->age_s = (unsigned)(age / NS_PER_S);
        answer->max_age_s = a->env.cache_seconds;
        return true;
    }
    struct flight **found = tfind(&like, &a->flights, compare);
    if (!found || (*found)->generation != a->generation) {
        metrics_add(a->env.metrics, METRIC_CACHE_MISS, 1);
        return false;
    }
    metrics_add(a->env.metrics, METRIC_CACHE_SHARED, 1);
    join(*found, w);
    return true;
}

enum admission_result admission_ask(struct admission *a, const struct query *query,
                                    const uint8_t client[CLIENT_KEY_SIZE], uint64_t now, struct waiter *w,
                                    struct answer *answer)
{
    enum admission_result r;
    uint64_t wait;

    *answer = (struct answer){.result = JOB_OVERLOADED};
    pthread_mutex_lock(&a->lock);
    if (a->stopping) {
        r = ADMISSION_STOPPING;
    } else if (a->env.cache_seconds > 0 && !query->fresh && find(a, query, now, w, answer)) {
        r = w->flight ? ADMISSION_WAITING : ADMISSION_ANSWERED;
    } else if (!has_place(a, client)) {
        r = ADMISSION_FULL;
    } else if ((wait = limiter_take(a->env.clients, client, CLIENT_KEY_SIZE, now)) > 0) {
        answer->retry_after_s = (unsigned)((wait + NS_PER_S - 1) / NS_PER_S);
        r = ADMISSION_LIMITED;
    } else {
        r = start(a, query, client, w);
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}

bool admission_forsake(struct admission *a, struct waiter *w)
{
    pthread_mutex_lock(&a->lock);
    struct flight *f = w->flight;
    if (f) {
        unlink_waiter(w);
        f->starter = f->starter == w ? NULL : f->starter;
        if (!f->waiters) {
            close_flight(f);
            worker_drop(f->job);
        }
    }
    pthread_mutex_unlock(&a->lock);
    return f != NULL;
}

/* The same answer for those who did not start the test; metrics do not say for whom they were made. NULL: no
 * memory. */
static struct shared *mark_cached(const struct job *job)
{
    if (job->query.form == QUERY_REPORT) {
        report_json_mark_cached(job->body);
    }
    return shared_create(job->body, strlen(job->body));
}

/* Takes those who wait off the flight, and keeps the result where it may be kept. */
static struct waiter *land(struct flight *f, struct cached *copy, struct answer *answer)
{
    struct admission *a = f->admission;
    const struct job *job = f->job;

    pthread_mutex_lock(&a->lock);
    struct waiter *waiters = f->waiters;
    for (struct waiter *w = waiters; w; w = w->next) {
        w->flight = NULL;
    }
    bool kept = job->result == JOB_REPORTED && f->joinable && f->generation == a->generation &&
                !job->deadline_exceeded && job->verdict != VERDICT_INCONCLUSIVE;
    answer->max_age_s = kept ? a->env.cache_seconds : 0;
    if (kept && copy->body) {
        uint64_t now = clock_ns(), age = job->age_ms * NS_PER_MS;
        cache_put(a->cache, f->key, copy, now > age ? now - age : 0);
    }
    close_flight(f);
    pthread_mutex_unlock(&a->lock);
    if (kept && copy->body) {
        worker_share(job, copy);
    }
    return waiters;
}

static void leave(struct admission *a, struct peer *client)
{
    pthread_mutex_lock(&a->lock);
    peers_leave(&a->clients, &client);
    if (--a->in_flight == 0) {
        pthread_cond_broadcast(&a->idle);
    }
    pthread_mutex_unlock(&a->lock);
}

/* From a worker's thread. */
static void on_job_done(struct job *job)
{
    struct flight *f = job->owner;
    struct admission *a = f->admission;
    struct answer own = {.result = job->result, .retry_after_s = job->retry_after_s};
    struct cached copy = {NULL, job->verdict, job->address, job->dns_ms, job->test_ms, job->phases};

    own.report = copy;
    own.age_s = (unsigned)(job->age_ms / MS_PER_S);
    if (job->result == JOB_REPORTED && job->shared) {
        copy.body = shared_create(job->body, strlen(job->body));
    } else if (job->result == JOB_REPORTED) {
        own.report.body = shared_create(job->body, strlen(job->body));
        copy.body = a->env.cache_seconds > 0 ? mark_cached(job) : NULL;
    }
    if (job->shared) { /* nothing was tested for it */
        limiter_give_back(a->env.clients, peer_key(f->client), CLIENT_KEY_SIZE);
    }
    struct waiter *w = land(f, &copy, &own);
    leave(a, f->client); /* before the answers: whoever has one may ask for the next test at once */
    const struct waiter *starter = job->shared ? NULL : f->starter;
    while (w) {
        struct waiter *next = w->next; /* the waiter may be gone once it has its answer */
        struct answer answer = own;
        answer.cached = w != starter;
        answer.report.body = answer.cached ? copy.body : own.report.body;
        if (answer.report.body) {
            (void)shared_hold(answer.report.body);
        } else if (answer.result == JOB_REPORTED) {
            answer.result = JOB_OVERLOADED;
        }
        w->on_answer(w, &answer);
        w = next;
    }
    shared_release(own.report.body);
    shared_release(copy.body);
    flight_free(f);
}

void admission_forget(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    a->generation++;
    cache_clear(a->cache);
    pthread_mutex_unlock(&a->lock);
}

void admission_retire(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    a->retiring = true;
    pthread_mutex_unlock(&a->lock);
}

bool admission_retiring(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    bool retiring = a->retiring;
    pthread_mutex_unlock(&a->lock);
    return retiring;
}

void admission_stop(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    a->retiring = a->stopping = true;
    pthread_mutex_unlock(&a->lock);
}

bool admission_full(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    bool full = a->in_flight >= a->env.max_in_flight;
    pthread_mutex_unlock(&a->lock);
    return full;
}

struct admission_state admission_state(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    struct admission_state state = {.in_flight = a->in_flight, .stopping = a->retiring};
    state.full = a->in_flight >= a->env.max_in_flight;
    state.cache_entries = cache_count(a->cache);
    state.cache_bytes = cache_bytes(a->cache);
    pthread_mutex_unlock(&a->lock);
    return state;
}

bool admission_wait_idle(struct admission *a, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&a->lock);
    int r = 0;
    while (a->in_flight > 0 && r != ETIMEDOUT) {
        r = pthread_cond_timedwait(&a->idle, &a->lock, &until);
    }
    bool idle = a->in_flight == 0;
    pthread_mutex_unlock(&a->lock);
    return idle;
}

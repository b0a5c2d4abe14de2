#include "server/worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/piece_cache.h"
#include "probe/net/chain_cache.h"
#include "server/job.h"
#include "server/outbox.h"
#include "server/shared_cache.h"

/* Jobs begun between two looks at the sockets: answers to the questions of those before are read in between,
 * and whoever asks meanwhile has its turn soon. */
#define STARTS_AT_ONCE 4

struct worker {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t before_poll; /* looks after the outbox */
    uv_timer_t outbox_timer;
    struct outbox outbox;
    struct probe_env probe_env;
    struct shared_link *shared; /* NULL: none */
    struct piece_cache *pieces;
    struct turns *turns;
    struct job *running;
    bool cancelling; /* the thread's own copy */

    atomic_size_t load;
    pthread_mutex_t lock; /* guards what follows */
    size_t calls;         /* jobs that it is still to take */
    bool stop, cancel;
    bool dropped;             /* some job is unwanted */
    struct tls_env *next_tls; /* takes the place of probe_env.tls; NULL: none */
};

static void link_job(struct worker *w, struct job *job)
{
    job->next = w->running;
    job->link = &w->running;
    if (job->next) {
        job->next->link = &job->next;
    }
    w->running = job;
}

static void unlink_job(struct job *job)
{
    *job->link = job->next;
    if (job->next) {
        job->next->link = job->link;
    }
}

/* For the log of whose server was tested: one address tells it, both ports have mostly the same. */
static struct ip tested_address(const struct report *r)
{
    struct ip address = {.family = 0};
    for (size_t i = 0; i < r->port_count && address.family == 0; i++) {
        const struct port_report *port = &r->ports[i];
        address = port->address;
        if (address.family == 0 && port->try_count > 0) {
            address = port->tries[port->try_count - 1].address;
        }
    }
    return address;
}

static void close_if_idle(struct worker *w);

static void send_outbox(struct worker *w)
{
    struct job *job = outbox_take(&w->outbox, uv_now(&w->loop));
    uv_timer_stop(&w->outbox_timer);
    while (job) {
        struct job *next = job->next;
        atomic_fetch_sub(&w->load, 1);
        job->on_done(job);
        job = next;
    }
    close_if_idle(w);
}

static uint64_t outbox_wait(struct worker *w)
{
    return w->cancelling ? 0 : outbox_wait_ms(&w->outbox, uv_now(&w->loop), atomic_load(&w->load));
}

static void on_outbox_timer(uv_timer_t *timer)
{
    send_outbox(timer->data);
}

static void on_before_poll(uv_prepare_t *before_poll)
{
    struct worker *w = before_poll->data;
    if (outbox_is_empty(&w->outbox)) {
        return;
    }
    uint64_t wait = outbox_wait(w);
    if (wait == 0) {
        send_outbox(w);
    } else if (!uv_is_active((uv_handle_t *)&w->outbox_timer)) {
        uv_timer_start(&w->outbox_timer, on_outbox_timer, wait, 0);
    }
}

static void hand_back(struct worker *w, struct job *job, enum job_result result)
{
    job->result = result;
    report_deinit(&job->report);
    outbox_add(&w->outbox, job);
    if (outbox_wait(w) == 0) {
        send_outbox(w);
    }
}

static void on_probe_done(void *owner, const struct probe_end *end)
{
    static const enum job_result results[] = {
        [PROBE_REPORTED] = JOB_REPORTED,     [PROBE_BLOCKED] = JOB_BLOCKED,     [PROBE_LIMITED] = JOB_LIMITED,
        [PROBE_OVERLOADED] = JOB_OVERLOADED, [PROBE_CANCELLED] = JOB_CANCELLED,
    };
    struct job *job = owner;
    struct worker *w = atomic_load(&job->worker);
    enum job_result result = results[end->outcome];

    unlink_job(job);
    job->retry_after_s = end->retry_after_s;
    if (end->outcome == PROBE_REPORTED) {
        job->verdict = job->report.verdict;
        job->address = tested_address(&job->report);
        job->deadline_exceeded = job->report.deadline_exceeded;
        job->dns_ms = job->report.dns.duration_ms;
        job->test_ms = job->report.duration_ms;
        job->body = job->render(&job->report, w->pieces);
        if (!job->body) {
            result = JOB_OVERLOADED;
        }
    }
    hand_back(w, job, result);
}

static void start_test(struct worker *w, struct job *job)
{
    job->probe = probe_start(&w->probe_env, &job->query.probe, &job->report, time(NULL), on_probe_done, job);
    if (!job->probe) {
        unlink_job(job);
        hand_back(w, job, JOB_OVERLOADED);
    }
}

static void on_looked_up(struct job *job, bool found)
{
    struct worker *w = atomic_load(&job->worker);
    if (found) {
        unlink_job(job);
        hand_back(w, job, JOB_REPORTED);
    } else {
        start_test(w, job);
    }
}

static void start_job(struct worker *w, struct job *job)
{
    if (w->cancelling || atomic_load(&job->unwanted)) {
        hand_back(w, job, JOB_CANCELLED);
        return;
    }
    link_job(w, job);
    if (!w->shared || !shared_link_look_up(w->shared, job, on_looked_up)) {
        start_test(w, job);
    }
}

static void cut_short(struct worker *w, struct job *job)
{
    if (job->probe) {
        probe_cancel(job->probe);
    } else {
        shared_link_forget(job);
        unlink_job(job);
        hand_back(w, job, JOB_CANCELLED);
    }
}

void worker_share(const struct job *job, const struct cached *report)
{
    struct worker *w = atomic_load(&job->worker);
    if (w->shared && !job->shared) {
        shared_link_store(w->shared, job, report);
    }
}

static void close_if_idle(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool idle = w->stop && w->calls == 0 && !w->running && outbox_is_empty(&w->outbox);
    pthread_mutex_unlock(&w->lock);
    if (idle && !uv_is_closing((uv_handle_t *)&w->wake)) {
        uv_close((uv_handle_t *)&w->wake, NULL);
        dns_free(&w->probe_env.dns);
        shared_link_close(&w->shared);
    }
}

/* Several wake-ups may arrive as one. */
static void on_wake(uv_async_t *wake)
{
    struct worker *w = wake->data;

    pthread_mutex_lock(&w->lock);
    size_t starts = w->calls < STARTS_AT_ONCE ? w->calls : STARTS_AT_ONCE;
    w->calls -= starts;
    if (w->calls > 0) {
        uv_async_send(wake);
    }
    bool cancel = w->cancel && !w->cancelling;
    bool dropped = w->dropped;
    w->dropped = false;
    w->cancelling = w->cancel;
    struct tls_env *tls = w->next_tls;
    w->next_tls = NULL;
    pthread_mutex_unlock(&w->lock);

    if (tls) {
        tls_env_release(&w->probe_env.tls);
        w->probe_env.tls = tls;
        chain_cache_clear(w->probe_env.chains);
        if (w->shared) {
            shared_link_set_roots(w->shared, tls);
        }
    }

    while (starts-- > 0) {
        start_job(w, turns_take(w->turns, w));
    }
    for (struct job *job = cancel || dropped ? w->running : NULL, *next; job; job = next) {
        next = job->next;
        if (cancel || atomic_load(&job->unwanted)) {
            cut_short(w, job);
        }
    }
    close_if_idle(w);
}

/* A batch thread waits for whoever runs to end its slice where it could push in: more has come until its
 * turn, fewer switches are needed, and the thread that talks HTTP is the first to run. Where it is not
 * allowed, it is only dearer. */
static void prefer_throughput(void)
{
    static const struct sched_param none = {.sched_priority = 0};
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    prefer_throughput();
    uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void free_parts(struct worker *w)
{
    shared_link_close(&w->shared);
    poller_free(&w->probe_env.poller);
    uv_close((uv_handle_t *)&w->before_poll, NULL);
    uv_close((uv_handle_t *)&w->outbox_timer, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    tls_env_release(&w->next_tls);
    tls_env_release(&w->probe_env.tls);
    chain_cache_free(&w->probe_env.chains);
    piece_cache_free(&w->pieces);
    uv_loop_close(&w->loop);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct worker *worker_create(const struct worker_env *env, struct turns *turns, char *why, size_t why_size)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w || uv_loop_init(&w->loop) != 0) {
        snprintf(why, why_size, "an event loop cannot be set up");
        free(w);
        return NULL;
    }
    pthread_mutex_init(&w->lock, NULL);
    w->turns = turns;
    outbox_init(&w->outbox);
    uv_timer_init(&w->loop, &w->outbox_timer);
    uv_prepare_init(&w->loop, &w->before_poll);
    uv_prepare_start(&w->before_poll, on_before_poll);
    uv_unref((uv_handle_t *)&w->before_poll);
    w->outbox_timer.data = w->before_poll.data = w;
    w->probe_env = (struct probe_env){.loop = &w->loop, .settings = env->settings};
    w->probe_env.tls = tls_env_hold(env->tls);
    w->probe_env.chains = chain_cache_create(LIMIT_CHAIN_CACHE_ENTRIES, LIMIT_CHAIN_CACHE_BYTES);
    w->probe_env.poller = poller_create(&w->loop);
    w->pieces = piece_cache_create(LIMIT_PIECE_CACHE_BYTES);
    w->probe_env.guard = env->guard;
    w->probe_env.permit = env->permit;
    w->probe_env.permit_context = env->permit_context;
    w->shared = env->shared ? shared_link_open(env->shared, &w->loop, env->tls) : NULL;
    if (w->shared) {
        w->probe_env.permit = shared_link_permit;
        w->probe_env.withdraw = shared_link_withdraw;
        w->probe_env.permit_context = w->shared;
    }
    w->probe_env.dns = dns_create(&w->loop, env->dns_servers, env->dns_timeout_ms, why, why_size);
    if (w->probe_env.dns &&
        !(w->probe_env.chains && w->probe_env.poller && w->pieces && (w->shared || !env->shared))) {
        snprintf(why, why_size, "no memory or descriptor is left for a worker");
        dns_free(&w->probe_env.dns);
    }
    if (!w->probe_env.dns) {
        free_parts(w);
        return NULL;
    }
    if (uv_async_init(&w->loop, &w->wake, on_wake) != 0) {
        snprintf(why, why_size, "an event loop cannot be set up");
        dns_free(&w->probe_env.dns);
        free_parts(w);
        return NULL;
    }
    w->wake.data = w;
    int r = pthread_create(&w->thread, NULL, run, w);
    if (r != 0) {
        snprintf(why, why_size, "a thread cannot be started");
        uv_close((uv_handle_t *)&w->wake, NULL);
        dns_free(&w->probe_env.dns);
        free_parts(w);
        return NULL;
    }
    return w;
}

void worker_call(struct worker *w)
{
    atomic_fetch_add(&w->load, 1);
    pthread_mutex_lock(&w->lock);
    w->calls++;
    /* Sent under the lock, so that the loop cannot close the handle in between. */
    uv_async_send(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void worker_drop(struct job *job)
{
    atomic_store(&job->unwanted, true);
    struct worker *w = atomic_load(&job->worker);
    if (!w) {
        return; /* whoever takes it will see */
    }
    pthread_mutex_lock(&w->lock);
    w->dropped = true;
    uv_async_send(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void worker_set_tls(struct worker *w, struct tls_env *tls)
{
    pthread_mutex_lock(&w->lock);
    tls_env_release(&w->next_tls);
    w->next_tls = tls_env_hold(tls);
    uv_async_send(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

size_t worker_load(struct worker *w)
{
    return atomic_load(&w->load);
}

void worker_cancel(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->cancel = true;
    uv_async_send(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void worker_free(struct worker **worker)
{
    struct worker *w = *worker;
    *worker = NULL;
    if (!w) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    uv_async_send(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    free_parts(w);
}

#include "server/callers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "server/callers_inside.h"
#include "server/log.h"

/* Of a crowd that leaves at once: see callers_thread.c. */
#define MOST_LEAVING 16u

uint64_t callers_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* False: its connections are not counted. */
static bool key_of(const struct callers *c, const struct sockaddr *address, uint8_t key[CLIENT_KEY_SIZE])
{
    struct client client;
    struct ip ip;
    if (!ip_from_sockaddr(&ip, address)) {
        return false;
    }
    client_init(&client, c->trusted, &ip);
    ip = client_ip(&client);
    client_key(&ip, key);
    return !client.proxied;
}

bool callers_welcome(struct callers *c, const struct sockaddr *address)
{
    uint8_t key[CLIENT_KEY_SIZE];
    if (c->limits.per_client == 0 || !key_of(c, address, key)) {
        return true;
    }
    pthread_mutex_lock(&c->lock);
    bool welcome = peers_count(&c->peers, key) < c->limits.per_client;
    pthread_mutex_unlock(&c->lock);
    return welcome;
}

struct callers_state callers_state(struct callers *c)
{
    pthread_mutex_lock(&c->lock);
    struct callers_state state = {.connections = c->count, .waiting = c->waits};
    pthread_mutex_unlock(&c->lock);
    return state;
}

static struct queue *queue_of(struct callers *c, enum caller_state state)
{
    return state == CALLER_ASKING      ? &c->asking
           : state == CALLER_WAITING   ? &c->waiting
           : state == CALLER_ANSWERING ? &c->answering
                                       : NULL;
}

/* Nobody's deadline comes before that of one who was there before, but the thread may sleep for longer. */
static void wake_by(struct callers *c, uint64_t ms)
{
    if (ms < c->wakes_at) {
        c->wakes_at = ms;
        (void)eventfd_write(c->wake, 1);
    }
}

void caller_set_state(struct callers *c, struct caller *caller, enum caller_state state)
{
    struct queue *from = queue_of(c, caller->state), *to = queue_of(c, state);
    if (from) {
        TAILQ_REMOVE(from, caller, turn);
    }
    c->waits -= caller->state == CALLER_WAITING;
    c->waits += state == CALLER_WAITING;
    caller->state = state;
    if (to) {
        uint64_t now = callers_now_ms();
        caller->deadline = now + c->limits.transfer_ms;
        TAILQ_INSERT_TAIL(to, caller, turn);
        if (to == &c->asking) {
            wake_by(c, caller->deadline);
        } else if (to == &c->answering) {
            wake_by(c, now + CALLERS_TICK_MS);
        }
    }
}

/* Of what arrives the library still gets all that was there before it looks, and then the end: unlike with
 * one that is cut, no request is lost that came in just before, and its answer can be sent. */
static void end_reading(struct caller *caller)
{
    if (!caller->ended) {
        caller->ended = true;
        (void)shutdown(caller->fd, SHUT_RD);
    }
}

void caller_uncount(struct callers *c, struct caller *caller)
{
    c->count -= caller->counted;
    caller->counted = false;
}

void caller_cut(struct callers *c, struct caller *caller, const char *why)
{
    struct log_field field = log_text("reason", why);
    caller_set_state(c, caller, caller->state == CALLER_WAITING ? CALLER_DISMISSED : CALLER_CUT);
    caller_uncount(c, caller);
    (void)shutdown(caller->fd, SHUT_RDWR);
    log_event(LOG_LEVEL_DEBUG, "connection_cut", &field, 1);
}

/* Who makes way in a crowd: who has been asking or taking its answer for longest, where that is no burst any
 * more; else, where more wait than there may be tests, who has waited for longest. NULL: nobody yet. */
static struct caller *slowest(const struct callers *c, uint64_t now)
{
    struct caller *asking = TAILQ_FIRST(&c->asking), *answering = TAILQ_FIRST(&c->answering);
    struct caller *first = asking ? asking : answering;
    if (asking && answering && answering->deadline < asking->deadline) {
        first = answering;
    }
    if (first && first->deadline + c->limits.patience_ms <= now + c->limits.transfer_ms) {
        return first;
    }
    return c->waits > c->limits.tests ? TAILQ_FIRST(&c->waiting) : NULL;
}

bool callers_make_way(struct callers *c, uint64_t now)
{
    struct caller *caller;
    while (c->count > c->limits.crowded && (caller = slowest(c, now))) {
        caller_cut(c, caller, "crowded");
    }
    return c->count <= c->limits.crowded;
}

static bool make_room(struct callers *c, int fd)
{
    size_t wanted = c->room > 0 ? c->room : 256;
    while (wanted <= (size_t)fd) {
        wanted *= 2;
    }
    if (wanted > c->room) {
        struct caller **larger = realloc(c->by_fd, wanted * sizeof(struct caller *));
        if (!larger) {
            return false;
        }
        memset(larger + c->room, 0, (wanted - c->room) * sizeof(struct caller *));
        c->by_fd = larger;
        c->room = wanted;
    }
    return true;
}

struct caller *callers_add(struct callers *c, int fd, const struct sockaddr *address)
{
    struct caller *caller = calloc(1, sizeof *caller);
    uint8_t key[CLIENT_KEY_SIZE];
    pthread_mutex_lock(&c->lock);
    if (!caller || fd < 0 || !make_room(c, fd)) {
        pthread_mutex_unlock(&c->lock);
        free(caller);
        return NULL;
    }
    caller->fd = fd;
    caller->state = CALLER_CUT; /* in no queue yet */
    caller->peer = key_of(c, address, key) ? peers_enter(&c->peers, key) : NULL;
    c->by_fd[fd] = caller;
    caller_set_state(c, caller, CALLER_ASKING);
    caller->counted = true;
    c->count++;
    c->left++;
    if (c->ending) {
        end_reading(caller);
    }
    if (!callers_make_way(c, callers_now_ms())) {
        wake_by(c, callers_now_ms() + c->limits.patience_ms);
    }
    pthread_mutex_unlock(&c->lock);
    return caller;
}

void callers_remove(struct callers *c, struct caller *caller)
{
    if (!caller) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    caller_uncount(c, caller);
    c->left--;
    caller_set_state(c, caller, CALLER_CUT);
    c->by_fd[caller->fd] = NULL;
    peers_leave(&c->peers, &caller->peer);
    pthread_mutex_unlock(&c->lock);
    if (caller->leaving) {
        turnstile_out(&c->leaving);
    }
    free(caller);
}

void caller_waiting(struct callers *c, struct caller *caller, const struct caller_watch *watch)
{
    if (!caller) {
        return;
    }
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.fd = caller->fd};
    pthread_mutex_lock(&c->lock);
    if (caller->state != CALLER_CUT) {
        caller_set_state(c, caller, CALLER_WAITING);
        caller->watch = *watch;
        /* One whose reading was ended would look as if it had left. */
        if (!caller->ended) {
            (void)epoll_ctl(c->epoll, EPOLL_CTL_ADD, caller->fd, &event);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

/* From any state but CALLER_CUT, which is the last. */
static void move_on(struct callers *c, struct caller *caller, enum caller_state state)
{
    if (!caller) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    while (caller->state == CALLER_LEAVING) {
        pthread_cond_wait(&c->told, &c->lock);
    }
    if (caller->state == CALLER_WAITING || caller->state == CALLER_DISMISSED) {
        (void)epoll_ctl(c->epoll, EPOLL_CTL_DEL, caller->fd, NULL);
    }
    bool was_cut = caller->state == CALLER_DISMISSED || caller->state == CALLER_CUT;
    caller_set_state(c, caller, was_cut ? CALLER_CUT : state);
    if (c->ending && caller->state == CALLER_ASKING) {
        end_reading(caller);
    }
    pthread_mutex_unlock(&c->lock);
}

void caller_answering(struct callers *c, struct caller *caller)
{
    move_on(c, caller, CALLER_ANSWERING);
}

void caller_asking(struct callers *c, struct caller *caller)
{
    move_on(c, caller, CALLER_ASKING);
}

bool callers_asking(struct callers *c)
{
    pthread_mutex_lock(&c->lock);
    bool asking = !TAILQ_EMPTY(&c->asking);
    pthread_mutex_unlock(&c->lock);
    return asking;
}

bool callers_left(struct callers *c)
{
    pthread_mutex_lock(&c->lock);
    bool left = c->left > 0;
    pthread_mutex_unlock(&c->lock);
    return left;
}

void callers_end(struct callers *c)
{
    struct caller *caller;
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    TAILQ_FOREACH(caller, &c->asking, turn)
    {
        end_reading(caller);
    }
    pthread_mutex_unlock(&c->lock);
}

static void release(struct callers *c)
{
    if (c->wake >= 0) {
        close(c->wake);
    }
    if (c->epoll >= 0) {
        close(c->epoll);
    }
    turnstile_deinit(&c->leaving);
    pthread_cond_destroy(&c->told);
    pthread_mutex_destroy(&c->lock);
    free(c->by_fd);
    free(c);
}

struct callers *callers_create(const struct callers_limits *limits, const struct client_proxies *trusted,
                               char *why, size_t why_size)
{
    struct callers *c = calloc(1, sizeof *c);
    if (!c) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    c->limits = *limits;
    c->trusted = trusted;
    TAILQ_INIT(&c->asking);
    TAILQ_INIT(&c->waiting);
    TAILQ_INIT(&c->answering);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->told, NULL);
    turnstile_init(&c->leaving, MOST_LEAVING);
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = c->wake};
    if (c->epoll < 0 || c->wake < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wake, &event) != 0 ||
        pthread_create(&c->thread, NULL, callers_run, c) != 0) {
        snprintf(why, why_size, "a thread for the callers cannot be started: %s", strerror(errno));
        release(c);
        return NULL;
    }
    return c;
}

void callers_free(struct callers **callers)
{
    struct callers *c = *callers;
    *callers = NULL;
    if (!c) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_mutex_unlock(&c->lock);
    (void)eventfd_write(c->wake, 1);
    pthread_join(c->thread, NULL);
    release(c);
}

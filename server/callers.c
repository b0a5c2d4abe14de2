#include "server/callers.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "probe/base/limits.h"
#include "server/log.h"
#include "server/peers.h"
#include "server/shared.h"
#include "server/turnstile.h"

/* How often those who take their answers are looked at: their time is shorter where answers hold much memory.
 */
#define TICK_MS 500
#define EVENTS 64

/* The HTTP library goes on with all connections that it was given back before it looks at anything else: of a
 * crowd that leaves at once it is given a few at a time, so that whoever asks is never behind all. */
#define MOST_LEAVING 16u
#define MOST_HELD_UP_MS 1000u

#define NEVER UINT64_MAX

enum caller_state {
    CALLER_ASKING,
    CALLER_WAITING,
    CALLER_DISMISSED, /* as waiting, but cut: found by the thread as one that has left */
    CALLER_LEAVING,   /* its owner is being told */
    CALLER_ANSWERING,
    CALLER_CUT
};

struct caller {
    TAILQ_ENTRY(caller) turn; /* among those of the same state */
    enum caller_state state;
    bool counted; /* in callers.count */
    bool leaving; /* in callers.leaving */
    bool ended;   /* by callers_end() */
    int fd;
    uint64_t deadline;         /* ms; of no effect on those that wait, but for their turn to make way */
    struct peer *peer;         /* NULL: a trusted proxy */
    struct caller_watch watch; /* CALLER_WAITING */
};

TAILQ_HEAD(queue, caller);

struct callers {
    struct callers_limits limits;
    const struct client_proxies *trusted;
    pthread_t thread;
    int epoll, wake;
    struct turnstile leaving; /* those that were released and are not removed yet */
    pthread_cond_t told;      /* nobody is CALLER_LEAVING */
    pthread_mutex_t lock;     /* guards what follows; never held while a watch is called */
    bool stop;
    bool ending;                             /* since callers_end() */
    size_t left;                             /* connections there are */
    size_t waits;                            /* of them those that wait */
    uint64_t wakes_at;                       /* ms: when the thread looks at deadlines again */
    size_t count;                            /* but for those that were cut */
    struct queue asking, waiting, answering; /* the first deadline first: all have the same time */
    struct peers peers;
    struct caller **by_fd;
    size_t room;
};

static uint64_t now_ms(void)
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

static void set_state(struct callers *c, struct caller *caller, enum caller_state state)
{
    struct queue *from = queue_of(c, caller->state), *to = queue_of(c, state);
    if (from) {
        TAILQ_REMOVE(from, caller, turn);
    }
    c->waits -= caller->state == CALLER_WAITING;
    c->waits += state == CALLER_WAITING;
    caller->state = state;
    if (to) {
        uint64_t now = now_ms();
        caller->deadline = now + c->limits.transfer_ms;
        TAILQ_INSERT_TAIL(to, caller, turn);
        if (to == &c->asking) {
            wake_by(c, caller->deadline);
        } else if (to == &c->answering) {
            wake_by(c, now + TICK_MS);
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

static void uncount(struct callers *c, struct caller *caller)
{
    c->count -= caller->counted;
    caller->counted = false;
}

/* The HTTP library, or for one that waits the thread, finds it closed. */
static void cut(struct callers *c, struct caller *caller, const char *why)
{
    struct log_field field = log_text("reason", why);
    set_state(c, caller, caller->state == CALLER_WAITING ? CALLER_DISMISSED : CALLER_CUT);
    uncount(c, caller);
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

/* False: there is still a crowd, of those who have some time left. */
static bool make_way(struct callers *c, uint64_t now)
{
    struct caller *caller;
    while (c->count > c->limits.crowded && (caller = slowest(c, now))) {
        cut(c, caller, "crowded");
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
    set_state(c, caller, CALLER_ASKING);
    caller->counted = true;
    c->count++;
    c->left++;
    if (c->ending) {
        end_reading(caller);
    }
    if (!make_way(c, now_ms())) {
        wake_by(c, now_ms() + c->limits.patience_ms);
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
    uncount(c, caller);
    c->left--;
    set_state(c, caller, CALLER_CUT);
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
        set_state(c, caller, CALLER_WAITING);
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
    set_state(c, caller, was_cut ? CALLER_CUT : state);
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

/* Another connection may have got the same descriptor since the event came. */
static bool has_left(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void look_after(struct callers *c, int fd)
{
    pthread_mutex_lock(&c->lock);
    struct caller *caller = fd >= 0 && (size_t)fd < c->room ? c->by_fd[fd] : NULL;
    enum caller_state before = caller ? caller->state : CALLER_CUT;
    bool left = (before == CALLER_WAITING || before == CALLER_DISMISSED) && has_left(fd);
    if (left) {
        set_state(c, caller, CALLER_LEAVING);
    }
    pthread_mutex_unlock(&c->lock);
    if (!left) {
        return;
    }
    /* caller_answering() waits for this, so that the owner stays for as long. */
    struct caller_watch watch = caller->watch;
    bool released = watch.on_gone(watch.owner);
    pthread_mutex_lock(&c->lock);
    if (released) {
        (void)epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
        uncount(c, caller);
        caller->leaving = true;
        turnstile_in(&c->leaving);
    }
    set_state(c, caller, released ? CALLER_CUT : before);
    pthread_cond_broadcast(&c->told);
    pthread_mutex_unlock(&c->lock);
    if (released) {
        watch.on_released(watch.owner);
        turnstile_wait(&c->leaving, MOST_HELD_UP_MS);
    }
}

/* Under the lock. */
static void cut_late(struct callers *c, struct queue *queue, uint64_t now, const char *why)
{
    struct caller *first;
    while ((first = TAILQ_FIRST(queue)) && first->deadline <= now) {
        cut(c, first, why);
    }
}

/* Under the lock. Returns how long nothing is to be done, -1: until the thread is woken. */
static int look_at_deadlines(struct callers *c)
{
    uint64_t now = now_ms();
    uint64_t ahead = shared_total() > LIMIT_ANSWERS_BYTES ? LIMIT_TRANSFER_MS - LIMIT_PRESSED_MS : 0;
    cut_late(c, &c->asking, now, "request_too_slow");
    cut_late(c, &c->answering, now + ahead, "answer_taken_too_slowly");
    const struct caller *first = TAILQ_FIRST(&c->asking);
    c->wakes_at = first ? first->deadline : NEVER;
    if (!TAILQ_EMPTY(&c->answering) && now + TICK_MS < c->wakes_at) {
        c->wakes_at = now + TICK_MS;
    }
    if (!make_way(c, now) && now + c->limits.patience_ms < c->wakes_at) {
        c->wakes_at = now + c->limits.patience_ms;
    }
    uint64_t left = c->wakes_at - now;
    return c->wakes_at == NEVER ? -1 : left < INT_MAX ? (int)left : INT_MAX;
}

static void *run(void *arg)
{
    struct callers *c = arg;
    struct epoll_event events[EVENTS];
    eventfd_t wakes;
    int wait_ms = 0;
    for (bool stop = false; !stop;) {
        int n = epoll_wait(c->epoll, events, EVENTS, wait_ms);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == c->wake) {
                (void)eventfd_read(c->wake, &wakes);
            } else {
                look_after(c, events[i].data.fd);
            }
        }
        pthread_mutex_lock(&c->lock);
        wait_ms = look_at_deadlines(c);
        stop = c->stop;
        pthread_mutex_unlock(&c->lock);
    }
    return NULL;
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
        pthread_create(&c->thread, NULL, run, c) != 0) {
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

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "probe/base/limits.h"
#include "server/callers_inside.h"
#include "server/shared.h"

#define EVENTS 64

/* The HTTP library goes on with all connections that it was given back before it looks at anything else: of a
 * crowd that leaves at once it is given a few at a time, so that whoever asks is never behind all. */
#define MOST_HELD_UP_MS 1000u

#define NEVER UINT64_MAX

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
        caller_set_state(c, caller, CALLER_LEAVING);
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
        caller_uncount(c, caller);
        caller->leaving = true;
        turnstile_in(&c->leaving);
    }
    caller_set_state(c, caller, released ? CALLER_CUT : before);
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
        caller_cut(c, first, why);
    }
}

/* Under the lock. Returns how long nothing is to be done, -1: until the thread is woken. */
static int look_at_deadlines(struct callers *c)
{
    uint64_t now = callers_now_ms();
    uint64_t ahead = shared_total() > LIMIT_ANSWERS_BYTES ? LIMIT_TRANSFER_MS - LIMIT_PRESSED_MS : 0;
    cut_late(c, &c->asking, now, "request_too_slow");
    cut_late(c, &c->answering, now + ahead, "answer_taken_too_slowly");
    const struct caller *first = TAILQ_FIRST(&c->asking);
    c->wakes_at = first ? first->deadline : NEVER;
    if (!TAILQ_EMPTY(&c->answering) && now + CALLERS_TICK_MS < c->wakes_at) {
        c->wakes_at = now + CALLERS_TICK_MS;
    }
    if (!callers_make_way(c, now) && now + c->limits.patience_ms < c->wakes_at) {
        c->wakes_at = now + c->limits.patience_ms;
    }
    uint64_t left = c->wakes_at - now;
    return c->wakes_at == NEVER ? -1 : left < INT_MAX ? (int)left : INT_MAX;
}

void *callers_run(void *arg)
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

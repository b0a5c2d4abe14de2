#include "probe/net/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe/base/memory.h"

/* Reads that one connection has before others have their turn. */
#define READS_PER_TURN 8

void conn_set_state(struct conn *c, enum conn_state state)
{
    c->state = state;
}

static void on_ready(struct poller_watch *watch, uint32_t events);

void conn_init(struct conn *c, uv_loop_t *loop, struct poller *poller,
               void (*on_event)(void *owner, enum conn_event event), void *owner)
{
    *c = (struct conn){.loop = loop, .poller = poller, .watch = {on_ready}, .fd = -1};
    c->on_event = on_event;
    c->owner = owner;
    buf_init(&c->in, LIMIT_LINE_BYTES + CONN_READ_BYTES);
    buf_init(&c->out, LIMIT_LINE_BYTES);
    buf_init(&c->ahead, CONN_READ_BYTES);
    buf_init(&c->said, LIMIT_TEXT_CHARS);
}

static void stop_watching(struct conn *c)
{
    if (c->events != 0) {
        poller_remove(c->poller, c->fd);
        c->events = 0;
    }
}

void conn_end(struct conn *c, struct failure failure)
{
    if (c->state == CONN_DEAD || c->state == CONN_CLOSING) {
        return;
    }
    c->failure = failure;
    conn_set_state(c, CONN_DEAD);
    stop_watching(c);
    uv_timer_stop(&c->timer);
    c->on_event(c->owner, CONN_ENDED);
}

void conn_end_ours(struct conn *c)
{
    c->ours = CONN_OURS_RESOURCES;
    conn_end(c, (struct failure){.code = ERROR_NONE});
}

static void on_deferred(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    if (c->state == CONN_DEAD) {
        c->on_event(c->owner, CONN_ENDED);
    } else if (c->state == CONN_HANDSHAKE && !c->hello_sent) {
        c->drained = false;
        conn_handshake(c);
    }
}

/* As conn_end(), for use inside a call of the owner's: the event comes with the next turn of the loop. */
void conn_defer(struct conn *c)
{
    uv_timer_start(&c->deferred, on_deferred, 0, 0);
}

void conn_end_later(struct conn *c, struct failure failure, enum conn_ours ours)
{
    if (c->state == CONN_DEAD || c->state == CONN_CLOSING) {
        return;
    }
    c->failure = failure;
    c->ours = ours;
    conn_set_state(c, CONN_DEAD);
    stop_watching(c);
    uv_timer_stop(&c->timer);
    conn_defer(c);
}

bool conn_is_ours(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS || err == EADDRNOTAVAIL;
}

struct failure conn_read_failure(int err)
{
    struct failure f = {.code = ERROR_CONNECTION_RESET, .raw = strerrorname_np(err)};
    if (err == ETIMEDOUT) {
        f.code = ERROR_READ_TIMEOUT;
    } else if (err == EHOSTUNREACH) {
        f.code = ERROR_HOST_UNREACHABLE;
    } else if (err == ENETUNREACH) {
        f.code = ERROR_NETWORK_UNREACHABLE;
    }
    return f;
}

int conn_want(struct conn *c, uint32_t events)
{
    int err = 0;
    if (c->events == 0) {
        err = poller_add(c->poller, c->fd, events, &c->watch);
    } else if (events != c->events) {
        poller_change(c->poller, c->fd, events, &c->watch);
    }
    c->events = err == 0 ? events : 0;
    return err;
}

static void on_timeout(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    if (c->state == CONN_DEAD || c->state == CONN_CLOSING) {
        return;
    }
    /* After a stall of ours the loop runs timers before it looks at sockets: what has come is not late. */
    struct pollfd fd = {.fd = c->fd, .events = c->state == CONN_CONNECTING ? POLLOUT : POLLIN};
    if (!c->grace && poll(&fd, 1, 0) > 0) {
        c->grace = true;
        uv_timer_start(&c->timer, on_timeout, 1, 0);
        return;
    }
    if (c->hearing) {
        conn_end_refused(c);
    } else {
        c->on_event(c->owner, CONN_TIMED_OUT);
    }
}

void conn_wait(struct conn *c, unsigned ms)
{
    if (c->state != CONN_DEAD && c->state != CONN_CLOSING) {
        c->grace = false;
        uv_timer_start(&c->timer, on_timeout, ms, 0);
    }
}

ssize_t conn_recv(struct conn *c, void *data, size_t len, int flags)
{
    ssize_t n = recv(c->fd, data, len, flags);
    if (n == 0 && c->told_error != 0) {
        errno = c->told_error;
        return -1;
    }
    return n;
}

ssize_t conn_raw_read(struct conn *c, void *data, size_t len)
{
    if (c->raw_bytes >= LIMIT_RAW_BYTES) {
        errno = EMSGSIZE;
        return -1;
    }
    ssize_t n = conn_recv(c, data, len, 0);
    if (n > 0) {
        c->raw_bytes += (size_t)n;
    }
    c->drained = n < (ssize_t)len; /* an end that follows is announced by the socket */
    return n;
}

/* One read through TLS or plain. *len 0 with true: nothing to be had now. False: the connection has ended. */
static bool read_some(struct conn *c, void *data, size_t size, size_t *len, struct failure *failure,
                      bool *ours)
{
    *len = 0;
    if (c->state == CONN_TLS) {
        enum tls_step step = tls_recv(&c->tls, data, size, len, failure);
        *ours = step == TLS_STEP_NO_MEMORY;
        if (step == TLS_STEP_DONE && *len == 0) {
            *failure = (struct failure){.code = ERROR_CONNECTION_CLOSED, .raw = "close_notify"};
            return false;
        }
        return step != TLS_STEP_FAILED && step != TLS_STEP_NO_MEMORY;
    }
    if (c->drained) {
        return true;
    }
    ssize_t n = conn_raw_read(c, data, size);
    if (n > 0) {
        *len = (size_t)n;
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    *ours = n < 0 && conn_is_ours(errno);
    *failure = n == 0              ? (struct failure){.code = ERROR_CONNECTION_CLOSED, .raw = "EOF"}
               : errno == EMSGSIZE ? (struct failure){.code = ERROR_RESPONSE_TOO_LONG}
                                   : conn_read_failure(errno);
    return false;
}

/* Received bytes that the socket would not announce any more. */
static bool holds_back(const struct conn *c)
{
    return c->state == CONN_TLS && (c->ahead.len > 0 || tls_pending(&c->tls) > 0);
}

void conn_receive(struct conn *c)
{
    enum conn_state before = c->state;
    unsigned char data[CONN_READ_BYTES];
    for (int i = 0; i < READS_PER_TURN || holds_back(c); i++) {
        c->drained |= i >= READS_PER_TURN;
        struct failure failure = {.code = ERROR_NONE};
        bool ours = false;
        size_t len = 0;
        size_t taken = conn_taken(c);
        bool alive = read_some(c, data, sizeof data, &len, &failure, &ours);
        c->app_bytes += len;
        if (alive && len == 0) {
            if (conn_taken(c) > taken && holds_back(c)) {
                continue; /* a record without data, such as a ticket */
            }
            return;
        }
        if (alive && c->app_bytes > LIMIT_CONNECTION_BYTES) {
            conn_end(c, (struct failure){.code = ERROR_RESPONSE_TOO_LONG});
            return;
        }
        if (!alive) {
            c->ours = ours ? CONN_OURS_RESOURCES : CONN_OURS_NONE;
            conn_end(c, failure);
            return;
        }
        enum buf_result r = buf_append(&c->in, data, len);
        if (r == BUF_FULL) {
            conn_end(c, (struct failure){.code = ERROR_RESPONSE_TOO_LONG});
            return;
        }
        if (r != BUF_OK) {
            conn_end_ours(c);
            return;
        }
        c->on_event(c->owner, CONN_BYTES);
        if (c->state != before) {
            return; /* the owner has closed or secured it */
        }
    }
}

bool conn_flush(struct conn *c, struct failure *failure, bool *ours)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (n < 0) {
            /* The kernel tells it once only, and what came before the reset can still be read. */
            c->told_error = errno == ECONNRESET ? errno : c->told_error;
            *ours = conn_is_ours(errno);
            *failure = conn_read_failure(errno);
            return false;
        }
        buf_consume(&c->out, (size_t)n);
    }
    (void)conn_want(c, c->out.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return true;
}

/* What the server said before it went away may still be waiting: a later read finds the end as well. False:
 * the failure is ours. */
static bool flush_or_read_on(struct conn *c)
{
    struct failure failure;
    bool ours = false;
    if (!conn_flush(c, &failure, &ours) && !ours) {
        buf_consume(&c->out, c->out.len);
        (void)conn_want(c, EPOLLIN);
    }
    return !ours;
}

void conn_send(struct conn *c, const void *data, size_t len)
{
    struct failure failure = {.code = ERROR_NONE};
    bool queued = true;
    if (c->state == CONN_PLAIN) {
        queued = buf_append(&c->out, data, len) == BUF_OK;
    } else if (c->state == CONN_TLS) {
        enum tls_step step = TLS_STEP_DONE;
        for (size_t sent = 0; len > 0 && step == TLS_STEP_DONE;
             data = (const char *)data + sent, len -= sent) {
            step = tls_send(&c->tls, data, len, &sent, &failure);
        }
        /* A session that has failed is found by the next read as well. */
        queued = step == TLS_STEP_DONE || step == TLS_STEP_FAILED;
    } else {
        return;
    }
    if (!queued || (!c->corked && !flush_or_read_on(c))) {
        conn_end_later(c, failure, CONN_OURS_RESOURCES);
    }
}

/* An error event is left to the read that follows, which knows what it was. */
static void go_on(struct conn *c, bool readable, bool writable)
{
    struct failure failure = {.code = ERROR_NONE};
    bool ours = false;
    if (writable && c->out.len > 0 && !conn_flush(c, &failure, &ours)) {
        c->ours = ours ? CONN_OURS_RESOURCES : CONN_OURS_NONE;
        conn_end(c, failure);
    } else if (readable) {
        conn_receive(c);
    }
}

void conn_uncork(struct conn *c)
{
    c->corked = false;
    if (c->state == CONN_TLS && c->out.len > 0 && !flush_or_read_on(c)) {
        conn_end_ours(c);
    }
}

static void on_ready(struct poller_watch *watch, uint32_t events)
{
    struct conn *c = (struct conn *)((char *)watch - offsetof(struct conn, watch));
    bool error = events & EPOLLERR, writable = events & EPOLLOUT;
    bool readable = error || events & (EPOLLIN | EPOLLHUP);
    c->drained = false;
    switch (c->state) {
    case CONN_CONNECTING:
        conn_connected(c, error);
        break;
    case CONN_HANDSHAKE:
        conn_handshake(c);
        break;
    case CONN_TLS:
        c->corked = true;
        go_on(c, readable, writable);
        conn_uncork(c);
        break;
    case CONN_PLAIN:
        go_on(c, readable, writable);
        break;
    case CONN_IDLE:
    case CONN_DEAD:
    case CONN_CLOSING:
        break;
    }
}

struct ip conn_local(const struct conn *c)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct ip ip = {.family = 0};
    if (c->fd >= 0 && getsockname(c->fd, (struct sockaddr *)&ss, &len) == 0) {
        (void)ip_from_sockaddr(&ip, (const struct sockaddr *)&ss);
    }
    return ip;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    if (--c->handles > 0) {
        return;
    }
    buf_deinit(&c->in);
    buf_deinit(&c->out);
    buf_deinit(&c->ahead);
    buf_deinit(&c->said);
    c->on_event(c->owner, CONN_CLOSED);
}

void conn_close(struct conn *c)
{
    assert(c->state != CONN_IDLE && c->state != CONN_CLOSING);
    if (c->tls.session) {
        if (c->state == CONN_TLS) {
            tls_bye(&c->tls);
        }
        if (c->out.len > 0) {
            /* In one segment with the FIN that close() sends. */
            (void)send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_MORE);
        }
        tls_close(&c->tls);
    }
    conn_set_state(c, CONN_CLOSING);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->deferred, on_handle_closed);
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
        c->events = 0;
    }
}

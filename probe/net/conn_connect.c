#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe/net/conn_internal.h"

static struct failure connect_failure(int err)
{
    static const struct {
        int err;
        enum error_code code;
    } map[] = {
        {ECONNREFUSED, ERROR_CONNECTION_REFUSED}, {ETIMEDOUT, ERROR_CONNECTION_TIMEOUT},
        {ENETUNREACH, ERROR_NETWORK_UNREACHABLE}, {EHOSTUNREACH, ERROR_HOST_UNREACHABLE},
        {EHOSTDOWN, ERROR_HOST_UNREACHABLE},      {ENETDOWN, ERROR_NETWORK_UNREACHABLE},
    };
    struct failure f = {.code = ERROR_CONNECT_FAILED, .phase = PHASE_CONNECT, .raw = strerrorname_np(err)};
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        if (map[i].err == err) {
            f.code = map[i].code;
        }
    }
    return f;
}

bool conn_has_route(const struct ip *ip)
{
    struct sockaddr_storage ss;
    socklen_t len = ip_to_sockaddr(ip, 9, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool routed = fd >= 0 && connect(fd, (const struct sockaddr *)&ss, len) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return routed;
}

static bool guard_allows(const struct target_guard *guard, const struct sockaddr_storage *ss)
{
    struct ip ip;
    return ip_from_sockaddr(&ip, (const struct sockaddr *)ss) && guard->allowed(guard->context, &ip);
}

void conn_open(struct conn *c, const struct target_guard *guard, const struct ip *ip, uint16_t port)
{
    struct sockaddr_storage ss;
    socklen_t len = ip_to_sockaddr(ip, port, &ss);
    int one = 1;

    assert(c->state == CONN_IDLE);
    conn_set_state(c, CONN_CONNECTING);
    uv_timer_init(c->loop, &c->timer);
    uv_timer_init(c->loop, &c->deferred);
    c->timer.data = c->deferred.data = c;
    c->handles = 2;

    if (!guard_allows(guard, &ss)) {
        conn_end_later(c, (struct failure){.code = ERROR_ADDRESS_BLOCKED, .phase = PHASE_CONNECT},
                       CONN_OURS_NONE);
        return;
    }
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        /* A kernel without this address family has no route either. */
        struct failure f = errno == EAFNOSUPPORT ? connect_failure(ENETUNREACH) : connect_failure(errno);
        conn_end_later(c, f, conn_is_ours(errno) ? CONN_OURS_RESOURCES : CONN_OURS_NONE);
        return;
    }
    c->fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
        int err = errno;
        /* No local address of this family is the lack of a route; with one it is the lack of a port. */
        if (err == EADDRNOTAVAIL && !conn_has_route(ip)) {
            err = ENETUNREACH;
        }
        conn_end_later(c, connect_failure(err), conn_is_ours(err) ? CONN_OURS_RESOURCES : CONN_OURS_NONE);
        return;
    }
    if (conn_want(c, EPOLLOUT) != 0) {
        conn_end_later(c, (struct failure){.code = ERROR_NONE}, CONN_OURS_RESOURCES);
    }
}

void conn_connected(struct conn *c, bool error)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (error && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0) {
        err = errno;
    }
    /* A connection that is refused gives ECONNREFUSED: one that was reset had been accepted, and what came
     * before the reset can still be read (RFC 9293 section 3.10.7). */
    if (err == ECONNRESET || err == EPIPE) {
        c->told_error = err;
    } else if (err != 0) {
        c->ours = conn_is_ours(err) ? CONN_OURS_RESOURCES : CONN_OURS_NONE;
        conn_end(c, connect_failure(err));
        return;
    }
    conn_set_state(c, CONN_PLAIN);
    (void)conn_want(c, EPOLLIN);
    c->on_event(c->owner, CONN_OPENED);
}

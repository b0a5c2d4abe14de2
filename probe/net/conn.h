/* conn.h: one byte channel to a server: a non-blocking socket, plain at first, inside TLS when told. The only
 * door from the wire upwards; it knows no protocol.
 *
 * Everything that happens is told by on_event, always from the event loop, never from inside a call of the
 * owner's. After CONN_ENDED nothing but conn_close() makes sense; CONN_CLOSED comes once, last, and from then
 * on the memory belongs to the owner again. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "probe/base/buf.h"
#include "probe/base/ip.h"
#include "probe/net/poller.h"
#include "probe/net/target.h"
#include "probe/net/tls.h"

enum conn_event {
    CONN_OPENED,    /* connected */
    CONN_BYTES,     /* `in` has grown */
    CONN_SECURED,   /* the TLS handshake is complete */
    CONN_ENDED,     /* `failure` or `ours` says why; `in` may still hold bytes that came before */
    CONN_TIMED_OUT, /* the wait set by conn_wait() is over */
    CONN_CLOSED
};

enum conn_state { CONN_IDLE, CONN_CONNECTING, CONN_PLAIN, CONN_HANDSHAKE, CONN_TLS, CONN_DEAD, CONN_CLOSING };

/* A failure of this machine, which says nothing of the server. */
enum conn_ours { CONN_OURS_NONE, CONN_OURS_RESOURCES };

struct conn {
    enum conn_state state;
    uv_loop_t *loop;
    struct poller *poller; /* lent */
    struct poller_watch watch;
    uv_timer_t timer;    /* the current wait */
    uv_timer_t deferred; /* what a call of the owner's leaves to the next turn: our hello, or an end */
    int fd;
    int handles;     /* that libuv still knows */
    uint32_t events; /* polled for, as of epoll(7); 0: not watched */
    int told_error;  /* errno of a reset that the kernel told already: on connecting or sending; 0: none */
    bool grace;      /* the wait was over, but something lay in the socket */
    bool drained;    /* in this turn the socket has given all it had */
    bool corked;     /* what TLS writes goes out together at the end of this turn */
    struct buf in, out;
    struct buf ahead; /* read, not yet taken by TLS */
    struct tls tls;
    size_t raw_bytes, app_bytes; /* received */
    bool after_starttls, hello_sent, tls_seen, tls_refused, hearing;
    struct failure failure;
    enum conn_ours ours;
    void (*on_event)(void *owner, enum conn_event event);
    void *owner;
    struct buf said; /* what came instead of TLS */
    bool said_all;   /* and the server closed behind it */
};

void conn_init(struct conn *c, uv_loop_t *loop, struct poller *poller,
               void (*on_event)(void *owner, enum conn_event event), void *owner);

/* Connects, where the guard allows it: what it is asked about is read from the socket address that goes to
 * connect(). CONN_OPENED or CONN_ENDED follows; the owner sets the limit with conn_wait(). */
void conn_open(struct conn *c, const struct target_guard *guard, const struct ip *ip, uint16_t port);

/* Restarts the one deadline: CONN_TIMED_OUT after `ms`. */
void conn_wait(struct conn *c, unsigned ms);

/* Sends, or queues what the socket does not take now; inside TLS at the end of the event that is being told.
 */
void conn_send(struct conn *c, const void *data, size_t len);

/* Starts TLS. `after_starttls`: anything that arrives before our first TLS byte, what stands in `in`
 * included, is plain text behind the STARTTLS reply (RFC 9051 section 6.2.1) and ends the connection. Queued
 * bytes must have been sent. */
void conn_secure(struct conn *c, const struct tls_env *env, const char *server_name, bool alpn,
                 bool after_starttls);

/* The local address in use; family 0 where there is none. */
struct ip conn_local(const struct conn *c);

/* Whether this machine has a route to the address: asks the kernel, sends nothing. */
bool conn_has_route(const struct ip *ip);

/* Ends the connection whatever its state; CONN_CLOSED follows, once it was opened. */
void conn_close(struct conn *c);

#endif

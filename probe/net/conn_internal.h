/* conn_internal.h: what conn.c (reading, writing, closing), conn_connect.c and conn_tls.c (handshake) share;
 * for them only. */
#ifndef NET_CONN_INTERNAL_H
#define NET_CONN_INTERNAL_H

#include <sys/socket.h>
#include <sys/types.h>

#include "probe/net/conn.h"

/* One read of the socket. */
#define CONN_READ_BYTES 16384

void conn_set_state(struct conn *c, enum conn_state state);

/* Ends the connection and tells the owner at once: from the event loop only. */
void conn_end(struct conn *c, struct failure failure);
void conn_end_ours(struct conn *c);

/* As conn_end(), for use inside a call of the owner's: the event comes with the next turn of the loop. */
void conn_end_later(struct conn *c, struct failure failure, enum conn_ours ours);

/* Whether this error of a system call is want of something on this machine. */
bool conn_is_ours(int err);

/* conn_connect.c: how the connect ended, which is told to the owner. `error`: the kernel has one to tell. */
void conn_connected(struct conn *c, bool error);

/* Waits for these events of epoll(7) from now on: the first time 0 or errno, then always 0. */
int conn_want(struct conn *c, uint32_t events);

/* recv(2), but the end of a connection whose reset the kernel has told once is that reset. */
ssize_t conn_recv(struct conn *c, void *data, size_t len, int flags);

/* The same within the bound on all bytes of a connection (EMSGSIZE). */
ssize_t conn_raw_read(struct conn *c, void *data, size_t len);
struct failure conn_read_failure(int err);

/* Has conn_handshake() run, or an end told, with the next turn of the loop. */
void conn_defer(struct conn *c);

/* Ends what conn.corked began. */
void conn_uncork(struct conn *c);

/* Bytes that TLS or the owner has had. */
static inline size_t conn_taken(const struct conn *c)
{
    return c->raw_bytes - c->ahead.len;
}

/* Sends what is queued, and polls for what the connection then waits for. False: it has ended, *failure or
 * *ours says how. */
bool conn_flush(struct conn *c, struct failure *failure, bool *ours);

/* Reads what is there and hands it to the owner. */
void conn_receive(struct conn *c);

/* One step of the TLS handshake, whose outcome is told to the owner. */
void conn_handshake(struct conn *c);

/* Ends the connection because of what was said in the place of TLS. */
void conn_end_refused(struct conn *c);

#endif

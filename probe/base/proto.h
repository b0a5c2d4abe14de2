/* proto.h: what a line protocol offers to the one who moves its bytes.
 *
 * The protocol knows no sockets, no TLS library and no clock. Each step takes bytes and answers with a
 * verdict; what is to be sent stands in `out`. Only the driver (attempt.c) reads, writes, waits and secures.
 * What the peer did wrong is written into the report by the protocol itself before it answers PROTO_FAIL. */
#ifndef BASE_PROTO_H
#define BASE_PROTO_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/base/buf.h"
#include "probe/base/error.h"

enum proto_verdict {
    PROTO_MORE,     /* send `out` if it holds anything, then wait for the next reply */
    PROTO_NEXT,     /* nothing to send; the wait starts anew, for another answer */
    PROTO_STARTTLS, /* secure the channel now; nothing may stand behind the reply */
    PROTO_DONE,     /* the dialogue has reached its end */
    PROTO_FAIL,     /* it cannot go on; the reason is in the report */
    PROTO_NO_MEMORY /* our own failure, no statement about the peer */
};

enum proto_frame { FRAME_PARTIAL, FRAME_COMPLETE, FRAME_TOO_LONG };

struct proto {
    /* The channel is open; `tls` tells whether it is already inside TLS. */
    enum proto_verdict (*begin)(void *self, bool tls, struct buf *out);

    /* Whether the unread bytes start with a whole reply; *len is its length. Bytes seen in an earlier call
     * that gave FRAME_PARTIAL are not looked at again, so they must not change between calls. */
    enum proto_frame (*frame)(void *self, const unsigned char *data, size_t unread, size_t *len);

    /* One whole reply. The bytes are only lent. */
    enum proto_verdict (*reply)(void *self, const unsigned char *data, size_t len, struct buf *out);

    /* TLS is up after PROTO_STARTTLS: a new reader, nothing read in plain text counts any more. */
    enum proto_verdict (*secured)(void *self, struct buf *out);

    /* No more replies will come, none came in time, or the next one is too long; `unread` is what has come
     * of it, and `closed` tells that no more of it ever will. PROTO_DONE where the dialogue may end like this
     * (after LOGOUT), PROTO_FAIL where the reason is in the report then, PROTO_MORE: the driver names it. */
    enum proto_verdict (*ended)(void *self, bool closed, const unsigned char *unread, size_t len);

    /* Whether bytes that came in plain text where TLS was awaited are replies put there beforehand, rather
     * than the server's reaction to the handshake. */
    bool (*injected)(const void *self, const unsigned char *data, size_t len);

    /* Whether such bytes take PROTO_STARTTLS back: a refusal in answer to the very command, or a farewell
     * that was meant (`closed`), from a server that agreed before it knew whether its TLS would start. */
    bool (*withdrawn)(const void *self, bool closed, const unsigned char *data, size_t len);

    /* In which phase an error of the channel falls now. */
    enum phase (*phase)(const void *self);

    /* How long the awaited reply may take; 0: the configured wait. */
    unsigned (*wait_ms)(const void *self);
};

#endif

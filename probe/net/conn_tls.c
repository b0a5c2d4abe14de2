#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "probe/net/conn_internal.h"

/* Types of records (RFC 8446 appendix B.1). change_cipher_spec may come before a ServerHello (section 5),
 * and a record out of its order is for the library to refuse: it is TLS all the same. */
#define TLS_RECORD_FIRST 20 /* change_cipher_spec */
#define TLS_RECORD_LAST 23  /* application_data */

static bool starts_record(const char *s, size_t len)
{
    return len > 0 && s[0] >= TLS_RECORD_FIRST && s[0] <= TLS_RECORD_LAST;
}

/* Looks at what waits in the socket, as recv(2) does, before the library takes it, which would only find an
 * "unexpected packet" in plain text. What it is stays in `said`; behind a STARTTLS reply nothing at all may
 * wait before our hello is out. */
static ssize_t look_for_tls(struct conn *c)
{
    ssize_t n = conn_recv(c, c->said, sizeof c->said, MSG_PEEK);
    if (n > 0) {
        c->said_len = (size_t)n;
        c->tls_seen = starts_record(c->said, c->said_len);
        c->tls_refused = !c->tls_seen || (c->after_starttls && !c->hello_sent);
        if (c->tls_refused) {
            n = conn_recv(c, c->said, c->said_len, 0);
        }
    }
    return n;
}

static ssize_t on_tls_pull(void *owner, void *data, size_t len)
{
    struct conn *c = owner;
    ssize_t n = c->tls_seen ? 1 : look_for_tls(c);
    if (n > 0 && c->tls_refused) {
        errno = EBADMSG;
        return -1;
    }
    return n > 0 ? conn_raw_read(c, data, len) : n;
}

static ssize_t on_tls_push(void *owner, const void *iovecs, int count)
{
    struct conn *c = owner;
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iovecs, .msg_iovlen = (size_t)count};
    return conn_sendmsg(c, &m);
}

static const struct tls_transport transport = {on_tls_pull, on_tls_push};

/* Whether a record of TLS stands behind the plain text: the server does speak TLS. */
static bool record_follows(const struct conn *c)
{
    for (size_t i = 1; i + 2 < c->said_len; i++) {
        if (starts_record(c->said + i, c->said_len - i) && c->said[i + 1] == 3 && c->said[i + 2] <= 4) {
            return true;
        }
    }
    return false;
}

void conn_end_refused(struct conn *c)
{
    struct failure f = {.code = ERROR_TLS_NOT_SPOKEN, .phase = PHASE_TLS, .said = {c->said, c->said_len}};
    if (c->after_starttls && (!c->hello_sent || record_follows(c))) {
        f.code = ERROR_PLAINTEXT_AFTER_STARTTLS;
    }
    conn_end(c, f);
}

/* Text in the place of TLS is heard to the end of its line, or what it is would depend on how it was cut on
 * its way; behind STARTTLS a little further, as the server's TLS may follow. */
static void hear_out(struct conn *c)
{
    ssize_t n = 1;
    while (n > 0 && c->said_len < sizeof c->said) {
        n = conn_recv(c, c->said + c->said_len, sizeof c->said - c->said_len, 0);
        c->said_len += n > 0 ? (size_t)n : 0;
    }
    bool whole = !c->after_starttls && memchr(c->said, '\n', c->said_len) != NULL;
    bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
    c->said_all = n <= 0 && !waits;
    if (waits && !whole) {
        conn_want(c, UV_READABLE);
    } else {
        conn_end_refused(c);
    }
}

static void start_hearing(struct conn *c)
{
    uint64_t left = uv_timer_get_due_in(&c->timer);
    c->hearing = true;
    conn_wait(c, left < LIMIT_WORDS_MS ? (unsigned)left : LIMIT_WORDS_MS);
    hear_out(c);
}

void conn_handshake(struct conn *c)
{
    struct failure failure = {.code = ERROR_NONE};

    if (c->hearing) {
        hear_out(c);
        return;
    }
    if (!c->hello_sent) {
        ssize_t n = c->tls_refused ? 0 : look_for_tls(c);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            failure = conn_read_failure(errno);
            failure.phase = PHASE_TLS;
            conn_end(c, failure);
            return;
        }
        if (c->tls_refused) {
            start_hearing(c);
            return;
        }
        c->hello_sent = true;
    }
    switch (tls_handshake(&c->tls, &failure)) {
    case TLS_STEP_DONE:
        conn_set_state(c, CONN_TLS);
        conn_want(c, UV_READABLE);
        c->on_event(c->owner, CONN_SECURED);
        if (c->state == CONN_TLS && tls_pending(&c->tls) > 0) {
            conn_receive(c); /* decrypted already: the socket would not announce it */
        }
        break;
    case TLS_STEP_READ:
        conn_want(c, UV_READABLE);
        break;
    case TLS_STEP_WRITE:
        conn_want(c, UV_WRITABLE);
        break;
    case TLS_STEP_FAILED:
        /* A reset can come between our look and our hello; what was said before it tells more. */
        if (!c->tls_seen && !c->tls_refused) {
            (void)look_for_tls(c);
        }
        if (c->tls_refused) {
            start_hearing(c);
        } else {
            conn_end(c, failure);
        }
        break;
    case TLS_STEP_NO_MEMORY:
        conn_end_ours(c);
        break;
    }
}

void conn_secure(struct conn *c, const struct tls_env *env, const char *server_name, bool alpn,
                 bool after_starttls)
{
    assert(c->state == CONN_PLAIN && c->out.len == 0);
    if (!tls_open(&c->tls, env, server_name, alpn, &transport, c)) {
        conn_end_later(c, (struct failure){.code = ERROR_NONE}, CONN_OURS_RESOURCES);
        return;
    }
    c->after_starttls = after_starttls;
    /* Read already, so it was there before TLS. */
    c->tls_refused = c->in.len > 0;
    c->said_len = c->in.len < sizeof c->said ? c->in.len : sizeof c->said;
    if (c->tls_refused) {
        memcpy(c->said, c->in.data, c->said_len);
        buf_consume(&c->in, c->in.len);
    }
    conn_set_state(c, CONN_HANDSHAKE);
    conn_want(c, UV_READABLE | UV_WRITABLE); /* the first turn sends our hello */
}

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

static bool starts_record(const unsigned char *s, size_t len)
{
    return len > 0 && s[0] >= TLS_RECORD_FIRST && s[0] <= TLS_RECORD_LAST;
}

/* As much as a report can show. */
static void keep_said(struct conn *c, const void *data, size_t len)
{
    size_t room = c->said.max - c->said.len;
    if (buf_append(&c->said, data, len < room ? len : room) != BUF_OK) {
        c->ours = CONN_OURS_RESOURCES;
    }
}

/* What comes first is looked at before the library has it, which would only find an "unexpected packet" in
 * plain text. What it is stays in `said`; behind a STARTTLS reply nothing at all may wait before our hello is
 * out. */
static void look_at_first(struct conn *c, const unsigned char *data, size_t len)
{
    c->tls_seen = starts_record(data, len);
    c->tls_refused = !c->tls_seen || (c->after_starttls && !c->hello_sent);
    if (c->tls_refused) {
        keep_said(c, data, len);
    }
}

/* Reads ahead of the library, which asks for each record twice. As recv(2); EBADMSG: what came is not TLS. */
static ssize_t read_ahead(struct conn *c)
{
    unsigned char data[CONN_READ_BYTES];
    size_t before = c->raw_bytes;
    ssize_t n = conn_raw_read(c, data, sizeof data);
    if (n <= 0) {
        return n;
    }
    if (!c->tls_seen) {
        look_at_first(c, data, (size_t)n);
    }
    if (c->tls_refused) {
        c->raw_bytes = before; /* received, but not in TLS */
        errno = EBADMSG;
        return -1;
    }
    if (buf_append(&c->ahead, data, (size_t)n) != BUF_OK) {
        errno = ENOMEM;
        return -1;
    }
    return n;
}

static ssize_t on_tls_pull(void *owner, void *data, size_t len)
{
    struct conn *c = owner;
    if (c->tls_refused || (c->ahead.len == 0 && c->drained)) {
        errno = c->tls_refused ? EBADMSG : EAGAIN;
        return -1;
    }
    if (c->ahead.len == 0) {
        ssize_t n = read_ahead(c);
        if (n <= 0) {
            return n;
        }
    }
    size_t taken = len < c->ahead.len ? len : c->ahead.len;
    memcpy(data, c->ahead.data, taken);
    buf_consume(&c->ahead, taken);
    return (ssize_t)taken;
}

/* Collects what goes out together. */
static ssize_t on_tls_push(void *owner, const void *iovecs, int count)
{
    struct conn *c = owner;
    const struct iovec *parts = iovecs;
    size_t len = 0, before = c->out.len;
    for (int i = 0; i < count; i++) {
        len += parts[i].iov_len;
    }
    if (len > c->out.max - before) {
        errno = EAGAIN;
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if (buf_append(&c->out, parts[i].iov_base, parts[i].iov_len) != BUF_OK) {
            c->out.len = before;
            errno = ENOMEM;
            return -1;
        }
    }
    return (ssize_t)len;
}

static const struct tls_transport transport = {on_tls_pull, on_tls_push};

/* Whether a record of TLS stands behind the plain text: the server does speak TLS. */
static bool record_follows(const struct conn *c)
{
    const unsigned char *s = c->said.data;
    for (size_t i = 1; i + 2 < c->said.len; i++) {
        if (starts_record(s + i, c->said.len - i) && s[i + 1] == 3 && s[i + 2] <= 4) {
            return true;
        }
    }
    return false;
}

void conn_end_refused(struct conn *c)
{
    struct failure f = {
        .code = ERROR_TLS_NOT_SPOKEN, .phase = PHASE_TLS, .said = {(const char *)c->said.data, c->said.len}};
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
    unsigned char data[LIMIT_TEXT_CHARS];
    while (n > 0 && c->said.len < c->said.max && c->ours == CONN_OURS_NONE) {
        n = conn_recv(c, data, c->said.max - c->said.len, 0);
        keep_said(c, data, n > 0 ? (size_t)n : 0);
    }
    bool whole = !c->after_starttls && c->said.len > 0 && memchr(c->said.data, '\n', c->said.len) != NULL;
    bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
    c->said_all = n <= 0 && !waits;
    if (waits && !whole) {
        conn_want(c, EPOLLIN);
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

/* Nothing of the server's may wait when our hello goes out. False: it does, or the connection has ended. */
static bool may_say_hello(struct conn *c)
{
    ssize_t n = c->tls_refused ? 0 : read_ahead(c);
    if (c->tls_refused) {
        start_hearing(c);
        return false;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        if (conn_is_ours(errno)) {
            conn_end_ours(c);
            return false;
        }
        struct failure failure = conn_read_failure(errno);
        failure.phase = PHASE_TLS;
        conn_end(c, failure);
        return false;
    }
    c->hello_sent = true;
    return true;
}

static void handshake_failed(struct conn *c, struct failure failure)
{
    /* A reset can come between our look and our hello; what was said before it tells more. */
    if (!c->tls_seen && !c->tls_refused) {
        (void)read_ahead(c);
    }
    if (c->tls_refused) {
        start_hearing(c);
    } else {
        failure.phase = PHASE_TLS;
        conn_end(c, failure);
    }
}

/* Our Finished goes out together with the first words inside TLS. */
static void secured(struct conn *c)
{
    conn_set_state(c, CONN_TLS);
    c->corked = true;
    c->on_event(c->owner, CONN_SECURED);
    if (c->state == CONN_TLS && (tls_pending(&c->tls) > 0 || c->ahead.len > 0)) {
        conn_receive(c); /* here already: the socket would not announce it */
    }
    if (c->state == CONN_TLS) {
        conn_want(c, EPOLLIN);
    }
    conn_uncork(c);
}

void conn_handshake(struct conn *c)
{
    struct failure failure = {.code = ERROR_NONE};
    bool ours = false;

    if (c->hearing) {
        hear_out(c);
        return;
    }
    if (!c->hello_sent && !may_say_hello(c)) {
        return;
    }
    enum tls_step step;
    size_t taken;
    do {
        taken = conn_taken(c);
        step = tls_handshake(&c->tls, &failure);
    } while (step == TLS_STEP_READ && c->ahead.len > 0 && conn_taken(c) > taken);
    switch (step) {
    case TLS_STEP_DONE:
        secured(c);
        break;
    case TLS_STEP_READ:
    case TLS_STEP_WRITE:
        if (conn_flush(c, &failure, &ours)) {
            break;
        }
        if (ours) {
            conn_end_ours(c);
        } else {
            handshake_failed(c, failure);
        }
        break;
    case TLS_STEP_FAILED:
        (void)conn_flush(c, &(struct failure){.code = ERROR_NONE}, &ours); /* an alert may stand there */
        handshake_failed(c, failure);
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
    if (c->in.len > 0) {
        keep_said(c, c->in.data, c->in.len);
        c->tls_refused = true;
        buf_consume(&c->in, c->in.len);
    }
    conn_set_state(c, CONN_HANDSHAKE);
    conn_want(c, EPOLLIN);
    conn_defer(c); /* sends our hello */
}

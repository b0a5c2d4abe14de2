#include "probe/attempt_record.h"

#include <string.h>
#include <sys/random.h>

#include "probe/probe.h"

/* As much of the server's words as a report can ever show: LIMIT_TEXT_CHARS of four octets. */
#define SAID_BYTES (LIMIT_TEXT_CHARS * 4)

static void on_event(void *owner, enum conn_event event);

static void set_state(struct attempt *a, enum attempt_state state)
{
    a->state = state;
}

static const struct candidate *current(const struct attempt *a)
{
    return &a->plan->candidates[a->next - 1];
}

static void open_current(struct attempt *a)
{
    set_state(a, ATTEMPT_CONNECTING);
    a->proven = false;
    a->opened = uv_hrtime();
    conn_init(&a->conn, a->plan->env->loop, a->plan->env->poller, on_event, a);
    conn_open(&a->conn, &a->plan->env->guard, &current(a)->ip, a->port->number);
    conn_wait(&a->conn, a->plan->env->settings.connect_timeout_ms);
}

/* False: no address is left, or none may be tried now. */
static bool open_next(struct attempt *a)
{
    attempt_record_blocked(a);
    if (a->next == a->plan->candidate_count) {
        return false;
    }
    switch (a->plan->admit(a->plan->owner, a->next)) {
    case ADMITTED:
        a->next++;
        open_current(a);
        return true;
    case ADMITTED_LATER:
        set_state(a, ATTEMPT_WAITING);
        return true;
    case ADMITTED_NEVER:
        break;
    }
    return false;
}

void attempt_admit(struct attempt *a)
{
    if (a->state == ATTEMPT_WAITING) {
        a->next++;
        open_current(a);
    }
}

/* Dialogue state of a connection, which a second connection starts anew. */
static void begin_dialogue(struct attempt *a)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
        seed = (uint32_t)uv_hrtime();
    }
    imap_init(&a->imap, a->port, a->plan->arena, seed);
}

void attempt_start(struct attempt *a, const struct attempt_plan *plan, struct port_report *port,
                   void (*on_done)(void *owner), void *owner)
{
    *a = (struct attempt){.plan = plan, .port = port, .proto = &imap_proto, .alpn = true};
    a->on_done = on_done;
    a->owner = owner;
    a->started = uv_hrtime();
    buf_init(&a->out, LIMIT_REQUEST_LINE_BYTES);
    begin_dialogue(a);
    (void)open_next(a);
}

static void finish(struct attempt *a)
{
    if (a->state == ATTEMPT_CLOSING) {
        return;
    }
    a->port->timings.total = attempt_ms_since(a->started);
    a->port->received = a->conn.raw_bytes;
    set_state(a, ATTEMPT_CLOSING);
    conn_close(&a->conn);
}

static void fail(struct attempt *a, struct failure failure)
{
    /* What was said lies in buffers of the connection. */
    if (failure.said.data) {
        size_t len = failure.said.len < SAID_BYTES ? failure.said.len : SAID_BYTES;
        while (len > 0 && (failure.said.data[len - 1] == '\r' || failure.said.data[len - 1] == '\n')) {
            len--;
        }
        failure.said = arena_text(a->plan->arena, failure.said.data, len);
    }
    port_fail(a->port, failure);
    finish(a);
}

static void secure(struct attempt *a)
{
    const struct attempt_plan *plan = a->plan;
    set_state(a, ATTEMPT_SECURING);
    a->marked = uv_hrtime();
    conn_secure(&a->conn, plan->tls, plan->host_ip.family == 0 ? plan->host : NULL, a->alpn,
                !a->port->tls_port);
    conn_wait(&a->conn, plan->env->settings.io_timeout_ms);
}

static void await_reply(struct attempt *a)
{
    unsigned ms = a->proto->wait_ms(&a->imap);
    a->marked = uv_hrtime();
    conn_wait(&a->conn, ms > 0 ? ms : a->plan->env->settings.io_timeout_ms);
}

/* The dialogue is over although it has not reached its end. What has come of a line tells most. */
static void break_off(struct attempt *a, struct failure failure)
{
    const struct buf *in = &a->conn.in;
    attempt_record_words(a, false, in->data, in->len);
    if (in->len > 0) {
        failure.said = (struct text){(const char *)in->data, in->len};
    }
    fail(a, failure);
}

/* Carries out what the dialogue decided. */
static void act(struct attempt *a, enum proto_verdict verdict)
{
    switch (verdict) {
    case PROTO_MORE:
        if (a->out.len > 0) {
            attempt_record_words(a, true, a->out.data, a->out.len);
            conn_send(&a->conn, a->out.data, a->out.len);
            buf_consume(&a->out, a->out.len);
            await_reply(a);
        }
        break;
    case PROTO_NEXT:
        await_reply(a);
        break;
    case PROTO_STARTTLS:
        secure(a);
        break;
    case PROTO_DONE:
    case PROTO_FAIL:
        finish(a);
        break;
    case PROTO_NO_MEMORY:
        a->ours = true;
        finish(a);
        break;
    }
}

/* No whole reply will come any more: unless that is the end of the dialogue, `failure` tells why. */
static void end_talk(struct attempt *a, struct failure failure)
{
    const struct buf *in = &a->conn.in;
    failure.phase = a->proto->phase(&a->imap);
    bool closed = failure.code == ERROR_CONNECTION_CLOSED || failure.code == ERROR_CONNECTION_RESET;
    enum proto_verdict verdict = a->proto->ended(&a->imap, closed, in->data, in->len);
    if (verdict == PROTO_MORE) {
        break_off(a, failure);
    } else {
        attempt_record_words(a, false, in->data, in->len);
        act(a, verdict);
    }
}

static void start_talking(struct attempt *a, bool after_starttls)
{
    bool tls = a->port->tls_port;
    set_state(a, ATTEMPT_TALKING);
    await_reply(a);
    act(a, after_starttls ? a->proto->secured(&a->imap, &a->out) : a->proto->begin(&a->imap, tls, &a->out));
}

static void on_opened(struct attempt *a)
{
    static const struct failure none = {.code = ERROR_NONE};
    struct port_report *port = a->port;
    attempt_record_try(a, &none);
    port->reachable = true;
    port->address = current(a)->ip;
    port->source_address = conn_local(&a->conn);
    port->timings.connect = attempt_ms_since(a->opened);
    if (port->tls_port) {
        secure(a);
    } else {
        start_talking(a, false);
    }
}

static void on_secured(struct attempt *a)
{
    struct port_report *port = a->port;
    port->timings.tls_handshake = attempt_ms_since(a->marked);
    if (!tls_describe(&a->conn.tls, &port->tls, a->plan->arena)) {
        a->ours = true;
    }
    attempt_record_certificate(a);
    port->implicit_tls = port->tls_port;
    port->starttls_supported = !port->tls_port;
    start_talking(a, !port->tls_port);
}

static void on_bytes(struct attempt *a)
{
    struct conn *c = &a->conn;
    a->proven |= c->state == CONN_TLS;
    while (a->state == ATTEMPT_TALKING && c->in.len > 0) {
        size_t len = 0;
        enum phase before = a->proto->phase(&a->imap);
        enum proto_frame frame = a->proto->frame(&a->imap, c->in.data, c->in.len, &len);
        if (frame == FRAME_PARTIAL) {
            break;
        }
        if (frame == FRAME_TOO_LONG) {
            end_talk(a, (struct failure){.code = ERROR_RESPONSE_TOO_LONG});
            break;
        }
        attempt_record_line(a, false, c->in.data, len);
        enum proto_verdict verdict = a->proto->reply(&a->imap, c->in.data, len, &a->out);
        buf_consume(&c->in, len);
        if (before == PHASE_GREETING && a->port->dialogue.greeting != GREETING_NONE) {
            a->port->timings.greeting = attempt_ms_since(a->marked);
        }
        if (verdict != PROTO_MORE || a->out.len > 0) {
            attempt_record_wait(a);
        }
        act(a, verdict);
    }
}

/* A connect that failed is one try of several; the address's turn is over when the socket is closed. */
static void on_connect_failed(struct attempt *a, struct failure failure)
{
    failure.phase = PHASE_CONNECT;
    attempt_record_try(a, &failure);
    set_state(a, ATTEMPT_CONNECTING);
    conn_close(&a->conn);
}

/* A server that knows other protocols only says so by an alert (RFC 7301 section 3.2): once more without. */
static bool retry_without_alpn(struct attempt *a, const struct failure *failure)
{
    if (!a->alpn || !failure->alert || strcmp(failure->alert, "no_application_protocol") != 0) {
        return false;
    }
    a->alpn = false;
    a->reopen = true;
    attempt_record_failed_try(a, failure);
    attempt_forget(a);
    begin_dialogue(a);
    set_state(a, ATTEMPT_CONNECTING);
    conn_close(&a->conn);
    return true;
}

static void on_handshake_failed(struct attempt *a, struct failure failure)
{
    bool asked = a->conn.tls.session && tls_certificate_requested(&a->conn.tls);
    if (retry_without_alpn(a, &failure)) {
        return;
    }
    failure.phase = PHASE_TLS;
    if (failure.alert && asked) {
        failure.code = ERROR_CLIENT_CERTIFICATE_REQUIRED;
    }
    if (a->state == ATTEMPT_SECURING) {
        attempt_record_certificate(a);
    }
    if (failure.said.len > 0) {
        attempt_record_words(a, false, failure.said.data, failure.said.len);
        if (!a->port->tls_port) {
            attempt_judge_plaintext(a, &failure);
        }
    }
    a->port->implicit_tls = false;
    a->port->starttls_supported = false;
    fail(a, failure);
}

static void on_ended(struct attempt *a)
{
    struct failure failure = a->conn.failure;
    if (a->conn.ours != CONN_OURS_NONE) {
        a->ours = true;
        finish(a);
        return;
    }
    switch (a->state) {
    case ATTEMPT_CONNECTING:
        on_connect_failed(a, failure);
        break;
    case ATTEMPT_SECURING:
        on_handshake_failed(a, failure);
        break;
    case ATTEMPT_TALKING:
        /* In TLS 1.3 the server's word on our side of the handshake comes only now. */
        if (a->conn.tls.session && !a->proven && failure.alert) {
            on_handshake_failed(a, failure);
        } else {
            /* The handshake is over: whatever TLS says now ends the connection, and alert and raw tell how.
             */
            if (failure.code == ERROR_TLS_HANDSHAKE_FAILED) {
                failure.code = ERROR_CONNECTION_CLOSED;
            }
            end_talk(a, failure);
        }
        break;
    case ATTEMPT_WAITING:
    case ATTEMPT_CLOSING:
    case ATTEMPT_DONE:
        break;
    }
}

static void on_timed_out(struct attempt *a)
{
    struct failure failure = {.code = ERROR_READ_TIMEOUT};
    switch (a->state) {
    case ATTEMPT_CONNECTING:
        failure.code = ERROR_CONNECTION_TIMEOUT;
        on_connect_failed(a, failure);
        break;
    case ATTEMPT_SECURING:
        on_handshake_failed(a, failure);
        break;
    case ATTEMPT_TALKING:
        end_talk(a, failure);
        break;
    case ATTEMPT_WAITING:
    case ATTEMPT_CLOSING:
    case ATTEMPT_DONE:
        break;
    }
}

static void done(struct attempt *a)
{
    while (a->next < a->plan->candidate_count) {
        attempt_record_blocked(a);
        a->next++;
    }
    buf_deinit(&a->out);
    set_state(a, ATTEMPT_DONE);
    a->on_done(a->owner);
}

/* The last connect's failure is the port's, where none succeeded. */
static void on_closed(struct attempt *a)
{
    if (a->state == ATTEMPT_CLOSING) {
        done(a);
    } else if (a->reopen) {
        a->reopen = false;
        open_current(a);
    } else if (!open_next(a)) {
        struct port_report *port = a->port;
        size_t last = port->try_count;
        while (last > 1 && port->tries[last - 1].error.code == ERROR_ADDRESS_BLOCKED) {
            last--;
        }
        if (last > 0) { /* else there was no memory for any of them */
            port_fail(port, port->tries[last - 1].error);
        }
        port->timings.total = attempt_ms_since(a->started);
        done(a);
    }
}

static void on_event(void *owner, enum conn_event event)
{
    struct attempt *a = owner;
    switch (event) {
    case CONN_OPENED:
        on_opened(a);
        break;
    case CONN_BYTES:
        on_bytes(a);
        break;
    case CONN_SECURED:
        on_secured(a);
        break;
    case CONN_ENDED:
        on_ended(a);
        break;
    case CONN_TIMED_OUT:
        on_timed_out(a);
        break;
    case CONN_CLOSED:
        on_closed(a);
        break;
    }
}

void attempt_abort(struct attempt *a, enum error_code code)
{
    struct failure failure = {.code = code, .phase = PHASE_CONNECT};
    if (a->state == ATTEMPT_WAITING) {
        port_fail(a->port, failure);
        a->port->timings.total = attempt_ms_since(a->started);
        done(a);
        return;
    }
    if (a->conn.state == CONN_CLOSING) {
        /* Between two addresses: no further one is tried. */
        if (a->state == ATTEMPT_CONNECTING) {
            port_fail(a->port, failure);
            a->port->timings.total = attempt_ms_since(a->started);
            set_state(a, ATTEMPT_CLOSING);
        }
        return;
    }
    if (a->state == ATTEMPT_CONNECTING) {
        attempt_record_try(a, &failure);
    } else if (a->state == ATTEMPT_SECURING) {
        failure.phase = PHASE_TLS;
        attempt_record_certificate(a);
    } else if (a->state == ATTEMPT_TALKING) {
        end_talk(a, failure);
        return;
    }
    fail(a, failure);
}

#include "probe/attempt.h"

#include <string.h>
#include <sys/random.h>

#include "probe/probe.h"

static void on_event(void *owner, enum conn_event event);

static void set_state(struct attempt *a, enum attempt_state state)
{
    a->state = state;
}

static double ms_since(uint64_t ns)
{
    return (double)(uv_hrtime() - ns) / 1e6;
}

static void record_try(struct attempt *a, const struct ip *ip, double duration_ms,
                       const struct failure *failure)
{
    struct port_report *port = a->port;
    if (port->try_count < sizeof port->tries / sizeof port->tries[0]) {
        port->tries[port->try_count++] = (struct connect_try){*ip, duration_ms, *failure};
    }
}

static void record_blocked(struct attempt *a)
{
    static const struct failure blocked = {.code = ERROR_ADDRESS_BLOCKED, .phase = PHASE_CONNECT};
    while (a->next < a->plan->candidate_count && !a->plan->candidates[a->next].permitted) {
        record_try(a, &a->plan->candidates[a->next++].ip, 0, &blocked);
    }
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
    conn_init(&a->conn, a->plan->env->loop, on_event, a);
    conn_open(&a->conn, &current(a)->ip, a->port->number);
    conn_wait(&a->conn, a->plan->env->settings.connect_timeout_ms);
}

/* False: no address is left. */
static bool open_next(struct attempt *a)
{
    record_blocked(a);
    if (a->next == a->plan->candidate_count) {
        return false;
    }
    a->next++;
    open_current(a);
    return true;
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
    a->port->timings.total = ms_since(a->started);
    set_state(a, ATTEMPT_CLOSING);
    conn_close(&a->conn);
}

static void fail(struct attempt *a, struct failure failure)
{
    /* What was said lies in buffers of the connection. */
    if (failure.said.data) {
        failure.said = arena_text(a->plan->arena, failure.said.data, failure.said.len);
    }
    port_fail(a->port, failure);
    finish(a);
}

static void describe_certificate(struct attempt *a)
{
    const struct attempt_plan *plan = a->plan;
    if (a->conn.tls.session && !tls_describe_certificate(&a->conn.tls, plan->tls, plan->host, &plan->host_ip,
                                                         plan->now, &a->port->certificate, plan->arena)) {
        a->ours = true;
    }
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

static void note_reply_time(struct attempt *a)
{
    double ms = ms_since(a->marked);
    if (ms > a->port->timings.slowest_reply) {
        a->port->timings.slowest_reply = ms;
    }
}

/* A refusal alone: what a server says behind it answers our hello. */
static struct text first_line(struct text said)
{
    size_t len = 0;
    while (len < said.len && said.data[len] != '\r' && said.data[len] != '\n') {
        len++;
    }
    return (struct text){said.data, len};
}

/* What stands behind the agreement to STARTTLS before TLS was begun. */
static struct failure plaintext_left(const struct attempt *a)
{
    const unsigned char *data = a->conn.in.data;
    size_t len = a->conn.in.len < LIMIT_TEXT_CHARS ? a->conn.in.len : LIMIT_TEXT_CHARS;
    struct failure f = {.code = ERROR_PLAINTEXT_AFTER_STARTTLS, .phase = PHASE_STARTTLS};
    f.said = (struct text){(const char *)data, len};
    if (a->proto->withdrawn(&a->imap, data, len)) {
        f = (struct failure){.code = ERROR_TLS_NOT_SPOKEN, .phase = PHASE_TLS, .said = first_line(f.said)};
    }
    return f;
}

/* Carries out what the dialogue decided. */
static void act(struct attempt *a, enum proto_verdict verdict)
{
    switch (verdict) {
    case PROTO_MORE:
        if (a->out.len > 0) {
            conn_send(&a->conn, a->out.data, a->out.len);
            buf_consume(&a->out, a->out.len);
            await_reply(a);
        }
        break;
    case PROTO_STARTTLS:
        if (a->conn.in.len > 0) {
            fail(a, plaintext_left(a));
        } else {
            secure(a);
        }
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
    double ms = ms_since(a->opened);
    record_try(a, &current(a)->ip, ms, &none);
    port->reachable = true;
    port->address = current(a)->ip;
    port->source_address = conn_local(&a->conn);
    port->timings.connect = ms;
    if (port->tls_port) {
        secure(a);
    } else {
        start_talking(a, false);
    }
}

static void on_secured(struct attempt *a)
{
    struct port_report *port = a->port;
    port->timings.tls_handshake = ms_since(a->marked);
    if (!tls_describe(&a->conn.tls, &port->tls, a->plan->arena)) {
        a->ours = true;
    }
    describe_certificate(a);
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
            if (a->proto->ended(&a->imap, END_EOF) == PROTO_MORE) {
                fail(a, (struct failure){.code = ERROR_RESPONSE_TOO_LONG, .phase = before});
            } else {
                finish(a);
            }
            break;
        }
        enum proto_verdict verdict = a->proto->reply(&a->imap, c->in.data, len, &a->out);
        buf_consume(&c->in, len);
        if (before == PHASE_GREETING && a->port->dialogue.greeting != GREETING_NONE) {
            a->port->timings.greeting = ms_since(a->marked);
        }
        if (verdict != PROTO_MORE || a->out.len > 0) {
            note_reply_time(a);
        }
        act(a, verdict);
    }
}

/* A connect that failed is one try of several; the address's turn is over when the socket is closed. */
static void on_connect_failed(struct attempt *a, struct failure failure)
{
    failure.phase = PHASE_CONNECT;
    record_try(a, &current(a)->ip, ms_since(a->opened), &failure);
    set_state(a, ATTEMPT_CONNECTING);
    conn_close(&a->conn);
}

/* A server that knows other protocols only says so by an alert (RFC 7301 section 3.2): once more without. */
static bool retry_without_alpn(struct attempt *a, const struct failure *failure)
{
    struct port_report *port = a->port;
    if (!a->alpn || !failure->alert || strcmp(failure->alert, "no_application_protocol") != 0) {
        return false;
    }
    a->alpn = false;
    a->reopen = true;
    port->tries[port->try_count - 1].error = *failure;
    /* The second connection tells everything anew. */
    port->dialogue = (struct dialogue){.greeting = GREETING_NONE};
    port->caps = (struct caps){.truncated = false};
    port->tls = (struct tls_facts){.completed = false};
    port->certificate = (struct certificate){.seen = false};
    port->implicit_tls = port->starttls_supported = false;
    port->truncated = 0;
    port->timings.greeting = port->timings.tls_handshake = TIME_NONE;
    port->timings.slowest_reply = 0;
    begin_dialogue(a);
    set_state(a, ATTEMPT_CONNECTING);
    conn_close(&a->conn);
    return true;
}

/* Plain text in the place of TLS: a reaction of the server to STARTTLS or to our hello, or slipped in. */
static void tell_plaintext(const struct attempt *a, struct failure *failure)
{
    const unsigned char *said = (const unsigned char *)failure->said.data;
    if (a->proto->withdrawn(&a->imap, said, failure->said.len)) {
        failure->code = ERROR_TLS_NOT_SPOKEN;
        failure->said = first_line(failure->said);
    } else if (a->proto->injected(&a->imap, said, failure->said.len)) {
        failure->code = ERROR_PLAINTEXT_AFTER_STARTTLS;
    }
}

static void on_handshake_failed(struct attempt *a, struct failure failure)
{
    bool asked = a->conn.tls.session && tls_certificate_requested(&a->conn.tls);
    if (retry_without_alpn(a, &failure)) {
        return;
    }
    failure.phase = PHASE_TLS;
    bool plain = failure.code == ERROR_TLS_NOT_SPOKEN || failure.code == ERROR_PLAINTEXT_AFTER_STARTTLS;
    if (plain && !a->port->tls_port) {
        tell_plaintext(a, &failure);
    }
    if (failure.code == ERROR_PLAINTEXT_AFTER_STARTTLS) {
        failure.phase = PHASE_STARTTLS;
    } else if (failure.alert && asked) {
        failure.code = ERROR_CLIENT_CERTIFICATE_REQUIRED;
    }
    if (a->state == ATTEMPT_SECURING) {
        describe_certificate(a);
    }
    a->port->implicit_tls = false;
    a->port->starttls_supported = false;
    fail(a, failure);
}

static void on_talk_ended(struct attempt *a, enum proto_end why, struct failure failure)
{
    enum proto_verdict verdict = a->proto->ended(&a->imap, why);
    if (verdict == PROTO_MORE) {
        /* The handshake is over: whatever TLS says now ends the connection, and alert and raw tell how. */
        if (failure.code == ERROR_TLS_HANDSHAKE_FAILED) {
            failure.code = ERROR_CONNECTION_CLOSED;
        }
        failure.phase = a->proto->phase(&a->imap);
        fail(a, failure);
    } else {
        act(a, verdict);
    }
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
            on_talk_ended(a, failure.code == ERROR_CONNECTION_CLOSED ? END_EOF : END_RESET, failure);
        }
        break;
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
        on_talk_ended(a, END_TIMEOUT, failure);
        break;
    case ATTEMPT_CLOSING:
    case ATTEMPT_DONE:
        break;
    }
}

static void done(struct attempt *a)
{
    while (a->next < a->plan->candidate_count) {
        record_blocked(a);
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
        for (size_t i = port->try_count; i > 0; i--) {
            if (port->tries[i - 1].error.code != ERROR_ADDRESS_BLOCKED) {
                port_fail(port, port->tries[i - 1].error);
                break;
            }
        }
        port->timings.total = ms_since(a->started);
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
    if (a->conn.state == CONN_CLOSING) {
        /* Between two addresses: no further one is tried. */
        if (a->state == ATTEMPT_CONNECTING) {
            port_fail(a->port, failure);
            a->port->timings.total = ms_since(a->started);
            set_state(a, ATTEMPT_CLOSING);
        }
        return;
    }
    if (a->state == ATTEMPT_CONNECTING) {
        record_try(a, &current(a)->ip, ms_since(a->opened), &failure);
    } else if (a->state == ATTEMPT_SECURING) {
        failure.phase = PHASE_TLS;
        describe_certificate(a);
    } else if (a->state == ATTEMPT_TALKING) {
        failure.phase = a->proto->phase(&a->imap);
    }
    fail(a, failure);
}

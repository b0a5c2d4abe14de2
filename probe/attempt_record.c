#include "probe/attempt_record.h"

#include <string.h>

#include "probe/probe.h"

double attempt_ms_since(uint64_t ns)
{
    return (double)(uv_hrtime() - ns) / 1e6;
}

static void add_try(struct attempt *a, const struct ip *ip, double duration_ms, const struct failure *failure)
{
    struct port_report *port = a->port;
    if (port->try_count > LIMIT_ADDRESSES) {
        return;
    }
    struct connect_try *tries = arena_grow(a->plan->arena, port->tries, sizeof *tries, port->try_count,
                                           port->try_count + 1, &port->try_room);
    if (tries) {
        tries[port->try_count++] = (struct connect_try){*ip, duration_ms, *failure};
        port->tries = tries;
    }
}

void attempt_record_try(struct attempt *a, const struct failure *failure)
{
    add_try(a, &a->plan->candidates[a->next - 1].ip, attempt_ms_since(a->opened), failure);
}

void attempt_record_failed_try(struct attempt *a, const struct failure *failure)
{
    struct port_report *port = a->port;
    if (port->try_count > 0) { /* else there was no memory for it */
        port->tries[port->try_count - 1].error = *failure;
    }
}

void attempt_record_blocked(struct attempt *a)
{
    static const struct failure blocked = {.code = ERROR_ADDRESS_BLOCKED, .phase = PHASE_CONNECT};
    while (a->next < a->plan->candidate_count && !a->plan->candidates[a->next].permitted) {
        add_try(a, &a->plan->candidates[a->next++].ip, 0, &blocked);
    }
}

void attempt_judge_plaintext(const struct attempt *a, struct failure *failure)
{
    const unsigned char *said = (const unsigned char *)failure->said.data;
    size_t len = failure->said.len;
    if (a->proto->withdrawn(&a->imap, a->conn.said_all, said, len)) {
        failure->code = ERROR_TLS_NOT_SPOKEN;
        const unsigned char *lf = memchr(said, '\n', len);
        failure->said.len = lf ? (size_t)(lf - said) : len;
    } else if (a->proto->injected(&a->imap, said, len)) {
        failure->code = ERROR_PLAINTEXT_AFTER_STARTTLS;
    }
    failure->phase = failure->code == ERROR_PLAINTEXT_AFTER_STARTTLS ? PHASE_STARTTLS : PHASE_TLS;
}

void attempt_record_wait(struct attempt *a)
{
    double ms = attempt_ms_since(a->marked);
    if (ms > a->port->timings.slowest_reply) {
        a->port->timings.slowest_reply = ms;
    }
}

void attempt_record_certificate(struct attempt *a)
{
    const struct attempt_plan *plan = a->plan;
    if (a->conn.tls.session &&
        !tls_describe_certificate(&a->conn.tls, plan->tls, plan->env->chains, plan->host, &plan->host_ip,
                                  plan->now, &a->port->certificate, plan->arena)) {
        a->ours = true;
    }
}

void attempt_record_line(struct attempt *a, bool sent, const void *data, size_t len)
{
    struct transcript_line line = {.connection = (unsigned)a->port->try_count,
                                   .at_ms = attempt_ms_since(a->started),
                                   .sent = sent,
                                   .tls = a->port->tls.completed,
                                   .text = {data, len}};
    if (len > 0 && line.text.data[len - 1] == '\n') {
        line.complete = true;
        line.text.len--;
        if (line.text.len > 0 && line.text.data[line.text.len - 1] == '\r') {
            line.text.len--;
        }
    }
    transcript_add(&a->port->transcript, a->plan->arena, line);
}

void attempt_record_words(struct attempt *a, bool sent, const void *data, size_t len)
{
    const char *words = data;
    while (len > 0) {
        const char *lf = memchr(words, '\n', len);
        size_t line = lf ? (size_t)(lf - words) + 1 : len;
        attempt_record_line(a, sent, words, line);
        words += line;
        len -= line;
    }
}

void attempt_forget(struct attempt *a)
{
    struct port_report *port = a->port;
    port->dialogue = (struct dialogue){.greeting = GREETING_NONE};
    port->caps = (struct caps){.truncated = false};
    port->tls = (struct tls_facts){.completed = false};
    port->certificate = (struct certificate){.seen = false};
    port->implicit_tls = port->starttls_supported = false;
    port->truncated = 0;
    port->received = 0;
    port->timings.greeting = port->timings.tls_handshake = TIME_NONE;
    port->timings.slowest_reply = 0;
}

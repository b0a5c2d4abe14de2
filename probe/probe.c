#include "probe/probe.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "probe/attempt.h"
#include "probe/base/memory.h"
#include "probe/report/judge.h"

enum probe_state {
#define PROBE_STATES(X) X(RESOLVING) X(ADMITTING) X(RUNNING) X(DONE)
#define X(name) PROBE_##name,
    PROBE_STATES(X)
#undef X
};

struct probe {
    enum probe_state state;
    const struct probe_env *env;
    const struct probe_request *request;
    struct report *report;
    struct dns_lookup *lookup;
    struct attempt_plan plan;
    struct attempt attempts[REPORT_PORTS];
    size_t running; /* attempts not yet done */
    struct permit permit;
    bool permit_awaited; /* for the candidate `asked`, which no attempt is beyond */
    size_t asked;
    uv_timer_t timer;
    uint64_t started;       /* ns */
    unsigned long failures; /* of allocations in this thread, when it started */
    bool all_blocked, cancelled;
    unsigned retry_after_s; /* the limit on tests of an address ended it; 0: it did not */
    void (*on_done)(void *owner, const struct probe_end *end);
    void *owner;
};

static void set_state(struct probe *p, enum probe_state state)
{
    p->state = state;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct probe *p = handle->data;
    struct report *r = p->report;
    struct probe_end end = {PROBE_REPORTED, p->retry_after_s};
    /* Libraries tell their want of memory in many ways, and some do not tell it at all. */
    bool ours = r->arena.failed || memory_failures() != p->failures;

    for (size_t i = 0; i < r->port_count; i++) {
        ours |= p->attempts[i].ours;
    }
    if (p->cancelled) {
        end.outcome = PROBE_CANCELLED;
    } else if (ours) {
        end.outcome = PROBE_OVERLOADED;
    } else if (p->all_blocked) {
        end.outcome = PROBE_BLOCKED;
    } else if (p->retry_after_s > 0) {
        end.outcome = PROBE_LIMITED;
    } else if (!judge(r)) {
        end.outcome = PROBE_OVERLOADED;
    }
    tls_env_release(&p->plan.tls);
    p->on_done(p->owner, &end);
    free(p);
}

static void withdraw(struct probe *p)
{
    if (p->permit_awaited) {
        p->permit_awaited = false;
        p->env->withdraw(p->env->permit_context, &p->permit);
    }
}

static void finish(struct probe *p)
{
    if (p->state == PROBE_DONE) {
        return;
    }
    set_state(p, PROBE_DONE);
    withdraw(p);
    p->report->duration_ms = (double)(uv_hrtime() - p->started) / 1e6;
    if (p->lookup) {
        dns_cancel(&p->lookup);
    }
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

static void abort_attempts(struct probe *p)
{
    withdraw(p);
    for (size_t i = 0; i < p->report->port_count; i++) {
        attempt_abort(&p->attempts[i], ERROR_DEADLINE_EXCEEDED);
    }
}

static void on_attempt_done(void *owner)
{
    struct probe *p = owner;
    if (--p->running == 0) {
        finish(p);
    } else if (p->retry_after_s > 0) {
        abort_attempts(p);
    }
}

static void start_attempts(struct probe *p)
{
    struct report *r = p->report;
    set_state(p, PROBE_RUNNING);
    p->running = r->port_count;
    for (size_t i = 0; i < r->port_count; i++) {
        attempt_start(&p->attempts[i], &p->plan, &r->ports[i], on_attempt_done, p);
    }
}

static void on_permit(struct permit *permit, unsigned wait_s)
{
    struct probe *p = (struct probe *)(void *)((char *)permit - offsetof(struct probe, permit));
    p->permit_awaited = false;
    p->retry_after_s = wait_s;
    p->plan.candidates[p->asked].admitted = wait_s == 0;
    if (p->state == PROBE_ADMITTING) {
        if (wait_s == 0) {
            start_attempts(p);
        } else {
            finish(p);
        }
        return;
    }
    if (wait_s > 0) {
        abort_attempts(p);
        return;
    }
    for (size_t i = 0; i < p->report->port_count; i++) {
        attempt_admit(&p->attempts[i]);
    }
}

static enum admittance on_admit(void *owner, size_t index)
{
    struct probe *p = owner;
    struct candidate *c = &p->plan.candidates[index];
    if (!c->admitted && !p->permit_awaited && p->retry_after_s == 0) {
        p->permit = (struct permit){.ip = c->ip, .on_answer = on_permit};
        p->asked = index;
        unsigned wait_s = p->env->permit(p->env->permit_context, &p->permit);
        p->permit_awaited = wait_s == PERMIT_LATER;
        p->retry_after_s = p->permit_awaited ? 0 : wait_s;
        c->admitted = wait_s == 0;
    }
    return c->admitted ? ADMITTED : p->permit_awaited ? ADMITTED_LATER : ADMITTED_NEVER;
}

static void fail_all(struct probe *p, struct failure failure)
{
    p->report->dns.error = failure;
    for (size_t i = 0; i < p->report->port_count; i++) {
        port_fail(&p->report->ports[i], failure);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct probe *p = timer->data;
    p->report->deadline_exceeded = true;
    if (p->state == PROBE_RESOLVING) {
        fail_all(p, (struct failure){.code = ERROR_DEADLINE_EXCEEDED, .phase = PHASE_DNS});
        finish(p);
    } else if (p->state == PROBE_ADMITTING) {
        p->report->arena.failed = true; /* nothing was learnt of the host */
        finish(p);
    } else {
        abort_attempts(p);
    }
}

/* The answer lists IPv6 first; without an IPv6 route IPv4 goes first. Each family keeps the answer's order.
 */
static void order_candidates(struct attempt_plan *plan)
{
    struct candidate ordered[LIMIT_ADDRESSES];
    size_t n = 0;
    for (size_t i = 0; i < plan->candidate_count; i++) {
        if (plan->candidates[i].ip.family == 6 && plan->candidates[i].permitted) {
            if (conn_has_route(&plan->candidates[i].ip)) {
                return;
            }
            break;
        }
    }
    for (int family = 4; family <= 6; family += 2) {
        for (size_t i = 0; i < plan->candidate_count; i++) {
            if (plan->candidates[i].ip.family == family) {
                ordered[n++] = plan->candidates[i];
            }
        }
    }
    memcpy(plan->candidates, ordered, n * sizeof ordered[0]);
}

/* The answer lists IPv6 first: what goes beyond the bound must not take a whole family away. */
static size_t fit_candidates(struct attempt_plan *plan, const struct ip *ips, size_t count)
{
    size_t v6 = 0, n = 0;
    while (v6 < count && ips[v6].family == 6) {
        v6++;
    }
    size_t v4 = count - v6, half = LIMIT_ADDRESSES / 2;
    size_t keep4 = v6 <= half ? LIMIT_ADDRESSES - v6 : half;
    keep4 = v4 < keep4 ? v4 : keep4;
    size_t keep6 = v6 < LIMIT_ADDRESSES - keep4 ? v6 : LIMIT_ADDRESSES - keep4;
    for (size_t i = 0; i < keep6; i++) {
        plan->candidates[n++].ip = ips[i];
    }
    for (size_t i = 0; i < keep4; i++) {
        plan->candidates[n++].ip = ips[v6 + i];
    }
    return n;
}

static size_t first_permitted(const struct attempt_plan *plan)
{
    size_t i = 0;
    while (!plan->candidates[i].permitted) {
        i++;
    }
    return i;
}

/* Asks the policy about each address and starts the attempts on both ports at the same time. */
static void connect_to(struct probe *p, const struct ip *ips, size_t count)
{
    struct report *r = p->report;
    const struct probe_env *env = p->env;
    size_t permitted = 0;

    p->plan.candidate_count = fit_candidates(&p->plan, ips, count);
    for (size_t i = 0; i < p->plan.candidate_count; i++) {
        struct candidate *c = &p->plan.candidates[i];
        c->permitted = env->guard.allowed(env->guard.context, &c->ip);
        permitted += c->permitted;
    }
    r->dns.truncated |= count > p->plan.candidate_count;
    if (permitted == 0) {
        p->all_blocked = true;
        finish(p);
        return;
    }
    order_candidates(&p->plan);
    for (size_t i = 0; i < p->plan.candidate_count; i++) {
        if (p->plan.candidates[i].permitted) {
            r->dns.addresses[r->dns.address_count++] = p->plan.candidates[i].ip;
        }
    }
    switch (on_admit(p, first_permitted(&p->plan))) {
    case ADMITTED:
        start_attempts(p);
        break;
    case ADMITTED_LATER:
        set_state(p, PROBE_ADMITTING);
        break;
    case ADMITTED_NEVER:
        finish(p);
        break;
    }
}

static void on_answer(void *owner, const struct dns_answer *answer)
{
    struct probe *p = owner;
    struct dns_facts *dns = &p->report->dns;
    p->lookup = NULL;
    if (answer->ours) {
        p->report->arena.failed = true; /* nothing was learnt of the host */
        finish(p);
        return;
    }
    dns->duration_ms = (double)(uv_hrtime() - p->started) / 1e6;
    dns->truncated = answer->truncated;
    if (answer->canonical_name[0]) {
        dns->canonical_name =
            arena_text(&p->report->arena, answer->canonical_name, strlen(answer->canonical_name));
    }
    if (answer->failure.code != ERROR_NONE) {
        fail_all(p, answer->failure);
        finish(p);
        return;
    }
    connect_to(p, answer->addresses, answer->count);
}

/* RFC 6761 section 6.3: localhost and names under it never reach the DNS. */
static bool is_localhost(const char *host)
{
    static const char suffix[] = ".localhost";
    size_t n = strlen(host), m = sizeof suffix - 1;
    return strcmp(host, suffix + 1) == 0 || (n > m && strcmp(host + n - m, suffix) == 0);
}

static void on_start(uv_timer_t *timer)
{
    struct probe *p = timer->data;
    const struct probe_request *q = p->request;
    struct ip local[2] = {{.family = 6}, {.family = 4, .bytes = {127, 0, 0, 1}}};
    local[0].bytes[15] = 1;

    uv_timer_start(&p->timer, on_deadline, q->timeout_ms, 0);
    if (q->address.family != 0) {
        connect_to(p, &q->address, 1);
    } else if (q->host_ip.family != 0) {
        connect_to(p, &q->host_ip, 1);
    } else if (is_localhost(q->host)) {
        connect_to(p, local, 2);
    } else {
        p->lookup = dns_lookup(p->env->dns, q->host, on_answer, p);
        if (!p->lookup) {
            p->report->arena.failed = true;
            finish(p);
        }
    }
}

static void add_port(struct report *r, uint16_t number, bool tls_port, bool transcript)
{
    struct port_report *port = &r->ports[r->port_count++];
    port->number = number;
    port->tls_port = tls_port;
    port->transcript.wanted = transcript;
    port->timings = (struct timings){TIME_NONE, TIME_NONE, TIME_NONE, TIME_NONE, 0};
}

struct probe *probe_start(const struct probe_env *env, const struct probe_request *request,
                          struct report *report, int64_t now,
                          void (*on_done)(void *owner, const struct probe_end *end), void *owner)
{
    struct probe *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    p->env = env;
    p->request = request;
    p->report = report;
    p->on_done = on_done;
    p->owner = owner;
    p->started = uv_hrtime();
    p->failures = memory_failures();
    p->plan =
        (struct attempt_plan){.env = env, .host = request->host, .host_ip = request->host_ip, .now = now};
    p->plan.arena = &report->arena;
    p->plan.admit = on_admit;
    p->plan.owner = p;
    p->plan.tls = tls_env_hold(env->tls);

    report->host = request->host;
    report->host_unicode = request->host_unicode[0] ? request->host_unicode : NULL;
    report->host_is_ip = request->host_ip.family != 0;
    report->tested_at = now;
    if (request->imap) {
        add_port(report, env->settings.imap_port, false, request->transcript);
    }
    if (request->imaps) {
        add_port(report, env->settings.imaps_port, true, request->transcript);
    }
    set_state(p, PROBE_RESOLVING);
    uv_timer_init(env->loop, &p->timer);
    p->timer.data = p;
    uv_timer_start(&p->timer, on_start, 0, 0);
    return p;
}

void probe_cancel(struct probe *p)
{
    p->cancelled = true;
    if (p->state == PROBE_RESOLVING || p->state == PROBE_ADMITTING) {
        finish(p);
    } else if (p->state == PROBE_RUNNING) {
        abort_attempts(p);
    }
}

#include "server/metrics.h"

#include <stddef.h>

#define STATUS_OTHER (METRICS_STATUSES - 2)
#define STATUS_NONE (METRICS_STATUSES - 1)

static const struct {
    unsigned status;
    const char *name;
} statuses[METRICS_STATUSES] = {
    {200, "200"}, {204, "204"}, {400, "400"}, {401, "401"}, {403, "403"}, {404, "404"},
    {405, "405"}, {413, "413"}, {414, "414"}, {429, "429"}, {431, "431"}, {500, "500"},
    {503, "503"}, {505, "505"}, {0, "other"}, {0, "none"},
};

/* From what loopback takes to the longest time that a test may be given in earnest. */
static const double bounds[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                               0.5,   1,      2.5,   5,    10,    20,   60};

static void count(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void metrics_add(struct metrics *m, enum metric metric, uint64_t n)
{
    if (m) {
        count(&m->values[metric], n);
    }
}

void metrics_subtract(struct metrics *m, enum metric metric, uint64_t n)
{
    if (m) {
        atomic_fetch_sub_explicit(&m->values[metric], n, memory_order_relaxed);
    }
}

void metrics_set(struct metrics *m, enum metric metric, uint64_t value)
{
    if (m) {
        atomic_store_explicit(&m->values[metric], value, memory_order_relaxed);
    }
}

void metrics_raise(struct metrics *m, enum metric metric, uint64_t value)
{
    uint_fast64_t now = atomic_load_explicit(&m->values[metric], memory_order_relaxed);
    while (now < value && !atomic_compare_exchange_weak_explicit(
                              &m->values[metric], &now, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void histogram_observe(struct histogram *h, double seconds)
{
    size_t bucket = 0;
    double s = seconds > 0 ? seconds : 0;
    while (bucket < METRICS_BUCKETS && s > bounds[bucket]) {
        bucket++;
    }
    count(&h->counts[bucket], 1);
    count(&h->sum_us, (uint64_t)(s * 1e6 + 0.5));
}

double histogram_bound(unsigned bucket)
{
    return bounds[bucket];
}

static unsigned status_index(unsigned status)
{
    if (status == 0) {
        return STATUS_NONE;
    }
    unsigned i = 0;
    while (i < STATUS_OTHER && statuses[i].status != status) {
        i++;
    }
    return i;
}

const char *metrics_status_name(unsigned index)
{
    return statuses[index].name;
}

const char *metrics_refusal_name(unsigned index)
{
    return index == PROBLEM_COUNT          ? "rate_limited_target"
           : index == PROBLEM_RATE_LIMITED ? "rate_limited_client"
                                           : problem_name((enum problem_code)index);
}

void metrics_request(struct metrics *m, const struct metrics_request *r)
{
    if (!m) {
        return;
    }
    count(&m->requests[r->route][status_index(r->status)], 1);
    histogram_observe(&m->request_seconds[r->route], r->seconds);
    if (r->refused) {
        bool by_target = r->problem == PROBLEM_RATE_LIMITED && r->by_target;
        count(&m->refusals[by_target ? PROBLEM_COUNT : r->problem], 1);
    }
}

static enum metric lookup_result(enum error_code code)
{
    switch (code) {
    case ERROR_NONE:
        return METRIC_DNS_ANSWERED;
    case ERROR_DNS_NAME_NOT_FOUND:
        return METRIC_DNS_NAME_NOT_FOUND;
    case ERROR_DNS_NO_ADDRESS:
        return METRIC_DNS_NO_ADDRESS;
    case ERROR_DNS_TIMEOUT:
    case ERROR_DEADLINE_EXCEEDED:
        return METRIC_DNS_TIMEOUT;
    default:
        return METRIC_DNS_SERVER_FAILURE;
    }
}

/* Only a look-up leaves a time or an error: an address, or localhost, is not looked up. */
static void count_lookup(struct metrics *m, const struct dns_facts *dns)
{
    if (dns->duration_ms > 0) {
        histogram_observe(&m->phase_seconds[METRIC_PHASE_DNS], dns->duration_ms / 1e3);
    }
    if (dns->duration_ms > 0 || dns->error.code != ERROR_NONE) {
        metrics_add(m, lookup_result(dns->error.code), 1);
    }
}

static void observe_phase(struct metrics *m, enum metric_phase phase, double ms)
{
    if (ms >= 0) { /* else it was not reached: TIME_NONE */
        histogram_observe(&m->phase_seconds[phase], ms / 1e3);
    }
}

static void count_report(struct metrics *m, const struct report *r)
{
    count(&m->tests[r->verdict], 1);
    histogram_observe(&m->test_seconds, r->duration_ms / 1e3);
    for (size_t i = 0; i < r->port_count; i++) {
        const struct port_report *port = &r->ports[i];
        observe_phase(m, METRIC_PHASE_CONNECT, port->timings.connect);
        observe_phase(m, METRIC_PHASE_GREETING, port->timings.greeting);
        observe_phase(m, METRIC_PHASE_TLS, port->timings.tls_handshake);
        if (port->error.code != ERROR_NONE) {
            count(&m->port_errors[port->error.code][port->error.phase], 1);
        }
    }
}

void metrics_test(struct metrics *m, enum job_result result, const struct report *report)
{
    if (!m) {
        return;
    }
    if (result == JOB_REPORTED) {
        count_report(m, report);
    } else {
        count(&m->unreported[result], 1);
    }
    if (result == JOB_REPORTED || result == JOB_BLOCKED || result == JOB_LIMITED) {
        count_lookup(m, &report->dns);
    }
}

void metrics_lag(struct metrics *m, double seconds)
{
    if (m) {
        histogram_observe(&m->lag_seconds, seconds);
    }
}

void metrics_reloaded(struct metrics *m, bool success, int64_t now)
{
    metrics_add(m, success ? METRIC_RELOAD_SUCCESS : METRIC_RELOAD_FAILURE, 1);
    metrics_set(m, METRIC_LAST_RELOAD_SUCCESSFUL, success);
    if (success) {
        metrics_set(m, METRIC_LAST_RELOAD_SUCCESS, (uint64_t)now);
    }
}

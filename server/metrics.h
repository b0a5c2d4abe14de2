/* metrics.h: the service's own figures: counted where things happen, by any thread, without a lock; shown by
 * metrics_text.h. Every set of labels is closed, so that no caller and no server adds to them.
 *
 * Owned by main() and handed on by pointer; NULL is taken everywhere and counts nothing. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "api/problem.h"
#include "api/route.h"
#include "probe/base/error.h"
#include "probe/report/report.h"
#include "server/job.h"

enum metric {
#define FAMILY(name, type, parts, help)
#define SAMPLE(constant, label, value) METRIC_##constant,
#include "server/metrics.def"
#undef FAMILY
#undef SAMPLE
    METRIC_COUNT
};

/* Of a gauge that could not be measured: it is not shown. */
#define METRIC_UNKNOWN UINT64_MAX

enum metric_phase {
    METRIC_PHASE_DNS,
    METRIC_PHASE_CONNECT,
    METRIC_PHASE_GREETING,
    METRIC_PHASE_TLS,
    METRIC_PHASE_COUNT
};

#define METRICS_BUCKETS 15

struct histogram {
    atomic_uint_fast64_t counts[METRICS_BUCKETS + 1]; /* of each bucket alone; the last has no upper bound */
    atomic_uint_fast64_t sum_us;
};

/* The status of an answer as a label: one of those there are, "other", or "none" where there was no answer.
 */
#define METRICS_STATUSES 16

/* A problem's code; the last is rate_limited for a target, whose code means a client. */
#define METRICS_REFUSALS (PROBLEM_COUNT + 1)

/* Starts zeroed. */
struct metrics {
    atomic_uint_fast64_t values[METRIC_COUNT];
    atomic_uint_fast64_t requests[ROUTE_COUNT + 1][METRICS_STATUSES]; /* ROUTE_COUNT: no resource of ours */
    atomic_uint_fast64_t refusals[METRICS_REFUSALS];
    atomic_uint_fast64_t tests[VERDICT_UNREACHABLE + 1];
    atomic_uint_fast64_t unreported[JOB_CANCELLED + 1];
    atomic_uint_fast64_t port_errors[ERROR_COUNT][PHASE_COUNT];
    struct histogram request_seconds[ROUTE_COUNT + 1];
    struct histogram test_seconds, lag_seconds;
    struct histogram phase_seconds[METRIC_PHASE_COUNT];
};

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t count);
void metrics_subtract(struct metrics *metrics, enum metric metric, uint64_t count);
void metrics_set(struct metrics *metrics, enum metric metric, uint64_t value);

/* For a counter that is counted elsewhere: of two who look at the same time the later one wins. */
void metrics_raise(struct metrics *metrics, enum metric metric, uint64_t value);

/* One request, once it is done with. */
struct metrics_request {
    enum route route; /* ROUTE_COUNT: none of ours */
    unsigned status;  /* 0: no answer was sent */
    bool refused;     /* with the next two */
    enum problem_code problem;
    bool by_target; /* rate_limited: for the sake of a target */
    double seconds;
};

void metrics_request(struct metrics *metrics, const struct metrics_request *request);

/* One test, once it has ended; of a report what there is. */
void metrics_test(struct metrics *metrics, enum job_result result, const struct report *report);

/* How late an event loop came to its turn. */
void metrics_lag(struct metrics *metrics, double seconds);

/* What SIGHUP has led to; `now`: seconds since 1970. */
void metrics_reloaded(struct metrics *metrics, bool success, int64_t now);

void histogram_observe(struct histogram *histogram, double seconds);

/* The upper bound of a bucket in seconds, below METRICS_BUCKETS. */
double histogram_bound(unsigned bucket);

/* "200", …, "other", "none". */
const char *metrics_status_name(unsigned index);

/* The code of a problem, but "rate_limited_client" and "rate_limited_target". */
const char *metrics_refusal_name(unsigned index);

#endif

#include "server/metrics_text.h"

#include <stdio.h>

#include "api/exposition.h"

/* Of the compiler and the libraries that the program was built with; set by CMake. */
static const struct {
    const char *label, *version;
} builds[] = {
    {"version", IMAP_TESTD_VERSION},  {"compiler", BUILT_BY},
    {"cares", BUILT_WITH_CARES},      {"gnutls", BUILT_WITH_GNUTLS},
    {"jansson", BUILT_WITH_JANSSON},  {"libmicrohttpd", BUILT_WITH_MICROHTTPD},
    {"libsodium", BUILT_WITH_SODIUM}, {"libuv", BUILT_WITH_UV},
};
#define BUILDS (sizeof builds / sizeof builds[0])

static const struct row {
    const char *family, *type; /* NULL in a sample */
    unsigned parts;
    const char *help;
    enum metric metric;
    const char *label, *value;
} rows[] = {
#define FAMILY(name, type_, parts_, help_)                                                                   \
    {.family = (name), .type = (type_), .parts = (parts_), .help = (help_)},
#define SAMPLE(constant, label_, value_) {.metric = METRIC_##constant, .label = (label_), .value = (value_)},
#include "server/metrics.def"
#undef FAMILY
#undef SAMPLE
};

static uint64_t read_count(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void write_rows(struct exposition *e, const struct metrics *m)
{
    unsigned parts = 1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        if (row->family) {
            exposition_family(e, row->family, row->type, row->help);
            parts = row->parts;
            continue;
        }
        uint64_t value = read_count(&m->values[row->metric]);
        if (value != METRIC_UNKNOWN) {
            struct exposition_label label = {row->label, text_of(row->value)};
            exposition_sample(e, "", &label, row->label ? 1 : 0, (double)value / parts);
        }
    }
}

static void write_build_info(struct exposition *e)
{
    struct exposition_label labels[BUILDS];
    for (size_t i = 0; i < BUILDS; i++) {
        labels[i] = (struct exposition_label){builds[i].label, text_of(builds[i].version)};
    }
    exposition_family(e, "imap_testd_build_info", "info",
                      "Always 1: the version of the program, and of what it was built with.");
    exposition_sample(e, "", labels, BUILDS, 1);
}

static const char *route_label(unsigned route)
{
    return route < ROUTE_COUNT ? route_path((enum route)route) : "other";
}

static void write_requests(struct exposition *e, const struct metrics *m)
{
    exposition_family(
        e, "imap_testd_http_requests_total", "counter",
        "Requests done with, by resource (other: none of ours, or refused before it was looked at) and "
        "HTTP status (none: closed without an answer).");
    for (unsigned route = 0; route <= ROUTE_COUNT; route++) {
        for (unsigned status = 0; status < METRICS_STATUSES; status++) {
            const struct exposition_label labels[] = {{"route", text_of(route_label(route))},
                                                      {"code", text_of(metrics_status_name(status))}};
            exposition_sample(e, "", labels, 2, (double)read_count(&m->requests[route][status]));
        }
    }
    exposition_family(
        e, "imap_testd_http_refusals_total", "counter",
        "Requests answered with a problem, by its code; that of the rate limits comes with whose it was.");
    for (unsigned i = 0; i < METRICS_REFUSALS; i++) {
        const struct exposition_label label = {"reason", text_of(metrics_refusal_name(i))};
        exposition_sample(e, "", &label, 1, (double)read_count(&m->refusals[i]));
    }
}

static void write_tests(struct exposition *e, const struct metrics *m)
{
    static const char *const results[] = {
        [JOB_BLOCKED] = "blocked",
        [JOB_LIMITED] = "limited",
        [JOB_OVERLOADED] = "overloaded",
        [JOB_CANCELLED] = "cancelled",
    };
    exposition_family(e, "imap_testd_tests_total", "counter", "Tests that ended with a report, by verdict.");
    for (unsigned v = 0; v <= VERDICT_UNREACHABLE; v++) {
        const struct exposition_label label = {"verdict", text_of(verdict_name((enum verdict)v))};
        exposition_sample(e, "", &label, 1, (double)read_count(&m->tests[v]));
    }
    exposition_family(
        e, "imap_testd_tests_unreported_total", "counter",
        "Tests that ended without a report: blocked (no address may be tested), limited (a target was "
        "tested too often), overloaded (this machine ran out of something), cancelled (stopping, or "
        "nobody waits any more).");
    for (unsigned r = JOB_REPORTED + 1; r <= JOB_CANCELLED; r++) {
        const struct exposition_label label = {"reason", text_of(results[r])};
        exposition_sample(e, "", &label, 1, (double)read_count(&m->unreported[r]));
    }
    exposition_family(
        e, "imap_testd_port_errors_total", "counter",
        "Ports whose dialogue did not reach its end, by the error in the report and the phase it came in.");
    for (unsigned code = ERROR_NONE + 1; code < ERROR_COUNT; code++) {
        for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
            const struct exposition_label labels[] = {{"code", text_of(error_name((enum error_code)code))},
                                                      {"phase", text_of(phase_name((enum phase)phase))}};
            exposition_sample(e, "", labels, 2, (double)read_count(&m->port_errors[code][phase]));
        }
    }
}

/* The count is that of the buckets as they are read, so that both agree whatever is counted meanwhile. */
static void write_histogram(struct exposition *e, const char *label, const char *value,
                            const struct histogram *h)
{
    struct exposition_label labels[2] = {{label, text_of(value)}};
    size_t count = label ? 1 : 0;
    struct exposition_label *le = &labels[count];
    uint64_t sum = read_count(&h->sum_us), total = 0;
    char bound[32];

    le->name = "le";
    for (unsigned i = 0; i <= METRICS_BUCKETS; i++) {
        total += read_count(&h->counts[i]);
        snprintf(bound, sizeof bound, "%g", i < METRICS_BUCKETS ? histogram_bound(i) : 0);
        le->value = text_of(i < METRICS_BUCKETS ? bound : "+Inf");
        exposition_sample(e, "_bucket", labels, count + 1, (double)total);
    }
    exposition_sample(e, "_sum", labels, count, (double)sum / 1e6);
    exposition_sample(e, "_count", labels, count, (double)total);
}

static void write_times(struct exposition *e, const struct metrics *m)
{
    static const char *const phases[METRIC_PHASE_COUNT] = {
        [METRIC_PHASE_DNS] = "dns",
        [METRIC_PHASE_CONNECT] = "connect",
        [METRIC_PHASE_GREETING] = "greeting",
        [METRIC_PHASE_TLS] = "tls_handshake",
    };
    exposition_family(e, "imap_testd_http_request_duration_seconds", "histogram",
                      "Time of a request from its first line to the end of its answer, by resource.");
    for (unsigned route = 0; route <= ROUTE_COUNT; route++) {
        write_histogram(e, "route", route_label(route), &m->request_seconds[route]);
    }
    exposition_family(e, "imap_testd_test_duration_seconds", "histogram",
                      "Time of a test that ended with a report.");
    write_histogram(e, NULL, NULL, &m->test_seconds);
    exposition_family(
        e, "imap_testd_phase_duration_seconds", "histogram",
        "Time of the phases that a test reached: dns once for each name, the others for each port.");
    for (unsigned i = 0; i < METRIC_PHASE_COUNT; i++) {
        write_histogram(e, "phase", phases[i], &m->phase_seconds[i]);
    }
    exposition_family(
        e, "imap_testd_worker_lag_seconds", "histogram",
        "How late the event loops of the workers come to a timer, to a millisecond; looked at ten times "
        "a second by each that has tests under way.");
    write_histogram(e, NULL, NULL, &m->lag_seconds);
}

char *metrics_text(const struct metrics *m)
{
    struct exposition e;
    exposition_init(&e);
    write_build_info(&e);
    write_rows(&e, m);
    write_requests(&e, m);
    write_tests(&e, m);
    write_times(&e, m);
    char *text = exposition_take(&e);
    exposition_deinit(&e);
    return text;
}

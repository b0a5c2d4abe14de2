/* What is counted, and how it is shown. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/metrics_text.h"

static struct metrics m;
static char *text;

static int set_up(void **state)
{
    (void)state;
    memset(&m, 0, sizeof m);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static void show(void)
{
    free(text);
    text = metrics_text(&m);
    assert_non_null(text);
}

/* The line is there, whole. */
static void expect(const char *line)
{
    char wanted[256];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    if (!strstr(text, wanted)) {
        fail_msg("no line \"%s\" in\n%s", line, text);
    }
}

static size_t count_lines(const char *beginning)
{
    size_t count = 0, len = strlen(beginning);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        count += strncmp(line, beginning, len) == 0;
    }
    return count;
}

/* Whatever may come is there from the start, with 0. */
static void test_all_from_the_start(void **state)
{
    (void)state;
    show();
    assert_int_equal(count_lines("imap_testd_http_requests_total{"), (ROUTE_COUNT + 1) * METRICS_STATUSES);
    assert_int_equal(count_lines("imap_testd_http_refusals_total{"), PROBLEM_COUNT + 1);
    assert_int_equal(count_lines("imap_testd_tests_total{"), 5);
    assert_int_equal(count_lines("imap_testd_tests_unreported_total{"), 4);
    assert_int_equal(count_lines("imap_testd_port_errors_total{"), (ERROR_COUNT - 1) * PHASE_COUNT);
    assert_int_equal(count_lines("imap_testd_phase_duration_seconds_bucket{"),
                     METRIC_PHASE_COUNT * (METRICS_BUCKETS + 1));
    expect("imap_testd_tests_total{verdict=\"unreachable\"} 0");
    expect("imap_testd_http_refusals_total{reason=\"rate_limited_target\"} 0");
    expect("imap_testd_cache_lookups_total{result=\"shared\"} 0");
    expect("imap_testd_test_duration_seconds_bucket{le=\"+Inf\"} 0");
    assert_non_null(strstr(text, "\nimap_testd_build_info{version=\"" IMAP_TESTD_VERSION "\",compiler=\""));
    assert_null(strstr(text, "(null)"));
}

/* Every answer that a problem makes has a label of its own, and no two share one. */
static void test_statuses(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
        const struct metrics_request r = {.route = ROUTE_COUNT,
                                          .status = problem_status((enum problem_code)i),
                                          .refused = true,
                                          .problem = (enum problem_code)i};
        metrics_request(&m, &r);
    }
    show();
    for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
        char line[128];
        snprintf(line, sizeof line, "\nimap_testd_http_requests_total{route=\"other\",code=\"%u\"} ",
                 problem_status((enum problem_code)i));
        assert_non_null(strstr(text, line));
        assert_int_not_equal(strstr(text, line)[strlen(line)], '0');
    }
    metrics_request(&m, &(struct metrics_request){.route = ROUTE_IMAP_TEST, .status = 418});
    metrics_request(&m, &(struct metrics_request){.route = ROUTE_IMAP_TEST, .status = 0});
    metrics_request(&m, &(struct metrics_request){.route = ROUTE_METRICS, .status = 200});
    for (unsigned i = 0; i < METRICS_STATUSES; i++) {
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(metrics_status_name(i), metrics_status_name(j));
        }
    }
    show();
    expect("imap_testd_http_requests_total{route=\"other\",code=\"other\"} 0");
    expect("imap_testd_http_requests_total{route=\"other\",code=\"400\"} 6");
    expect("imap_testd_http_requests_total{route=\"/v1/imap-test\",code=\"other\"} 1");
    expect("imap_testd_http_requests_total{route=\"/v1/imap-test\",code=\"none\"} 1");
    expect("imap_testd_http_requests_total{route=\"/metrics\",code=\"200\"} 1");
    expect("imap_testd_http_refusals_total{reason=\"overloaded\"} 1");
    expect("imap_testd_http_request_duration_seconds_count{route=\"/v1/imap-test\"} 2");
}

static void test_refusals(void **state)
{
    (void)state;
    struct metrics_request r = {.status = 429, .refused = true, .problem = PROBLEM_RATE_LIMITED};
    metrics_request(&m, &r);
    r.by_target = true;
    metrics_request(&m, &r);
    metrics_request(&m, &r);
    r.problem = PROBLEM_OVERLOADED; /* given in its place, for want of memory */
    metrics_request(&m, &r);
    r.refused = false;
    metrics_request(&m, &r);
    show();
    expect("imap_testd_http_refusals_total{reason=\"rate_limited_client\"} 1");
    expect("imap_testd_http_refusals_total{reason=\"rate_limited_target\"} 2");
    expect("imap_testd_http_refusals_total{reason=\"overloaded\"} 1");
    assert_null(strstr(text, "reason=\"rate_limited\""));
}

/* A report of a name that was resolved; 143 ended well, 993 in a reset handshake. */
static struct report sample(void)
{
    struct report r = {.port_count = 2, .duration_ms = 120, .verdict = VERDICT_PROBLEMS};
    r.dns.duration_ms = 3;
    r.ports[0].timings = (struct timings){10, 20, 30, 120, 20};
    r.ports[1].timings = (struct timings){10, TIME_NONE, TIME_NONE, 15, 0};
    r.ports[1].error = (struct failure){.code = ERROR_CONNECTION_RESET, .phase = PHASE_TLS};
    return r;
}

static void test_report(void **state)
{
    (void)state;
    struct report r = sample();
    metrics_test(&m, JOB_REPORTED, &r);
    show();
    expect("imap_testd_tests_total{verdict=\"problems\"} 1");
    expect("imap_testd_port_errors_total{code=\"connection_reset\",phase=\"tls\"} 1");
    expect("imap_testd_port_errors_total{code=\"connection_reset\",phase=\"connect\"} 0");
    expect("imap_testd_dns_lookups_total{result=\"answered\"} 1");
    expect("imap_testd_phase_duration_seconds_sum{phase=\"dns\"} 0.003");
    expect("imap_testd_phase_duration_seconds_count{phase=\"connect\"} 2");
    expect("imap_testd_phase_duration_seconds_sum{phase=\"connect\"} 0.02");
    expect("imap_testd_phase_duration_seconds_count{phase=\"greeting\"} 1");
    expect("imap_testd_phase_duration_seconds_count{phase=\"tls_handshake\"} 1");
    expect("imap_testd_phase_duration_seconds_bucket{phase=\"tls_handshake\",le=\"0.025\"} 0");
    expect("imap_testd_phase_duration_seconds_bucket{phase=\"tls_handshake\",le=\"0.05\"} 1");
    expect("imap_testd_test_duration_seconds_sum 0.12");
}

static void test_lookups(void **state)
{
    (void)state;
    static const struct {
        enum error_code code;
        double ms;
    } rows[] = {
        {ERROR_NONE, 0}, /* an address */
        {ERROR_NONE, 2},           {ERROR_DNS_NAME_NOT_FOUND, 2},
        {ERROR_DNS_NO_ADDRESS, 2}, {ERROR_DNS_SERVER_FAILURE, 2},
        {ERROR_DNS_TIMEOUT, 2},    {ERROR_DEADLINE_EXCEEDED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct report r = {.verdict = VERDICT_UNREACHABLE};
        r.dns.duration_ms = rows[i].ms;
        r.dns.error.code = rows[i].code;
        metrics_test(&m, JOB_REPORTED, &r);
    }
    show();
    expect("imap_testd_dns_lookups_total{result=\"answered\"} 1");
    expect("imap_testd_dns_lookups_total{result=\"name_not_found\"} 1");
    expect("imap_testd_dns_lookups_total{result=\"no_address\"} 1");
    expect("imap_testd_dns_lookups_total{result=\"server_failure\"} 1");
    expect("imap_testd_dns_lookups_total{result=\"timeout\"} 2");
    expect("imap_testd_phase_duration_seconds_count{phase=\"dns\"} 5");
}

/* Without a report no verdict counts; what was asked of the DNS does where it was answered. */
static void test_unreported(void **state)
{
    (void)state;
    struct report r = sample();
    metrics_test(&m, JOB_BLOCKED, &r);
    metrics_test(&m, JOB_LIMITED, &r);
    metrics_test(&m, JOB_OVERLOADED, &r);
    metrics_test(&m, JOB_CANCELLED, &r);
    show();
    expect("imap_testd_tests_total{verdict=\"problems\"} 0");
    expect("imap_testd_tests_unreported_total{reason=\"blocked\"} 1");
    expect("imap_testd_tests_unreported_total{reason=\"limited\"} 1");
    expect("imap_testd_tests_unreported_total{reason=\"overloaded\"} 1");
    expect("imap_testd_tests_unreported_total{reason=\"cancelled\"} 1");
    expect("imap_testd_dns_lookups_total{result=\"answered\"} 2");
    expect("imap_testd_test_duration_seconds_count 0");
}

/* Buckets hold what is at most their bound; each what those below it hold as well. */
static void test_histogram(void **state)
{
    (void)state;
    metrics_lag(&m, 0);
    metrics_lag(&m, -1);
    metrics_lag(&m, 0.001);
    metrics_lag(&m, 0.0011);
    metrics_lag(&m, 60);
    metrics_lag(&m, 61);
    show();
    expect("imap_testd_worker_lag_seconds_bucket{le=\"0.001\"} 3");
    expect("imap_testd_worker_lag_seconds_bucket{le=\"0.0025\"} 4");
    expect("imap_testd_worker_lag_seconds_bucket{le=\"20\"} 4");
    expect("imap_testd_worker_lag_seconds_bucket{le=\"60\"} 5");
    expect("imap_testd_worker_lag_seconds_bucket{le=\"+Inf\"} 6");
    expect("imap_testd_worker_lag_seconds_sum 121.0021");
    expect("imap_testd_worker_lag_seconds_count 6");
    for (unsigned i = 1; i < METRICS_BUCKETS; i++) {
        assert_true(histogram_bound(i - 1) < histogram_bound(i));
    }
}

static void test_values(void **state)
{
    (void)state;
    metrics_set(&m, METRIC_CPU_US, 1234567);
    metrics_raise(&m, METRIC_SHARED_STORED, 7);
    metrics_raise(&m, METRIC_SHARED_STORED, 5);
    metrics_set(&m, METRIC_START_MS, 1795647646317);
    metrics_set(&m, METRIC_OPEN_FDS, METRIC_UNKNOWN);
    metrics_add(&m, METRIC_CACHE_HIT, 2);
    metrics_add(&m, METRIC_CACHE_HIT, 1);
    metrics_add(&m, METRIC_TESTS_QUEUED, 3);
    metrics_subtract(&m, METRIC_TESTS_QUEUED, 2);
    metrics_reloaded(&m, true, 1795647001);
    metrics_reloaded(&m, false, 1795648000);
    show();
    expect("process_cpu_seconds_total 1.234567");
    expect("imap_testd_shared_cache_stores_total 7");
    expect("process_start_time_seconds 1795647646.317");
    assert_int_equal(count_lines("process_open_fds"), 0);
    expect("imap_testd_cache_lookups_total{result=\"hit\"} 3");
    expect("imap_testd_tests_queued 1");
    expect("imap_testd_reloads_total{result=\"success\"} 1");
    expect("imap_testd_reloads_total{result=\"failure\"} 1");
    expect("imap_testd_last_reload_successful 0");
    expect("imap_testd_last_reload_success_timestamp_seconds 1795647001");
}

#define TIMES 20000
#define THREADS 4

static void *count_reports(void *arg)
{
    const struct report r = sample();
    for (size_t i = 0; i < TIMES; i++) {
        metrics_test(&m, JOB_REPORTED, &r);
    }
    return arg;
}

/* While others count, the count of a histogram is that of its last bucket, and nothing is lost. */
static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_reports, NULL), 0);
    }
    for (size_t i = 0; i < 20; i++) {
        static const char bucket[] = "imap_testd_test_duration_seconds_bucket{le=\"+Inf\"} ";
        static const char count[] = "imap_testd_test_duration_seconds_count ";
        show();
        assert_int_equal(strtoul(strstr(text, bucket) + strlen(bucket), NULL, 10),
                         strtoul(strstr(text, count) + strlen(count), NULL, 10));
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    show();
    expect("imap_testd_tests_total{verdict=\"problems\"} 80000");
    expect("imap_testd_test_duration_seconds_count 80000");
    expect("imap_testd_phase_duration_seconds_count{phase=\"connect\"} 160000");
    expect("imap_testd_test_duration_seconds_sum 9600");
}

/* Where nobody wants figures none are needed. */
static void test_none(void **state)
{
    (void)state;
    const struct report r = sample();
    metrics_add(NULL, METRIC_READY, 1);
    metrics_set(NULL, METRIC_READY, 1);
    metrics_subtract(NULL, METRIC_READY, 1);
    metrics_test(NULL, JOB_REPORTED, &r);
    metrics_request(NULL, &(struct metrics_request){.status = 200});
    metrics_lag(NULL, 1);
    metrics_reloaded(NULL, true, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_from_the_start),
        TEST(test_statuses),
        TEST(test_refusals),
        TEST(test_report),
        TEST(test_lookups),
        TEST(test_unreported),
        TEST(test_histogram),
        TEST(test_values),
        TEST(test_threads),
        TEST(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

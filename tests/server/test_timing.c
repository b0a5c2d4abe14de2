/* Server-Timing: fixed names, phases that were reached, and never more than there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "server/timing.h"

static struct report report;

static struct port_report *add_port(bool tls_port, struct timings timings)
{
    struct port_report *port = &report.ports[report.port_count++];
    port->tls_port = tls_port;
    port->timings = timings;
    return port;
}

static int set_up(void **state)
{
    (void)state;
    report_init(&report);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    report_deinit(&report);
    return 0;
}

static void assert_header(double dns_ms, double test_ms, bool cached, const char *expected)
{
    struct port_phases phases = timing_of(&report);
    char text[TIMING_SIZE];
    timing_header(text, dns_ms, test_ms, &phases, cached);
    assert_string_equal(text, expected);
}

static void test_both_ports(void **state)
{
    (void)state;
    (void)add_port(false, (struct timings){11.04, 12.46, 31.8, 80.1, 0});
    (void)add_port(true, (struct timings){10, 9.95, 30, 70, 0});
    assert_header(
        4.2, 84.6, false,
        "dns;dur=4.2, imap-connect;dur=11.0, imap-greeting;dur=12.5, imap-tls;dur=31.8, imap;dur=80.1, "
        "imaps-connect;dur=10.0, imaps-tls;dur=30.0, imaps-greeting;dur=10.0, imaps;dur=70.0, "
        "test;dur=84.6");
}

static void test_one_port_that_is_shut(void **state)
{
    (void)state;
    (void)add_port(true, (struct timings){TIME_NONE, TIME_NONE, TIME_NONE, 0.3, 0});
    assert_header(0, 1.25, false, "dns;dur=0.0, imaps;dur=0.3, test;dur=1.3");
    assert_header(0, 1.25, true, "cache;desc=hit, dns;dur=0.0, imaps;dur=0.3, test;dur=1.3");
}

static void test_phases_that_are_not_known(void **state)
{
    (void)state;
    assert_header(1, 2, true, "cache;desc=hit, dns;dur=1.0, test;dur=2.0");
}

static void test_longest(void **state)
{
    (void)state;
    const struct timings longest = {DBL_MAX, DBL_MAX, INFINITY, DBL_MAX, 0};
    (void)add_port(false, longest);
    (void)add_port(true, longest);
    struct port_phases phases = timing_of(&report);
    char text[TIMING_SIZE];
    timing_header(text, DBL_MAX, DBL_MAX, &phases, true);
    assert_in_range(strlen(text), 300, TIMING_SIZE - 1);
    assert_non_null(strstr(text, ", imaps;dur=1000000000000000.0, test;dur=1000000000000000.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ports, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_port_that_is_shut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_phases_that_are_not_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_longest, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

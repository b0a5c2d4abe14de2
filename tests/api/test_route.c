/* Paths and methods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "api/route.h"

#define NONE ROUTE_COUNT

static const struct {
    const char *method, *path;
    enum route route;
    enum problem_code code;
} rows[] = {
    {"GET", "/v1/imap-test", ROUTE_IMAP_TEST, PROBLEM_COUNT},
    {"HEAD", "/v1/imap-test", ROUTE_IMAP_TEST, PROBLEM_COUNT},
    {"GET", "/v1/capabilities", ROUTE_CAPABILITIES, PROBLEM_COUNT},
    {"GET", "/probe", ROUTE_PROBE, PROBLEM_COUNT},
    {"HEAD", "/probe", ROUTE_PROBE, PROBLEM_COUNT},
    {"POST", "/probe", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"GET", "/v1/probe", NONE, PROBLEM_NOT_FOUND},
    {"GET", "/healthz", ROUTE_HEALTHZ, PROBLEM_COUNT},
    {"HEAD", "/readyz", ROUTE_READYZ, PROBLEM_COUNT},
    {"GET", "/metrics", ROUTE_METRICS, PROBLEM_COUNT},
    {"GET", "/openapi.yaml", ROUTE_OPENAPI, PROBLEM_COUNT},
    {"POST", "/v1/imap-test", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"DELETE", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"OPTIONS", "/v1/capabilities", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"get", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"GE", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"GETX", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {", ", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"GET, HEAD", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"\x1b[0m", "/healthz", NONE, PROBLEM_METHOD_NOT_ALLOWED},
    {"GET", "", NONE, PROBLEM_NOT_FOUND},
    {"GET", "/v1/imap-test/", NONE, PROBLEM_NOT_FOUND},
    {"GET", "//v1/imap-test", NONE, PROBLEM_NOT_FOUND},
    {"GET", "/V1/imap-test", NONE, PROBLEM_NOT_FOUND},
    {"GET", "/v1/imap-tes", NONE, PROBLEM_NOT_FOUND},
    {"GET", "/v1/imap-test?host=x", NONE, PROBLEM_NOT_FOUND},
    {"GET", "/v1/../healthz", NONE, PROBLEM_NOT_FOUND},
    {"POST", "/nothing", NONE, PROBLEM_NOT_FOUND},
    {"GET", "*", NONE, PROBLEM_NOT_FOUND},
    {"GET", "/\n\xFF", NONE, PROBLEM_NOT_FOUND},
};

static void test_routes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum route route = NONE;
        struct problem p = {.code = PROBLEM_COUNT};
        bool found = route_find(ROUTES_ALL, rows[i].method, rows[i].path, &route, &p);
        if (found != (rows[i].route != NONE) || route != rows[i].route || p.code != rows[i].code) {
            fail_msg("%s %s: %d, %s", rows[i].method, rows[i].path, (int)route, p.detail);
        }
        if (found) {
            assert_string_equal(route_path(route), rows[i].path);
        }
        if (p.code == PROBLEM_METHOD_NOT_ALLOWED) {
            assert_string_equal(p.allow, "GET, HEAD");
        } else {
            assert_null(p.allow);
        }
        for (const char *c = p.detail; *c != '\0'; c++) {
            assert_false((unsigned char)*c < 0x20);
        }
    }
}

/* A 404 says what there is, all of it. */
static void test_not_found_lists(void **state)
{
    (void)state;
    enum route route;
    struct problem p;
    assert_false(route_find(ROUTES_ALL, "GET", "/v1/imap", &route, &p));
    assert_non_null(strstr(p.detail, "\"/v1/imap\""));
    for (int i = 0; i < ROUTE_COUNT; i++) {
        assert_non_null(strstr(p.detail, route_path((enum route)i)));
    }
}

/* What a port does not serve is unknown there, and not told of. */
static void test_served(void **state)
{
    (void)state;
    const unsigned served = ROUTE_BIT(ROUTE_READYZ) | ROUTE_BIT(ROUTE_METRICS);
    enum route route = NONE;
    struct problem p;
    assert_true(route_find(served, "GET", "/metrics", &route, &p));
    assert_int_equal(route, ROUTE_METRICS);
    assert_false(route_find(served, "GET", "/healthz", &route, &p));
    assert_int_equal(p.code, PROBLEM_NOT_FOUND);
    assert_non_null(strstr(p.detail, "There is: /readyz, /metrics."));
    assert_false(route_find(served, "POST", "/healthz", &route, &p));
    assert_int_equal(p.code, PROBLEM_NOT_FOUND);
    assert_false(route_find(ROUTES_ALL & ~ROUTE_BIT(ROUTE_METRICS), "GET", "/x", &route, &p));
    assert_null(strstr(p.detail, "/metrics"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_not_found_lists),
        cmocka_unit_test(test_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "server/cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define A "https://a.test"
#define B "http://b.test:3000"
#define METHODS "GET, HEAD"
#define HEADERS                                                                                              \
    "Authorization, X-Request-Id, Cache-Control, Content-Type, Pragma, X-Requested-With, traceparent, "      \
    "tracestate"

/* Up to two configured origins, NULL: none. */
static struct config_list list_of(const char *const *origins, char **items)
{
    struct config_list list = {.items = items};
    for (; list.count < 2 && origins[list.count]; list.count++) {
        items[list.count] = (char *)(uintptr_t)origins[list.count];
    }
    return list;
}

static void assert_text(const char *got, const char *want)
{
    if (got && want) {
        assert_string_equal(got, want);
    } else {
        assert_ptr_equal(got, want);
    }
}

static const struct row {
    const char *origins[2];
    const char *origin; /* of the request */
    const char *allowed, *vary;
} rows[] = {
    {{NULL}, NULL, NULL, NULL},
    {{NULL}, A, NULL, NULL},
    {{NULL}, "null", NULL, NULL},
    {{A}, A, A, "Origin"},
    {{A}, NULL, NULL, "Origin"},
    {{A}, B, NULL, "Origin"},
    {{A, B}, A, A, "Origin"},
    {{A, B}, B, B, "Origin"},
    {{A}, "null", NULL, "Origin"},
    {{A}, "", NULL, "Origin"},
    {{A}, "*", NULL, "Origin"},
    {{A}, "http://a.test", NULL, "Origin"},
    {{A}, "https://a.test:443", NULL, "Origin"},
    {{A}, "https://a.test:8443", NULL, "Origin"},
    {{A}, "https://a.test/", NULL, "Origin"},
    {{A}, "https://a.test.", NULL, "Origin"},
    {{A}, "https://a.test.evil.test", NULL, "Origin"},
    {{A}, "https://x.a.test", NULL, "Origin"},
    {{A}, "https://a.tes", NULL, "Origin"},
    {{A}, "HTTPS://A.TEST", NULL, "Origin"},
    {{A}, A " " B, NULL, "Origin"},
    {{"*"}, A, "*", NULL},
    {{"*"}, NULL, "*", NULL},
    {{"*"}, "null", "*", NULL},
    {{A, "*"}, A, "*", NULL},
    {{A, "*"}, B, "*", NULL},
    {{"*", A}, A, "*", NULL},
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *items[2];
        struct config_list list = list_of(rows[i].origins, items);
        struct cors cors = cors_answer(&list, rows[i].origin);
        assert_text(cors.allow_origin, rows[i].allowed);
        assert_text(cors.vary, rows[i].vary);
        assert_text(cors.expose_headers,
                    rows[i].allowed ? "X-Request-Id, Retry-After, Age, Server-Timing" : NULL);
        assert_null(cors.allow_methods);
        assert_null(cors.allow_headers);
        assert_null(cors.max_age);
    }
}

/* The same origins are let in as for answers, and only they learn what is allowed. */
static void test_preflights(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *items[2];
        struct config_list list = list_of(rows[i].origins, items);
        struct cors cors = cors_preflight(&list, rows[i].origin, METHODS);
        assert_text(cors.allow_origin, rows[i].allowed);
        assert_text(cors.vary, rows[i].vary);
        assert_text(cors.allow_methods, rows[i].allowed ? METHODS : NULL);
        assert_text(cors.allow_headers, rows[i].allowed ? HEADERS : NULL);
        assert_text(cors.max_age, rows[i].allowed ? "600" : NULL);
        assert_null(cors.expose_headers);
    }
}

/* The value sent is the operator's, not a copy that ends with the request. */
static void test_lifetime(void **state)
{
    (void)state;
    char *items[2], origin[] = A;
    struct config_list list = list_of((const char *const[]){B, A}, items);
    assert_ptr_equal(cors_answer(&list, origin).allow_origin, items[1]);
}

static void test_what_is_a_preflight(void **state)
{
    (void)state;
    assert_true(cors_is_preflight("OPTIONS", A, "GET"));
    assert_true(cors_is_preflight("OPTIONS", "null", "DELETE"));
    assert_false(cors_is_preflight("OPTIONS", NULL, "GET"));
    assert_false(cors_is_preflight("OPTIONS", A, NULL));
    assert_false(cors_is_preflight("OPTIONS", NULL, NULL));
    assert_false(cors_is_preflight("GET", A, "GET"));
    assert_false(cors_is_preflight("options", A, "GET"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_preflights),
        cmocka_unit_test(test_lifetime),
        cmocka_unit_test(test_what_is_a_preflight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

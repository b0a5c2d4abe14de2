/* What Prometheus reads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/exposition.h"

static struct exposition e;

static int set_up(void **state)
{
    (void)state;
    exposition_init(&e);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    exposition_deinit(&e);
    return 0;
}

static void expect(const char *text)
{
    char *taken = exposition_take(&e);
    assert_non_null(taken);
    assert_string_equal(taken, text);
    free(taken);
}

static void test_family(void **state)
{
    (void)state;
    exposition_family(&e, "tests_total", "counter", "Tests done.");
    exposition_value(&e, 3);
    exposition_family(&e, "build_info", "info", "What runs here.");
    exposition_sample(&e, "", &(struct exposition_label){"version", text_of("1.0")}, 1, 1);
    expect("# HELP tests_total Tests done.\n# TYPE tests_total counter\ntests_total 3\n"
           "# HELP build_info What runs here.\n# TYPE build_info gauge\nbuild_info{version=\"1.0\"} 1\n");
}

static void test_labels(void **state)
{
    (void)state;
    const struct exposition_label labels[] = {{"port", text_of("993")}, {"le", text_of("+Inf")}};
    exposition_family(&e, "x", "histogram", "X.");
    exposition_sample(&e, "_bucket", labels, 2, 7);
    expect("# HELP x X.\n# TYPE x histogram\nx_bucket{port=\"993\",le=\"+Inf\"} 7\n");
}

/* Nothing in a value ends it, or its line. */
static void test_foreign_values(void **state)
{
    (void)state;
    struct exposition_label label = {"subject", {"a\"b\\c\nd\xff\0e", 10}};
    e.family = "x";
    exposition_sample(&e, "", &label, 1, 1);
    label.value = (struct text){NULL, 0};
    exposition_sample(&e, "", &label, 1, 1);
    expect("x{subject=\"a\\\"b\\\\c\\\\x0ad\xef\xbf\xbd\\\\x00e\"} 1\nx{subject=\"\"} 1\n");
}

static void test_numbers(void **state)
{
    (void)state;
    const double values[] = {0,        0.1,       1732579200,        1e-7, 0.1 + 0.2, NAN,
                             INFINITY, -INFINITY, 9007199254740991.0};
    e.family = "x";
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        exposition_value(&e, values[i]);
    }
    expect("x 0\nx 0.1\nx 1.7325792e+09\nx 1e-07\nx 0.30000000000000004\nx NaN\nx +Inf\nx -Inf\n"
           "x 9007199254740991\n");
}

/* Too much is nothing, rather than half of it. */
static void test_bound(void **state)
{
    (void)state;
    char value[400];
    memset(value, 'v', sizeof value);
    const struct exposition_label label = {"l", {value, sizeof value}};
    e.family = "x";
    for (int i = 0; i < 3000; i++) {
        exposition_sample(&e, "", &label, 1, 1);
    }
    assert_null(exposition_take(&e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_family, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

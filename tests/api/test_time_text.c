#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>

#include "api/time_text.h"

static void test_times(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text; /* NULL: none */
    } rows[] = {
        {0, "1970-01-01T00:00:00Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {1795458540, "2026-11-23T18:29:00Z"},
        {951782399, "2000-02-28T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
        {253402300800, NULL},
        {-62167219200, "0000-01-01T00:00:00Z"},
        {-62167219201, NULL},
        {INT64_MAX, NULL},
        {INT64_MIN, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char s[TIME_TEXT_SIZE] = "unchanged";
        assert_true(time_text(rows[i].seconds, s) == (rows[i].text != NULL));
        assert_string_equal(s, rows[i].text != NULL ? rows[i].text : "unchanged");
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        double ms;
        const char *text;
    } rows[] = {
        {0, "0.0"},        {0.04, "0.0"},     {0.05, "0.1"},
        {0.96, "1.0"},     {9.94, "9.9"},     {12.34, "12.3"},
        {182.4, "182.4"},  {31, "31.0"},      {86400000.06, "86400000.1"},
        {-1, "0.0"},       {NAN, "0.0"},      {-INFINITY, "0.0"},
        {MS_TEXT_MAX, "1000000000000000.0"},  {INFINITY, "1000000000000000.0"},
        {DBL_MAX, "1000000000000000.0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char s[MS_TEXT_SIZE];
        assert_int_equal(ms_text(rows[i].ms, s), strlen(rows[i].text));
        assert_string_equal(s, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_times), cmocka_unit_test(test_durations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

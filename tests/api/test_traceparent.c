/* traceparent: the grammar of W3C Trace Context level 1, section 3.2, and what is to be done with what
 * departs from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "api/traceparent.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define IDS TRACE "-" PARENT
#define ZEROS "00000000000000000000000000000000"

static const struct row {
    const char *value;
    bool valid;
} rows[] = {
    {"00-" IDS "-01", true},
    {"00-" IDS "-00", true},
    {"00-" IDS "-ff", true}, /* flags that nobody knows yet */
    {"  00-" IDS "-01\t", true},
    {"00-" ZEROS "-" PARENT "-01", false},
    {"00-" TRACE "-0000000000000000-01", false},
    /* Version 00 is of one length. */
    {"00-" IDS "-01-", false},
    {"00-" IDS "-01-extra", false},
    {"00-" IDS "-011", false},
    {"00-" IDS "-0", false},
    {"00-" IDS "-", false},
    {"00-" IDS, false},
    /* Later ones may be longer, behind a dash. */
    {"01-" IDS "-01", true},
    {"cc-" IDS "-01", true},
    {"fe-" IDS "-01-what-the-future-will-be-like", true},
    {"01-" IDS "-01-", true},
    {"01-" IDS "-01.extra", false},
    {"01-" IDS "-011", false},
    {"01-" IDS "-0", false},
    {"ff-" IDS "-01", false},
    {"ff-" IDS "-01-extra", false},
    /* Lower case only. */
    {"FE-" IDS "-01", false},
    {"0A-" IDS "-01", false},
    {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false},
    {"00-" TRACE "-00F067AA0BA902B7-01", false},
    {"00-" IDS "-0A", false},
    /* Hexadecimal only. */
    {"0g-" IDS "-01", false},
    {"00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01", false},
    {"00-" TRACE "-00f067aa0ba902b:-01", false},
    {"00-" IDS "-0/", false},
    {"00-\n4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01", false},
    /* Dashes where they belong. */
    {"00_" IDS "-01", false},
    {"00-" TRACE "_" PARENT "-01", false},
    {"00-" IDS "_01", false},
    {"0-0" IDS "-01", false},
    {"000-" IDS "-01", false},
    {".0-" IDS "-01", false},
    {"00-" TRACE PARENT "--01", false},
    {"", false},
    {"-", false},
    {"\t", false},
    {"00-" IDS "-01, 00-" IDS "-01", false},
    {"\"00-" IDS "-01\"", false},
};

/* A copy of the exact size, so that reading past its end is seen. */
static void take(struct traceparent *trace, const char *value)
{
    size_t len = strlen(value);
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, value, len);
    traceparent_take(trace, (struct text){copy, len});
    free(copy);
}

static void assert_none(const struct traceparent *trace)
{
    assert_true(trace->seen);
    assert_string_equal(trace->trace_id, "");
    assert_string_equal(trace->parent_id, "");
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct traceparent trace = {.seen = false};
        take(&trace, rows[i].value);
        if (rows[i].valid) {
            assert_string_equal(trace.trace_id, TRACE);
            assert_string_equal(trace.parent_id, PARENT);
        } else {
            assert_none(&trace);
        }
    }
}

static void test_several(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"00-" IDS "-01", "00-" IDS "-01"}, {"00-" IDS "-01", "nonsense"}, {"nonsense", "00-" IDS "-01"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct traceparent trace = {.seen = false};
        take(&trace, pairs[i][0]);
        take(&trace, pairs[i][1]);
        assert_none(&trace);
        take(&trace, "00-" IDS "-01");
        assert_none(&trace);
    }
}

static void test_octets(void **state)
{
    (void)state;
    char value[] = "00-" IDS "-01";
    for (size_t at = 0; at < sizeof value - 1; at++) {
        char right = value[at];
        for (int c = 0; c < 256; c++) {
            struct traceparent trace = {.seen = false};
            value[at] = (char)c;
            traceparent_take(&trace, (struct text){value, sizeof value - 1});
            bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            bool dash = at == 2 || at == 35 || at == 52;
            bool valid = dash ? c == '-' : hex;
            assert_int_equal(trace.trace_id[0] != '\0', valid);
        }
        value[at] = right;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

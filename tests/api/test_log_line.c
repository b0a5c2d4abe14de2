/* Log lines: both forms, and values that would like to be more than a value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/log_line.h"

#define NOW ((time_t)1795458540) /* 2026-11-23T18:29:00Z */

static char *line_of(enum log_format format, const struct log_field *fields, size_t count)
{
    char *line = malloc(LOG_LINE_SIZE);
    assert_non_null(line);
    size_t len = log_line(line, format, NOW, LOG_LEVEL_INFO, "request", fields, count);
    assert_int_equal(strlen(line), len);
    assert_true(len > 0 && len <= LOG_LINE_BYTES);
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    for (size_t i = 0; i + 1 < len; i++) {
        assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7F);
    }
    return line;
}

static void test_forms(void **state)
{
    (void)state;
    const struct log_field fields[] = {log_text("method", "GET"), log_text("path", "/v1/imap-test"),
                                       log_int("status", 200), log_ms("duration_ms", 12.34), log_bool("cached", true)};
    char *line = line_of(LOG_FORMAT_TEXT, fields, 5);
    assert_string_equal(line, "2026-11-23T18:29:00Z info  request method=GET path=/v1/imap-test status=200 "
                              "duration_ms=12.3 cached=true\n");
    free(line);
    line = line_of(LOG_FORMAT_JSON, fields, 5);
    assert_string_equal(line, "{\"time\":\"2026-11-23T18:29:00Z\",\"level\":\"info\",\"event\":\"request\","
                              "\"method\":\"GET\",\"path\":\"/v1/imap-test\",\"status\":200,"
                              "\"duration_ms\":12.3,\"cached\":true}\n");
    free(line);
    line = line_of(LOG_FORMAT_TEXT, NULL, 0);
    assert_string_equal(line, "2026-11-23T18:29:00Z info  request\n");
    free(line);
}

static void test_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        char line[LOG_LINE_SIZE], expected[64];
        (void)log_line(line, LOG_FORMAT_TEXT, 0, (enum log_level)i, "x", NULL, 0);
        snprintf(expected, sizeof expected, "1970-01-01T00:00:00Z %-5s x\n", names[i]);
        assert_string_equal(line, expected);
    }
}

static const struct {
    const char *bytes;
    size_t len;
    const char *text; /* behind v= */
    const char *json; /* the string a reader gets */
} values[] = {
    {"", 0, "\"\"", ""},
    {"two words", 9, "\"two words\"", "two words"},
    {"a\"b", 3, "\"a\\\"b\"", "a\"b"},
    {"a\\b", 3, "\"a\\\\b\"", "a\\b"},
    {"x=1", 3, "\"x=1\"", "x=1"},
    {"a\nlevel=error", 13, "\"a\\\\x0alevel=error\"", "a\\x0alevel=error"},
    {"a\r\n{}", 5, "\"a\\\\x0d\\\\x0a{}\"", "a\\x0d\\x0a{}"},
    {"a\0b", 3, "\"a\\\\x00b\"", "a\\x00b"},
    {"\x1b[31m", 5, "\"\\\\x1b[31m\"", "\\x1b[31m"},
    {"\xC3\xBC", 2, "\"\xC3\xBC\"", "\xC3\xBC"},
    {"\xFF", 1, "\"\xEF\xBF\xBD\"", "\xEF\xBF\xBD"},
    {"\xE2\x80\xA8", 3, "\"\\\\u{2028}\"", "\\u{2028}"},
    {"2001:db8::1", 11, "2001:db8::1", "2001:db8::1"},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const struct log_field fields[] = {
            log_bytes("v", (struct text){.data = values[i].bytes, .len = values[i].len}),
            log_int("last", -1)};
        char *line = line_of(LOG_FORMAT_TEXT, fields, 2);
        char expected[200];
        snprintf(expected, sizeof expected, "2026-11-23T18:29:00Z info  request v=%s last=-1\n",
                 values[i].text);
        assert_string_equal(line, expected);
        free(line);
        line = line_of(LOG_FORMAT_JSON, fields, 2);
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(object);
        assert_string_equal(json_string_value(json_object_get(object, "v")), values[i].json);
        assert_int_equal(json_object_size(object), 5);
        json_decref(object);
        free(line);
    }
}

static void test_absent_and_odd_numbers(void **state)
{
    (void)state;
    const struct log_field fields[] = {log_text("a", NULL), log_ms("b", (double)NAN), log_ms("c", 182.4),
                                       log_ms("d", 86400000.06), log_int("e", INT64_MIN), log_ms("f", -1)};
    char *line = line_of(LOG_FORMAT_TEXT, fields, 6);
    assert_non_null(strstr(line, " request b=0.0 c=182.4 d=86400000.1 e=-9223372036854775808\n"));
    free(line);
    line = line_of(LOG_FORMAT_JSON, fields, 6);
    assert_non_null(strstr(line, "\"a\":null,\"b\":0.0,\"c\":182.4,\"d\":86400000.1,"
                                 "\"e\":-9223372036854775808,\"f\":null}"));
    free(line);
}

/* Long values are cut; of too many fields the last go; the line stays whole. */
static void test_bounds(void **state)
{
    (void)state;
    char longer[5000];
    memset(longer, '"', sizeof longer);
    struct log_field fields[100];
    char keys[100][8];
    for (size_t i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof keys[i], "k%zu", i);
        fields[i] = log_bytes(keys[i], (struct text){.data = longer, .len = sizeof longer});
    }
    for (int format = LOG_FORMAT_JSON; format <= LOG_FORMAT_TEXT; format++) {
        char *line = line_of((enum log_format)format, fields, 1);
        assert_null(strstr(line, "cut"));
        assert_non_null(strstr(line, "\xE2\x80\xA6"));
        free(line);
        line = line_of((enum log_format)format, fields, 100);
        assert_non_null(strstr(line, "k0"));
        assert_null(strstr(line, "k60"));
        assert_non_null(strstr(line, format == LOG_FORMAT_JSON ? ",\"cut\":true}\n" : " cut=true\n"));
        assert_true(strlen(line) > LOG_LINE_BYTES - 400);
        if (format == LOG_FORMAT_JSON) {
            json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(object);
            json_decref(object);
        } else {
            assert_non_null(strstr(line, "\\\"\xE2\x80\xA6\" cut=true\n"));
        }
        free(line);
    }
}

static void test_impossible_time(void **state)
{
    (void)state;
    char line[LOG_LINE_SIZE];
    (void)log_line(line, LOG_FORMAT_TEXT, (time_t)INT64_MAX, LOG_LEVEL_INFO, "x", NULL, 0);
    assert_string_equal(line, "1970-01-01T00:00:00Z info  x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),  cmocka_unit_test(test_levels),
        cmocka_unit_test(test_values), cmocka_unit_test(test_absent_and_odd_numbers),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_impossible_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

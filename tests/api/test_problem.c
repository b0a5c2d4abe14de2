/* Refusals: the table, the words, and the JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/problem.h"

/* Dashboards and scripts are written against these. */
static const struct {
    enum problem_code code;
    const char *name;
    unsigned status;
} contract[] = {
    {PROBLEM_MISSING_HOST, "missing_host", 400},
    {PROBLEM_INVALID_HOST, "invalid_host", 400},
    {PROBLEM_INVALID_PARAMETER, "invalid_parameter", 400},
    {PROBLEM_UNKNOWN_PARAMETER, "unknown_parameter", 400},
    {PROBLEM_REPEATED_PARAMETER, "repeated_parameter", 400},
    {PROBLEM_BAD_REQUEST, "bad_request", 400},
    {PROBLEM_UNAUTHORIZED, "unauthorized", 401},
    {PROBLEM_TARGET_NOT_ALLOWED, "target_not_allowed", 403},
    {PROBLEM_NOT_FOUND, "not_found", 404},
    {PROBLEM_METHOD_NOT_ALLOWED, "method_not_allowed", 405},
    {PROBLEM_BODY_TOO_LARGE, "body_too_large", 413},
    {PROBLEM_URI_TOO_LONG, "uri_too_long", 414},
    {PROBLEM_HEADERS_TOO_LARGE, "headers_too_large", 431},
    {PROBLEM_RATE_LIMITED, "rate_limited", 429},
    {PROBLEM_OVERLOADED, "overloaded", 503},
    {PROBLEM_SHUTTING_DOWN, "shutting_down", 503},
    {PROBLEM_INTERNAL_ERROR, "internal_error", 500},
};

static json_t *load(const struct problem *p, const char *request_id)
{
    char *text = problem_json(p, request_id);
    assert_non_null(text);
    json_error_t error;
    json_t *body = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (body == NULL) {
        fail_msg("%s: %s", error.text, text);
    }
    free(text);
    return body;
}

static void assert_member(const json_t *body, const char *key, const char *value)
{
    const char *is = json_string_value(json_object_get(body, key));
    assert_non_null(is);
    assert_string_equal(is, value);
}

static void test_contract(void **state)
{
    (void)state;
    assert_int_equal(sizeof contract / sizeof contract[0], PROBLEM_COUNT);
    for (size_t i = 0; i < PROBLEM_COUNT; i++) {
        struct problem p;
        problem_set(&p, contract[i].code, "Detail %zu.", i);
        assert_string_equal(problem_name(p.code), contract[i].name);
        assert_int_equal(problem_status(p.code), contract[i].status);
        json_t *body = load(&p, "id-1");
        char expected[100];
        snprintf(expected, sizeof expected, "urn:imap-test:problem:%s", contract[i].name);
        assert_member(body, "type", expected);
        assert_member(body, "code", contract[i].name);
        assert_member(body, "request_id", "id-1");
        snprintf(expected, sizeof expected, "Detail %zu.", i);
        assert_member(body, "detail", expected);
        assert_int_equal(json_integer_value(json_object_get(body, "status")), contract[i].status);
        assert_true(json_string_length(json_object_get(body, "title")) > 3);
        assert_int_equal(json_object_size(body), 6);
        json_decref(body);
    }
}

static void test_optional_members(void **state)
{
    (void)state;
    struct problem p;
    memset(&p, 'x', sizeof p);
    problem_set(&p, PROBLEM_RATE_LIMITED, "Too many.");
    assert_null(p.allow);
    assert_null(p.scope);
    assert_int_equal(p.retry_after_s, 0);
    p.scope = "client";
    json_t *body = load(&p, NULL);
    assert_member(body, "scope", "client");
    assert_true(json_is_null(json_object_get(body, "request_id")));
    json_decref(body);
}

/* Whatever is quoted, and wherever it is cut, JSON comes out and no character acts on a screen. */
static void test_quote(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *shown;
    } rows[] = {
        {"plain", 5, "plain"},
        {"", 0, ""},
        {NULL, 0, ""},
        {"a\0b", 3, "a\\x00b"},
        {"\r\n\x1b[0m", 6, "\\x0d\\x0a\\x1b[0m"},
        {"\xFF\xC3", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x80\xAE", 3, "\\u{202e}"},
        {"\"}", 2, "\"}"},
    };
    char buf[PROBLEM_QUOTE_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(problem_quote(buf, rows[i].bytes, rows[i].len), rows[i].shown);
        struct problem p;
        problem_set(&p, PROBLEM_NOT_FOUND, "It is \"%s\".", buf);
        json_decref(load(&p, "x"));
    }
    char emoji[4096];
    for (size_t i = 0; i < sizeof emoji; i += 4) {
        memcpy(emoji + i, "\xF0\x9F\x93\xA7", 4);
    }
    for (size_t len = 200; len < sizeof emoji; len++) {
        assert_true(strlen(problem_quote(buf, emoji, len)) < PROBLEM_QUOTE_SIZE);
        assert_int_equal(strcmp(buf + strlen(buf) - 3, "\xE2\x80\xA6") == 0, len > 240);
    }
}

/* A detail that is too long ends in an ellipsis, at whichever byte of a character the room ends. */
static void test_cut(void **state)
{
    (void)state;
    char longer[PROBLEM_DETAIL_SIZE * 2];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(longer, 'x', shift);
        size_t len = shift;
        for (; len + 4 < sizeof longer; len += 4) {
            memcpy(longer + len, "\xF0\x9F\x93\xA7", 4);
        }
        longer[len] = '\0';
        struct problem p;
        problem_set(&p, PROBLEM_NOT_FOUND, "%s", longer);
        size_t kept = strlen(p.detail);
        assert_true(kept < PROBLEM_DETAIL_SIZE && kept > PROBLEM_DETAIL_SIZE - 8);
        assert_string_equal(p.detail + kept - 3, "\xE2\x80\xA6");
        json_decref(load(&p, "x"));
    }
    struct problem p;
    memset(longer, 'x', PROBLEM_DETAIL_SIZE - 1);
    longer[PROBLEM_DETAIL_SIZE - 1] = '\0';
    problem_set(&p, PROBLEM_NOT_FOUND, "%s", longer);
    assert_string_equal(p.detail, longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_optional_members),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/http_head.h"

#define REQUEST(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"
#define HEADERS(lines) "GET / HTTP/1.1\r\n" lines "\r\n"
#define BEHIND_HOST(lines) HEADERS("Host: x\r\n" lines)

/* Takes a line out as the HTTP library does: its end becomes NUL, and so does a missing CR. */
static char *take_line(char **at, const char *behind)
{
    char *line = *at;
    char *end = memchr(line, '\n', (size_t)(behind - line));
    assert_non_null(end);
    *end = '\0';
    if (end > line && end[-1] == '\r') {
        end[-1] = '\0';
    }
    *at = end + 1;
    return line;
}

static char *cut(char *s, char c)
{
    char *found = strchr(s, c);
    assert_non_null(found);
    *found = '\0';
    return found + 1;
}

/* Feeds the head in `raw`, in which U+001A stands for a NUL octet, and tells whether it may be answered. */
static bool check(const char *raw, struct problem *problem, char **path, char target_copy[8192])
{
    char bytes[16384];
    struct http_head head = {.fault = NULL};
    size_t size = strlen(raw);
    char *at = bytes;
    assert_true(size < sizeof bytes);
    memcpy(bytes, raw, size + 1);
    char *method = take_line(&at, bytes + size);
    char *target = cut(method, ' ');
    char *version = strrchr(target, ' ');
    assert_non_null(version);
    *version++ = '\0';
    for (char *nul = bytes; (nul = memchr(nul, 0x1A, (size_t)(bytes + size - nul))) != NULL;) {
        *nul = '\0';
    }
    snprintf(target_copy, 8192, "%s", target);
    *path = http_head_target(&head, target_copy);
    http_head_line(&head, method, target, version);
    while (at < bytes + size) {
        char *name = take_line(&at, bytes + size);
        if (*name == '\0') {
            break;
        }
        char *value = cut(name, ':');
        value += strspn(value, " \t");
        http_head_header(&head, text_of(name), text_of(value));
    }
    return http_head_check(&head, (size_t)(at - bytes), problem);
}

static void expect(const char *raw, bool ok, enum problem_code code, const char *word)
{
    char copy[8192], *path;
    struct problem problem = {.code = PROBLEM_COUNT};
    if (check(raw, &problem, &path, copy) != ok) {
        fail_msg("%s: %s", raw, ok ? problem.detail : "taken");
    }
    if (!ok && (problem.code != code || strstr(problem.detail, word) == NULL)) {
        fail_msg("%s: %s", raw, problem.detail);
    }
}

static void test_good_heads(void **state)
{
    static const char *const rows[] = {
        REQUEST("/"),
        REQUEST("/v1/imap-test?host=b\xC3\xBC"
                "cher.test&x={|}"),
        REQUEST("http://a.test/healthz"),
        REQUEST("http://[2001:db8::1]:80/"),
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
        HEADERS("Host:x\r\n"),
        HEADERS("host: \t a.test:8080 \t\r\n"),
        HEADERS("HOST: [::1]\r\n"),
        HEADERS("Host: a%2etest:\r\n"),
        HEADERS("Host: 192.0.2.1:65535\r\n"),
        BEHIND_HOST("X:\r\n"),
        BEHIND_HOST("X: a\tb\x80\xFF\r\n"),
        BEHIND_HOST("!#$%&'*+-.^_`|~09: x\r\n"),
        BEHIND_HOST("Content-Length: 65536\r\n"),
        BEHIND_HOST("Content-Length: 000000000000000000000000005\r\n"),
        BEHIND_HOST("Transfer-Encoding: Chunked\r\n"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect(rows[i], true, PROBLEM_COUNT, "");
    }
}

static void test_bad_heads(void **state)
{
    static const struct {
        const char *raw, *word;
    } rows[] = {
        {REQUEST("/a b"), "space"},
        {REQUEST("/a\x7F"), "control"},
        {REQUEST("/a\t"), "control"},
        {REQUEST("/a#b"), "#"},
        {REQUEST("a.test:443"), "no path"},
        {REQUEST("?host=a"), "no path"},
        {REQUEST("https://a.test/"), "no path"},
        {REQUEST("*"), "OPTIONS"},
        {REQUEST("http://u@a.test/"), "user names"},
        {REQUEST("http:///"), "host"},
        {REQUEST("http://a.test:x/"), "host"},
        {REQUEST("/a\x1A"
                 "b"),
         "NUL"},
        {"G T / HTTP/1.1\r\nHost: x\r\n\r\n", "space"},
        {"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", "method"},
        {"GET\x1A / HTTP/1.1\r\nHost: x\r\n\r\n", "NUL"},
        {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "space"},
        {HEADERS("X: y\r\n"), "no Host"},
        {HEADERS("Host: a\r\nHost: a\r\n"), "several Host"},
        {HEADERS("Host:\r\n"), "Host header is no"},
        {HEADERS("Host: a b\r\n"), "Host header is no"},
        {HEADERS("Host: a@b\r\n"), "Host header is no"},
        {HEADERS("Host: a%2\r\n"), "Host header is no"},
        {HEADERS("Host: a%zz\r\n"), "Host header is no"},
        {HEADERS("Host: a:65536\r\n"), "Host header is no"},
        {HEADERS("Host: a:99999999999999999999\r\n"), "Host header is no"},
        {HEADERS("Host: :80\r\n"), "Host header is no"},
        {HEADERS("Host: ::1\r\n"), "Host header is no"},
        {HEADERS("Host: [::1\r\n"), "Host header is no"},
        {HEADERS("Host: []\r\n"), "Host header is no"},
        {HEADERS("Host: [192.0.2.1]\r\n"), "Host header is no"},
        {HEADERS("Host: [fe80::1%25eth0]\r\n"), "Host header is no"},
        {HEADERS("Host: [::1]80\r\n"), "Host header is no"},
        {HEADERS("Host: b\xC3\xBC\r\n"), "Host header is no"},
        {HEADERS("Host: a\x1A\r\n"), "NUL"},
        {HEADERS("Host: a\n"), "CRLF"},
        {HEADERS("Host : a\r\n"), "token"},
        {BEHIND_HOST(": y\r\n"), "token"},
        {BEHIND_HOST(" X: y\r\n"), "token"},
        {BEHIND_HOST("X\xC3\xA9: y\r\n"), "token"},
        {BEHIND_HOST("X: \x01\r\n"), "control"},
        {BEHIND_HOST("X: a\rb\r\n"), "control"},
        {BEHIND_HOST("X: a\x1AY: b\r\n"), "NUL"},
        {BEHIND_HOST("X: a\x1A b\r\nY: c\r\n"), "NUL"},
        {BEHIND_HOST("Content-Length: -5\r\n"), "decimal"},
        {BEHIND_HOST("Content-Length: 5, 5\r\n"), "decimal"},
        {BEHIND_HOST("Content-Length:\r\n"), "decimal"},
        {BEHIND_HOST("Content-Length: 5\r\nContent-Length: 5\r\n"), "twice"},
        {BEHIND_HOST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "twice"},
        {BEHIND_HOST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "twice"},
        {BEHIND_HOST("Transfer-Encoding: identity\r\n"), "chunked"},
        {BEHIND_HOST("Transfer-Encoding: chunked, chunked\r\n"), "chunked"},
        {BEHIND_HOST("Transfer-Encoding: chunked \r\n"), "chunked"},
        {BEHIND_HOST("Transfer-Encoding:\r\n"), "chunked"},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect(rows[i].raw, false, PROBLEM_BAD_REQUEST, rows[i].word);
    }
}

/* The library puts a folded line behind the name, which lies elsewhere then. */
static void test_folded_lines(void **state)
{
    char bytes[] = "GET\0/\0HTTP/1.1\0\0Ho\0 x\0\0 st\0\0\0\0";
    char name[] = "Host";
    char target[] = "/";
    struct http_head head = {.fault = NULL};
    struct problem problem;
    (void)state;
    http_head_target(&head, target);
    http_head_line(&head, bytes, bytes + 4, bytes + 6);
    http_head_header(&head, text_of(name), text_of(bytes + 20));
    assert_false(http_head_check(&head, sizeof bytes - 1, &problem));
    assert_int_equal(problem.code, PROBLEM_BAD_REQUEST);
    assert_non_null(strstr(problem.detail, "folded"));
}

static void test_paths(void **state)
{
    static const struct {
        const char *raw, *path;
    } rows[] = {
        {REQUEST("/a?b=/c"), "/a?b=/c"},    {REQUEST("http://a.test/b?c"), "/b?c"},
        {REQUEST("HTTP://a.test:80"), "/"}, {REQUEST("http://a.test?/healthz"), "/?/healthz"},
        {REQUEST("http://a"), "/"},         {REQUEST("//a.test/b"), "//a.test/b"},
    };
    char copy[8192], *path;
    struct problem problem;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(check(rows[i].raw, &problem, &path, copy));
        assert_string_equal(path, rows[i].path);
    }
}

/* Both sides of each bound (limits.h). */
static void test_sizes(void **state)
{
    char raw[16384];
    (void)state;
    for (int more = 0; more < 2; more++) {
        int line = 4096 - (int)strlen("GET / HTTP/1.1\r\n") + more;
        snprintf(raw, sizeof raw, "GET /%0*d HTTP/1.1\r\nHost: x\r\n\r\n", line, 0);
        expect(raw, more == 0, PROBLEM_URI_TOO_LONG, "4096");
        int headers = 8192 - (int)strlen("Host: x\r\nX: \r\n") + more;
        snprintf(raw, sizeof raw, "GET / HTTP/1.1\r\nHost: x\r\nX: %0*d\r\n\r\n", headers, 0);
        expect(raw, more == 0, PROBLEM_HEADERS_TOO_LARGE, "8192");
        snprintf(raw, sizeof raw, BEHIND_HOST("Content-Length: %d\r\n"), 65536 + more);
        expect(raw, more == 0, PROBLEM_BODY_TOO_LARGE, "65536");
    }
    expect(BEHIND_HOST("Content-Length: 18446744073709551621\r\n"), false, PROBLEM_BODY_TOO_LARGE, "65536");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_heads),   cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_folded_lines), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

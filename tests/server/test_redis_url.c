/* Where the store is: what is taken, what is refused, and that no refusal repeats a password. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/redis_url.h"

static const struct {
    const char *text, *host, *path, *user, *password;
    unsigned port, database;
} good[] = {
    {"redis://localhost", "localhost", "", "", NULL, 6379, 0},
    {"redis://localhost/", "localhost", "", "", NULL, 6379, 0},
    {"redis://Cache-1.example.com:6380/15", "Cache-1.example.com", "", "", NULL, 6380, 15},
    {"redis://192.0.2.1:1/65535", "192.0.2.1", "", "", NULL, 1, 65535},
    {"redis://[2001:db8::1]", "2001:db8::1", "", "", NULL, 6379, 0},
    {"redis://[::1]:65535/2", "::1", "", "", NULL, 65535, 2},
    {"redis://:secret@h", "h", "", "", "secret", 6379, 0},
    {"redis://me:secret@h:7/1", "h", "", "me", "secret", 7, 1},
    {"redis://me:@h", "h", "", "me", "", 6379, 0},
    {"redis://m%65:%70%2f%2F%3f%23%25@h", "h", "", "me", "p//?#%", 6379, 0},
    {"redis://:a@b:c@h", "h", "", "", "a@b:c", 6379, 0},
    {"unix:///run/redis.sock", "", "/run/redis.sock", "", NULL, 0, 0},
    {"unix:///run/a%20b?db=3", "", "/run/a b", "", NULL, 0, 3},
    {"unix://me:secret@/run/x@y", "", "/run/x@y", "me", "secret", 0, 0},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct redis_url url;
        char why[512] = "";
        if (!redis_url_parse(&url, good[i].text, why, sizeof why)) {
            fail_msg("%s %s", good[i].text, why);
        }
        assert_string_equal(url.host, good[i].host);
        assert_string_equal(url.path, good[i].path);
        assert_string_equal(url.user, good[i].user);
        assert_int_equal(url.has_password, good[i].password != NULL);
        assert_string_equal(url.password, good[i].password ? good[i].password : "");
        assert_int_equal(url.port, good[i].port);
        assert_int_equal(url.database, good[i].database);
    }
}

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "is neither redis://"},
    {"localhost:6379", "is neither redis://"},
    {"Redis://localhost", "is neither redis://"},
    {"rediss://:SECRET@h", "asks for TLS"},
    {"http://h", "is neither redis://"},
    {"redis://", "has no host"},
    {"redis:///1", "has no host"},
    {"redis://:6379", "has no host"},
    {"redis://:SECRET@", "has no host"},
    {"redis://SECRET@h", "has no colon before the @"},
    {"redis://u:SECRET%@h", "%25"},
    {"redis://u:SECRET%4@h", "%25"},
    {"redis://u:SECRET%zz@h", "%25"},
    {"redis://u:SECRET%00@h", "%25"},
    {"redis://h:0", "port"},
    {"redis://h:65536", "port"},
    {"redis://h:", "port"},
    {"redis://h:99999999999999999999", "port"},
    {"redis://h:6379x", "port"},
    {"redis://::1", "has no host"},
    {"redis://[::1", "a host that is neither"},
    {"redis://[::1]x", "a host that is neither"},
    {"redis://[127.0.0.1]", "a host that is neither"},
    {"redis://[]", "has no host"},
    {"redis://h h", "a host that is neither"},
    {"redis://h\n", "a host that is neither"},
    {"redis://h/x", "database"},
    {"redis://h/-1", "database"},
    {"redis://h/1/", "database"},
    {"redis://h/65536", "database"},
    {"redis://h?db=1", "a ? or #"},
    {"redis://:SEC?RET@h", "a ? or #"},
    {"redis://:SEC/RET@h", "%2F"},
    {"redis://u:1/RET@h", "%2F"},
    {"unix://", "no path"},
    {"unix:///", "no path"},
    {"unix://run/x", "no path"},
    {"unix:///x?db=", "behind the ?"},
    {"unix:///x?db=x", "behind the ?"},
    {"unix:///x?password=SECRET", "behind the ?"},
    {"unix:///%", "a bad %"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct redis_url url;
        char why[512] = "";
        if (redis_url_parse(&url, bad[i].text, why, sizeof why) || !strstr(why, bad[i].why)) {
            fail_msg("%s: \"%s\" instead of \"%s\"", bad[i].text, why, bad[i].why);
        }
        assert_null(strstr(why, "SEC"));
        assert_null(strchr(why, '\n'));
    }
}

/* `size` octets between a beginning and an end. */
static bool parse_long(const char *begin, size_t size, const char *end)
{
    char text[2048], why[512];
    struct redis_url url;
    size_t len = strlen(begin);
    strcpy(text, begin);
    memset(text + len, 'x', size);
    strcpy(text + len + size, end);
    return redis_url_parse(&url, text, why, sizeof why);
}

static void test_lengths(void **state)
{
    (void)state;
    assert_true(parse_long("redis://", 253, ""));
    assert_false(parse_long("redis://", 254, ""));
    assert_true(parse_long("redis://:", 512, "@h"));
    assert_false(parse_long("redis://:", 513, "@h"));
    assert_true(parse_long("redis://", 512, ":p@h"));
    assert_false(parse_long("redis://", 513, ":p@h"));
    assert_true(parse_long("unix:///", 106, ""));
    assert_false(parse_long("unix:///", 107, ""));
}

static void test_hide(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"redis://u:secret@h:1/2", "redis://********@h:1/2"},
        {"--shared-cache=redis://:a@b@h", "--shared-cache=redis://****@h"},
        {"rediss://u:p/q@h", "rediss://*****@h"},
        {"redis://h", "redis://h"},
        {"a@b", "a@b"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        strcpy(text, rows[i][0]);
        redis_url_hide(text);
        assert_string_equal(text, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_hide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/keys.h"

static struct keys *load(const char *content, char *why, size_t why_size)
{
    char path[] = "/tmp/imap-test-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    struct keys *keys = keys_load(path, why, why_size);
    unlink(path);
    return keys;
}

static void test_accept(void **state)
{
    static const struct {
        const char *header;
        bool accepted;
    } rows[] = {
        {"Bearer first-key", true},   {"bearer first-key", true},   {"Bearer  second", true},
        {"Bearer first-ke", false},   {"Bearer first-keyy", false}, {"Bearer", false},
        {"Bearer ", false},           {"first-key", false},         {"Basic first-key", false},
        {"Bearer # no key", false},   {"Bearer First-key", false},  {"", false},
        {"Bearer first-key ", false}, {"Bearer tabs", true},        {NULL, false},
    };
    char why[256] = "";
    (void)state;
    struct keys *keys = load("# no key\n\nfirst-key\r\nsecond  \n\ttabs\n", why, sizeof why);
    assert_non_null(keys);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (keys_accept(keys, rows[i].header) != rows[i].accepted) {
            fail_msg("%s", rows[i].header);
        }
    }
    keys_free(&keys);
    assert_null(keys);
}

static void test_bad_files(void **state)
{
    char why[256] = "";
    (void)state;
    assert_null(load("# nothing here\n\n", why, sizeof why));
    assert_non_null(strstr(why, "holds no key"));
    assert_null(keys_load("/nonexistent/keys", why, sizeof why));
    assert_non_null(strstr(why, "cannot be read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accept), cmocka_unit_test(test_bad_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

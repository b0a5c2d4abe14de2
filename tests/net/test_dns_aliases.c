#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <ares.h>
#include <cmocka.h>

#include "probe/net/dns_aliases.h"

#define HEADER(answers) "\x12\x34\x81\x80\x00\x01\x00" answers "\x00\x00\x00\x00"
#define QUESTION                                                                                             \
    "\x01"                                                                                                   \
    "a\x04"                                                                                                  \
    "test\x00\x00\x01\x00\x01"
/* a.test at 12, "test" at 14 */
#define CNAME(owner, size, target) owner "\x00\x05\x00\x01\x00\x00\x00\x3c\x00" size target
#define A(owner) owner "\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
#define B_TEST                                                                                               \
    "\x01"                                                                                                   \
    "b\xc0\x0e"

struct row {
    const char *what;
    const char *bytes;
    size_t len;
    bool ok;
    size_t count;
    const char *name;
};

#define R(what, bytes, ok, count, name)                                                                      \
    {                                                                                                        \
        what, bytes, sizeof(bytes) - 1, ok, count, name                                                      \
    }

static const struct row rows[] = {
    R("no alias", HEADER("\x01") QUESTION A("\xc0\x0c"), true, 0, "a.test"),
    R("nothing", HEADER("\x00") QUESTION, true, 0, ""),
    R("one alias", HEADER("\x02") QUESTION CNAME("\xc0\x0c", "\x04", B_TEST) A(B_TEST), true, 1, "b.test"),
    R("an alias of nothing", HEADER("\x01") QUESTION CNAME("\xc0\x0c", "\x04", B_TEST), true, 1, "b.test"),
    R("an alias of itself, twice",
      HEADER("\x02") QUESTION CNAME("\xc0\x0c", "\x02", "\xc0\x0c") CNAME("\xc0\x0c", "\x02", "\xc0\x0c"),
      true, 2, "a.test"),
    R("a record of another type before",
      HEADER("\x02") QUESTION "\xc0\x0c\x00\x2e\x00\x01\x00\x00\x00\x3c\x00\x03xyz" A("\xc0\x0c"), true, 0,
      "a.test"),
    R("a pointer to itself", HEADER("\x01") QUESTION A("\xc0\x18"), false, 0, NULL),
    R("a pointer beyond the end", HEADER("\x01") QUESTION A("\xc1\x00"), false, 0, NULL),
    R("a record longer than the message", HEADER("\x01") QUESTION CNAME("\xc0\x0c", "\xff", B_TEST), false, 0,
      NULL),
    R("an alias of what cannot be read", HEADER("\x01") QUESTION CNAME("\xc0\x0c", "\x02", "\xc1\xff"), false,
      0, NULL),
    R("fewer records than announced", HEADER("\x02") QUESTION CNAME("\xc0\x0c", "\x04", B_TEST), false, 0,
      NULL),
    R("a header cut short", "\x12\x34\x81\x80\x00\x01\x00", false, 0, NULL),
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct dns_aliases out;
        /* on the heap, so that a byte too far is seen */
        unsigned char *copy = malloc(row->len);
        assert_non_null(copy);
        memcpy(copy, row->bytes, row->len);
        bool ok = dns_aliases_read(&out, copy, row->len);
        free(copy);
        if (ok != row->ok ||
            (ok && (out.count != row->count || strcmp(out.canonical_name, row->name) != 0))) {
            fail_msg("%s: %d, %zu, %s", row->what, ok, out.count, out.canonical_name);
        }
    }
}

/* Cut anywhere, an answer with records is malformed, and nothing is read behind the cut. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    const struct row *row = &rows[2];
    for (size_t len = 0; len < row->len - 14; len++) {
        struct dns_aliases out;
        unsigned char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, row->bytes, len);
        unsigned char *exact = realloc(copy, len > 0 ? len : 1);
        assert_false(dns_aliases_read(&out, exact, len));
        free(exact);
    }
}

static void *no_malloc(size_t size)
{
    (void)size;
    return NULL;
}

static void *no_realloc(void *old, size_t size)
{
    (void)old;
    (void)size;
    return NULL;
}

/* Want of memory is not the message's fault. */
static void test_no_memory(void **state)
{
    (void)state;
    const struct row *row = &rows[2];
    struct dns_aliases out;
    assert_int_equal(ares_library_init_mem(ARES_LIB_INIT_ALL, no_malloc, free, no_realloc), ARES_SUCCESS);
    bool ok = dns_aliases_read(&out, (const unsigned char *)row->bytes, row->len);
    ares_library_cleanup();
    assert_int_equal(ares_library_init_mem(ARES_LIB_INIT_ALL, malloc, free, realloc), ARES_SUCCESS);
    ares_library_cleanup();
    assert_false(ok);
    assert_true(out.no_memory);
    assert_true(dns_aliases_read(&out, (const unsigned char *)row->bytes, row->len));
    assert_false(out.no_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_cut_anywhere),
                                       cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

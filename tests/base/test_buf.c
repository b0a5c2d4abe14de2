#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "probe/base/buf.h"

static void test_append(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_append(&b, "", 0), BUF_OK);
    assert_null(b.memory); /* nothing held, nothing allocated */
    assert_int_equal(buf_append(&b, "a\0b", 3), BUF_OK);
    assert_int_equal(buf_append(&b, "12345678", 8), BUF_FULL); /* one too many: none at all */
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "a\0b", 3);
    assert_int_equal(buf_append(&b, "1234567", 7), BUF_OK);
    assert_int_equal(b.len, 10);
    assert_memory_equal(b.data, "a\0b1234567", 10);
    assert_true(b.room <= 10);
    assert_int_equal(buf_append(&b, "x", 1), BUF_FULL);
    assert_int_equal(buf_append(&b, "x", SIZE_MAX), BUF_FULL);
    assert_int_equal(buf_append(&b, "", 0), BUF_OK);
    buf_consume(&b, 4);
    assert_memory_equal(b.data, "234567", 6);
    assert_int_equal(buf_append(&b, "abcd", 4), BUF_OK);
    assert_memory_equal(b.data, "234567abcd", 10);
    buf_consume(&b, 10);
    assert_int_equal(b.len, 0);
    assert_null(b.memory);
    assert_int_equal(b.room, 0);
    assert_int_equal(b.max, 10); /* and it can be used again */
    assert_int_equal(buf_append(&b, "again", 5), BUF_OK);
    assert_memory_equal(b.data, "again", 5);
    buf_deinit(&b);
    assert_null(b.data);
    buf_deinit(&b);
}

static void test_zero_max(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_append(&b, "x", 1), BUF_FULL);
    assert_int_equal(buf_append(&b, "x", 0), BUF_OK);
    buf_consume(&b, 0);
    buf_deinit(&b);
}

static void test_printf(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 12);
    assert_int_equal(buf_printf(&b, "%s CAP", "a1"), BUF_OK);
    assert_int_equal(b.len, 6); /* no NUL */
    assert_int_equal(buf_printf(&b, "%s", "1234567"), BUF_FULL);
    assert_int_equal(b.len, 6);
    assert_int_equal(buf_printf(&b, "%d\r\n", 1234), BUF_OK);
    assert_memory_equal(b.data, "a1 CAP1234\r\n", 12);
    buf_deinit(&b);
}

/* Whatever the order of appends and consumes, the bytes are those of a queue, and memory stays below max. */
static void test_queue(void **state)
{
    (void)state;
    static const size_t maxima[] = {1, 7, 300, 5000, 100000};
    for (size_t m = 0; m < sizeof maxima / sizeof maxima[0]; m++) {
        struct buf b;
        buf_init(&b, maxima[m]);
        uint32_t random = 12345;
        unsigned char in = 0, out = 0, chunk[1024];
        for (int step = 0; step < 3000; step++) {
            random = random * 1664525u + 1013904223u;
            size_t n = (random >> 8) % sizeof chunk;
            if ((random >> 30) != 0) {
                for (size_t i = 0; i < n; i++) {
                    chunk[i] = (unsigned char)(in + i);
                }
                bool fits = b.len + n <= b.max;
                assert_int_equal(buf_append(&b, chunk, n), fits ? BUF_OK : BUF_FULL);
                in = (unsigned char)(in + (fits ? n : 0));
            } else {
                n = n < b.len ? n : b.len;
                for (size_t i = 0; i < n; i++) {
                    assert_int_equal(b.data[i], (unsigned char)(out + i));
                }
                buf_consume(&b, n);
                out = (unsigned char)(out + n);
            }
            assert_int_equal((unsigned char)(in - out), (unsigned char)b.len);
            assert_true(b.room <= b.max);
            assert_true(b.len <= b.room);
        }
        buf_deinit(&b);
    }
}

/* A megabyte taken away byte by byte; moving the rest each time would take minutes. */
static void test_many_small_consumes(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    unsigned char *source = malloc(SIZE);
    assert_non_null(source);
    for (size_t i = 0; i < SIZE; i++) {
        source[i] = (unsigned char)(i % 251);
    }
    struct buf b;
    buf_init(&b, SIZE);
    clock_t start = clock();
    for (size_t i = 0; i < SIZE; i++) {
        assert_int_equal(buf_append(&b, source + i, 1), BUF_OK);
    }
    for (size_t i = 0; i < SIZE; i++) {
        if (*b.data != i % 251) {
            fail();
        }
        buf_consume(&b, 1);
    }
    assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
    assert_int_equal(b.len, 0);
    buf_deinit(&b);
    free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_zero_max),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_many_small_consumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

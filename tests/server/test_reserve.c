#include "server/reserve.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/limits.h"

#define MOST_BLOCKS 4096

/* Takes blocks of this size until none is left; returns how many, all of them whole. */
static size_t exhaust(size_t size, unsigned char **blocks)
{
    size_t count = 0;
    while (count < MOST_BLOCKS && (blocks[count] = reserve_take(size)) != NULL) {
        assert_int_equal((uintptr_t)blocks[count] % _Alignof(max_align_t), 0);
        memset(blocks[count], (int)(count & 0xff), size);
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < size; k++) {
            assert_int_equal(blocks[i][k], i & 0xff);
        }
    }
    return count;
}

/* Whatever the order in which blocks come back, all of the reserve can be had again. */
static void test_blocks_come_back(void **state)
{
    (void)state;
    static unsigned char *blocks[MOST_BLOCKS];
    size_t first = exhaust(1000, blocks);
    assert_in_range(first, LIMIT_RESERVE_BYTES / 1024 - 1, LIMIT_RESERVE_BYTES / 1000);
    for (size_t i = 0; i < first; i += 2) {
        reserve_give(blocks[i]);
    }
    for (size_t i = 1; i < first; i += 2) {
        reserve_give(blocks[i]);
    }
    void *whole = reserve_take(LIMIT_RESERVE_BYTES - 64);
    assert_non_null(whole);
    assert_null(reserve_take(64));
    reserve_give(whole);
    size_t again = exhaust(333, blocks);
    assert_true(again > first);
    while (again > 0) {
        reserve_give(blocks[--again]);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    assert_null(reserve_take(SIZE_MAX));
    assert_null(reserve_take(LIMIT_RESERVE_BYTES));
    void *p = reserve_take(0), *q = reserve_take(0);
    assert_non_null(p);
    assert_non_null(q);
    assert_ptr_not_equal(p, q);
    reserve_give(p);
    reserve_give(q);
    int elsewhere;
    assert_false(reserve_owns(&elsewhere));
    assert_false(reserve_owns(NULL));
}

static void *take_and_give(void *arg)
{
    unsigned char mine = (unsigned char)(uintptr_t)arg;
    unsigned char *kept[8] = {NULL};
    bool whole = true;
    for (unsigned i = 0; i < 20000; i++) {
        unsigned char **at = &kept[i % 8];
        size_t size = 16 + i % 900;
        if (*at) {
            whole &= (*at)[0] == mine && (*at)[reserve_size(*at) - 1] == mine;
            reserve_give(*at);
        }
        *at = reserve_take(size);
        if (*at) {
            memset(*at, mine, reserve_size(*at));
        }
    }
    for (size_t i = 0; i < 8; i++) {
        if (kept[i]) {
            reserve_give(kept[i]);
        }
    }
    return whole ? NULL : arg;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *bad = NULL;
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_come_back),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/arena.h"

static bool all_zero(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Allocations of many sizes are zeroed, aligned, and none writes into another. */
static void test_alloc(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 0, 15, 16, 17, 500, 3, 1000, 64, 100000, 7, 2048, 70000, 5, 0, 900};
    enum { COUNT = sizeof sizes / sizeof sizes[0], ROUNDS = 20 };
    unsigned char *blocks[COUNT * ROUNDS];
    struct arena a;
    arena_init(&a, 64u << 20);
    for (size_t i = 0; i < COUNT * ROUNDS; i++) {
        size_t size = sizes[i % COUNT];
        blocks[i] = arena_alloc(&a, size);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        assert_true(all_zero(blocks[i], size));
        memset(blocks[i], (int)(i % 255) + 1, size);
        (void)arena_text(&a, "odd", 3); /* leaves the next place unaligned */
    }
    for (size_t i = 0; i < COUNT * ROUNDS; i++) {
        for (size_t j = 0; j < sizes[i % COUNT]; j++) {
            assert_int_equal(blocks[i][j], (int)(i % 255) + 1);
        }
    }
    assert_false(a.failed);
    arena_deinit(&a);
    assert_null(a.blocks);
    assert_int_equal(a.used, 0);
}

static void test_small_report_is_cheap(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 16u << 20);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 100));
    assert_true(a.used <= 1024);
    for (int i = 0; i < 100; i++) {
        assert_non_null(arena_alloc(&a, 1000));
    }
    assert_true(a.used < 2 * 100 * 1000 + 4096); /* waste is bounded */
    assert_true(a.next > 16 * 1024);             /* and many small ones share a block */
    size_t before = a.used;
    assert_non_null(arena_alloc(&a, 1u << 20));
    assert_true(a.used - before < (1u << 20) + 256); /* a large request takes what it needs */
    arena_deinit(&a);
}

/* A large request leaves the block being filled where it is. */
static void test_large_keeps_filling(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 16u << 20);
    assert_non_null(arena_alloc(&a, 16));
    size_t before = a.used;
    assert_non_null(arena_alloc(&a, 5000));
    size_t large = a.used - before;
    assert_non_null(arena_alloc(&a, 16));
    assert_int_equal(a.used - before, large);
    arena_deinit(&a);
}

static void test_cap(void **state)
{
    (void)state;
    static const size_t caps[] = {0, 1, 31, 100, 1024, 5000, 100000, 1000000};
    static const size_t sizes[] = {1, 10, 100, 1000, 60000};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            struct arena a;
            arena_init(&a, caps[i]);
            size_t got = 0;
            while (arena_alloc(&a, sizes[j]) != NULL) {
                got += sizes[j];
                assert_true(a.used <= caps[i]);
                assert_true(got <= caps[i]);
                assert_false(a.failed);
            }
            assert_true(a.failed);
            assert_true(a.used <= caps[i]);
            if (caps[i] >= 100000 && sizes[j] >= 100) { /* and the cap is nearly made use of */
                assert_true(got + 60000 + caps[i] / 3 > caps[i]);
            }
            arena_deinit(&a);
            assert_false(a.failed);
        }
    }
    struct arena a;
    arena_init(&a, 1000);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 8));
    assert_true(a.failed);
    assert_non_null(arena_alloc(&a, 8)); /* a refusal does not spoil what follows */
    arena_deinit(&a);
}

static void test_grow(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1u << 20);
    uint32_t *array = NULL;
    size_t room = 0, copies = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t *grown = arena_grow(&a, array, sizeof *array, i, i + 1, &room);
        assert_non_null(grown);
        assert_true(room > i);
        copies += grown != array;
        array = grown;
        array[i] = i * 7;
    }
    assert_true(copies <= 15); /* doubling */
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(array[i], i * 7);
    }
    uint32_t *wide = arena_grow(&a, array, sizeof *array, 3, 50000, &room);
    assert_ptr_not_equal(wide, array);
    assert_true(room >= 50000);
    assert_int_equal(wide[2], 14);
    assert_int_equal(wide[3], 0); /* only what is used is copied */
    size_t kept = room;
    assert_null(arena_grow(&a, wide, sizeof *wide, 3, SIZE_MAX / 2, &room));
    assert_true(a.failed);
    assert_int_equal(room, kept);
    arena_deinit(&a);
}

static void test_text_and_printf(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1u << 20);
    char source[] = "a\0b";
    struct text t = arena_text(&a, source, 3);
    source[0] = 'x';
    assert_int_equal(t.len, 3);
    struct text next = arena_text(&a, "next", 4);
    assert_memory_equal(t.data, "a\0b\0", 4);
    assert_string_equal(next.data, "next");
    struct text empty = arena_text(&a, "", 0);
    assert_non_null(empty.data);
    assert_int_equal(empty.len, 0);
    struct text absent = arena_text(&a, NULL, 0);
    assert_null(absent.data);
    assert_int_equal(absent.len, 0);
    assert_string_equal(arena_printf(&a, "%s %d", "port", 993), "port 993");
    assert_string_equal(arena_printf(&a, "%s", ""), "");
    char *wide = arena_printf(&a, "%05000d", 1);
    assert_int_equal(strlen(wide), 5000);
    assert_false(a.failed);
    arena_deinit(&a);

    arena_init(&a, 200);
    assert_null(arena_text(&a, source, SIZE_MAX).data);
    assert_true(a.failed);
    arena_deinit(&a);
    assert_null(arena_printf(&a, "%0300d", 1));
    assert_true(a.failed);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_small_report_is_cheap),
        cmocka_unit_test(test_large_keeps_filling),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_text_and_printf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

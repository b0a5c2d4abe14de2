#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/piece_cache.h"
#include "probe/base/limits.h"

static struct piece_cache *c;
static struct piece found;

static int set_up(void **state)
{
    (void)state;
    c = piece_cache_create((size_t)1024 * 1024);
    return c == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    piece_cache_free(&c);
    return c != NULL;
}

static void number_key(int64_t number)
{
    piece_cache_key(c, 1);
    piece_cache_number(c, number);
}

static void keep(const char *text, bool cut)
{
    assert_false(piece_cache_find(c, &found));
    piece_cache_keep(c, &(struct piece){text, strlen(text), cut});
}

static void assert_found(const char *text, bool cut)
{
    assert_true(piece_cache_find(c, &found));
    assert_int_equal(found.len, strlen(text));
    assert_memory_equal(found.text, text, found.len);
    assert_int_equal(found.cut, cut);
}

static void test_found_again(void **state)
{
    (void)state;
    number_key(1);
    keep("one", false);
    number_key(2);
    keep("two", true);
    number_key(1);
    assert_found("one", false);
    number_key(2);
    assert_found("two", true);
    number_key(3);
    assert_false(piece_cache_find(c, &found));
    assert_int_equal(piece_cache_count(c), 2);
}

/* Facts that are made of the same bytes. */
static void test_keys_differ(void **state)
{
    (void)state;
    static const struct {
        unsigned kind;
        const char *first, *second;
    } keys[] = {
        {1, "ab", "c"}, {1, "a", "bc"}, {1, "abc", ""}, {1, "abc", NULL}, {1, "", "abc"}, {1, NULL, "abc"},
        {2, "ab", "c"}, {1, "", NULL},  {1, NULL, ""},  {1, NULL, NULL},  {1, "", ""},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        piece_cache_key(c, keys[i].kind);
        piece_cache_own(c, keys[i].first);
        piece_cache_own(c, keys[i].second);
        if (piece_cache_find(c, &found)) {
            fail_msg("key %zu is not its own", i);
        }
        piece_cache_keep(c, &(struct piece){"", 0, false});
    }
    assert_int_equal(piece_cache_count(c), sizeof keys / sizeof keys[0]);
}

static char large[LIMIT_PIECE_BYTES + 1];

static void test_too_large(void **state)
{
    (void)state;
    memset(large, 'x', sizeof large);
    for (size_t more = 0; more < 2; more++) {
        piece_cache_key(c, 1);
        piece_cache_bytes(c, large, sizeof large - 1 - sizeof(unsigned) - sizeof(size_t) + more);
        assert_false(piece_cache_find(c, &found));
        piece_cache_keep(c, &(struct piece){"a", 1, false});
        assert_true(piece_cache_find(c, &found) == (more == 0));
        number_key((int64_t)more);
        assert_false(piece_cache_find(c, &found));
        piece_cache_keep(c, &(struct piece){large, sizeof large - 1 + more, false});
        assert_true(piece_cache_find(c, &found) == (more == 0));
    }
    assert_int_equal(piece_cache_count(c), 2);
    /* A key that has no room is not taken for the part of it that has. */
    number_key(7);
    piece_cache_number(c, sizeof large);
    keep("seven", false);
    number_key(7);
    piece_cache_bytes(c, large, sizeof large);
    assert_false(piece_cache_find(c, &found));
    number_key(7);
    piece_cache_number(c, sizeof large);
    assert_found("seven", false);
}

/* Two keys of one hash, as somebody might make them: what the second word differs by undoes the first. */
static uint64_t after_first_word(uint32_t fact)
{
    unsigned char bytes[8];
    unsigned kind = 1;
    uint64_t word;
    memcpy(bytes, &kind, 4);
    memcpy(bytes + 4, &fact, 4);
    memcpy(&word, bytes, 8);
    uint64_t hash = ((4 + 8 + 8) ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

static void colliding_key(uint32_t fact)
{
    unsigned char bytes[16] = {0};
    uint64_t word = after_first_word(fact);
    int64_t numbers[2];
    memcpy(bytes, &fact, 4);
    memcpy(bytes + 4, &word, 8);
    memcpy(numbers, bytes, 16);
    number_key(numbers[0]);
    piece_cache_number(c, numbers[1]);
}

static void test_same_hash(void **state)
{
    (void)state;
    colliding_key(1);
    keep("one", false);
    colliding_key(2);
    keep("two", false);
    colliding_key(1);
    assert_found("one", false);
    for (uint32_t i = 3; i < 20; i++) {
        colliding_key(i);
        keep("more", false);
    }
    assert_in_range(piece_cache_count(c), 4, 4); /* so that a search stays short */
}

/* However many there are, it stays within its bounds, and what is used all the time stays. */
static void test_many(void **state)
{
    (void)state;
    number_key(-1);
    keep("used", false);
    for (int64_t i = 0; i < 20000; i++) {
        number_key(i);
        keep("x", false);
        number_key(-1);
        assert_found("used", false);
    }
    assert_in_range(piece_cache_count(c), 900, 1024);
    number_key(19999);
    assert_found("x", false);
}

static void test_bound_of_bytes(void **state)
{
    (void)state;
    memset(large, 'x', sizeof large);
    piece_cache_free(&c);
    c = piece_cache_create(sizeof large * 4);
    for (int64_t i = 0; i < 100; i++) {
        number_key(i);
        assert_false(piece_cache_find(c, &found));
        piece_cache_keep(c, &(struct piece){large, LIMIT_PIECE_BYTES, false});
        assert_true(piece_cache_find(c, &found));
        assert_in_range(piece_cache_count(c), 1, 3);
    }
    piece_cache_free(&c);
    c = piece_cache_create(8);
    number_key(1);
    keep("too much", false);
    assert_int_equal(piece_cache_count(c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_hash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bound_of_bytes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

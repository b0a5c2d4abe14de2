#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/cache.h"

#define SECOND UINT64_C(1000000000)

static void put(struct cache *c, const char *key, const char *text, uint64_t now)
{
    struct cached result = {.body = shared_create(text, strlen(text)), .verdict = VERDICT_WARNINGS};
    assert_non_null(result.body);
    cache_put(c, key, &result, now);
    shared_release(result.body);
}

/* NULL: nothing is kept under the key. */
static const char *get(struct cache *c, const char *key, uint64_t now, uint64_t *age)
{
    static char text[64];
    struct cached result;
    if (!cache_get(c, key, now, &result, age)) {
        return NULL;
    }
    assert_int_equal(result.verdict, VERDICT_WARNINGS);
    snprintf(text, sizeof text, "%s", shared_text(result.body));
    shared_release(result.body);
    return text;
}

static void test_answers_until_it_is_too_old(void **state)
{
    struct cache *c = cache_create(30, 10, 1 << 20);
    uint64_t age;
    (void)state;
    put(c, "a", "one", 5 * SECOND);
    assert_string_equal(get(c, "a", 5 * SECOND, &age), "one");
    assert_int_equal(age, 0);
    assert_string_equal(get(c, "a", 35 * SECOND - 1, &age), "one");
    assert_int_equal(age, 30 * SECOND - 1);
    assert_null(get(c, "b", 6 * SECOND, &age));
    assert_null(get(c, "a", 35 * SECOND, &age));
    assert_int_equal(cache_count(c), 0);
    assert_int_equal(cache_bytes(c), 0);
    cache_free(&c);
    assert_null(c);
}

static void test_reading_does_not_prolong(void **state)
{
    struct cache *c = cache_create(10, 10, 1 << 20);
    uint64_t age;
    (void)state;
    put(c, "a", "one", 0);
    for (uint64_t s = 0; s < 10; s++) {
        assert_non_null(get(c, "a", s * SECOND, &age));
    }
    assert_null(get(c, "a", 10 * SECOND, &age));
    cache_free(&c);
}

/* A clock of another thread may be a little behind. */
static void test_time_that_goes_back_is_no_age(void **state)
{
    struct cache *c = cache_create(10, 10, 1 << 20);
    uint64_t age = 1;
    (void)state;
    put(c, "a", "one", 5 * SECOND);
    assert_non_null(get(c, "a", 4 * SECOND, &age));
    assert_int_equal(age, 0);
    cache_free(&c);
}

static void test_newer_takes_the_place_of_older(void **state)
{
    struct cache *c = cache_create(30, 10, 1 << 20);
    uint64_t age;
    (void)state;
    put(c, "a", "one", 0);
    put(c, "a", "two", 20 * SECOND);
    assert_int_equal(cache_count(c), 1);
    assert_string_equal(get(c, "a", 40 * SECOND, &age), "two");
    cache_free(&c);
}

static void test_least_recently_used_goes_first(void **state)
{
    struct cache *c = cache_create(30, 3, 1 << 20);
    uint64_t age;
    (void)state;
    put(c, "a", "1", 0);
    put(c, "b", "2", 0);
    put(c, "c", "3", 0);
    assert_non_null(get(c, "a", 1, &age));
    put(c, "d", "4", 2);
    assert_int_equal(cache_count(c), 3);
    assert_null(get(c, "b", 3, &age));
    assert_non_null(get(c, "a", 3, &age));
    assert_non_null(get(c, "c", 3, &age));
    assert_non_null(get(c, "d", 3, &age));
    cache_free(&c);
}

static void test_bytes_are_bounded(void **state)
{
    struct cache *c = cache_create(30, 1000, 20000);
    char key[16], text[1000];
    uint64_t age;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(c, key, text, 0);
        assert_true(cache_bytes(c) <= 20000);
    }
    assert_true(cache_count(c) > 10);
    assert_non_null(get(c, "k99", 1, &age));
    assert_null(get(c, "k0", 1, &age));
    cache_free(&c);
}

static void test_what_never_fits_is_not_kept_nor_is_anything_given_up_for_it(void **state)
{
    struct cache *c = cache_create(30, 10, 300);
    char text[1000];
    uint64_t age;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    put(c, "small", "1", 0);
    put(c, "large", text, 0);
    assert_null(get(c, "large", 1, &age));
    assert_non_null(get(c, "small", 1, &age));
    cache_free(&c);
}

static void test_clear_and_off(void **state)
{
    struct cache *c = cache_create(30, 10, 1 << 20);
    uint64_t age;
    (void)state;
    put(c, "a", "1", 0);
    put(c, "b", "2", 0);
    cache_clear(c);
    assert_int_equal(cache_count(c), 0);
    assert_int_equal(cache_bytes(c), 0);
    assert_null(get(c, "a", 1, &age));
    cache_free(&c);
    c = cache_create(0, 10, 1 << 20);
    put(c, "a", "1", 0);
    assert_null(get(c, "a", 0, &age));
    cache_free(&c);
    cache_free(&c);
}

/* Whoever got it keeps it, whatever the cache does. */
static void test_bodies_outlive_the_cache(void **state)
{
    struct cache *c = cache_create(30, 1, 1 << 20);
    struct cached result;
    uint64_t age;
    (void)state;
    put(c, "a", "one", 0);
    assert_true(cache_get(c, "a", 1, &result, &age));
    put(c, "b", "two", 2);
    cache_free(&c);
    assert_string_equal(shared_text(result.body), "one");
    assert_int_equal(shared_len(result.body), 3);
    shared_release(result.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_until_it_is_too_old),
        cmocka_unit_test(test_reading_does_not_prolong),
        cmocka_unit_test(test_time_that_goes_back_is_no_age),
        cmocka_unit_test(test_newer_takes_the_place_of_older),
        cmocka_unit_test(test_least_recently_used_goes_first),
        cmocka_unit_test(test_bytes_are_bounded),
        cmocka_unit_test(test_what_never_fits_is_not_kept_nor_is_anything_given_up_for_it),
        cmocka_unit_test(test_clear_and_off),
        cmocka_unit_test(test_bodies_outlive_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

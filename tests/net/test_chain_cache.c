/* The memory of chains by itself: what it keeps, for how long, and under which keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/arena.h"
#include "probe/base/limits.h"
#include "probe/net/chain_cache_internal.h"

#define PLENTY ((size_t)1 << 20)

static const struct period always = {INT64_MIN, INT64_MAX};
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, LIMIT_REPORT_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static const uint8_t *key(uint8_t number)
{
    static uint8_t keys[2][CHAIN_KEY_BYTES];
    static unsigned turn;
    uint8_t *k = keys[turn++ % 2];
    memset(k, 0, CHAIN_KEY_BYTES);
    k[CHAIN_KEY_BYTES - 1] = number;
    return k;
}

static void put(struct chain_cache *c, uint8_t number, size_t san_total)
{
    struct certificate facts = {.seen = true, .san_total = san_total};
    chain_cache_put(c, key(number), &always, &facts);
}

/* What put() gave, -1: nothing. */
static int get(struct chain_cache *c, uint8_t number)
{
    struct certificate facts;
    return chain_cache_get(c, key(number), 0, &facts, &arena) ? (int)facts.san_total : -1;
}

static void test_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct chain_cache *c = chain_cache_create(3, PLENTY);
    put(c, 1, 11);
    put(c, 2, 12);
    put(c, 3, 13);
    assert_int_equal(get(c, 1), 11);
    put(c, 4, 14);
    assert_int_equal(get(c, 2), -1);
    put(c, 5, 15);
    assert_int_equal(get(c, 3), -1);
    assert_int_equal(get(c, 1), 11);
    assert_int_equal(get(c, 4), 14);
    assert_int_equal(get(c, 5), 15);
    assert_int_equal(chain_cache_count(c), 3);
    put(c, 4, 24); /* in place of the older */
    assert_int_equal(get(c, 4), 24);
    assert_int_equal(chain_cache_count(c), 3);
    chain_cache_clear(c);
    assert_int_equal(chain_cache_count(c), 0);
    assert_int_equal(chain_cache_bytes(c), 0);
    assert_int_equal(get(c, 4), -1);
    put(c, 1, 11);
    assert_int_equal(get(c, 1), 11);
    chain_cache_free(&c);
    assert_null(c);
    chain_cache_free(&c);
}

static void put_large(struct chain_cache *c, uint8_t number, size_t len)
{
    static const char text[20000];
    struct certificate facts = {.common_name = {text, len}};
    chain_cache_put(c, key(number), &always, &facts);
}

static void test_bytes_are_bounded(void **state)
{
    (void)state;
    struct chain_cache *c = chain_cache_create(100, 40000);
    for (uint8_t i = 0; i < 200; i++) {
        put_large(c, i, 1000u + i * 50u);
        assert_true(chain_cache_bytes(c) <= 40000);
        assert_true(chain_cache_bytes(c) >= chain_cache_count(c) * 1000u);
        assert_true(get(c, i) >= 0);
    }
    assert_in_range(chain_cache_count(c), 2, 39);
    put_large(c, 201, 20000);
    put_large(c, 202, 20000);
    assert_int_equal(chain_cache_count(c), 1);
    chain_cache_free(&c);
    /* What is too large for all of it turns nothing out. */
    c = chain_cache_create(100, 10000);
    put(c, 1, 11);
    put_large(c, 2, 20000);
    assert_int_equal(get(c, 2), -1);
    assert_int_equal(get(c, 1), 11);
    chain_cache_free(&c);
}

static void test_nothing_is_kept_without_room(void **state)
{
    (void)state;
    static const size_t rooms[][2] = {{0, PLENTY}, {10, 0}, {10, 100}};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        struct chain_cache *c = chain_cache_create(rooms[i][0], rooms[i][1]);
        put(c, 1, 11);
        assert_int_equal(get(c, 1), -1);
        assert_int_equal(chain_cache_count(c), 0);
        assert_int_equal(chain_cache_bytes(c), 0);
        chain_cache_free(&c);
    }
}

static void test_answers_within_its_period(void **state)
{
    (void)state;
    struct chain_cache *c = chain_cache_create(3, PLENTY);
    struct period period = always;
    period_split_validity(&period, 50, 400, 200);
    period_split_validity(&period, 100, 299, 200);
    period_split_validity(&period, -7, 2, 200);
    assert_int_equal(period.from, 100);
    assert_int_equal(period.until, 299);
    chain_cache_put(c, key(1), &period, NULL);
    static const struct {
        int64_t at;
        bool holds;
    } cases[] = {{99, false}, {100, true}, {298, true}, {299, false}, {INT64_MIN, false}, {INT64_MAX, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(chain_cache_get(c, key(1), cases[i].at, NULL, NULL), cases[i].holds);
    }
    period = always;
    period_split_validity(&period, 100, 299, 299); /* the last second, which not all count the same */
    assert_true(period.from == 299 && period.until == 300);
    period = always;
    period_split_validity(&period, 100, INT64_MAX, 300);
    assert_true(period.from == 100 && period.until == INT64_MAX);
    chain_cache_free(&c);
}

static void make(struct chain_cache *c, const char *a, size_t a_len, const char *b, size_t b_len,
                 uint8_t made[CHAIN_KEY_BYTES])
{
    chain_key_add(c, a, a_len);
    if (b) {
        chain_key_add(c, b, b_len);
    }
    assert_true(chain_key_end(c, made));
}

static void test_keys_tell_parts_apart(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        size_t a_len;
        const char *b;
        size_t b_len;
    } parts[] = {{"ab", 2, NULL, 0}, {"a", 1, "b", 1}, {"", 0, "ab", 2}, {"ab", 2, "", 0},
                 {"ab\0", 3, "", 0}, {"b", 1, "a", 1}, {"", 0, NULL, 0}, {"", 0, "", 0}};
    enum { COUNT = sizeof parts / sizeof parts[0] };
    struct chain_cache *c = chain_cache_create(3, PLENTY);
    uint8_t made[COUNT][CHAIN_KEY_BYTES], again[CHAIN_KEY_BYTES];
    for (size_t i = 0; i < COUNT; i++) {
        make(c, parts[i].a, parts[i].a_len, parts[i].b, parts[i].b_len, made[i]);
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(made[i], made[k], CHAIN_KEY_BYTES);
        }
    }
    make(c, parts[1].a, parts[1].a_len, parts[1].b, parts[1].b_len, again);
    assert_memory_equal(again, made[1], CHAIN_KEY_BYTES);
    chain_cache_free(&c);
}

/* The facts outlive those they were made from, and what was taken out outlives the cache. */
static void test_facts_are_copies(void **state)
{
    (void)state;
    struct chain_cache *c = chain_cache_create(3, PLENTY);
    char names[][5] = {"CN=a", "CN=b", "x:y"};
    struct chain_link link = {text_of(names[0]), text_of(names[1]), 5, 6, {7}};
    struct san san = {SAN_URI, text_of(names[2])};
    struct certificate facts = {.seen = true,
                                .chain = &link,
                                .chain_count = 1,
                                .chain_sent = 3,
                                .sans = &san,
                                .san_count = 1,
                                .serial = {9},
                                .serial_len = 1,
                                .chain_errors = 1u << CHAIN_OTHER,
                                .key_algorithm = "RSA"};
    struct text *texts[] = {&facts.common_name, &facts.missing_issuer, &facts.issuer_url,   &facts.bad_ca,
                            &facts.weak_key,    &facts.weak_signature, &facts.wrong_purpose};
    char words[][2] = {"0", "1", "2", "3", "4", "5", "6"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i] = (struct text){words[i], 1};
    }
    facts.common_name = (struct text){0};
    chain_cache_put(c, key(1), &always, &facts);
    memset(words, 'x', sizeof words);
    memset(names, 'x', sizeof names);
    link = (struct chain_link){.not_before = 0};
    san = (struct san){.type = SAN_DNS};

    struct certificate got;
    assert_true(chain_cache_get(c, key(1), 0, &got, &arena));
    chain_cache_free(&c);
    assert_false(arena.failed);
    assert_true(got.seen && got.chain_count == 1 && got.chain_sent == 3 && got.san_count == 1);
    assert_true(text_is(got.chain[0].subject, "CN=a") && text_is(got.chain[0].issuer, "CN=b"));
    assert_true(got.chain[0].not_before == 5 && got.chain[0].not_after == 6 && got.chain[0].sha256[0] == 7);
    assert_true(got.sans[0].type == SAN_URI && text_is(got.sans[0].value, "x:y"));
    assert_true(got.serial[0] == 9 && got.serial_len == 1 && got.chain_errors == 1u << CHAIN_OTHER);
    assert_string_equal(got.key_algorithm, "RSA");
    assert_null(got.common_name.data);
    assert_true(text_is(got.missing_issuer, "1") && text_is(got.issuer_url, "2") && text_is(got.bad_ca, "3"));
    assert_true(text_is(got.weak_key, "4") && text_is(got.weak_signature, "5"));
    assert_true(text_is(got.wrong_purpose, "6"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_least_recently_used_goes_first), TEST(test_bytes_are_bounded),
        TEST(test_nothing_is_kept_without_room),   TEST(test_answers_within_its_period),
        TEST(test_keys_tell_parts_apart),          TEST(test_facts_are_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

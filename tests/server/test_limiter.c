#include "server/limiter.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define YEAR (UINT64_C(365) * 86400 * SECOND)

static struct limiter *create(unsigned count, unsigned seconds, size_t entries)
{
    struct limiter *l = limiter_create((struct rate){count, seconds}, entries);
    assert_non_null(l);
    return l;
}

static uint64_t take(struct limiter *l, uint64_t key, uint64_t now)
{
    return limiter_take(l, &key, sizeof key, now);
}

/* How many takes of the key are admitted one after another. */
static unsigned admitted(struct limiter *l, uint64_t key, uint64_t now, unsigned most)
{
    unsigned n = 0;
    while (n < most && take(l, key, now) == 0) {
        n++;
    }
    return n;
}

static void test_given_back(void **state)
{
    (void)state;
    struct limiter *l = create(3, 60, 64);
    uint64_t key = 1, unknown = 2, now = 1000 * SECOND;
    assert_int_equal(admitted(l, key, now, 5), 3);
    limiter_give_back(l, &key, sizeof key);
    limiter_give_back(l, &unknown, sizeof unknown);
    assert_int_equal(admitted(l, key, now, 5), 1);
    assert_int_equal(take(l, key, now), 20 * SECOND);
    /* Never more than full. */
    for (int i = 0; i < 10; i++) {
        limiter_give_back(l, &key, sizeof key);
    }
    assert_int_equal(admitted(l, key, now, 9), 3);
    assert_int_equal(admitted(l, unknown, now, 9), 3);
    limiter_free(&l);
    l = create(0, 60, 0);
    limiter_give_back(l, &key, sizeof key);
    assert_int_equal(take(l, key, now), 0);
    limiter_free(&l);
}

static void test_semantics(void **state)
{
    static const struct {
        unsigned count, seconds;
        uint64_t key, now, wait;
    } rows[] = {
        {3, 60, 1, 0, 0},
        {3, 60, 1, 0, 0},
        {3, 60, 1, 0, 0},
        {3, 60, 1, 0, 20 * SECOND}, /* the burst is over; nothing is taken */
        {3, 60, 1, 0, 20 * SECOND},
        {3, 60, 2, 0, 0}, /* another key has its own */
        {3, 60, 1, 19 * SECOND, SECOND},
        {3, 60, 1, 20 * SECOND - 1, 1},
        {3, 60, 1, 20 * SECOND, 0}, /* one for each 20 s */
        {3, 60, 1, 20 * SECOND, 20 * SECOND},
        {3, 60, 1, 10 * SECOND, 30 * SECOND}, /* a thread that is behind */
        {3, 60, 1, 80 * SECOND, 0},           /* idle for as long as a burst takes: full again */
        {3, 60, 1, 80 * SECOND, 0},
        {3, 60, 1, 80 * SECOND, 0},
        {3, 60, 1, 80 * SECOND, 20 * SECOND},
        {3, 60, 1, 500 * YEAR, 0}, /* never more than full */
        {3, 60, 1, 500 * YEAR, 0},
        {3, 60, 1, 500 * YEAR, 0},
        {3, 60, 1, 500 * YEAR, 20 * SECOND},
        {1, 86400, 1, 0, 0},
        {1, 86400, 1, 1, 86400 * SECOND - 1},
        {1, 86400, 1, 86400 * SECOND, 0},
        {7, 60, 1, 0, 0}, /* whole nanoseconds */
        {7, 60, 1, 0, 0},
        {7, 60, 1, 0, 0},
        {7, 60, 1, 0, 0},
        {7, 60, 1, 0, 0},
        {7, 60, 1, 0, 0},
        {7, 60, 1, 0, 0},
        {7, 60, 1, 0, UINT64_C(8571428571)},
        {7, 60, 1, 60 * SECOND, 0},
    };
    struct limiter *l = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!l || limiter_rate(l).count != rows[i].count || limiter_rate(l).seconds != rows[i].seconds) {
            limiter_free(&l);
            l = create(rows[i].count, rows[i].seconds, 1024);
        }
        uint64_t wait = take(l, rows[i].key, rows[i].now);
        if (wait != rows[i].wait) {
            fail_msg("row %zu: wait %" PRIu64, i, wait);
        }
    }
    limiter_free(&l);
    assert_null(l);
}

static void test_bounds_of_rates(void **state)
{
    (void)state;
    struct limiter *none = create(0, 1, SIZE_MAX / 4);
    assert_int_equal(admitted(none, 1, 0, 5000), 5000);
    limiter_free(&none);
    struct limiter *most = create(1000000, 1, 16);
    assert_int_equal(admitted(most, 1, YEAR, 2000000), 1000000);
    assert_int_equal(take(most, 1, YEAR), 1000);
    limiter_free(&most);
    struct limiter *slow = create(1000000, 86400, 16);
    assert_int_equal(admitted(slow, 1, 100 * YEAR, 2000000), 1000000);
    assert_int_equal(take(slow, 1, 100 * YEAR), 86400000);
    limiter_free(&slow);
}

/* Keys are bytes: what differs in length alone is not the same. */
static void test_keys_are_bytes(void **state)
{
    static const unsigned char zeros[16];
    struct limiter *l = create(1, 60, 1024);
    (void)state;
    for (size_t len = 0; len <= sizeof zeros; len++) {
        assert_int_equal(limiter_take(l, zeros, len, 0), 0);
        assert_int_equal(limiter_take(l, zeros, len, 0), 60 * SECOND);
    }
    limiter_free(&l);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

struct bucket {
    uint64_t credit, seen; /* ns worth of tokens */
};

/* Counts credit up, as one would with all the memory in the world. */
static uint64_t bucket_take(struct bucket *b, uint64_t interval, uint64_t full, uint64_t now)
{
    uint64_t credit = b->credit + (now - b->seen);
    b->credit = credit < full ? credit : full;
    b->seen = now;
    if (b->credit < interval) {
        return interval - b->credit;
    }
    b->credit -= interval;
    return 0;
}

static void test_against_buckets(void **state)
{
    static const struct rate rates[] = {{1, 1},          {1, 60},    {60, 60},     {10, 60},
                                        {7, 60},         {1, 86400}, {1000000, 1}, {1000000, 86400},
                                        {999983, 86399}, {2, 3},     {100, 3600},  {86400, 86400}};
    enum { KEYS = 40, TAKES = 20000 };
    uint64_t seed = 4711;
    (void)state;
    for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        struct limiter *l = create(rates[r].count, rates[r].seconds, 4096);
        uint64_t interval = rates[r].seconds * SECOND / rates[r].count, full = interval * rates[r].count;
        uint64_t now = r % 2 ? 100 * YEAR : 0;
        struct bucket buckets[KEYS];
        for (size_t k = 0; k < KEYS; k++) {
            buckets[k] = (struct bucket){full, now};
        }
        for (unsigned i = 0; i < TAKES; i++) {
            uint64_t key = next_random(&seed) % KEYS;
            key = next_random(&seed) % (key + 1); /* some come often, some hardly ever */
            now += next_random(&seed) % (interval / 8 + 2);
            now += next_random(&seed) % 500 == 0 ? full / 2 : 0;
            uint64_t want = bucket_take(&buckets[key], interval, full, now);
            uint64_t got = take(l, key, now);
            if (want != got) {
                fail_msg("rate %u/%u, take %u: %" PRIu64 ", not %" PRIu64, rates[r].count, rates[r].seconds,
                         i, got, want);
            }
        }
        limiter_free(&l);
    }
}

/* Two sets are all that 16 entries make: every key may be in any of them. */
static void test_gives_up_the_fullest(void **state)
{
    struct limiter *l = create(4, 60, 16);
    (void)state;
    for (uint64_t key = 0; key < 16; key++) {
        unsigned takes = key == 9 ? 2 : 3;
        assert_int_equal(admitted(l, key, 0, takes), takes);
    }
    assert_int_equal(admitted(l, 100, 0, 4), 4);
    assert_int_equal(take(l, 100, 0), 15 * SECOND);
    for (uint64_t key = 0; key < 16; key++) {
        if (key != 9) {
            assert_int_equal(admitted(l, key, 0, 4), 1);
        }
    }
    /* All are over their limit now: a new one comes in, and is not remembered. */
    assert_int_equal(admitted(l, 9, 0, 50), 50);
    assert_int_equal(admitted(l, 101, 14 * SECOND, 50), 50);
    assert_true(take(l, 100, 14 * SECOND) > 0);
    /* Each has a token again, and with it may be forgotten. */
    assert_int_equal(admitted(l, 101, 15 * SECOND, 50), 4);
    limiter_free(&l);
}

static void test_full_table_forgets_nobody_over_the_limit(void **state)
{
    enum { ENTRIES = 64, FRESH = 200000 };
    struct limiter *l = create(2, 60, ENTRIES);
    uint64_t over[ENTRIES];
    size_t count = 0;
    (void)state;
    for (uint64_t key = 0; key < 1000; key++) {
        if (admitted(l, key, 0, 3) == 2) {
            assert_in_range(count, 0, ENTRIES - 1);
            over[count++] = key;
        }
        if (count == ENTRIES / 2) {
            break;
        }
    }
    assert_int_equal(count, ENTRIES / 2);
    for (uint64_t i = 0; i < FRESH; i++) {
        assert_int_equal(take(l, 1000000 + i, i * 100000), 0); /* 20 s in all */
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(take(l, over[i], 20 * SECOND), 10 * SECOND);
    }
    /* Now those who come are greedy, too. */
    for (uint64_t i = 0; i < FRESH; i++) {
        assert_int_equal(take(l, 2000000 + i, 20 * SECOND), 0);
        take(l, 2000000 + i, 20 * SECOND);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(take(l, over[i], 20 * SECOND), 10 * SECOND);
    }
    limiter_free(&l);
}

/* Which keys meet in one set is another matter in each process: in one that is too small for all keys, others
 * are not recorded. */
static void test_nobody_can_tell_who_meets(void **state)
{
    struct limiter *one = create(1, 60, 64), *other = create(1, 60, 64);
    unsigned both = 0, either = 0;
    (void)state;
    for (uint64_t key = 0; key < 1000; key++) {
        bool in_one = admitted(one, key, 0, 2) == 1, in_other = admitted(other, key, 0, 2) == 1;
        both += in_one && in_other;
        either += in_one || in_other;
    }
    assert_in_range(either, 65, 128);
    assert_int_not_equal(both, either);
    limiter_free(&one);
    limiter_free(&other);
}

enum { THREADS = 4, EACH = 2000 };

struct racer {
    pthread_t thread;
    struct limiter *limiter;
    pthread_barrier_t *start;
    unsigned admitted;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    pthread_barrier_wait(r->start);
    for (uint64_t i = 0; i < EACH; i++) {
        r->admitted += take(r->limiter, 7, YEAR) == 0;
        (void)take(r->limiter, 1000 + i, YEAR);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct limiter *l = create(1000, 3600, 1024);
    struct racer racers[THREADS];
    pthread_barrier_t start;
    unsigned sum = 0;
    (void)state;
    pthread_barrier_init(&start, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){.limiter = l, .start = &start};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(racers[i].thread, NULL);
        sum += racers[i].admitted;
    }
    assert_int_equal(sum, 1000);
    pthread_barrier_destroy(&start);
    limiter_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_semantics),
        cmocka_unit_test(test_given_back),
        cmocka_unit_test(test_bounds_of_rates),
        cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_against_buckets),
        cmocka_unit_test(test_gives_up_the_fullest),
        cmocka_unit_test(test_full_table_forgets_nobody_over_the_limit),
        cmocka_unit_test(test_nobody_can_tell_who_meets),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

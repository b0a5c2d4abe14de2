/* A million clients: what the table costs, whom it remembers, and that it gets no slower. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/base/limits.h"
#include "server/limiter.h"

#define SECOND UINT64_C(1000000000)
#define CROWD 1000000u
#define STEP UINT64_C(50000)

/* Another allocator, or valgrind, has memory of its own that cannot be told from the table's. */
static bool instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
#endif
}

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

static size_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The first 64 bits of an address of 2001:db8::/32. */
static uint64_t network(uint32_t i)
{
    return htobe64(UINT64_C(0x20010db8) << 32 | i);
}

struct flood {
    uint32_t from, count; /* networks */
    uint64_t now, step;   /* ns */
};

/* The first take of many networks, all admitted; it costs the last ones no more than the first ones. */
static void pour(struct limiter *l, struct flood f)
{
    const uint32_t part = 100000;
    double start = cpu_ns(), first = 0, last = 0;
    for (uint32_t i = 0; i < f.count; i++) {
        if (i == part) {
            first = (cpu_ns() - start) / part;
        } else if (i == f.count - part) {
            start = cpu_ns();
        }
        if (take(l, network(f.from + i), f.now + i * f.step) != 0) {
            fail_msg("network %u was refused", f.from + i);
        }
    }
    last = (cpu_ns() - start) / part;
    print_message("%u takes: %.0f ns each for the first %u, %.0f ns for the last\n", f.count, first, part,
                  last);
    assert_true(last < 5 * first);
}

/* How many of those who came every 50 us are told the very time that they have to wait. */
static unsigned refused(struct limiter *l, uint64_t now)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < CROWD; i++) {
        n += take(l, network(i), now) == 60 * SECOND + i * STEP - now;
    }
    return n;
}

static void test_a_million_over_their_limit(void **state)
{
    const uint64_t end = CROWD * STEP;
    (void)state;
    size_t before = resident_bytes();
    struct limiter *clients = create(1, 60, LIMIT_CLIENT_ENTRIES);
    struct limiter *targets = create(10, 60, LIMIT_TARGET_ENTRIES);
    assert_true(instrumented() || resident_bytes() - before < 1024u * 1024);
    pour(clients, (struct flood){0, CROWD, 0, STEP});
    pour(targets, (struct flood){0, 4 * LIMIT_TARGET_ENTRIES, end, 0});
    assert_int_equal(refused(clients, end), CROWD);
    /* Another million, for which there is no room any more. */
    pour(clients, (struct flood){CROWD, CROWD, end, 0});
    assert_int_equal(refused(clients, end), CROWD);
    size_t grown = resident_bytes() - before;
    print_message("memory grew by %.1f MiB\n", (double)grown / 1048576);
    if (instrumented()) {
        print_message("memory is not judged: a sanitizer or valgrind adds its own\n");
    } else {
        assert_true(grown < 32u * 1024 * 1024);
    }
    limiter_free(&targets);
    limiter_free(&clients);
}

/* Twice as many as there is room for, none of them greedy but the one that came first. */
static void test_two_million_within_their_limit(void **state)
{
    const uint64_t greedy = 42;
    struct limiter *l = create(60, 60, LIMIT_CLIENT_ENTRIES);
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(take(l, greedy, 0), 0);
    }
    assert_int_equal(take(l, greedy, 0), SECOND);
    pour(l, (struct flood){0, 2 * CROWD, 0, 400}); /* 0.8 s in all */
    assert_int_equal(take(l, greedy, SECOND - 1), 1);
    assert_int_equal(take(l, greedy, SECOND), 0);
    assert_int_equal(take(l, greedy, SECOND), SECOND);
    limiter_free(&l);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    if (instrumented()) {
        print_message("not tried: a sanitizer or valgrind complains of the size\n");
    } else {
        assert_null(limiter_create((struct rate){1, 1}, SIZE_MAX / 64));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_million_over_their_limit),
        cmocka_unit_test(test_two_million_within_their_limit),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

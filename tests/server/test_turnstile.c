#include "server/turnstile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static unsigned waited_ms(struct turnstile *t, unsigned most_ms)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    turnstile_wait(t, most_ms);
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (unsigned)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
}

static void test_holds_up_where_it_is_full(void **state)
{
    struct turnstile t;
    (void)state;
    turnstile_init(&t, 2);
    assert_in_range(waited_ms(&t, 60000), 0, 5000);
    turnstile_in(&t);
    assert_in_range(waited_ms(&t, 60000), 0, 5000);
    turnstile_in(&t);
    turnstile_out(&t);
    assert_in_range(waited_ms(&t, 60000), 0, 5000);
    turnstile_in(&t);
    assert_in_range(waited_ms(&t, 1200), 1200, 60000);
    turnstile_deinit(&t);
}

static void test_who_never_comes_out_holds_up_once(void **state)
{
    struct turnstile t;
    (void)state;
    turnstile_init(&t, 2);
    turnstile_in(&t);
    turnstile_in(&t);
    assert_in_range(waited_ms(&t, 100), 100, 60000);
    assert_in_range(waited_ms(&t, 60000), 0, 5000);
    turnstile_in(&t);
    assert_in_range(waited_ms(&t, 60000), 0, 5000);
    turnstile_out(&t);
    turnstile_out(&t); /* late */
    turnstile_in(&t);
    assert_in_range(waited_ms(&t, 60000), 0, 5000);
    turnstile_in(&t);
    assert_in_range(waited_ms(&t, 100), 100, 60000);
    turnstile_deinit(&t);
}

static void *see_out(void *arg)
{
    static const struct timespec pause = {0, 50000000};
    struct turnstile *t = arg;
    for (int i = 0; i < 3; i++) {
        nanosleep(&pause, NULL);
        turnstile_out(t);
    }
    return NULL;
}

/* Not when the first goes, or each would be let in by itself. */
static void test_waits_until_all_are_out(void **state)
{
    struct turnstile t;
    pthread_t thread;
    (void)state;
    turnstile_init(&t, 3);
    for (int i = 0; i < 3; i++) {
        turnstile_in(&t);
    }
    assert_int_equal(pthread_create(&thread, NULL, see_out, &t), 0);
    assert_in_range(waited_ms(&t, 60000), 149, 30000);
    pthread_join(thread, NULL);
    turnstile_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds_up_where_it_is_full),
        cmocka_unit_test(test_who_never_comes_out_holds_up_once),
        cmocka_unit_test(test_waits_until_all_are_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Clients take turns, whatever each of them has waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/job.h"
#include "server/turns.h"

#define JOBS 100

static struct turns *turns;
static struct lane lanes[3];
static struct job jobs[3][JOBS];
static struct worker *const somebody = (struct worker *)(void *)lanes; /* never looked into */

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lanes / sizeof lanes[0]; i++) {
        lanes[i] = (struct lane){.first = NULL};
    }
    turns = turns_create();
    assert_non_null(turns);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_null(turns_take(turns, somebody));
    turns_free(&turns);
    assert_null(turns);
    turns_free(&turns); /* nothing to free */
    return 0;
}

static void add(size_t client, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        jobs[client][i].worker = NULL;
        turns_add(turns, &lanes[client], &jobs[client][i]);
    }
}

static void expect(size_t client, size_t number)
{
    struct job *job = turns_take(turns, somebody);
    assert_ptr_equal(job, &jobs[client][number]);
    assert_ptr_equal(atomic_load(&job->worker), somebody);
}

static void test_nobody_waits(void **state)
{
    (void)state;
    assert_null(turns_take(turns, somebody));
    add(0, 0, 1);
    assert_null(atomic_load(&jobs[0][0].worker));
    expect(0, 0);
    assert_null(turns_take(turns, somebody));
}

static void test_one_client_is_served_in_order(void **state)
{
    (void)state;
    add(0, 0, 3);
    expect(0, 0);
    add(0, 3, 2);
    for (size_t i = 1; i < 5; i++) {
        expect(0, i);
    }
}

/* Whoever comes with one job waits for one of the flood, not for all. */
static void test_a_flood_does_not_hold_up_others(void **state)
{
    (void)state;
    add(0, 0, JOBS);
    expect(0, 0);
    add(1, 0, 1);
    add(2, 0, 3);
    expect(0, 1);
    expect(1, 0);
    expect(2, 0);
    expect(0, 2);
    expect(2, 1);
    add(1, 1, 1);
    expect(0, 3);
    expect(2, 2);
    expect(1, 1);
    for (size_t i = 4; i < JOBS; i++) {
        expect(0, i);
    }
}

static void test_two_floods_get_the_same(void **state)
{
    (void)state;
    add(0, 0, JOBS);
    add(1, 0, JOBS);
    for (size_t i = 0; i < JOBS; i++) {
        expect(0, i);
        expect(1, i);
    }
}

/* The queue is as good as new once it was empty. */
static void test_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        add(2, 0, 2);
        add(1, 0, 1);
        expect(2, 0);
        expect(1, 0);
        expect(2, 1);
        assert_null(turns_take(turns, somebody));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_waits),
        TEST(test_one_client_is_served_in_order),
        TEST(test_a_flood_does_not_hold_up_others),
        TEST(test_two_floods_get_the_same),
        TEST(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Answers go together where many tests are under way, and none waits for long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/job.h"
#include "server/outbox.h"

#define MANY 6400 /* under way: answers are 200 ms apart */

static struct outbox outbox;
static struct job jobs[3];

static int set_up(void **state)
{
    (void)state;
    outbox_init(&outbox);
    return 0;
}

static void test_they_leave_as_they_came(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_true(outbox_is_empty(&outbox));
        assert_null(outbox_take(&outbox, 1000));
        for (size_t i = 0; i < 3; i++) {
            jobs[i].next = &jobs[0]; /* of another list, before */
            outbox_add(&outbox, &jobs[i]);
            assert_false(outbox_is_empty(&outbox));
        }
        struct job *job = outbox_take(&outbox, 1000);
        for (size_t i = 0; i < 3; i++) {
            assert_ptr_equal(job, &jobs[i]);
            job = job->next;
        }
        assert_null(job);
    }
}

static void test_the_first_after_a_pause_does_not_wait(void **state)
{
    (void)state;
    outbox_add(&outbox, &jobs[0]);
    assert_int_equal(outbox_wait_ms(&outbox, 1000, MANY), 0);
}

static void test_those_that_follow_wait_for_one_another(void **state)
{
    (void)state;
    outbox_add(&outbox, &jobs[0]);
    assert_non_null(outbox_take(&outbox, 1000));
    outbox_add(&outbox, &jobs[1]);
    assert_int_equal(outbox_wait_ms(&outbox, 1000, MANY), 200);
    assert_int_equal(outbox_wait_ms(&outbox, 1199, MANY), 1);
    assert_int_equal(outbox_wait_ms(&outbox, 1200, MANY), 0);
}

static void test_few_tests_never_wait(void **state)
{
    (void)state;
    outbox_add(&outbox, &jobs[0]);
    assert_non_null(outbox_take(&outbox, 1000));
    outbox_add(&outbox, &jobs[1]);
    assert_int_equal(outbox_wait_ms(&outbox, 1000, 31), 0);
    assert_int_equal(outbox_wait_ms(&outbox, 1000, 32), 1);
}

/* A look into an empty outbox is no departure. */
static void test_nobody_left(void **state)
{
    (void)state;
    assert_null(outbox_take(&outbox, 1000));
    outbox_add(&outbox, &jobs[0]);
    assert_int_equal(outbox_wait_ms(&outbox, 1001, MANY), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_they_leave_as_they_came, set_up),
        cmocka_unit_test_setup(test_the_first_after_a_pause_does_not_wait, set_up),
        cmocka_unit_test_setup(test_those_that_follow_wait_for_one_another, set_up),
        cmocka_unit_test_setup(test_few_tests_never_wait, set_up),
        cmocka_unit_test_setup(test_nobody_left, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "probe/base/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Outside a guard nothing is to be given, inside it is, and leaving tells. */
static void test_guard(void **state)
{
    (void)state;
    unsigned long before = memory_failures();
    assert_false(memory_note_failure());
    assert_int_equal(memory_failures(), before + 1);

    memory_guard_enter();
    assert_true(memory_guard_leave());

    memory_guard_enter();
    memory_guard_enter();
    assert_true(memory_note_failure());
    assert_false(memory_guard_leave());
    assert_false(memory_guard_leave());
    assert_int_equal(memory_failures(), before + 2);
    assert_false(memory_note_failure());

    memory_guard_enter();
    assert_true(memory_guard_leave());
}

static void *fail_elsewhere(void *arg)
{
    (void)memory_note_failure();
    return arg;
}

/* What fails in another thread is that thread's matter. */
static void test_threads_are_apart(void **state)
{
    (void)state;
    pthread_t thread;
    memory_guard_enter();
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(memory_guard_leave());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_threads_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

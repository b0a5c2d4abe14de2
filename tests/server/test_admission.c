/* Who gets a test when many want one: a worker that is busy, a flood of one client, and others. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/net/dns.h"
#include "probe/net/tls_env.h"
#include "server/admission.h"
#include "server/metrics.h"
#include "server/targets.h"

#define MAX_IN_FLIGHT 300u
#define DONE_MS 20000u
#define WHY_SIZE 512

static struct config config;
static struct targets *targets;
static struct limiter *clients;
static struct tls_env *tls;
static struct worker_env worker_env;
static struct pool *pool;
static struct admission *admission;
static struct metrics metrics;
static struct query query; /* of an address that is never connected to */

/* In the order of their answers, each by the first letter of its client. */
static char order[2 * MAX_IN_FLIGHT];
static atomic_size_t answered;
static sem_t begun, go; /* the worker is at the first answer, and may go on */

struct asker {
    struct waiter waiter;
    char client;
};

static struct asker askers[3 * MAX_IN_FLIGHT];
static size_t asked;

static void on_wait(struct waiter *waiter)
{
    (void)waiter;
}

static void on_answer(struct waiter *waiter, const struct answer *answer)
{
    if (answered == 0) {
        sem_post(&begun);
        sem_wait(&go);
    }
    assert_true(answered < sizeof order);
    order[answered++] = ((struct asker *)(void *)waiter)->client;
    assert_int_equal(answer->result, JOB_BLOCKED);
}

static enum admission_result ask(char client)
{
    uint8_t key[CLIENT_KEY_SIZE] = {(uint8_t)client};
    struct asker *asker = &askers[asked++];
    struct answer answer;
    *asker = (struct asker){{.on_wait = on_wait, .on_answer = on_answer}, client};
    return admission_ask(admission, &query, key, 0, &asker->waiter, &answer);
}

static int set_up(void **state)
{
    (void)state;
    char why[WHY_SIZE] = "", err[CONFIG_ERROR_SIZE] = "";
    char *arguments[] = {(char *)(uintptr_t) "test", NULL};
    struct problem problem;
    static const char text[] = "host=192.0.2.1"; /* RFC 5737 */

    assert_int_equal(config_load(&config, 1, arguments, getenv, err), CONFIG_RUN);
    const struct query_limits limits = {config.imap_port, config.imaps_port, config.deadline_ms};
    assert_true(query_parse(text, strlen(text), &limits, &query, &problem));
    assert_true(dns_library_init());
    tls = tls_env_create(TEST_ROOT, why, WHY_SIZE);
    targets = targets_create(&config, why, WHY_SIZE);
    clients = limiter_create((struct rate){0, 1}, 0);
    assert_true(tls && targets && clients);
    worker_env = (struct worker_env){.tls = tls, .guard = targets_guard(targets), .permit = targets_permit};
    worker_env.permit_context = targets;
    worker_env.dns_timeout_ms = config.dns_timeout_ms;
    memset(&metrics, 0, sizeof metrics);
    worker_env.metrics = &metrics;
    pool = pool_create(1, &worker_env, why, WHY_SIZE);
    assert_non_null(pool);
    const struct admission_env env = {pool, clients, MAX_IN_FLIGHT, 0, &metrics};
    admission = admission_create(&env);
    assert_non_null(admission);
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    memset(order, 0, sizeof order);
    answered = asked = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    admission_stop(admission);
    assert_true(admission_wait_idle(admission, DONE_MS));
    pool_free(&pool);
    admission_free(&admission);
    limiter_free(&clients);
    targets_free(&targets);
    tls_env_release(&tls);
    dns_library_cleanup();
    config_deinit(&config);
    sem_destroy(&begun);
    sem_destroy(&go);
    return 0;
}

/* The worker takes the first test of a flood, and is then kept from taking more. Its place is free again. */
static void keep_worker_busy(void)
{
    assert_int_equal(ask('a'), ADMISSION_WAITING);
    sem_wait(&begun);
}

static void let_worker_go(void)
{
    sem_post(&go);
    assert_true(admission_wait_idle(admission, DONE_MS));
    pool_free(&pool); /* the last answer is given a little later */
}

static void test_a_flood_does_not_hold_up_others(void **state)
{
    (void)state;
    keep_worker_busy();
    for (int i = 0; i < 200; i++) {
        assert_int_equal(ask('a'), ADMISSION_WAITING);
    }
    assert_int_equal(ask('b'), ADMISSION_WAITING);
    assert_int_equal(ask('c'), ADMISSION_WAITING);
    assert_int_equal(ask('c'), ADMISSION_WAITING);
    assert_int_equal(metrics.values[METRIC_TESTS_QUEUED], 203);
    assert_int_equal(admission_state(admission).in_flight, 203);
    let_worker_go();
    assert_int_equal(metrics.values[METRIC_TESTS_QUEUED], 0);
    assert_int_equal(metrics.unreported[JOB_BLOCKED], 204);
    assert_int_equal(answered, 204);
    /* Those that begin together may end in any order. */
    assert_null(memchr(order + 12, 'b', answered - 12));
    assert_null(memchr(order + 12, 'c', answered - 12));
}

static void fill(void)
{
    keep_worker_busy();
    for (unsigned i = 0; i < MAX_IN_FLIGHT - 1; i++) {
        assert_int_equal(ask('a'), ADMISSION_WAITING);
    }
    assert_int_equal(ask('a'), ADMISSION_FULL);
    assert_int_equal(ask('b'), ADMISSION_WAITING);
    assert_true(admission_full(admission) && admission_state(admission).full);
    assert_int_equal(ask('c'), ADMISSION_FULL);
    let_worker_go();
    assert_int_equal(answered, MAX_IN_FLIGHT + 1);
}

static void test_the_last_places_are_for_those_who_have_few(void **state)
{
    (void)state;
    fill();
}

static void test_places_come_back(void **state)
{
    (void)state;
    sem_post(&go);
    for (unsigned i = 0; i < MAX_IN_FLIGHT; i++) {
        assert_int_equal(ask('a'), ADMISSION_WAITING);
        assert_true(admission_wait_idle(admission, DONE_MS));
    }
    /* The last answer is given a little later. */
    assert_int_equal(sem_wait(&begun), 0);
    while (atomic_load(&answered) < MAX_IN_FLIGHT) {
        usleep(1000);
    }
    answered = 0;
    fill();
}

static void test_one_that_retires_still_takes_tests(void **state)
{
    (void)state;
    assert_false(admission_retiring(admission));
    admission_retire(admission);
    assert_true(admission_retiring(admission));
    keep_worker_busy();
    assert_int_equal(ask('b'), ADMISSION_WAITING);
    admission_stop(admission);
    assert_true(admission_retiring(admission));
    assert_int_equal(ask('c'), ADMISSION_STOPPING);
    let_worker_go();
    assert_int_equal(answered, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_flood_does_not_hold_up_others),
        TEST(test_the_last_places_are_for_those_who_have_few),
        TEST(test_places_come_back),
        TEST(test_one_that_retires_still_takes_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

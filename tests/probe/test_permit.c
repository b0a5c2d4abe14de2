/* A permit that is answered at once or later: of both addresses of a host on which nothing listens. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/net/tls_env.h"
#include "probe/probe.h"

#define WAIT_S 7u
#define ANSWER_MS 5u
#define GIVE_UP_MS 60u

enum behaviour { GRANT, REFUSE, GRANT_LATER, REFUSE_LATER, SAY_NOTHING };

static uv_loop_t loop;
static uv_timer_t answering, cancelling;
static struct probe_env env;
static struct tls_env *tls;
static struct report report;
static struct probe_request request;
static struct probe *probe;
static struct probe_end ended;
static int ends;

static enum behaviour behaviours[2];
static struct permit *awaited;
static struct ip asked[2];
static size_t asked_count, withdrawn;

static void on_answering(uv_timer_t *timer)
{
    struct permit *permit = awaited;
    (void)timer;
    awaited = NULL;
    permit->on_answer(permit, behaviours[asked_count - 1] == GRANT_LATER ? 0 : WAIT_S);
}

static unsigned on_permit(void *context, struct permit *permit)
{
    assert_ptr_equal(context, &env);
    assert_true(asked_count < 2);
    assert_null(awaited);
    asked[asked_count] = permit->ip;
    switch (behaviours[asked_count++]) {
    case GRANT:
        return 0;
    case REFUSE:
        return WAIT_S;
    case GRANT_LATER:
    case REFUSE_LATER:
        uv_timer_start(&answering, on_answering, ANSWER_MS, 0);
        break;
    case SAY_NOTHING:
        break;
    }
    awaited = permit;
    return PERMIT_LATER;
}

static void on_withdraw(void *context, struct permit *permit)
{
    assert_ptr_equal(context, &env);
    assert_ptr_equal(permit, awaited);
    awaited = NULL;
    uv_timer_stop(&answering);
    withdrawn++;
}

static void on_cancelling(uv_timer_t *timer)
{
    (void)timer;
    probe_cancel(probe);
}

static void on_done(void *owner, const struct probe_end *end)
{
    (void)owner;
    ends++;
    ended = *end;
    uv_timer_stop(&cancelling);
}

static bool on_allowed(const void *context, const struct ip *ip)
{
    (void)context;
    (void)ip;
    return true;
}

/* A port on which nothing can listen meanwhile. */
static int close_port(uint16_t *port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    struct sockaddr_in any4 = {.sin_family = AF_INET};
    socklen_t len = sizeof any;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&any, len) == 0) {
        assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
        *port = ntohs(any.sin6_port);
        return fd;
    }
    fd = socket(AF_INET, SOCK_STREAM, 0);
    len = sizeof any4;
    assert_int_equal(bind(fd, (struct sockaddr *)&any4, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any4, &len), 0);
    *port = ntohs(any4.sin_port);
    return fd;
}

static void test(enum behaviour first, enum behaviour second, unsigned cancel_ms)
{
    char why[256] = "";
    int fds[2];
    behaviours[0] = first;
    behaviours[1] = second;
    asked_count = withdrawn = 0;
    ends = 0;
    awaited = NULL;
    uv_loop_init(&loop);
    uv_timer_init(&loop, &answering);
    uv_timer_init(&loop, &cancelling);
    env = (struct probe_env){.loop = &loop, .tls = tls, .permit = on_permit, .withdraw = on_withdraw};
    env.permit_context = &env;
    env.guard = (struct target_guard){on_allowed, NULL};
    env.settings = (struct probe_settings){.connect_timeout_ms = 1000, .io_timeout_ms = 1000};
    fds[0] = close_port(&env.settings.imap_port);
    fds[1] = close_port(&env.settings.imaps_port);
    env.poller = poller_create(&loop);
    env.dns = dns_create(&loop, "127.0.0.1:9", 1000, why, sizeof why);
    assert_true(env.poller && env.dns);
    report_init(&report);
    request = (struct probe_request){.imap = true, .imaps = true, .timeout_ms = 2000};
    if (cancel_ms == 0 && (first == SAY_NOTHING || second == SAY_NOTHING)) {
        request.timeout_ms = GIVE_UP_MS;
    }
    strcpy(request.host, "localhost");
    probe = probe_start(&env, &request, &report, 0, on_done, NULL);
    assert_non_null(probe);
    if (cancel_ms > 0) {
        uv_timer_start(&cancelling, on_cancelling, cancel_ms, 0);
    }
    while (ends == 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    dns_free(&env.dns);
    poller_free(&env.poller);
    uv_close((uv_handle_t *)&answering, NULL);
    uv_close((uv_handle_t *)&cancelling, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(ends, 1);
    assert_null(awaited);
    close(fds[0]);
    close(fds[1]);
}

static void finish(void)
{
    report_deinit(&report);
}

static void check_reported(void)
{
    assert_int_equal(ended.outcome, PROBE_REPORTED);
    assert_int_equal(asked_count, 2);
    assert_false(ip_equal(&asked[0], &asked[1]));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(report.ports[i].try_count, 2);
        assert_int_equal(report.ports[i].error.phase, PHASE_CONNECT);
    }
    assert_int_equal(withdrawn, 0);
    finish();
}

static void test_granted(void **state)
{
    (void)state;
    test(GRANT, GRANT, 0);
    check_reported();
    test(GRANT_LATER, GRANT_LATER, 0);
    check_reported();
    test(GRANT, GRANT_LATER, 0);
    check_reported();
    test(GRANT_LATER, GRANT, 0);
    check_reported();
}

static void check_limited(size_t questions)
{
    assert_int_equal(ended.outcome, PROBE_LIMITED);
    assert_int_equal(ended.retry_after_s, WAIT_S);
    assert_int_equal(asked_count, questions);
    assert_int_equal(withdrawn, 0);
    finish();
}

static void test_refused(void **state)
{
    (void)state;
    test(REFUSE, GRANT, 0);
    check_limited(1);
    test(REFUSE_LATER, GRANT, 0);
    check_limited(1);
    test(GRANT, REFUSE, 0);
    check_limited(2);
    test(GRANT_LATER, REFUSE_LATER, 0);
    check_limited(2);
}

static void test_cancelled_while_it_waits(void **state)
{
    (void)state;
    test(SAY_NOTHING, GRANT, GIVE_UP_MS);
    assert_int_equal(ended.outcome, PROBE_CANCELLED);
    assert_int_equal(withdrawn, 1);
    finish();
    test(GRANT_LATER, SAY_NOTHING, GIVE_UP_MS);
    assert_int_equal(ended.outcome, PROBE_CANCELLED);
    assert_int_equal(withdrawn, 1);
    finish();
}

/* A host that was never tried is not said to be down. */
static void test_the_deadline_ends_the_first_wait(void **state)
{
    (void)state;
    test(SAY_NOTHING, SAY_NOTHING, 0);
    assert_int_equal(ended.outcome, PROBE_OVERLOADED);
    assert_int_equal(withdrawn, 1);
    finish();
}

static void test_the_deadline_ends_a_later_wait(void **state)
{
    (void)state;
    test(GRANT_LATER, SAY_NOTHING, 0);
    assert_int_equal(ended.outcome, PROBE_REPORTED);
    assert_true(report.deadline_exceeded);
    assert_int_equal(report.dns.error.code, ERROR_NONE);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(report.ports[i].error.code, ERROR_DEADLINE_EXCEEDED);
        assert_int_equal(report.ports[i].error.phase, PHASE_CONNECT);
        assert_int_equal(report.ports[i].try_count, 1);
    }
    assert_int_equal(withdrawn, 1);
    finish();
}

static int set_up(void **state)
{
    char why[256] = "";
    (void)state;
    tls = dns_library_init() ? tls_env_create(TEST_ROOT, why, sizeof why) : NULL;
    return tls ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tls_env_release(&tls);
    dns_library_cleanup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_granted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cancelled_while_it_waits),
        cmocka_unit_test(test_the_deadline_ends_the_first_wait),
        cmocka_unit_test(test_the_deadline_ends_a_later_wait),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

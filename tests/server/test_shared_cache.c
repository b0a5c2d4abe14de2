/* The figures of the shared cache: what each answer of a store, and its want, is counted as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/shared_cache.h"

#define WHY_SIZE 512
#define ENOUGH 16384

static uv_loop_t loop;
static uv_tcp_t listener, peer;
static const char *next_reply; /* to each command but the first, which is PING; NULL: the peer leaves */
static size_t commands;

static struct config config;
static struct tls_env *tls;
static struct targets *targets;
static struct shared_cache *cache;
static struct shared_link *shared;
static struct job *job;
static struct permit permit;

static int looked_up = -1, permitted = -1;

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    static char bytes[ENOUGH];
    (void)handle;
    (void)suggested;
    *room = uv_buf_init(bytes, sizeof bytes);
}

/* Each command comes in one piece, and the next not before its answer. */
static void on_command(uv_stream_t *stream, ssize_t len, const uv_buf_t *bytes)
{
    const char *reply = commands == 0 ? "+PONG\r\n" : next_reply;
    (void)bytes;
    if (len <= 0) {
        return;
    }
    commands++;
    if (!reply) {
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)reply, (unsigned)strlen(reply));
    assert_int_equal(uv_try_write(stream, &out, 1), (int)strlen(reply));
}

static void on_peer(uv_stream_t *server, int status)
{
    assert_int_equal(status, 0);
    uv_tcp_init(&loop, &peer);
    assert_int_equal(uv_accept(server, (uv_stream_t *)&peer), 0);
    uv_read_start((uv_stream_t *)&peer, on_room, on_command);
}

static void on_looked_up(struct job *of, bool found)
{
    assert_ptr_equal(of, job);
    looked_up = found;
}

static void on_answer(struct permit *of, unsigned wait_s)
{
    assert_ptr_equal(of, &permit);
    permitted = (int)wait_s;
}

static struct shared_cache_stats stats(void)
{
    struct shared_cache_stats s;
    shared_cache_stats(cache, &s);
    return s;
}

static char *no_variable(const char *name)
{
    (void)name;
    return NULL;
}

static void on_job_done(struct job *of)
{
    (void)of;
}

/* A name has two addresses, and only the second is one where the store is. */
static struct sockaddr_in addresses[2];
static struct addrinfo second_found = {.ai_addr = (struct sockaddr *)&addresses[1]};
static struct addrinfo first_found = {.ai_addr = (struct sockaddr *)&addresses[0], .ai_next = &second_found};
static uv_timer_t resolving;
static uv_getaddrinfo_t *resolve;
static uv_getaddrinfo_cb on_found;

int __wrap_uv_getaddrinfo(uv_loop_t *on, uv_getaddrinfo_t *request, uv_getaddrinfo_cb callback,
                          const char *node, const char *service, const struct addrinfo *hints);
void __wrap_uv_freeaddrinfo(struct addrinfo *found);

static void on_resolving(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
    on_found(resolve, 0, &first_found);
}

int __wrap_uv_getaddrinfo(uv_loop_t *on, uv_getaddrinfo_t *request, uv_getaddrinfo_cb callback,
                          const char *node, const char *service, const struct addrinfo *hints)
{
    assert_string_equal(node, "store.test");
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    resolve = request;
    on_found = callback;
    for (int i = 0; i < 2; i++) {
        addresses[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(service))};
        addresses[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 - (uint32_t)i);
    }
    uv_timer_init(on, &resolving);
    uv_timer_start(&resolving, on_resolving, 0, 0);
    return 0;
}

void __wrap_uv_freeaddrinfo(struct addrinfo *found)
{
    assert_true(!found || found == &first_found);
}

static int set_up(void **state)
{
    static struct sockaddr_in any = {.sin_family = AF_INET};
    static char url[64],
        *arguments[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t) "--shared-cache", url};
    struct query query = {.probe = {.host = "imap.example.com"}};
    char why[WHY_SIZE] = "", err[CONFIG_ERROR_SIZE] = "";
    int len = sizeof any;

    uv_loop_init(&loop);
    uv_tcp_init(&loop, &listener);
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    any.sin_port = 0;
    assert_int_equal(uv_tcp_bind(&listener, (struct sockaddr *)&any, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&listener, 8, on_peer), 0);
    assert_int_equal(uv_tcp_getsockname(&listener, (struct sockaddr *)&any, &len), 0);
    snprintf(url, sizeof url, *state ? "redis://store.test:%u" : "redis://127.0.0.1:%u", ntohs(any.sin_port));
    assert_int_equal(config_load(&config, 3, arguments, no_variable, err), CONFIG_RUN);
    tls = tls_env_create(TEST_ROOT, why, WHY_SIZE);
    targets = targets_create(&config, why, WHY_SIZE);
    assert_true(tls && targets);
    cache = shared_cache_create(&config, targets, why, WHY_SIZE);
    assert_non_null(cache);
    job = job_create(&query, on_job_done, NULL);
    assert_non_null(job);
    commands = 0;
    next_reply = NULL;
    shared = shared_link_open(cache, &loop, tls);
    assert_non_null(shared);
    while (!stats().up) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shared_link_close(&shared);
    uv_close((uv_handle_t *)&listener, NULL);
    if (!uv_is_closing((uv_handle_t *)&peer)) {
        uv_close((uv_handle_t *)&peer, NULL);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    job_free(&job);
    shared_cache_free(&cache);
    targets_free(&targets);
    tls_env_release(&tls);
    config_deinit(&config);
    return 0;
}

/* -1: it was not asked. */
static int look_up(const char *reply)
{
    next_reply = reply;
    looked_up = -1;
    if (shared_link_look_up(shared, job, on_looked_up)) {
        assert_int_equal(looked_up, -1);
        while (looked_up < 0) {
            uv_run(&loop, UV_RUN_ONCE);
        }
    }
    return looked_up;
}

static int ask_permit(const char *reply)
{
    next_reply = reply;
    permit = (struct permit){.ip = {4, {192, 0, 2, 1}}, .on_answer = on_answer};
    permitted = -1;
    unsigned wait_s = shared_link_permit(shared, &permit);
    while (wait_s == PERMIT_LATER && permitted < 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    return wait_s == PERMIT_LATER ? permitted : (int)wait_s;
}

static void test_results(void **state)
{
    (void)state;
    assert_int_equal(look_up("$-1\r\n"), false);
    assert_int_equal(stats().misses, 1);
    assert_int_equal(look_up("$7\r\n9000 {}\r\n"), false);
    assert_int_equal(stats().rejected, 1);
    assert_int_equal(look_up("-ERR no\r\n"), false);
    assert_int_equal(look_up(":1\r\n"), false);
    assert_int_equal(stats().errors, 2);

    struct cached report = {.verdict = VERDICT_OK, .body = shared_create("{}", 2)};
    next_reply = "+OK\r\n";
    shared_link_store(shared, job, &report);
    while (stats().stored == 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    shared_release(report.body);
    job->query.fresh = true;
    assert_false(shared_link_look_up(shared, job, on_looked_up));
    struct shared_cache_stats s = stats();
    assert_int_equal(s.hits + s.unavailable + s.failures + s.permitted + s.limited, 0);
    assert_true(s.up);
}

/* What was asked for before belongs to neither the old roots nor the new ones. */
static void test_other_roots_meanwhile(void **state)
{
    (void)state;
    next_reply = "$7\r\n9000 {}\r\n";
    looked_up = -1;
    assert_true(shared_link_look_up(shared, job, on_looked_up));
    shared_link_set_roots(shared, tls);
    while (looked_up < 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(looked_up, false);
    assert_int_equal(stats().misses, 1);
    assert_int_equal(stats().rejected, 0);

    size_t before = commands;
    struct cached report = {.verdict = VERDICT_OK, .body = shared_create("{}", 2)};
    shared_link_store(shared, job, &report);
    shared_release(report.body);
    for (int i = 0; i < 100; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(commands, before);
}

static void test_limits(void **state)
{
    (void)state;
    assert_int_equal(ask_permit(":0\r\n"), 0);
    assert_int_equal(stats().permitted, 1);
    assert_int_equal(ask_permit(":1\r\n"), 1);
    assert_int_equal(ask_permit(":6000000\r\n"), 6); /* of 10/60 the longest */
    assert_int_equal(stats().limited, 2);
    assert_int_equal(ask_permit(":6000001\r\n"), 0);
    assert_int_equal(ask_permit(":-1\r\n"), 0);
    assert_int_equal(ask_permit("-WRONGTYPE\r\n"), 0);
    assert_int_equal(stats().errors, 3);
    /* This replica's own limit counts those that were let through, whatever the others say. */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(ask_permit(":0\r\n"), 0);
    }
    assert_int_equal(ask_permit(":0\r\n"), 6);
}

static void test_away(void **state)
{
    (void)state;
    assert_int_equal(look_up(NULL), false);
    struct shared_cache_stats s = stats();
    assert_int_equal(s.unavailable, 1);
    assert_int_equal(s.failures, 1);
    assert_false(s.up);
    assert_int_equal(look_up("$-1\r\n"), -1);
    assert_int_equal(ask_permit(":1\r\n"), 0);
    assert_int_equal(stats().unavailable, 3);
    assert_int_equal(stats().failures, 1);
}

static void test_silent(void **state)
{
    (void)state;
    uint64_t begun = uv_now(&loop);
    assert_int_equal(look_up(""), false);
    assert_in_range(uv_now(&loop) - begun, 200, 2000);
    assert_int_equal(stats().unavailable, 1);
    assert_int_equal(stats().failures, 1);
    assert_int_equal(look_up(""), -1);
}

static void test_forgotten(void **state)
{
    (void)state;
    size_t before = commands;
    next_reply = "$-1\r\n";
    looked_up = permitted = -1;
    assert_true(shared_link_look_up(shared, job, on_looked_up));
    shared_link_forget(job);
    while (commands == before) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(looked_up, -1);
    permit = (struct permit){.ip = {4, {192, 0, 2, 1}}, .on_answer = on_answer};
    assert_int_equal(look_up("$-1\r\n"), false);
    next_reply = ":0\r\n";
    assert_int_equal(shared_link_permit(shared, &permit), PERMIT_LATER);
    shared_link_withdraw(shared, &permit);
    assert_int_equal(permitted, -1);
}

static void test_second_address(void **state)
{
    (void)state;
    assert_int_equal(look_up("$-1\r\n"), false);
    assert_int_equal(stats().misses, 1);
    assert_int_equal(stats().failures, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static char by_name[] = "a name";
    const struct CMUnitTest tests[] = {
        {"test_second_address", test_second_address, set_up, tear_down, by_name},
        TEST(test_results),
        TEST(test_other_roots_meanwhile),
        TEST(test_limits),
        TEST(test_away),
        TEST(test_silent),
        TEST(test_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

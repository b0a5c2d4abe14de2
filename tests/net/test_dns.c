/* Look-ups whose server stays silent or answers nonsense, and what becomes of them when they are given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "probe/net/dns.h"

#define TIMEOUT_MS 200

static uv_loop_t loop;
static uv_udp_t server;
static struct dns *dns;
static bool answers; /* whether the server does, with records announced that are not there */
static bool fails;   /* it says SERVFAIL instead */
static size_t answered;
static struct dns_answer answer;

static void on_room(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    static char room[65536];
    (void)handle;
    (void)size;
    *buf = uv_buf_init(room, sizeof room);
}

static void on_query(uv_udp_t *handle, ssize_t len, const uv_buf_t *buf, const struct sockaddr *from,
                     unsigned flags)
{
    (void)flags;
    if (len < 12 || !from || !answers) {
        return;
    }
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)len);
    out.base[2] = (char)0x81; /* a response, recursion desired */
    out.base[3] = (char)0x80;
    if (fails) {
        out.base[3] = (char)0x82;
        uv_udp_try_send(handle, &out, 1, from);
        return;
    }
    out.base[7] = 1; /* one answer, of which there is but the name of the OPT record (RFC 6891 section 6.1) */
    out.base[11] = 0;
    out.len -= 10;
    uv_udp_try_send(handle, &out, 1, from);
}

static void on_answer(void *owner, const struct dns_answer *a)
{
    assert_ptr_equal(owner, &answer);
    answer = *a;
    answered++;
}

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_in any;
    struct sockaddr_storage bound;
    int size = sizeof bound;
    char servers[64], why[256];
    answers = fails = false;
    answered = 0;
    assert_true(dns_library_init());
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_udp_init(&loop, &server), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &any), 0);
    assert_int_equal(uv_udp_bind(&server, (const struct sockaddr *)&any, 0), 0);
    assert_int_equal(uv_udp_getsockname(&server, (struct sockaddr *)&bound, &size), 0);
    assert_int_equal(uv_udp_recv_start(&server, on_room, on_query), 0);
    uv_unref((uv_handle_t *)&server);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(((struct sockaddr_in *)&bound)->sin_port));
    dns = dns_create(&loop, servers, TIMEOUT_MS, why, sizeof why);
    assert_non_null(dns);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dns_free(&dns);
    assert_null(dns);
    dns_free(&dns); /* nothing to free */
    uv_close((uv_handle_t *)&server, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    dns_library_cleanup();
    return 0;
}

static struct dns_lookup *ask(const char *name)
{
    struct dns_lookup *lookup = dns_lookup(dns, name, on_answer, &answer);
    assert_non_null(lookup);
    assert_int_equal(answered, 0); /* never inside the call */
    return lookup;
}

/* Runs until the first answer, at most for some seconds. */
static void await_answer(void)
{
    uint64_t end = uv_hrtime() + (uint64_t)10000000000;
    while (answered == 0 && uv_hrtime() < end) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(answered, 1);
}

static void test_silence(void **state)
{
    (void)state;
    ask("silent.example");
    await_answer();
    assert_int_equal(answer.failure.code, ERROR_DNS_TIMEOUT);
    assert_int_equal(answer.count, 0);
    assert_false(answer.ours);
}

static void test_nonsense(void **state)
{
    (void)state;
    answers = true;
    ask("odd.example");
    await_answer();
    assert_int_equal(answer.failure.code, ERROR_DNS_SERVER_FAILURE);
    assert_string_equal(answer.failure.raw, "ARES_EBADRESP");
}

/* There are descriptors again when the answer is given, and for the next question. */
static void test_no_descriptors(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {0, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    ask("first.example");
    setrlimit(RLIMIT_NOFILE, &limit);
    await_answer();
    assert_true(answer.ours);
    answers = fails = true;
    answered = 0;
    ask("second.example");
    await_answer();
    assert_false(answer.ours);
    assert_int_equal(answer.failure.code, ERROR_DNS_SERVER_FAILURE);
    assert_string_equal(answer.failure.raw, "ARES_ECONNREFUSED");
}

static void test_name_that_cannot_be_asked(void **state)
{
    (void)state;
    ask("two..dots.example");
    await_answer();
    assert_int_equal(answer.failure.code, ERROR_DNS_NAME_NOT_FOUND);
}

static void test_cancel(void **state)
{
    (void)state;
    struct dns_lookup *kept = ask("kept.example"), *given_up = ask("given-up.example");
    dns_cancel(&given_up);
    assert_null(given_up);
    await_answer();
    (void)kept;
    uint64_t end = uv_hrtime() + (uint64_t)2 * TIMEOUT_MS * 1000000;
    while (uv_hrtime() < end && uv_loop_alive(&loop)) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(answered, 1);
}

/* tear_down() frees the resolver while both are under way, one of them given up before. */
static void test_free_under_way(void **state)
{
    ask("first.example");
    struct dns_lookup *second = ask("second.example");
    dns_cancel(&second);
    tear_down(state);
    assert_int_equal(answered, 0);
    set_up(state);
}

static void test_servers_that_are_none(void **state)
{
    (void)state;
    char why[256] = "";
    assert_null(dns_create(&loop, "127.0.0.1:port", TIMEOUT_MS, why, sizeof why));
    assert_true(strlen(why) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_descriptors),
        TEST(test_silence),
        TEST(test_nonsense),
        TEST(test_name_that_cannot_be_asked),
        TEST(test_cancel),
        TEST(test_free_under_way),
        TEST(test_servers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

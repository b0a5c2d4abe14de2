/* The last look at an address: what goes to connect() is what the policy is asked about. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/net/conn.h"

struct outcome {
    struct conn *conn;
    enum error_code code;
    bool opened, ended, closed;
};

static struct ip asked;

static bool refuse(const void *context, const struct ip *ip)
{
    (void)context;
    asked = *ip;
    return false;
}

static bool allow(const void *context, const struct ip *ip)
{
    (void)context;
    asked = *ip;
    return true;
}

static void on_event(void *owner, enum conn_event event)
{
    struct outcome *o = owner;
    o->opened |= event == CONN_OPENED;
    o->closed |= event == CONN_CLOSED;
    if (event == CONN_ENDED) {
        o->ended = true;
        o->code = o->conn->failure.code;
    }
    if (event != CONN_CLOSED) {
        conn_close(o->conn);
    }
}

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    *port = ntohs(sin.sin_port);
    return fd;
}

/* Returns whether the listener was reached. */
static bool connect_through(bool (*allowed)(const void *, const struct ip *), struct outcome *o)
{
    struct target_guard guard = {allowed, NULL};
    struct ip loopback = {.family = 4, .bytes = {127, 0, 0, 1}};
    struct conn conn;
    uv_loop_t loop;
    uint16_t port;
    int fd = listen_on_loopback(&port);

    *o = (struct outcome){.conn = &conn};
    asked = (struct ip){.family = 0};
    assert_int_equal(uv_loop_init(&loop), 0);
    struct poller *poller = poller_create(&loop);
    assert_non_null(poller);
    conn_init(&conn, &loop, poller, on_event, o);
    conn_open(&conn, &guard, &loopback, port);
    conn_wait(&conn, 10000);
    assert_false(o->ended);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(o->closed);
    poller_free(&poller);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_true(ip_equal(&asked, &loopback));
    int accepted = accept(fd, NULL, NULL);
    if (accepted >= 0) {
        close(accepted);
    }
    close(fd);
    return accepted >= 0;
}

static void test_what_is_refused_is_not_connected_to(void **state)
{
    struct outcome o;
    (void)state;
    assert_false(connect_through(refuse, &o));
    assert_true(o.ended);
    assert_false(o.opened);
    assert_int_equal(o.code, ERROR_ADDRESS_BLOCKED);
}

static void test_what_is_allowed_is(void **state)
{
    struct outcome o;
    (void)state;
    assert_true(connect_through(allow, &o));
    assert_true(o.opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_refused_is_not_connected_to),
        cmocka_unit_test(test_what_is_allowed_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The health check: whom it asks, and which answer it takes for a good one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/health.h"

static void test_target(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *address;
        uint16_t port;
    } rows[] = {
        {"127.0.0.1:8080", "127.0.0.1", 8080},
        {"192.0.2.7:80", "192.0.2.7", 80},
        {"0.0.0.0:8080", "127.0.0.1", 8080},
        {"[::]:65535", "::1", 65535},
        {"[::1]:1", "::1", 1},
        {"[2001:db8::]:8080", "2001:db8::", 8080},
        {"0.0.0.1:8080", "0.0.0.1", 8080},
        {"[::ffff:0.0.0.0]:8080", "::ffff:0.0.0.0", 8080},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ip ip;
        uint16_t port = 0;
        char text[IP_TEXT_SIZE];
        assert_true(health_target(rows[i].endpoint, &ip, &port));
        assert_string_equal(ip_format(&ip, text), rows[i].address);
        assert_int_equal(port, rows[i].port);
    }
}

static void test_no_target(void **state)
{
    (void)state;
    struct ip ip;
    uint16_t port;
    assert_false(health_target("127.0.0.1:0", &ip, &port));
    assert_false(health_target("[::]:0", &ip, &port));
    assert_false(health_target("127.0.0.1", &ip, &port));
    assert_false(health_target("localhost:8080", &ip, &port));
}

static bool good(const char *answer)
{
    return health_answer_good(answer, strlen(answer));
}

static void test_answers(void **state)
{
    (void)state;
    assert_true(good("HTTP/1.1 200 OK\r\n"));
    assert_true(good("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert_true(good("HTTP/1.1 200 "));
    assert_true(good("HTTP/1.1 200\r\n"));
    static const char *const bad[] = {
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 503 Service Unavailable\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.12200 OK\r\n",
        "http/1.1 200 OK\r\n",
        " HTTP/1.1 200 OK\r\n",
        "* OK IMAP4rev1 200 ready\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(good(bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_no_target),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

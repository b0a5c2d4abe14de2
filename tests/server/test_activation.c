#include "server/activation.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define FIRST 3

static char why[256];

/* Puts a descriptor where the protocol wants it. */
static void pass(int index, int fd)
{
    assert_int_not_equal(fd, -1);
    if (fd != FIRST + index) {
        assert_int_equal(dup2(fd, FIRST + index), FIRST + index);
        close(fd);
    }
    assert_int_equal(fcntl(FIRST + index, F_SETFD, 0), 0);
}

static int listening(int family)
{
    int fd = socket(family, SOCK_STREAM, 0);
    assert_int_equal(listen(fd, 5), 0); /* binds it as well */
    return fd;
}

static void announce(long pid, const char *fds, const char *names)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", pid);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", fds, 1);
    if (names) {
        setenv("LISTEN_FDNAMES", names, 1);
    } else {
        unsetenv("LISTEN_FDNAMES");
    }
    memset(why, 0, sizeof why);
}

static bool taken(struct activation *a)
{
    bool ok = activation_take(a, why, sizeof why);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    return ok;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_nothing_passed(void **state)
{
    struct activation a;
    (void)state;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    assert_true(taken(&a));
    assert_int_equal(a.count, 0);
    assert_int_equal(a.admin, -1);
    activation_deinit(&a);
    announce((long)getpid(), "0", NULL);
    assert_true(taken(&a));
    assert_int_equal(a.count, 0);
    activation_deinit(&a);
}

static void test_what_is_for_another_process_is_left_alone(void **state)
{
    struct activation a;
    (void)state;
    pass(0, listening(AF_INET));
    announce((long)getppid(), "1", NULL);
    assert_true(taken(&a));
    assert_int_equal(a.count, 0);
    activation_deinit(&a);
    assert_true(is_open(FIRST));
    assert_int_equal(fcntl(FIRST, F_GETFD), 0);
    close(FIRST);
}

static void test_sockets_are_taken_by_name(void **state)
{
    struct activation a;
    (void)state;
    pass(0, listening(AF_INET));
    pass(1, listening(AF_INET));
    pass(2, listening(AF_INET6));
    announce((long)getpid(), "3", "imap-testd.socket:admin:");
    assert_true(taken(&a));
    assert_int_equal(a.count, 2);
    assert_int_equal(a.sockets[0], FIRST);
    assert_int_equal(a.sockets[1], FIRST + 2);
    assert_int_equal(a.admin, FIRST + 1);
    for (int fd = FIRST; fd < FIRST + 3; fd++) {
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
    activation_deinit(&a);
    for (int fd = FIRST; fd < FIRST + 3; fd++) {
        assert_false(is_open(fd));
    }
    assert_int_equal(a.count, 0);
    assert_int_equal(a.admin, -1);
}

static void test_names_may_be_missing(void **state)
{
    static const char *const names[] = {NULL, "", "administration", "a:b:c"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct activation a;
        pass(0, listening(AF_INET));
        announce((long)getpid(), "1", names[i]);
        assert_true(taken(&a));
        assert_int_equal(a.count, 1);
        assert_int_equal(a.admin, -1);
        activation_deinit(&a);
    }
}

static int local(void)
{
    struct sockaddr_un nowhere = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&nowhere, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

/* What cannot be served on is refused, in words that lead to the line of the socket unit. */
static void test_other_descriptors_are_refused(void **state)
{
    const struct {
        int fd;
        const char *what;
    } rows[] = {
        {open("/dev/null", O_RDONLY), "not a socket"},
        {socket(AF_INET, SOCK_STREAM, 0), "does not listen"},
        {socket(AF_INET, SOCK_DGRAM, 0), "not a stream socket"},
        {local(), "not of IPv4 or IPv6"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct activation a;
        pass(9, rows[i].fd);
        pass(0, dup(FIRST + 9));
        close(FIRST + 9);
        announce((long)getpid(), "1", NULL);
        assert_false(taken(&a));
        assert_non_null(strstr(why, rows[i].what));
        assert_non_null(strstr(why, "descriptor 3"));
        activation_deinit(&a);
        close(FIRST);
    }
}

static void test_second_admin_socket_and_closed_one(void **state)
{
    struct activation a;
    (void)state;
    pass(0, listening(AF_INET));
    pass(1, listening(AF_INET));
    announce((long)getpid(), "2", "admin:admin");
    assert_false(taken(&a));
    assert_non_null(strstr(why, "second"));
    activation_deinit(&a);
    close(FIRST + 1);
    pass(0, listening(AF_INET));
    announce((long)getpid(), "2", NULL);
    assert_false(taken(&a));
    assert_non_null(strstr(why, "descriptor 4"));
    assert_non_null(strstr(why, "not open"));
    activation_deinit(&a);
    assert_false(is_open(FIRST));
}

static void test_numbers_that_are_none(void **state)
{
    static const char *const wrong[] = {"", " 1", "1 ", "-1", "+1", "one", "1001", "99999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct activation a;
        announce((long)getpid(), wrong[i], NULL);
        assert_false(taken(&a));
        assert_non_null(strstr(why, "LISTEN_FDS"));
        activation_deinit(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_passed),
        cmocka_unit_test(test_what_is_for_another_process_is_left_alone),
        cmocka_unit_test(test_sockets_are_taken_by_name),
        cmocka_unit_test(test_names_may_be_missing),
        cmocka_unit_test(test_other_descriptors_are_refused),
        cmocka_unit_test(test_second_admin_socket_and_closed_one),
        cmocka_unit_test(test_numbers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

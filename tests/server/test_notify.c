#include "server/notify.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* A manager at an address of its own: `name` as NOTIFY_SOCKET has it. */
static int manager(const char *name)
{
    struct sockaddr_un ss = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(ss.sun_path, name, len);
    if (name[0] == '@') {
        ss.sun_path[0] = '\0';
    }
    assert_int_equal(
        bind(fd, (struct sockaddr *)&ss, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *heard(int fd)
{
    static char text[1024];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, 0) == 1 ? recv(fd, text, sizeof text - 1, 0) : 0;
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void check_life(const char *name)
{
    struct notify n;
    unsigned long long us = 0;
    struct timespec now;
    int fd = manager(name);

    notify_open(&n);
    assert_null(getenv("NOTIFY_SOCKET"));
    notify_ready(&n, "Well");
    assert_string_equal(heard(fd), "READY=1\nSTATUS=Well");
    notify_reloading(&n);
    assert_int_equal(sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=", &us), 1);
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_in_range((unsigned long long)now.tv_sec * 1000000 - us + 60000000, 58000000, 120000000);
    notify_stopping(&n, "Soon");
    assert_string_equal(heard(fd), "STOPPING=1\nSTATUS=Soon");
    assert_string_equal(heard(fd), "");
    close(fd);
    notify_stopping(&n, "The manager has left");
}

static void test_path(void **state)
{
    char folder[] = "/tmp/imap-test-notify-XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    check_life(path);
    unlink(path);
    rmdir(folder);
}

static void test_abstract_name(void **state)
{
    char name[64];
    (void)state;
    snprintf(name, sizeof name, "@imap-test-notify-%ld", (long)getpid());
    check_life(name);
}

static void test_nobody_asks_to_be_told(void **state)
{
    static const char *const names[] = {
        NULL, "", "@", "/", "relative/socket", "vsock:2:1234", "/nonexistent/socket"};
    char too_long[200];
    (void)state;
    memset(too_long, 'x', sizeof too_long);
    too_long[0] = '/';
    too_long[sizeof too_long - 1] = '\0';
    for (size_t i = 0; i <= sizeof names / sizeof names[0]; i++) {
        const char *name = i < sizeof names / sizeof names[0] ? names[i] : too_long;
        struct notify n;
        if (name) {
            setenv("NOTIFY_SOCKET", name, 1);
        } else {
            unsetenv("NOTIFY_SOCKET");
        }
        notify_open(&n);
        assert_null(getenv("NOTIFY_SOCKET"));
        assert_int_equal(n.len > 0, name && strcmp(name, "/nonexistent/socket") == 0);
        notify_ready(&n, "");
        notify_reloading(&n);
        notify_stopping(&n, "");
    }
}

/* One that reads nothing costs some seconds at most, not the service. */
static void test_manager_that_does_not_read(void **state)
{
    struct notify n;
    char name[64];
    struct timespec begin, end;
    (void)state;
    snprintf(name, sizeof name, "@imap-test-notify-full-%ld", (long)getpid());
    int fd = manager(name), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof one);
    notify_open(&n);
    int writer = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    while (sendto(writer, "x", 1, 0, (struct sockaddr *)&n.address, n.len) == 1) {
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    notify_ready(&n, "Well");
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range(end.tv_sec - begin.tv_sec, 0, 10);
    close(writer);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_abstract_name),
        cmocka_unit_test(test_nobody_asks_to_be_told),
        cmocka_unit_test(test_manager_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "server/callers.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/log.h"

#define MOST 5

static struct {
    struct callers *callers;
    int ours[MOST], theirs[MOST];
    struct caller *caller[MOST];
    size_t count;
} f;

static atomic_int gone;

static bool on_gone(void *context)
{
    (void)context;
    atomic_fetch_add(&gone, 1);
    return false;
}

static void on_released(void *context)
{
    (void)context;
}

static const struct caller_watch watch = {NULL, on_gone, on_released};

/* A connection over TCP, since what was sent before its reading is ended must still be there to be read. */
static size_t add(void)
{
    struct sockaddr_in ss = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof ss;
    size_t i = f.count++;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(i < MOST);
    assert_int_equal(bind(listening, (struct sockaddr *)&ss, sizeof ss), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&ss, &len), 0);
    f.theirs[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(f.theirs[i], (struct sockaddr *)&ss, sizeof ss), 0);
    f.ours[i] = accept(listening, NULL, NULL);
    assert_true(f.ours[i] >= 0);
    close(listening);
    f.caller[i] = callers_add(f.callers, f.ours[i], (struct sockaddr *)&ss);
    assert_non_null(f.caller[i]);
    return i;
}

static void drop(size_t i)
{
    callers_remove(f.callers, f.caller[i]);
    close(f.ours[i]);
    close(f.theirs[i]);
}

/* What the library reads at once: "" is the end, NULL nothing yet. */
static const char *read_now(size_t i)
{
    static char text[64];
    ssize_t n = recv(f.ours[i], text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return n >= 0 ? text : NULL;
}

static void ask(size_t i)
{
    struct pollfd p = {.fd = f.ours[i], .events = POLLIN};
    assert_int_equal(write(f.theirs[i], "GET", 3), 3);
    assert_int_equal(poll(&p, 1, 1000), 1);
}

static bool is_open(size_t i)
{
    struct pollfd p = {.fd = f.theirs[i], .events = POLLIN};
    return poll(&p, 1, 20) == 0;
}

static void test_the_end_loses_nothing_that_came_before(void **state)
{
    size_t idle = add(), asked = add(), waiting = add(), answering = add();
    (void)state;
    ask(asked);
    caller_waiting(f.callers, f.caller[waiting], &watch);
    caller_answering(f.callers, f.caller[answering]);
    assert_true(callers_asking(f.callers));
    callers_end(f.callers);
    assert_string_equal(read_now(idle), "");
    assert_string_equal(read_now(asked), "GET");
    assert_string_equal(read_now(asked), "");
    assert_true(is_open(asked)); /* it still gets its answer */
    assert_null(read_now(waiting));
    assert_null(read_now(answering));
    /* Its test runs to the end: nobody has left. */
    caller_waiting(f.callers, f.caller[asked], &watch);
    (void)poll(NULL, 0, 50);
    assert_int_equal(atomic_load(&gone), 0);
    caller_answering(f.callers, f.caller[asked]);
    /* Whoever has its answer asks no more, nor does one that comes late. */
    caller_asking(f.callers, f.caller[answering]);
    assert_string_equal(read_now(answering), "");
    size_t late = add();
    assert_string_equal(read_now(late), "");
    drop(idle);
    drop(late);
    drop(answering);
    assert_false(callers_asking(f.callers));
    caller_answering(f.callers, f.caller[waiting]);
    drop(waiting);
    assert_true(callers_left(f.callers));
    drop(asked);
    assert_false(callers_left(f.callers));
}

static int set_up(void **state)
{
    const struct callers_limits limits = {0, 0, 100, 50, 60000};
    const struct config_list none = {NULL, 0};
    struct client_proxies *trusted = client_proxies_create(&none);
    char why[256] = "";
    *state = trusted;
    f.callers = callers_create(&limits, trusted, why, sizeof why);
    return trusted && f.callers ? 0 : -1;
}

static int tear_down(void **state)
{
    struct client_proxies *trusted = *state;
    callers_free(&f.callers);
    client_proxies_free(&trusted);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_end_loses_nothing_that_came_before, set_up, tear_down),
    };
    char why[128];
    assert_true(log_open(NULL, LOG_FORMAT_JSON, LOG_LEVEL_ERROR, why, sizeof why));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

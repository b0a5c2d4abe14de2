#include "server/callers.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/base/limits.h"
#include "server/log.h"
#include "server/shared.h"

#define MOST 40

/* As in server/callers.c. */
#define MOST_LEAVING 16
#define MOST_HELD_UP_MS 1000

struct fixture {
    struct config_list proxies;
    struct client_proxies *trusted;
    struct callers *callers;
    int ours[MOST], theirs[MOST];
    struct caller *caller[MOST];
    size_t count;
};

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage ss;
    struct ip ip;
    assert_true(ip_parse(&ip, text));
    (void)ip_to_sockaddr(&ip, 1234, &ss);
    return ss;
}

static void open_fixture(struct fixture *f, unsigned per_client, size_t crowded, unsigned transfer_ms)
{
    struct callers_limits limits = {per_client, 0, crowded, 50, transfer_ms};
    static char proxy[] = "192.0.2.0/24";
    static char *items[] = {proxy};
    char why[256] = "";
    memset(f, 0, sizeof *f);
    f->proxies = (struct config_list){items, 1};
    f->trusted = client_proxies_create(&f->proxies);
    f->callers = callers_create(&limits, f->trusted, why, sizeof why);
    assert_non_null(f->callers);
}

static size_t add(struct fixture *f, const char *from)
{
    struct sockaddr_storage ss = address(from);
    int pair[2];
    size_t i = f->count++;
    assert_true(i < MOST);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->ours[i] = pair[0];
    f->theirs[i] = pair[1];
    f->caller[i] = callers_add(f->callers, pair[0], (struct sockaddr *)&ss);
    assert_non_null(f->caller[i]);
    return i;
}

static void drop(struct fixture *f, size_t i)
{
    callers_remove(f->callers, f->caller[i]);
    close(f->ours[i]);
    f->caller[i] = NULL;
}

static void close_fixture(struct fixture *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->caller[i]) {
            drop(f, i);
        }
        close(f->theirs[i]);
    }
    callers_free(&f->callers);
    assert_null(f->callers);
    client_proxies_free(&f->trusted);
}

/* Whether the other side sees the end of the connection within the time. */
static bool cut_within(const struct fixture *f, size_t i, int ms)
{
    struct pollfd p = {.fd = f->theirs[i], .events = POLLIN};
    char byte;
    return poll(&p, 1, ms) == 1 && read(f->theirs[i], &byte, 1) == 0;
}

static bool welcome(const struct fixture *f, const char *from)
{
    struct sockaddr_storage ss = address(from);
    return callers_welcome(f->callers, (struct sockaddr *)&ss);
}

static void test_whoever_asks_too_slowly_is_cut(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, 0, 100, 1000);
    (void)poll(NULL, 0, 100); /* nobody is there: the thread sleeps */
    size_t i = add(&f, "198.51.100.1");
    assert_false(cut_within(&f, i, 700));
    assert_true(cut_within(&f, i, 3000));
    /* And again, once it has woken. */
    (void)poll(NULL, 0, 100);
    i = add(&f, "198.51.100.1");
    assert_false(cut_within(&f, i, 700));
    assert_true(cut_within(&f, i, 3000));
    close_fixture(&f);
}

static void test_each_step_has_its_time(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, 0, 100, 1500);
    size_t answering = add(&f, "198.51.100.1"), asking = add(&f, "198.51.100.1");
    assert_false(cut_within(&f, answering, 1000));
    caller_answering(f.callers, f.caller[answering]);
    caller_answering(f.callers, f.caller[asking]);
    caller_asking(f.callers, f.caller[asking]);
    assert_false(cut_within(&f, answering, 1000));
    assert_false(cut_within(&f, asking, 1));
    assert_true(cut_within(&f, answering, 3000));
    assert_true(cut_within(&f, asking, 3000));
    close_fixture(&f);
}

static void test_answers_are_to_be_taken_sooner_where_they_hold_much(void **state)
{
    struct fixture f;
    char *text = calloc(1, LIMIT_ANSWERS_BYTES + 1);
    (void)state;
    assert_non_null(text);
    open_fixture(&f, 0, 100, LIMIT_TRANSFER_MS);
    size_t asking = add(&f, "198.51.100.1"), i = add(&f, "198.51.100.1");
    caller_answering(f.callers, f.caller[i]);
    assert_false(cut_within(&f, i, (int)LIMIT_PRESSED_MS + 1500));
    struct shared *large = shared_create(text, LIMIT_ANSWERS_BYTES + 1);
    free(text);
    assert_non_null(large);
    assert_true(cut_within(&f, i, 1500));
    i = add(&f, "198.51.100.1");
    caller_answering(f.callers, f.caller[i]);
    assert_false(cut_within(&f, i, (int)LIMIT_PRESSED_MS - 1000));
    shared_release(large);
    assert_int_equal(shared_total(), 0);
    assert_false(cut_within(&f, i, 2000));
    assert_false(cut_within(&f, asking, 1));
    close_fixture(&f);
}

struct owner {
    struct fixture *fixture;
    atomic_int gone, released;
    bool let_go;
};

static bool on_gone(void *context)
{
    struct owner *owner = context;
    atomic_fetch_add(&owner->gone, 1);
    return owner->let_go;
}

static void on_released(void *context)
{
    struct owner *owner = context;
    atomic_fetch_add(&owner->released, 1);
}

static void wait_for(atomic_int *value)
{
    static const struct timespec step = {0, 5000000};
    for (int i = 0; i < 1000 && atomic_load(value) == 0; i++) {
        nanosleep(&step, NULL);
    }
    assert_int_equal(atomic_load(value), 1);
}

static void test_waiting_has_no_time(void **state)
{
    struct fixture f;
    struct owner owner = {.let_go = true};
    (void)state;
    open_fixture(&f, 0, 100, 500);
    size_t i = add(&f, "198.51.100.1");
    caller_waiting(f.callers, f.caller[i], &(struct caller_watch){&owner, on_gone, on_released});
    assert_false(cut_within(&f, i, 2000));
    assert_int_equal(atomic_load(&owner.gone), 0);
    caller_answering(f.callers, f.caller[i]);
    assert_true(cut_within(&f, i, 3000));
    close_fixture(&f);
}

static void test_leaving_is_told_once(void **state)
{
    struct fixture f;
    struct owner owner = {.let_go = true};
    (void)state;
    open_fixture(&f, 0, 100, 60000);
    size_t i = add(&f, "198.51.100.1");
    caller_waiting(f.callers, f.caller[i], &(struct caller_watch){&owner, on_gone, on_released});
    assert_int_equal(shutdown(f.theirs[i], SHUT_WR), 0);
    wait_for(&owner.released);
    assert_int_equal(atomic_load(&owner.gone), 1);
    caller_asking(f.callers, f.caller[i]);
    close_fixture(&f);
    assert_int_equal(atomic_load(&owner.gone), 1);
    assert_int_equal(atomic_load(&owner.released), 1);
}

static int released_of(const struct owner *owners)
{
    int count = 0;
    for (size_t i = 0; i < MOST; i++) {
        count += atomic_load(&owners[i].released);
    }
    return count;
}

static void await_released(const struct owner *owners, int wanted)
{
    static const struct timespec step = {0, 5000000};
    for (int i = 0; i < 1000 && released_of(owners) < wanted; i++) {
        nanosleep(&step, NULL);
    }
    assert_int_equal(released_of(owners), wanted);
}

/* Those that were released last are removed before the next are, unless that takes too long. */
static void test_a_crowd_leaves_a_few_at_a_time(void **state)
{
    struct fixture f;
    struct owner owners[MOST];
    bool first[MOST];
    (void)state;
    open_fixture(&f, 0, 100, 60000);
    for (size_t i = 0; i < MOST; i++) {
        owners[i] = (struct owner){.let_go = true};
        (void)add(&f, "198.51.100.1");
        caller_waiting(f.callers, f.caller[i], &(struct caller_watch){&owners[i], on_gone, on_released});
    }
    for (size_t i = 0; i < MOST; i++) {
        assert_int_equal(shutdown(f.theirs[i], SHUT_WR), 0);
    }
    await_released(owners, MOST_LEAVING);
    (void)poll(NULL, 0, MOST_HELD_UP_MS / 4);
    assert_int_equal(released_of(owners), MOST_LEAVING);
    for (size_t i = 0; i < MOST; i++) {
        first[i] = atomic_load(&owners[i].released) > 0;
    }
    for (size_t i = 0; i < MOST; i++) {
        if (first[i]) {
            drop(&f, i);
        }
    }
    await_released(owners, 2 * MOST_LEAVING);
    (void)poll(NULL, 0, MOST_HELD_UP_MS / 4);
    assert_int_equal(released_of(owners), 2 * MOST_LEAVING);
    await_released(owners, MOST);
    close_fixture(&f);
}

/* Its answer is on the way already: nothing is let go, and the connection goes on. */
static void test_leaving_too_late(void **state)
{
    struct fixture f;
    struct owner owner = {.let_go = false};
    (void)state;
    open_fixture(&f, 0, 100, 1000);
    size_t i = add(&f, "198.51.100.1");
    caller_waiting(f.callers, f.caller[i], &(struct caller_watch){&owner, on_gone, on_released});
    close(f.theirs[i]);
    wait_for(&owner.gone);
    caller_answering(f.callers, f.caller[i]);
    assert_int_equal(atomic_load(&owner.released), 0);
    f.theirs[i] = dup(0);
    close_fixture(&f);
}

static void test_connections_of_a_client(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, 2, 100, 60000);
    assert_true(welcome(&f, "198.51.100.1"));
    size_t first = add(&f, "198.51.100.1");
    (void)add(&f, "::ffff:198.51.100.1");
    assert_false(welcome(&f, "198.51.100.1"));
    assert_false(welcome(&f, "::ffff:198.51.100.1"));
    assert_true(welcome(&f, "198.51.100.2"));
    (void)add(&f, "2001:db8:1:2::1");
    (void)add(&f, "2001:db8:1:2:ffff::1");
    assert_false(welcome(&f, "2001:db8:1:2:3:4:5:6"));
    assert_true(welcome(&f, "2001:db8:1:3::1"));
    drop(&f, first);
    assert_true(welcome(&f, "198.51.100.1"));
    for (int i = 0; i < 4; i++) {
        (void)add(&f, "192.0.2.7");
    }
    assert_true(welcome(&f, "192.0.2.7"));
    close_fixture(&f);
}

static void test_the_slowest_make_way_for_others(void **state)
{
    struct fixture f;
    struct owner owner = {.let_go = true};
    (void)state;
    open_fixture(&f, 0, 4, 60000);
    for (int i = 0; i < 4; i++) {
        (void)add(&f, "198.51.100.1");
    }
    caller_waiting(f.callers, f.caller[0], &(struct caller_watch){&owner, on_gone, on_released});
    caller_answering(f.callers, f.caller[1]);
    for (size_t i = 0; i < 4; i++) {
        assert_false(cut_within(&f, i, 20));
    }
    (void)add(&f, "198.51.100.2");
    assert_true(cut_within(&f, 2, 1000));
    assert_false(cut_within(&f, 3, 50));
    (void)add(&f, "198.51.100.2");
    assert_true(cut_within(&f, 3, 1000));
    assert_false(cut_within(&f, 0, 20));
    assert_false(cut_within(&f, 1, 20));
    caller_answering(f.callers, f.caller[0]);
    close_fixture(&f);
}

static void test_where_all_wait_the_longest_makes_way(void **state)
{
    struct fixture f;
    struct owner owners[3] = {{.let_go = true}, {.let_go = false}, {.let_go = true}};
    (void)state;
    open_fixture(&f, 0, 3, 60000);
    for (size_t i = 0; i < 3; i++) {
        (void)add(&f, "198.51.100.1");
        caller_waiting(f.callers, f.caller[i], &(struct caller_watch){&owners[i], on_gone, on_released});
        assert_false(cut_within(&f, i, 20));
    }
    (void)add(&f, "198.51.100.2");
    wait_for(&owners[0].released);
    assert_true(cut_within(&f, 0, 1000));
    assert_false(cut_within(&f, 3, 20));
    caller_answering(f.callers, f.caller[3]);
    /* The answer of the next one is on the way already: it is cut all the same, and counts no more. */
    (void)add(&f, "198.51.100.2");
    wait_for(&owners[1].gone);
    caller_answering(f.callers, f.caller[1]);
    assert_true(cut_within(&f, 1, 1000));
    drop(&f, 0);
    drop(&f, 1);
    assert_int_equal(atomic_load(&owners[1].released), 0);
    assert_int_equal(atomic_load(&owners[2].gone), 0);
    drop(&f, 3);
    (void)add(&f, "198.51.100.2");
    assert_false(cut_within(&f, 2, 20));
    assert_false(cut_within(&f, 4, 20));
    assert_false(cut_within(&f, 5, 20));
    caller_answering(f.callers, f.caller[2]);
    close_fixture(&f);
}

static void test_a_connection_that_is_not_watched(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, 0, 4, 60000);
    caller_waiting(f.callers, NULL, &(struct caller_watch){NULL, on_gone, on_released});
    caller_answering(f.callers, NULL);
    caller_asking(f.callers, NULL);
    callers_remove(f.callers, NULL);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whoever_asks_too_slowly_is_cut),
        cmocka_unit_test(test_each_step_has_its_time),
        cmocka_unit_test(test_answers_are_to_be_taken_sooner_where_they_hold_much),
        cmocka_unit_test(test_waiting_has_no_time),
        cmocka_unit_test(test_leaving_is_told_once),
        cmocka_unit_test(test_a_crowd_leaves_a_few_at_a_time),
        cmocka_unit_test(test_leaving_too_late),
        cmocka_unit_test(test_connections_of_a_client),
        cmocka_unit_test(test_the_slowest_make_way_for_others),
        cmocka_unit_test(test_where_all_wait_the_longest_makes_way),
        cmocka_unit_test(test_a_connection_that_is_not_watched),
    };
    (void)log_open(NULL, LOG_FORMAT_JSON, LOG_LEVEL_ERROR, NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

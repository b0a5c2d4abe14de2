/* The log on its way out: whole lines, and a reader that does not read. Standard error is a pipe here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/log.h"
#include "tests/server/log_loss.h"

#define OUTPUT_BYTES ((size_t)4 * 1024 * 1024)

static int saved_stderr;
static int reader;

/* Standard error becomes one end of a pipe or of a socket pair; `reader` is the other one. */
static void redirect(bool socket)
{
    int ends[2];
    assert_int_equal(socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    reader = ends[0];
    assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
}

static void restore(void)
{
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    close(reader);
}

/* All that has been written so far, to be freed. */
static char *drain(void)
{
    char *text = malloc(OUTPUT_BYTES);
    assert_non_null(text);
    size_t len = 0;
    ssize_t n;
    while (len < OUTPUT_BYTES - 1 && (n = read(reader, text + len, OUTPUT_BYTES - 1 - len)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    return text;
}

static char why[512];

static void open_log(const char *path, enum log_format format, enum log_level level)
{
    assert_true(log_open(path, format, level, why, sizeof why));
}

static void test_levels(void **state)
{
    (void)state;
    redirect(false);
    open_log(NULL, LOG_FORMAT_TEXT, LOG_LEVEL_WARN);
    bool wants = log_wants(LOG_LEVEL_WARN) && !log_wants(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "hidden", NULL, 0);
    log_event(LOG_LEVEL_ERROR, "shown", NULL, 0);
    char *text = drain();
    restore();
    assert_true(wants);
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, " error shown\n"));
    free(text);
}

#define WRITERS 4
#define LINES 50

static void *on_writer(void *arg)
{
    struct log_field field = log_text("who", arg);
    for (int i = 0; i < LINES; i++) {
        log_event(LOG_LEVEL_INFO, "line", &field, 1);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    redirect(false);
    open_log(NULL, LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    pthread_t threads[WRITERS];
    static char who[] = "w";
    for (int i = 0; i < WRITERS; i++) {
        pthread_create(&threads[i], NULL, on_writer, who);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    char *text = drain();
    restore();
    size_t lines = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++) {
        assert_true(line[0] == '{' && end[-1] == '}');
        assert_ptr_equal(memchr(line + 1, '{', (size_t)(end - line) - 1), NULL);
    }
    assert_int_equal(lines, WRITERS * LINES);
    free(text);
}

#define MANY_LINES 20000

/* Thousands of lines nobody reads: logging returns soon, no line is torn, and the loss is told afterwards. */
static void check_reader_that_sleeps(bool socket)
{
    redirect(socket);
    open_log(NULL, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    char value[150];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct log_field field = log_text("v", value);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < MANY_LINES; i++) {
        log_event(LOG_LEVEL_INFO, "line", &field, 1);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    char *first = drain();
    log_event(LOG_LEVEL_INFO, "awake", NULL, 0);
    char *second = drain();
    restore();
    assert_true(end.tv_sec - start.tv_sec < 10);
    char *text = malloc(strlen(first) + strlen(second) + 1);
    assert_non_null(text);
    strcat(strcpy(text, first), second);
    check_loss(text, MANY_LINES, 10);
    free(first);
    free(second);
    free(text);
}

static void test_pipe_that_is_full(void **state)
{
    (void)state;
    check_reader_that_sleeps(false);
}

static void test_socket_that_is_full(void **state)
{
    (void)state;
    check_reader_that_sleeps(true);
}

#define SLOW_LINES 12000

/* Reads a page now and then; the rest at once when told to stop. */
static void *on_slow_reader(void *stop)
{
    static const struct timespec pause = {0, 10000000};
    char page[4096];
    while (!atomic_load((atomic_bool *)stop)) {
        if (read(reader, page, sizeof page) != 0) { /* the other end is not closed meanwhile */
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

/* One that reads all the time, but less than is written, does not set the pace: 280 pages beyond what the
 * pipe holds would take 2.8 s.
 */
static void test_reader_that_is_slow(void **state)
{
    (void)state;
    char value[150];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct log_field field = log_text("v", value);
    struct timespec start, end;
    atomic_bool stop = false;
    pthread_t thread;
    redirect(false);
    open_log(NULL, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    pthread_create(&thread, NULL, on_slow_reader, &stop);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < SLOW_LINES; i++) {
        log_event(LOG_LEVEL_INFO, "line", &field, 1);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    free(drain());
    log_event(LOG_LEVEL_INFO, "awake", NULL, 0);
    free(drain());
    restore();
    assert_true((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 < 1000);
}

static void test_pipe_that_is_closed(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    redirect(false);
    open_log(NULL, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    close(reader);
    for (int i = 0; i < 10; i++) {
        log_event(LOG_LEVEL_INFO, "line", NULL, 0);
    }
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    redirect(false);
    log_event(LOG_LEVEL_INFO, "awake", NULL, 0);
    char *text = drain();
    restore();
    assert_non_null(strstr(text, " warn  log_lines_dropped lines=10\n"));
    assert_non_null(strstr(text, " info  awake\n"));
    free(text);
}

/* Step by step to the most talkative, where it stays, and back; each change is told whatever the level. */
static void test_changes_of_level(void **state)
{
    (void)state;
    redirect(false);
    open_log(NULL, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    for (int i = 0; i < 4; i++) {
        log_more();
        log_event(LOG_LEVEL_DEBUG, i < 2 ? "hidden" : "shown", NULL, 0);
    }
    log_as_configured();
    log_event(LOG_LEVEL_WARN, "hidden", NULL, 0);
    char *text = drain();
    restore();
    static const char *const lines[] = {"log_level from=error to=warn",  "log_level from=warn to=info",
                                        "log_level from=info to=debug",  "debug shown",
                                        "log_level from=debug to=debug", "debug shown",
                                        "log_level from=debug to=error"};
    char *rest = text;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char *end = strchr(rest, '\n');
        assert_non_null(end);
        *end = '\0';
        assert_string_equal(end - strlen(lines[i]), lines[i]);
        rest = end + 1;
    }
    assert_string_equal(rest, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_pipe_that_is_full),
        cmocka_unit_test(test_socket_that_is_full),
        cmocka_unit_test(test_reader_that_is_slow),
        cmocka_unit_test(test_pipe_that_is_closed),
        cmocka_unit_test(test_changes_of_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The log in a file: where it may be, and that nothing is lost or torn where it is renamed or the disk is
 * full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/log.h"
#include "tests/server/log_loss.h"

#define OUTPUT_BYTES ((size_t)4 * 1024 * 1024)
#define WRITERS 4

static char why[512];

static void open_log(const char *name, enum log_format format, enum log_level level)
{
    assert_true(log_open(name, format, level, why, sizeof why));
}

static char folder[] = "/tmp/imap-testd-log-XXXXXX";
static char path[64], renamed[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(renamed, sizeof renamed, "%s/log.1", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)log_open(NULL, LOG_FORMAT_TEXT, LOG_LEVEL_INFO, why, sizeof why);
    (void)unlink(path);
    (void)unlink(renamed);
    return rmdir(folder);
}

static char *text_of_file(const char *name)
{
    char *text = calloc(1, OUTPUT_BYTES);
    FILE *file = fopen(name, "r");
    assert_true(text && file);
    assert_true(fread(text, 1, OUTPUT_BYTES - 1, file) < OUTPUT_BYTES - 1);
    fclose(file);
    return text;
}

static void test_file(void **state)
{
    (void)state;
    struct stat st;
    mode_t mask = umask(0);
    open_log(path, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    umask(mask);
    log_event(LOG_LEVEL_INFO, "first", NULL, 0);
    open_log(path, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "second", NULL, 0);
    char *text = text_of_file(path);
    assert_non_null(strstr(text, " info  first\n"));
    assert_non_null(strstr(text, " info  second\n"));
    free(text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void assert_refused(const char *words)
{
    assert_false(log_open(path, LOG_FORMAT_TEXT, LOG_LEVEL_INFO, why, sizeof why));
    assert_non_null(strstr(why, path));
    assert_non_null(strstr(why, words));
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    assert_int_equal(symlink(renamed, path), 0);
    assert_refused("symbolic link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused("no regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused("directory");
    assert_int_equal(rmdir(path), 0);
}

/* A name that cannot be opened any more leaves the old file in use. */
static void test_reopening_fails(void **state)
{
    (void)state;
    open_log(path, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    assert_int_equal(rename(path, renamed), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(log_reopen(why, sizeof why));
    assert_non_null(strstr(why, "directory"));
    log_event(LOG_LEVEL_INFO, "still", NULL, 0);
    char *text = text_of_file(renamed);
    assert_non_null(strstr(text, " info  still\n"));
    free(text);
    assert_int_equal(rmdir(path), 0);
    assert_true(log_reopen(why, sizeof why));
}

#define RENAMES 20
#define LINES_OF_FILE 2000

static void *on_file_writer(void *arg)
{
    for (int i = 0; i < LINES_OF_FILE; i++) {
        struct log_field fields[] = {log_text("who", arg), log_int("number", i)};
        log_event(LOG_LEVEL_INFO, "line", fields, 2);
    }
    return NULL;
}

/* Counts the whole lines of each writer, which must come in their order; *text follows what came before. */
static void count_lines(const char *name, int next[WRITERS])
{
    char *text = text_of_file(name);
    for (char *line = text, *stop; line[0] != '\0'; line = stop + 1) {
        char who;
        int number = -1, used = 0;
        stop = strchr(line, '\n');
        assert_non_null(stop);
        *stop = '\0';
        assert_int_equal(sscanf(line, "%*20s info line who=%c number=%d%n", &who, &number, &used), 2);
        assert_int_equal(line[used], '\0');
        assert_in_range(who, '0', '0' + WRITERS - 1);
        assert_int_equal(number, next[who - '0']++);
    }
    free(text);
}

/* Renamed and opened anew while threads write: every line is in one of the files, whole, once, in order. */
static void test_renamed_under_load(void **state)
{
    (void)state;
    static char who[WRITERS][2] = {"0", "1", "2", "3"};
    pthread_t threads[WRITERS];
    int next[WRITERS] = {0};
    char old[96];
    open_log(path, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    for (int i = 0; i < WRITERS; i++) {
        pthread_create(&threads[i], NULL, on_file_writer, who[i]);
    }
    for (int i = 0; i < RENAMES; i++) {
        static const struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        snprintf(old, sizeof old, "%s/log.%d", folder, i);
        assert_int_equal(rename(path, old), 0);
        assert_true(log_reopen(why, sizeof why));
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i <= RENAMES; i++) {
        snprintf(old, sizeof old, "%s/log.%d", folder, i);
        count_lines(i < RENAMES ? old : path, next);
        (void)unlink(i < RENAMES ? old : path);
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(next[i], LINES_OF_FILE);
    }
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A file may not grow beyond 4,000 bytes for a while, as on a full disk: the line that was begun there is
 * ended later. */
static void test_full_disk(void **state)
{
    (void)state;
    char value[150];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct log_field field = log_text("v", value);
    signal(SIGXFSZ, SIG_IGN);
    open_log(path, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    limit_file_size(4000);
    for (int i = 0; i < 100; i++) {
        log_event(LOG_LEVEL_INFO, "line", &field, 1);
    }
    limit_file_size(RLIM_INFINITY);
    char *text = text_of_file(path);
    assert_int_equal(strlen(text), 4000);
    assert_true(text[3999] != '\n');
    free(text);
    log_event(LOG_LEVEL_INFO, "awake", NULL, 0);
    text = text_of_file(path);
    check_loss(text, 100, 20);
    free(text);
}

/* The same, but the file is renamed meanwhile: the line that was begun is lost, and counted. */
static void test_full_disk_and_renamed(void **state)
{
    (void)state;
    struct log_field field = log_text("v", "xxxxxxxxxxxxxxxxxxxx");
    open_log(path, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    limit_file_size(100);
    for (int i = 0; i < 10; i++) {
        log_event(LOG_LEVEL_INFO, "line", &field, 1);
    }
    assert_int_equal(rename(path, renamed), 0);
    assert_true(log_reopen(why, sizeof why));
    limit_file_size(RLIM_INFINITY);
    log_event(LOG_LEVEL_INFO, "awake", NULL, 0);
    char *text = text_of_file(path);
    assert_non_null(strstr(text, " warn  log_lines_dropped lines=9\n"));
    assert_string_equal(strrchr(text, ' '), " awake\n");
    free(text);
}

#define file_test(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        file_test(test_file),
        file_test(test_what_is_no_file),
        file_test(test_reopening_fails),
        file_test(test_renamed_under_load),
        file_test(test_full_disk),
        file_test(test_full_disk_and_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

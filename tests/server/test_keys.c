#include "server/keys.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/base/limits.h"

#define WHY_SIZE 512

static char path[] = "/tmp/imap-test-keys-XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return remove(path);
}

static void put(const char *bytes, size_t len)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static struct keys *load(const char *content)
{
    char why[WHY_SIZE] = "";
    put(content, strlen(content));
    struct keys *keys = keys_load(path, why, sizeof why);
    if (!keys) {
        fail_msg("%s", why);
    }
    return keys;
}

static void test_accept(void **state)
{
    static const struct {
        const char *header;
        bool accepted;
    } rows[] = {
        {"Bearer first-key", true},
        {"bearer first-key", true},
        {"Bearer  second", true},
        {"Bearer first-ke", false},
        {"Bearer first-keyy", false},
        {"Bearer", false},
        {"Bearer ", false},
        {"first-key", false},
        {"Basic first-key", false},
        {"Bearer # no key", false},
        {"Bearer First-key", false},
        {"", false},
        {"Bearer first-key ", true},
        {"Bearer first-key\t \t", true},
        {"Bearer first -key", false},
        {"Bearer tabs", true},
        {NULL, false},
        {"Bearer AZaz09-._~+/==", true},
        {"Bearer last", true},
        {"Bearer \xef\xbb\xbf"
         "first-key",
         false},
    };
    (void)state;
    struct keys *keys = load("\xef\xbb\xbf"
                             "first-key\r\n\r\n# no key, whatever: \xc3\xa9 = \t\nsecond  \n\ttabs\n"
                             "second\nAZaz09-._~+/==\n \t \nlast");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if ((keys_accept(keys, rows[i].header) != 0) != rows[i].accepted) {
            fail_msg("%s", rows[i].header);
        }
    }
    keys_free(&keys);
    assert_null(keys);
}

/* What stands for a key is its own, and outlives a reload; in the next process it is another. */
static void test_identity(void **state)
{
    char why[WHY_SIZE] = "";
    (void)state;
    struct keys *keys = load("one\ntwo\none\n");
    uint64_t one = keys_accept(keys, "Bearer one"), two = keys_accept(keys, "Bearer two");
    assert_true(one != 0 && two != 0 && one != two);
    put("three\ntwo\n", 10);
    assert_true(keys_reload(keys, why, sizeof why));
    assert_int_equal(keys_accept(keys, "Bearer one"), 0);
    assert_true(keys_accept(keys, "Bearer two") == two);
    assert_int_not_equal(keys_accept(keys, "Bearer three"), 0);
    struct keys *others = keys_load(path, why, sizeof why);
    assert_non_null(others);
    assert_true(keys_accept(others, "Bearer two") != two);
    keys_free(&others);
    keys_free(&keys);
}

#define TOKEN "letters, digits and -._~+/ with = only at its end"

static void test_bad_files(void **state)
{
    static const struct {
        const char *content, *why;
        size_t len; /* 0: that of the text */
    } rows[] = {
        {"", "holds no key: write one a line", 0},
        {"# nothing here\n\n", "holds no key: write one a line", 0},
        {"\xef\xbb\xbf", "holds no key: write one a line", 0},
        {"sesame\nopen sesame\n", "line 2: a key consists of " TOKEN, 0},
        {"\n\nsesame:1", "line 3: a key consists of " TOKEN, 0},
        {"ses=ame\n", "line 1: a key consists of " TOKEN, 0},
        {"==\n", "line 1: a key consists of " TOKEN, 0},
        {"sesame\rsesame2\r", "line 1: a key consists of " TOKEN, 0},
        {"sesam\xc3\xa9\n", "line 1: a key consists of " TOKEN, 0},
        {"sesame # the first\n", "line 1: a key consists of " TOKEN, 0},
        {"sesame\nsesa\0me\n", "line 2: a key consists of " TOKEN, 15},
        {"\xff\xfes\0e\0s\0\n\0", "line 1: a key consists of " TOKEN, 10}, /* UTF-16 */
        {"\x7f"
         "ELF\x02\x01\x01\0\0\0\xcf\xfa\x80\n",
         "line 1: a key consists of " TOKEN, 14},
    };
    char why[WHY_SIZE] = "";
    (void)state;
    struct keys *keys = load("steady\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(rows[i].content, rows[i].len > 0 ? rows[i].len : strlen(rows[i].content));
        assert_null(keys_load(path, why, sizeof why));
        if (!strstr(why, rows[i].why) || strstr(why, "sesam") || strncmp(why, path, strlen(path)) != 0) {
            fail_msg("row %zu: %s", i, why);
        }
        why[0] = '\0';
        assert_false(keys_reload(keys, why, sizeof why));
        assert_non_null(strstr(why, rows[i].why));
        assert_int_not_equal(keys_accept(keys, "Bearer steady"), 0);
    }
    keys_free(&keys);
}

static void refused(const char *file, const char *reason)
{
    char why[WHY_SIZE] = "";
    assert_null(keys_load(file, why, sizeof why));
    if (!strstr(why, reason)) {
        fail_msg("%s", why);
    }
}

static void test_no_files(void **state)
{
    (void)state;
    refused("/nonexistent/keys", "/nonexistent/keys cannot be read: No such file or directory");
    refused("/tmp", "/tmp is not a regular file");
    refused("/dev/zero", "/dev/zero is not a regular file");
    char fifo[] = "/tmp/imap-test-fifo-XXXXXX";
    assert_non_null(mkdtemp(fifo));
    char name[sizeof fifo + 2];
    snprintf(name, sizeof name, "%s/f", fifo);
    assert_int_equal(mkfifo(name, 0600), 0);
    refused(name, "is not a regular file"); /* and nobody waits for a writer */
    remove(name);
    remove(fifo);
    put("steady\n", 7);
    assert_int_equal(chmod(path, 0), 0);
    if (geteuid() != 0) { /* who may read everything */
        refused(path, "cannot be read: Permission denied");
    }
    assert_int_equal(chmod(path, 0600), 0);
}

/* As many lines of one length as there are to be. */
static void put_lines(size_t count, size_t len)
{
    size_t size = count * (len + 1);
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, 'k', size);
    for (size_t i = 0; i < count; i++) {
        char number[24];
        int digits = snprintf(number, sizeof number, "%zu", i);
        memcpy(text + i * (len + 1), number, (size_t)digits);
        text[(i + 1) * (len + 1) - 1] = '\n';
    }
    put(text, size);
    free(text);
}

static void test_bounds(void **state)
{
    char header[LIMIT_API_KEY_BYTES + 16];
    char why[WHY_SIZE] = "";
    (void)state;
    put_lines(LIMIT_API_KEYS, LIMIT_API_KEY_BYTES);
    struct keys *keys = keys_load(path, why, sizeof why);
    assert_non_null(keys);
    memset(header, 'k', sizeof header);
    memcpy(header, "Bearer 999", 10);
    header[7 + LIMIT_API_KEY_BYTES] = '\0';
    assert_int_not_equal(keys_accept(keys, header), 0);
    keys_free(&keys);

    put_lines(LIMIT_API_KEYS + 1, 8);
    refused(path, "line 1001: there may be at most 1000 keys");
    put_lines(2, LIMIT_API_KEY_BYTES + 1);
    refused(path, "line 1: a key has at most 512 characters");
    put_lines(1, LIMIT_API_KEY_FILE_BYTES - 1);
    refused(path, "line 1: a key has at most 512 characters");
    put_lines(1, LIMIT_API_KEY_FILE_BYTES);
    refused(path, "is larger than 1048576 bytes: it should hold API keys only");
    put_lines(10, 1024 * 1024);
    refused(path, "is larger than 1048576 bytes: it should hold API keys only");
}

/* Keeps the key unlike itself, so that what is found of it is not this. */
#define MASK 0x55
enum { SECRET_LEN = 40, CHUNK = 65536 };

static bool holds(const unsigned char *bytes, size_t len, const unsigned char *masked)
{
    const unsigned char *at = bytes, *end = bytes + len;
    while ((at = memchr(at, masked[0] ^ MASK, (size_t)(end - at))) != NULL && end - at >= SECRET_LEN) {
        size_t same = 1;
        while (same < SECRET_LEN && (at[same] ^ MASK) == masked[same]) {
            same++;
        }
        if (same == SECRET_LEN) {
            return true;
        }
        at++;
    }
    return false;
}

/* Looks through all memory of this process that can be written to, shadows of sanitizers aside. */
static bool memory_holds(const unsigned char *masked)
{
    static unsigned char chunk[CHUNK];
    char line[512];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(maps && memory >= 0);
    while (!found && fgets(line, sizeof line, maps)) {
        uint64_t at = 0, end = 0;
        char rights[8] = "";
        assert_int_equal(sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &at, &end, rights), 3);
        if (strncmp(rights, "rw", 2) != 0 || end - at > UINT64_C(64) << 20) {
            continue;
        }
        for (; !found && at < end; at += CHUNK - SECRET_LEN) {
            size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
            ssize_t n = pread(memory, chunk, want, (off_t)at);
            found = n > 0 && holds(chunk, (size_t)n, masked);
        }
    }
    explicit_bzero(chunk, sizeof chunk);
    fclose(maps);
    close(memory);
    return found;
}

static void test_keys_are_wiped(void **state)
{
    unsigned char masked[SECRET_LEN];
    char text[SECRET_LEN + 1], why[WHY_SIZE] = "";
    (void)state;
    /* What is given back stays in this process, where it can be found. */
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    for (size_t i = 0; i < SECRET_LEN; i++) {
        masked[i] = (unsigned char)(('a' + i * 7 % 26) ^ MASK);
        text[i] = (char)(masked[i] ^ MASK);
    }
    text[SECRET_LEN] = '\n';
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    close(fd);
    assert_true(memory_holds(masked));
    explicit_bzero(text, sizeof text);
    assert_false(memory_holds(masked));
    struct keys *keys = keys_load(path, why, sizeof why);
    assert_non_null(keys);
    assert_false(memory_holds(masked));
    assert_true(keys_reload(keys, why, sizeof why));
    assert_false(memory_holds(masked));
    keys_free(&keys);
}

struct reader {
    pthread_t thread;
    const struct keys *keys;
    atomic_bool *stop;
    uint64_t steady;
    unsigned long wrong;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(r->stop)) {
        r->wrong += keys_accept(r->keys, "Bearer steady") != r->steady;
        r->wrong += keys_accept(r->keys, "Bearer never") != 0;
        sched_yield();
    }
    return NULL;
}

static void test_reload_while_others_read(void **state)
{
    static const char *const contents[] = {"steady\nodd\n", "even\nsteady\n", "not a key\n", ""};
    enum { READERS = 3, RELOADS = 200 };
    struct reader readers[READERS];
    atomic_bool stop = false;
    char why[WHY_SIZE];
    (void)state;
    struct keys *keys = load("steady\n");
    for (size_t i = 0; i < READERS; i++) {
        readers[i] =
            (struct reader){.keys = keys, .stop = &stop, .steady = keys_accept(keys, "Bearer steady")};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (size_t i = 0; i < RELOADS; i++) {
        put(contents[i % 4], strlen(contents[i % 4]));
        assert_int_equal(keys_reload(keys, why, sizeof why), i % 4 < 2);
        assert_int_equal(keys_accept(keys, "Bearer odd") != 0, i % 4 == 0);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
    keys_free(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_no_files),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_keys_are_wiped),
        cmocka_unit_test(test_reload_while_others_read),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/report/transcript.h"

static struct arena arena;
static struct transcript transcript;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, LIMIT_REPORT_BYTES);
    transcript = (struct transcript){.wanted = true};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static void add(const char *text, size_t len)
{
    char *lent = strndup(text, len);
    assert_non_null(lent);
    transcript_add(
        &transcript, &arena,
        (struct transcript_line){.connection = 1, .at_ms = 2.5, .sent = true, .text = {lent, len}});
    memset(lent, '?', len);
    free(lent);
}

static void assert_line(size_t i, const char *text)
{
    assert_true(i < transcript.count);
    assert_int_equal(transcript.lines[i].text.len, strlen(text));
    assert_memory_equal(transcript.lines[i].text.data, text, strlen(text));
    assert_int_equal(transcript.lines[i].connection, 1);
    assert_true(transcript.lines[i].sent);
}

static void test_copies_in_order(void **state)
{
    (void)state;
    add("one", 3);
    add("", 0);
    add("three", 5);
    assert_int_equal(transcript.count, 3);
    assert_line(0, "one");
    assert_line(1, "");
    assert_line(2, "three");
    assert_false(transcript.truncated);
}

static void test_nothing_unless_wanted(void **state)
{
    (void)state;
    transcript.wanted = false;
    add("one", 3);
    assert_int_equal(transcript.count, 0);
    assert_int_equal(arena.used, 0);
}

static void test_long_text_is_cut(void **state)
{
    (void)state;
    static char text[LIMIT_TEXT_CHARS * 4 + 1];
    memset(text, 'x', sizeof text);
    add(text, sizeof text - 1);
    assert_false(transcript.truncated);
    add(text, sizeof text);
    assert_true(transcript.truncated);
    assert_int_equal(transcript.lines[1].text.len, sizeof text - 1);
}

static void test_first_lines_and_the_last_one_remain(void **state)
{
    (void)state;
    char text[32];
    for (unsigned i = 0; i < LIMIT_TRANSCRIPT_LINES; i++) {
        add(text, (size_t)snprintf(text, sizeof text, "%u", i));
    }
    assert_false(transcript.truncated);
    assert_line(LIMIT_TRANSCRIPT_LINES - 1, "199");
    for (unsigned i = LIMIT_TRANSCRIPT_LINES; i < 2000; i++) {
        add(text, (size_t)snprintf(text, sizeof text, "%u", i));
    }
    size_t used = arena.used;
    add("a last word", 11);
    assert_int_equal(arena.used, used); /* what is thrown away costs no memory */
    assert_true(transcript.truncated);
    assert_int_equal(transcript.count, LIMIT_TRANSCRIPT_LINES);
    assert_line(0, "0");
    assert_line(LIMIT_TRANSCRIPT_LINES - 2, "198");
    assert_line(LIMIT_TRANSCRIPT_LINES - 1, "a last word");
}

/* Whatever fits is whole; that something is missing shows in the arena. */
static void test_no_memory(void **state)
{
    (void)state;
    char text[32];
    for (size_t max = 0; max < 40000; max += 64) {
        arena_deinit(&arena);
        arena_init(&arena, max);
        transcript = (struct transcript){.wanted = true};
        for (unsigned i = 0; i < LIMIT_TRANSCRIPT_LINES + 2; i++) {
            add(text, (size_t)snprintf(text, sizeof text, "%u", i));
        }
        assert_true(arena.failed || transcript.count == LIMIT_TRANSCRIPT_LINES);
        for (size_t i = 0; i < transcript.count; i++) {
            assert_true(transcript.lines[i].text.data != NULL || arena.failed);
        }
    }
    assert_false(arena.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_copies_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_unless_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_text_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_first_lines_and_the_last_one_remain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

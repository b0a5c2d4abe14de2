#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/limits.h"
#include "probe/report/caps.h"

static struct arena arena;
static struct caps caps;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 16u << 20);
    caps = (struct caps){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static void add(enum caps_phase phase, const char *words)
{
    char copy[512]; /* overwritten afterwards: nothing may point into it */
    size_t len = strlen(words);
    assert_true(len < sizeof copy);
    memcpy(copy, words, len + 1);
    char *rest = copy;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        assert_true(caps_add(&caps, &arena, phase, text_of(word)));
    }
    memset(copy, '#', sizeof copy);
}

static void assert_list(const struct caps_list *list, const char *words)
{
    char joined[512] = "";
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            strcat(joined, " ");
        }
        strncat(joined, list->names[i].data, list->names[i].len);
    }
    assert_string_equal(joined, words);
}

static void test_phases_and_union(void **state)
{
    (void)state;
    add(CAPS_GREETING, "IMAP4rev1 SASL-IR Starttls LOGINDISABLED");
    add(CAPS_STARTTLS, "IMAP4REV1 AUTH=PLAIN sasl-ir IDLE");
    add(CAPS_COMMAND, "imap4rev1 STARTTLS ID");
    assert_list(&caps.phase[CAPS_GREETING], "IMAP4rev1 SASL-IR Starttls LOGINDISABLED");
    assert_list(&caps.phase[CAPS_COMMAND], "imap4rev1 STARTTLS ID");
    assert_list(&caps.phase[CAPS_STARTTLS], "IMAP4REV1 AUTH=PLAIN sasl-ir IDLE");
    assert_list(&caps.all, "IMAP4rev1 SASL-IR Starttls LOGINDISABLED AUTH=PLAIN IDLE ID");
    assert_false(caps.truncated);
}

static void test_duplicates(void **state)
{
    (void)state;
    add(CAPS_GREETING, "IDLE idle IDLE MOVE Idle");
    add(CAPS_COMMAND, "idle IDLE");
    assert_list(&caps.phase[CAPS_GREETING], "IDLE MOVE");
    assert_list(&caps.phase[CAPS_COMMAND], "idle");
    assert_list(&caps.all, "IDLE MOVE");
    assert_false(caps.truncated);
}

static void test_has(void **state)
{
    (void)state;
    assert_false(caps_has(&caps, CAPS_ANY, "IDLE")); /* nothing noted yet */
    assert_false(caps_seen(&caps, CAPS_ANY));
    add(CAPS_GREETING, "IMAP4rev1 AUTH=PLAIN");
    add(CAPS_STARTTLS, "IDLE imap4REV1");
    static const struct {
        const char *word;
        unsigned phases;
        bool has, prefix;
    } rows[] = {
        {"IMAP4REV1", CAPS_IN(CAPS_GREETING), true, true},
        {"imap4rev1", CAPS_IN(CAPS_STARTTLS), true, true},
        {"IMAP4rev1", CAPS_IN(CAPS_COMMAND), false, false},
        {"IMAP4rev1", 0, false, false},
        {"IMAP4", CAPS_ANY, false, true},
        {"IMAP4rev11", CAPS_ANY, false, false},
        {"idle", CAPS_ANY, true, true},
        {"IDLE", CAPS_IN(CAPS_GREETING) | CAPS_IN(CAPS_COMMAND), false, false},
        {"auth=", CAPS_IN(CAPS_GREETING), false, true},
        {"AUTH=", CAPS_IN(CAPS_STARTTLS), false, false},
        {"AUTH=PLAIN", CAPS_ANY, true, true},
        {"AUTH=LOGIN", CAPS_ANY, false, false},
        {"", CAPS_ANY, false, true},
        {"", CAPS_IN(CAPS_COMMAND), false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (caps_has(&caps, rows[i].phases, rows[i].word) != rows[i].has) {
            fail_msg("caps_has %s in %u", rows[i].word, rows[i].phases);
        }
        if (caps_has_prefix(&caps, rows[i].phases, rows[i].word) != rows[i].prefix) {
            fail_msg("caps_has_prefix %s in %u", rows[i].word, rows[i].phases);
        }
    }
    assert_true(caps_seen(&caps, CAPS_IN(CAPS_GREETING)));
    assert_false(caps_seen(&caps, CAPS_IN(CAPS_COMMAND)));
    assert_true(caps_seen(&caps, CAPS_IN(CAPS_COMMAND) | CAPS_IN(CAPS_STARTTLS)));
}

static void test_any_bytes(void **state)
{
    (void)state;
    assert_true(caps_add(&caps, &arena, CAPS_COMMAND, (struct text){"A\0B", 3}));
    assert_true(caps_add(&caps, &arena, CAPS_COMMAND, (struct text){"a\0b", 3}));
    assert_true(caps_add(&caps, &arena, CAPS_COMMAND, (struct text){"A\0C", 3}));
    assert_true(caps_add(&caps, &arena, CAPS_COMMAND, (struct text){"A", 1}));
    assert_true(caps_add(&caps, &arena, CAPS_COMMAND, (struct text){"\xFF\x80", 2}));
    assert_int_equal(caps.all.count, 4);
    assert_true(caps_has(&caps, CAPS_ANY, "a"));
    assert_true(caps_has(&caps, CAPS_ANY, "\xFF\x80"));
    assert_true(caps_add(&caps, &arena, CAPS_GREETING, text_of(""))); /* no word, no list */
    assert_false(caps_seen(&caps, CAPS_IN(CAPS_GREETING)));
}

static void test_long_word(void **state)
{
    (void)state;
    char word[LIMIT_CAPABILITY_BYTES + 2];
    memset(word, 'X', sizeof word);
    assert_true(caps_add(&caps, &arena, CAPS_COMMAND, (struct text){word, LIMIT_CAPABILITY_BYTES}));
    assert_false(caps.truncated);
    assert_true(caps_add(&caps, &arena, CAPS_COMMAND, (struct text){word, LIMIT_CAPABILITY_BYTES + 1}));
    assert_true(caps.truncated);
    assert_int_equal(caps.all.count, 1);
}

/* The bound is one of each phase, repeated words do not count, and with full lists everything is found. */
static void test_many(void **state)
{
    (void)state;
    char word[32];
    for (unsigned phase = 0; phase < CAPS_PHASES; phase++) {
        caps.truncated = false;
        for (unsigned i = 0; i < LIMIT_CAPABILITIES; i++) {
            snprintf(word, sizeof word, "X-%u-%u", phase, i);
            assert_true(caps_add(&caps, &arena, (enum caps_phase)phase, text_of(word)));
            assert_true(caps_add(&caps, &arena, (enum caps_phase)phase, text_of(word)));
        }
        assert_false(caps.truncated);
        assert_int_equal(caps.phase[phase].count, LIMIT_CAPABILITIES);
        assert_true(caps_add(&caps, &arena, (enum caps_phase)phase, text_of("x-0-1")));
        assert_int_equal(caps.truncated, phase != 0);
        assert_true(caps_add(&caps, &arena, (enum caps_phase)phase, text_of("ONE-MORE")));
        assert_true(caps.truncated);
        assert_int_equal(caps.phase[phase].count, LIMIT_CAPABILITIES);
    }
    assert_int_equal(caps.all.count, CAPS_PHASES * LIMIT_CAPABILITIES);
    assert_false(caps_has(&caps, CAPS_ANY, "ONE-MORE"));
    for (unsigned phase = 0; phase < CAPS_PHASES; phase++) {
        for (unsigned i = 0; i < LIMIT_CAPABILITIES; i++) {
            snprintf(word, sizeof word, "x-%u-%u", phase, i);
            assert_true(caps_has(&caps, CAPS_IN(phase), word));
            assert_false(caps_has(&caps, CAPS_ANY & ~CAPS_IN(phase), word));
        }
    }
}

/* Words made to collide: the lower 17 bits of the hash are the same, so that they meet in every index. They
 * may be dropped, but that is told, and neither costs much time nor harms other words. */
static void test_colliding_words(void **state)
{
    (void)state;
    enum { WORDS = 200 };
    static char words[WORDS][16];
    uint32_t wanted = text_hash_nocase(text_of("IDLE")) & 0x1FFFF;
    unsigned found = 0;
    for (unsigned i = 0; found < WORDS; i++) {
        snprintf(words[found], sizeof words[found], "X%u", i);
        found += (text_hash_nocase(text_of(words[found])) & 0x1FFFF) == wanted;
    }
    for (unsigned i = 0; i < WORDS; i++) {
        assert_true(caps_add(&caps, &arena, CAPS_COMMAND, text_of(words[i])));
    }
    assert_true(caps.truncated);
    assert_in_range(caps.all.count, 32, 128);
    for (unsigned i = 0; i < 32; i++) {
        assert_true(caps_has(&caps, CAPS_ANY, words[i]));
    }
    add(CAPS_COMMAND, "STARTTLS ID");
    assert_true(caps_has(&caps, CAPS_ANY, "STARTTLS"));
    assert_true(caps_has(&caps, CAPS_ANY, "ID"));
}

/* Wherever the memory runs out, that is told, and what was noted before stays usable. */
static void test_out_of_memory(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t max = 0; max < 120000; max += 197) {
        arena_deinit(&arena);
        arena_init(&arena, max);
        caps = (struct caps){0};
        bool ok = true;
        char word[32];
        unsigned noted = 0;
        for (; ok && noted < 300; noted += ok) {
            snprintf(word, sizeof word, "WORD-NUMBER-%u", noted);
            ok = caps_add(&caps, &arena, CAPS_COMMAND, text_of(word)) &&
                 caps_add(&caps, &arena, CAPS_STARTTLS, text_of(word));
        }
        failures += !ok;
        assert_int_equal(ok, !arena.failed);
        for (unsigned i = 0; i < noted; i++) {
            snprintf(word, sizeof word, "WORD-NUMBER-%u", i);
            assert_true(caps_has(&caps, CAPS_IN(CAPS_COMMAND), word));
            assert_true(caps_has(&caps, CAPS_IN(CAPS_STARTTLS), word));
        }
        assert_true(caps.phase[CAPS_COMMAND].count >= noted);
        for (size_t i = 0; i < caps.all.count; i++) {
            assert_true(caps.all.names[i].len > 0);
        }
    }
    assert_in_range(failures, 10, 500); /* of 610: it ends well where there is enough */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_phases_and_union), TEST(test_duplicates),    TEST(test_has),
        TEST(test_any_bytes),        TEST(test_long_word),     TEST(test_many),
        TEST(test_colliding_words),  TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

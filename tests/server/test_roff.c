#include "server/roff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_written(void (*write)(FILE *out, const char *text), const char *text, const char *want)
{
    char *got = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&got, &len);
    assert_non_null(out);
    write(out, text);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(got, want);
    free(got);
}

static void test_words(void **state)
{
    (void)state;
    assert_written(roff_word, "", "");
    assert_written(roff_word, "max-in-flight", "max\\-in\\-flight");
    assert_written(roff_word, "a\\fB^~`", "a\\(rsfB\\(ha\\(ti\\(ga");
    assert_written(roff_word, "json|text", "json|text");
}

static void test_text(void **state)
{
    (void)state;
    assert_written(roff_text, "", "\n");
    assert_written(roff_text, "one  two\nthree ", "one two three\n");
    assert_written(roff_text, ".TH is no request", "\\&.TH is no request\n");
    assert_written(roff_text, "'br is none", "\\&'br is none\n");
    assert_written(roff_text, "a .b 'c' --d", "a .b 'c' \\-\\-d\n");
}

#define WORD_OF_72 "123456789012345678901234567890123456789012345678901234567890123456789012"
#define WORDS_OF_68 "12345678 12345678 12345678 12345678 12345678 12345678 12345678 12345"

static void test_lines(void **state)
{
    (void)state;
    assert_written(roff_text, WORDS_OF_68 " x", WORDS_OF_68 " x\n");
    assert_written(roff_text, WORDS_OF_68 " xy", WORDS_OF_68 "\nxy\n");
    assert_written(roff_text, WORDS_OF_68 " .5", WORDS_OF_68 "\n\\&.5\n");
    /* What is too long for a line has one alone. */
    assert_written(roff_text, "a " WORD_OF_72 " b", "a\n" WORD_OF_72 "\nb\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

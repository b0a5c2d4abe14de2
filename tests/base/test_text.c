#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/arena.h"

#define BAD "\xEF\xBF\xBD"
#define T(s) (s), sizeof(s) - 1

struct show_case {
    const char *name;
    const char *in;
    size_t len;
    const char *out;
};

static const struct show_case shows[] = {
    {"empty", T(""), ""},
    {"ascii", T("* OK Dovecot ready."), "* OK Dovecot ready."},
    {"all printable", T(" ~\"\\</script>"), " ~\"\\</script>"},
    {"NUL", T("a\0b"), "a\\x00b"},
    {"line ends", T("a\r\n\tb"), "a\\x0d\\x0a\\x09b"},
    {"escape", T("\x1B[31mred"), "\\x1b[31mred"},
    {"last C0 and DEL", T("\x1F\x20\x7E\x7F"), "\\x1f ~\\x7f"},
    {"C1", T("\xC2\x80\xC2\x9F\xC2\xA0"), "\\u{0080}\\u{009f}\xC2\xA0"},
    {"NEL", T("\xC2\x85"), "\\u{0085}"},
    {"two bytes", T("Gr\xC3\xBC\xC3\x9F"), "Gr\xC3\xBC\xC3\x9F"},
    {"three bytes", T("\xE2\x82\xAC\xED\x9F\xBF\xEE\x80\x80"), "\xE2\x82\xAC\xED\x9F\xBF\xEE\x80\x80"},
    {"four bytes", T("\xF0\x9F\x93\xA7\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"),
     "\xF0\x9F\x93\xA7\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
    {"lines", T("\xE2\x80\xA8\xE2\x80\xA9"), "\\u{2028}\\u{2029}"},
    {"bidi embeddings", T("\xE2\x80\xAA\xE2\x80\xAB\xE2\x80\xAC\xE2\x80\xAD\xE2\x80\xAE"),
     "\\u{202a}\\u{202b}\\u{202c}\\u{202d}\\u{202e}"},
    {"beside the bidi ranges", T("\xE2\x80\x8D\xE2\x80\x90\xE2\x80\xA7\xE2\x80\xAF\xE2\x81\xA5\xE2\x81\xAA"),
     "\xE2\x80\x8D\xE2\x80\x90\xE2\x80\xA7\xE2\x80\xAF\xE2\x81\xA5\xE2\x81\xAA"},
    {"bidi isolates", T("\xE2\x81\xA6\xE2\x81\xA7\xE2\x81\xA8\xE2\x81\xA9"),
     "\\u{2066}\\u{2067}\\u{2068}\\u{2069}"},
    {"bidi marks", T("\xE2\x80\x8E\xE2\x80\x8F\xD8\x9C"), "\\u{200e}\\u{200f}\\u{061c}"},
    {"BOM", T("\xEF\xBB\xBFx"), "\\u{feff}x"},
    {"replacement itself", T(BAD), BAD},
    {"noncharacter", T("\xEF\xBF\xBF"), "\xEF\xBF\xBF"},
    {"Latin-1", T("Gr\xFC\xDF"), "Gr" BAD BAD},
    {"stray continuation", T("a\x80\xBF"), "a" BAD BAD},
    {"never lead bytes", T("\xC0\xC1\xF5\xF8\xFE\xFF"), BAD BAD BAD BAD BAD BAD},
    {"overlong two", T("\xC0\xAF"), BAD BAD},
    {"overlong three", T("\xE0\x9F\xBF"), BAD BAD BAD},
    {"overlong four", T("\xF0\x8F\xBF\xBF"), BAD BAD BAD BAD},
    {"overlong NUL", T("\xC0\x80"), BAD BAD},
    {"surrogate low", T("\xED\xA0\x80"), BAD BAD BAD},
    {"surrogate high", T("\xED\xBF\xBF"), BAD BAD BAD},
    {"beyond the last", T("\xF4\x90\x80\x80"), BAD BAD BAD BAD},
    {"lead byte beyond the last", T("\xF5\x80\x80\x80"), BAD BAD BAD BAD},
    {"cut off two", T("a\xC3"), "a" BAD},
    {"cut off three", T("a\xE2\x82"), "a" BAD},
    {"cut off four", T("a\xF0\x9F\x93"), "a" BAD},
    {"cut off four early", T("a\xF0\x9F"), "a" BAD},
    {"cut off lead only", T("\xF0"), BAD},
    {"interrupted",
     T("\xE2\x82"
       "A"),
     BAD "A"},
    {"interrupted by a character", T("\xF0\x9F\x93\xC3\xBC"), BAD "\xC3\xBC"},
    {"interrupted by a control", T("\xC3\n"), BAD "\\x0a"},
    /* examples of The Unicode Standard, section 3.9 */
    {"maximal subparts, truncated", T("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), BAD BAD BAD BAD "A"},
    {"maximal subparts, mixed", T("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
     "a" BAD BAD BAD "b" BAD "c" BAD BAD "d"},
};

/* text_show_in() says the same, in no more room than it asks for. */
static void assert_same_in_place(struct text in, size_t max, const char *shown)
{
    char *out = malloc(TEXT_SHOWN_SIZE(max));
    assert_non_null(out);
    assert_int_equal(text_show_in(out, in, max), strlen(shown));
    assert_string_equal(out, shown);
    free(out);
}

static void test_show(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shows / sizeof shows[0]; i++) {
        struct arena a;
        arena_init(&a, 1u << 20);
        char exact[64]; /* what lies behind must not be read */
        memcpy(exact + sizeof exact - shows[i].len, shows[i].in, shows[i].len);
        struct text in = {exact + sizeof exact - shows[i].len, shows[i].len};
        bool cut = false;
        const char *out = text_show(&a, in, 512, &cut);
        assert_non_null(out);
        if (strcmp(out, shows[i].out) != 0) {
            fail_msg("%s: %s, not %s", shows[i].name, out, shows[i].out);
        }
        assert_false(cut);
        assert_same_in_place(in, 512, out);
        arena_deinit(&a);
    }
}

/* Each code point on its own comes back as itself or as an escape, and always as valid text. */
static void test_every_code_point(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 512u << 20);
    size_t escaped = 0;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF) {
            continue;
        }
        char in[4];
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
        for (size_t i = 0; i < len; i++) {
            in[i] =
                (char)((c >> (6 * (len - 1 - i)) & (i == 0 ? 0x7F : 0x3F)) | (i == 0 ? leads[len] : 0x80));
        }
        const char *out = text_show(&a, (struct text){in, len}, 8, NULL);
        assert_non_null(out);
        if (out[0] == '\\' && c != '\\') {
            char escape[16];
            snprintf(escape, sizeof escape, c < 0x80 ? "\\x%02x" : "\\u{%04x}", (unsigned)c);
            assert_string_equal(out, escape);
            escaped++;
        } else {
            assert_int_equal(strlen(out), len);
            assert_memory_equal(out, in, len);
        }
        if (a.used > (256u << 10)) {
            arena_deinit(&a);
        }
    }
    assert_int_equal(escaped, 32 + 1 + 32 + 2 + 12 + 1); /* C0, DEL, C1, lines, bidi, BOM */
    arena_deinit(&a);
}

struct cut_case {
    const char *in;
    size_t len, max;
    const char *out;
    bool cut;
};

static const struct cut_case cuts[] = {
    {T("abc"), 4, "abc", false},
    {T("abc"), 3, "abc", false},
    {T("abcd"), 3, "ab\xE2\x80\xA6", true},
    {T("abcd"), 1, "\xE2\x80\xA6", true},
    {T("abcd"), 0, "", true},
    {T(""), 0, "", false},
    {T("\xC3\xBC\xC3\xBC\xC3\xBC"), 3, "\xC3\xBC\xC3\xBC\xC3\xBC", false},
    {T("\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC"), 3, "\xC3\xBC\xC3\xBC\xE2\x80\xA6", true},
    {T("\xF0\x9F\x93\xA7\xF0\x9F\x93\xA7"), 1, "\xE2\x80\xA6", true},
    {T("\xFF\xFF\xFF"), 2, BAD "\xE2\x80\xA6", true},
    {T("\n"), 4, "\\x0a", false},
    {T("\n"), 3, "\\x\xE2\x80\xA6", true},
    {T("\n\n"), 7, "\\x0a\\x\xE2\x80\xA6", true},
    {T("\n\n"), 8, "\\x0a\\x0a", false},
    {T("\nab"), 5, "\\x0a\xE2\x80\xA6", true},
    {T("\xE2\x80\xAE"), 8, "\\u{202e}", false},
    {T("\xE2\x80\xAE"), 7, "\\u{202\xE2\x80\xA6", true},
};

static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct arena a;
        arena_init(&a, 1u << 20);
        bool cut = false;
        const char *out = text_show(&a, (struct text){cuts[i].in, cuts[i].len}, cuts[i].max, &cut);
        assert_string_equal(out, cuts[i].out);
        assert_int_equal(cut, cuts[i].cut);
        cut = true; /* never cleared */
        assert_string_equal(text_show(&a, (struct text){cuts[i].in, cuts[i].len}, cuts[i].max, &cut), out);
        assert_true(cut);
        assert_string_equal(text_show(&a, (struct text){cuts[i].in, cuts[i].len}, cuts[i].max, NULL), out);
        assert_same_in_place((struct text){cuts[i].in, cuts[i].len}, cuts[i].max, out);
        arena_deinit(&a);
    }
}

static void test_show_bounds(void **state)
{
    (void)state;
    static char long_text[1u << 20];
    memset(long_text, 1, sizeof long_text);
    struct arena a;
    arena_init(&a, 1024);
    const char *out = text_show(&a, (struct text){long_text, sizeof long_text}, 512, NULL);
    assert_non_null(out); /* memory for what is shown only */
    assert_int_equal(strlen(out), 511 + 3);
    assert_null(text_show(&a, (struct text){long_text, sizeof long_text}, 512, NULL));
    assert_true(a.failed);
    arena_deinit(&a);
    assert_string_equal(text_show(&a, (struct text){0}, 512, NULL), "");
    assert_same_in_place((struct text){0}, 512, "");
    arena_deinit(&a);
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(text_is(text_of("StartTLS"), "STARTTLS"));
    assert_false(text_is(text_of("STARTTLS"), "STARTTL"));
    assert_false(text_is(text_of("STARTTL"), "STARTTLS"));
    assert_false(text_is((struct text){"ID\0", 3}, "ID"));
    assert_false(text_is(text_of("[AZ"), "{az")); /* only letters have cases */
    assert_false(text_is(text_of("@"), "`"));
    assert_false(text_is((struct text){"\xC4", 1}, "\xE4")); /* and only ASCII ones */
    assert_true(text_is(text_of(""), ""));
    assert_false(text_is((struct text){0}, ""));
    assert_true(text_equal_nocase((struct text){"a\0B", 3}, (struct text){"A\0b", 3}));
    assert_false(text_equal_nocase((struct text){"a\0B", 3}, (struct text){"A\0c", 3}));
    assert_int_equal(text_hash_nocase(text_of("auth=plain")), text_hash_nocase(text_of("AUTH=PLAIN")));
    assert_int_not_equal(text_hash_nocase(text_of("auth=plain")), text_hash_nocase(text_of("AUTH=PLAIM")));
    assert_null(text_of(NULL).data);
    assert_int_equal(text_of("abc").len, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show),  cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_cut),   cmocka_unit_test(test_show_bounds),
        cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

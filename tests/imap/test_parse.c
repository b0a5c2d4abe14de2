/* Framing and the parts of single responses. Every framing case is fed whole, in two parts at every position,
 * and octet by octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/limits.h"
#include "probe/imap/parse.h"

/* ---- framing: `ends` are the lengths of the responses that the input holds, 0 ends the list ---- */

struct framing {
    const char *input;
    size_t ends[4];
};

static const struct framing framings[] = {
    {"", {0}},
    {"* OK hi\r\n", {9}},
    {"* OK hi\n", {8}},
    {"* OK hi\r", {0}},
    {"* OK a\rb\r\n", {10}},
    {"\r\n", {2}},
    {"\n\n", {1, 1}},
    {"a1 OK x\r\na2 NO y\r\n", {9, 9}},
    {"* OK rest\r\n* OK", {11}},
    /* literals where they may stand */
    {"* LIST () \"/\" {3}\r\nabc\r\n", {24}},
    {"* LIST () \"/\" {3}\r\na\nb\r\n", {24}},
    {"* LIST () \"/\" {3}\nabc\n", {22}},
    {"* LIST () \"/\" {3}\r\nab", {0}},
    {"* LIST () \"/\" {3}\r\nabc", {0}},
    {"* LIST () \"/\" {0}\r\n\r\n", {21}},
    {"* 1 FETCH (BODY[] ~{4}\r\n\r\n\r\n)\r\n", {31}},
    {"* ID ({4+}\r\nname NIL)\r\n", {23}},
    {"* ID ({4}\r\nname {1}\r\nx)\r\nrest", {25}},
    {"* XYZ {1}\r\n\n{2}\r\n\r\n {00}\r\n\r\n", {28}},
    {"* list {1}\r\n\n\r\n", {15}},
    /* and where they may not: plain text */
    {"* OK {3}\r\n", {10}},
    {"* ok {3}\r\n", {10}},
    {"* NO {3}\r\n", {10}},
    {"* BAD {3}\r\n", {11}},
    {"* BYE {3}\r\n", {11}},
    {"* PREAUTH {3}\r\n", {15}},
    {"* CAPABILITY {3}\r\n", {18}},
    {"* Capability {3}\r\n", {18}},
    {"a1 OK {3}\r\n", {11}},
    {"LIST {3}\r\n", {10}},
    {"+ {3}\r\n", {7}},
    {"*LIST {3}\r\n", {11}},
    {"*  {3}\r\n", {8}},
    {"{3}\r\n", {5}},
    {"* LIST \"{3}\r\n", {13}},
    {"* LIST \"\\\"{3}\r\n", {15}},
    /* a quoted string before it changes nothing */
    {"* LIST \"a\" {1}\r\n\n\r\n", {19}},
    {"* LIST \"\\\\\" {1}\r\n\n\r\n", {20}},
    /* nearly a literal */
    {"* LIST {}\r\n", {11}},
    {"* LIST {+}\r\n", {12}},
    {"* LIST {3\r\n", {11}},
    {"* LIST 3}\r\n", {11}},
    {"* LIST {-3}\r\n", {13}},
    {"* LIST {3a}\r\n", {13}},
    {"* LIST {3} \r\n", {13}},
    {"* LIST {3++}\r\n", {14}},
    {"* LIST {3}\r\r\n", {13}},
    /* the kind belongs to the whole response, not to the line after a literal */
    {"* LIST {1}\r\nx* OK {2}\r\nab\r\n", {27}},
};

/* Feeds `input` with the given first part and step, and compares each end. */
static void play_framing(const struct framing *f, size_t first, size_t step)
{
    const unsigned char *data = (const unsigned char *)f->input;
    size_t total = strlen(f->input), start = 0, known = first, n = 0;
    struct imap_framer framer;
    imap_framer_init(&framer);
    for (;;) {
        size_t len = 0;
        enum proto_frame frame = imap_frame(&framer, data + start, known - start, &len);
        if (frame == FRAME_COMPLETE) {
            if (n == 4 || len != f->ends[n]) {
                fail_msg("response %zu of %zu octets: %s", n, len, f->input);
            }
            n++;
            start += len;
            continue;
        }
        if (frame != FRAME_PARTIAL) {
            fail_msg("too long: %s", f->input);
        }
        if (known == total) {
            break;
        }
        known = known + step < total ? known + step : total;
    }
    if (n < 4 && f->ends[n] != 0) {
        fail_msg("%zu responses only: %s", n, f->input);
    }
}

static void test_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof framings / sizeof *framings; i++) {
        size_t total = strlen(framings[i].input);
        for (size_t first = 0; first <= total; first++) {
            play_framing(&framings[i], first, total + 1);
        }
        play_framing(&framings[i], 0, 1);
    }
}

/* An octet once looked at is not looked at again: what it has become meanwhile changes nothing. */
static void test_framing_never_rescans(void **state)
{
    (void)state;
    unsigned char data[] = "* OK some words\r\n";
    struct imap_framer framer;
    imap_framer_init(&framer);
    size_t len = 0;
    assert_int_equal(imap_frame(&framer, data, 10, &len), FRAME_PARTIAL);
    data[6] = '\n';
    assert_int_equal(imap_frame(&framer, data, 12, &len), FRAME_PARTIAL);
    assert_int_equal(imap_frame(&framer, data, sizeof data - 1, &len), FRAME_COMPLETE);
    assert_int_equal(len, sizeof data - 1);
}

static const struct {
    const char *input;
    enum proto_frame frame;
} announced[] = {
    {"* LIST {262144}\r\n", FRAME_TOO_LONG},
    {"* LIST {262127}\r\n", FRAME_TOO_LONG},
    {"* LIST {262126}\r\n", FRAME_PARTIAL}, /* and one line end makes 262144 */
    {"* LIST {9223372036854775807}\r\n", FRAME_TOO_LONG},
    {"* LIST {9223372036854775808}\r\n", FRAME_TOO_LONG},
    {"* LIST {18446744073709551616}\r\n", FRAME_TOO_LONG},
    {"* LIST {18446744073709551619}\r\n", FRAME_TOO_LONG},
    {"* LIST {99999999999999999999999999999999999999999}\r\n", FRAME_TOO_LONG},
    {"* LIST ~{262144+}\r\n", FRAME_TOO_LONG},
    {"* LIST {00000000000000000000000000000000000000003}\r\n", FRAME_PARTIAL},
    {"* OK {99999999999999999999999999999}\r\n", FRAME_COMPLETE},
};

static void test_framing_of_big_literals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof announced / sizeof *announced; i++) {
        struct imap_framer framer;
        imap_framer_init(&framer);
        size_t len = 0, total = strlen(announced[i].input);
        const unsigned char *data = (const unsigned char *)announced[i].input;
        assert_int_equal(imap_frame(&framer, data, total - 1, &len), FRAME_PARTIAL);
        assert_int_equal(imap_frame(&framer, data, total, &len), announced[i].frame);
    }
}

/* A line of exactly the limit passes, one octet more does not, however they come. */
static void test_framing_of_long_lines(void **state)
{
    (void)state;
    size_t limit = LIMIT_LINE_BYTES, len = 0;
    unsigned char *data = malloc(limit + 8);
    assert_non_null(data);
    struct imap_framer framer;
    memset(data, 'x', limit + 8);
    data[limit - 1] = '\n';
    imap_framer_init(&framer);
    assert_int_equal(imap_frame(&framer, data, limit + 8, &len), FRAME_COMPLETE);
    assert_int_equal(len, limit);
    imap_framer_init(&framer);
    assert_int_equal(imap_frame(&framer, data, limit - 1, &len), FRAME_PARTIAL);
    assert_int_equal(imap_frame(&framer, data, limit, &len), FRAME_COMPLETE);
    assert_int_equal(len, limit);

    data[limit - 1] = 'x';
    data[limit] = '\n';
    imap_framer_init(&framer);
    assert_int_equal(imap_frame(&framer, data, limit + 8, &len), FRAME_TOO_LONG);
    imap_framer_init(&framer);
    for (size_t known = 0; known < limit; known++) {
        assert_int_equal(imap_frame(&framer, data, known, &len), FRAME_PARTIAL);
    }
    assert_int_equal(imap_frame(&framer, data, limit, &len), FRAME_TOO_LONG);
    free(data);
}

/* ---- single responses; "-" stands for the absent text ---- */

struct parsing {
    const char *input;
    enum imap_kind kind;
    enum imap_status status;
    const char *name; /* tag or word */
    const char *rest;
    const char *code, *argument, *text;
    const char *flags; /* o: open code, b: bare LF, n: NUL */
};

#define STATUS(input, status, name, rest, code, argument, text, flags)                                       \
    {                                                                                                        \
        input, RESPONSE_STATUS, status, name, rest, code, argument, text, flags                              \
    }
#define TAGGED(input, status, name, rest, code, argument, text)                                              \
    {                                                                                                        \
        input, RESPONSE_TAGGED, status, name, rest, code, argument, text, ""                                 \
    }
#define DATA(input, kind, name, rest, flags)                                                                 \
    {                                                                                                        \
        input, kind, STATUS_NONE, name, rest, "-", "-", "-", flags                                           \
    }

static const struct parsing parsings[] = {
    STATUS("* OK hello you\r\n", STATUS_OK, "OK", "hello you", "-", "-", "hello you", ""),
    STATUS("* ok hello\n", STATUS_OK, "ok", "hello", "-", "-", "hello", "b"),
    STATUS("* OK\r\n", STATUS_OK, "OK", "", "-", "-", "", ""),
    STATUS("* OK \r\n", STATUS_OK, "OK", "", "-", "-", "", ""),
    STATUS("* OK hi\r\r\n", STATUS_OK, "OK", "hi", "-", "-", "hi", ""),
    STATUS("* PreAuth x\r\n", STATUS_PREAUTH, "PreAuth", "x", "-", "-", "x", ""),
    STATUS("* BYE x\r\n", STATUS_BYE, "BYE", "x", "-", "-", "x", ""),
    STATUS("* NO x\r\n", STATUS_NO, "NO", "x", "-", "-", "x", ""),
    STATUS("* BAD x\r\n", STATUS_BAD, "BAD", "x", "-", "-", "x", ""),
    STATUS("* OK [ALERT] x\r\n", STATUS_OK, "OK", "[ALERT] x", "ALERT", "-", "x", ""),
    STATUS("* OK [ALERT]\r\n", STATUS_OK, "OK", "[ALERT]", "ALERT", "-", "", ""),
    STATUS("* OK [ALERT]x\r\n", STATUS_OK, "OK", "[ALERT]x", "ALERT", "-", "x", ""),
    STATUS("* OK [A b c] x]y\r\n", STATUS_OK, "OK", "[A b c] x]y", "A", "b c", "x]y", ""),
    STATUS("* OK [A ] x\r\n", STATUS_OK, "OK", "[A ] x", "A", "", "x", ""),
    STATUS("* OK [A b\r\n", STATUS_OK, "OK", "[A b", "-", "-", "[A b", "o"),
    STATUS("* OK [\r\n", STATUS_OK, "OK", "[", "-", "-", "[", "o"),
    STATUS("* OK [] x\r\n", STATUS_OK, "OK", "[] x", "-", "-", "[] x", "o"),
    STATUS("* OK [ A] x\r\n", STATUS_OK, "OK", "[ A] x", "-", "-", "[ A] x", "o"),
    STATUS("* OK x [A]\r\n", STATUS_OK, "OK", "x [A]", "-", "-", "x [A]", ""),
    TAGGED("a1 OK done\r\n", STATUS_OK, "a1", "done", "-", "-", "done"),
    TAGGED("a1 No [X y] z\r\n", STATUS_NO, "a1", "[X y] z", "X", "y", "z"),
    TAGGED("a]1 BAD\r\n", STATUS_BAD, "a]1", "", "-", "-", ""),
    TAGGED("a1 BYE x\r\n", STATUS_NONE, "a1", "BYE x", "-", "-", "-"),
    TAGGED("a1 PREAUTH x\r\n", STATUS_NONE, "a1", "PREAUTH x", "-", "-", "-"),
    TAGGED("a1\r\n", STATUS_NONE, "a1", "", "-", "-", "-"),
    TAGGED("a1 OKAY\r\n", STATUS_NONE, "a1", "OKAY", "-", "-", "-"),
    TAGGED("a1  OK x\r\n", STATUS_NONE, "a1", " OK x", "-", "-", "-"),
    DATA("+\r\n", RESPONSE_CONTINUATION, "-", "", ""),
    DATA("+ go\r\n", RESPONSE_CONTINUATION, "-", "go", ""),
    DATA("+OK POP3\r\n", RESPONSE_UNPARSABLE, "-", "POP3", ""),
    DATA("\r\n", RESPONSE_UNPARSABLE, "-", "", ""),
    DATA("*\r\n", RESPONSE_UNPARSABLE, "-", "", ""),
    DATA("* \r\n", RESPONSE_UNPARSABLE, "-", "", ""),
    DATA("*  OK\r\n", RESPONSE_UNPARSABLE, "-", "OK", ""),
    DATA("*OK x\r\n", RESPONSE_UNPARSABLE, "-", "x", ""),
    DATA(" OK\r\n", RESPONSE_UNPARSABLE, "-", "OK", ""),
    DATA("\x16\x03 x\r\n", RESPONSE_UNPARSABLE, "-", "x", ""),
    DATA("a\xc3\xa4 OK x\r\n", RESPONSE_UNPARSABLE, "-", "OK x", ""),
    DATA("* CAPABILITY A B\r\n", RESPONSE_CAPABILITY, "CAPABILITY", "A B", ""),
    DATA("* capability\r\n", RESPONSE_CAPABILITY, "capability", "", ""),
    DATA("* CAPABILITY \r\n", RESPONSE_CAPABILITY, "CAPABILITY", "", ""),
    DATA("* id NIL\r\n", RESPONSE_ID, "id", "NIL", ""),
    DATA("* LIST () {1}\nx\r\n", RESPONSE_OTHER, "LIST", "() {1}\nx", "b"),
    /* the CR is the literal's */
    DATA("* XYZ {1}\r\n\r\n", RESPONSE_OTHER, "XYZ", "{1}\r\n", "b"),
    DATA("* 12 EXISTS\r\n", RESPONSE_OTHER, "EXISTS", "", ""),
    DATA("* 12 FETCH (X)\r\n", RESPONSE_OTHER, "FETCH", "(X)", ""),
    DATA("* 12\r\n", RESPONSE_OTHER, "", "", ""),
    DATA("* 12 OK\r\n", RESPONSE_OTHER, "OK", "", ""),
};

static bool same(struct text text, const char *expected)
{
    if (strcmp(expected, "-") == 0) {
        return text.data == NULL;
    }
    return text.data && text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

static void test_parsing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parsings / sizeof *parsings; i++) {
        const struct parsing *p = &parsings[i];
        struct imap_response r;
        imap_parse(&r, (const unsigned char *)p->input, strlen(p->input));
        bool name =
            r.kind == RESPONSE_UNPARSABLE || same(r.kind == RESPONSE_TAGGED ? r.tag : r.word, p->name);
        bool texts = same(r.rest, p->rest) && same(r.text.code, p->code) &&
                     same(r.text.argument, p->argument) && same(r.text.text, p->text);
        bool flags = r.open_code == (strchr(p->flags, 'o') != NULL) &&
                     r.bare_lf == (strchr(p->flags, 'b') != NULL) && !r.nul;
        if (r.kind != p->kind || r.status != p->status || !name || !texts || !flags) {
            fail_msg("kind %d, status %d, name %d, texts %d, flags %d: %s", (int)r.kind, (int)r.status, name,
                     texts, flags, p->input);
        }
    }
}

#define BYTES(s) (const unsigned char *)(s), sizeof(s) - 1

/* RFC 9051 section 9, note 3: NUL may stand in a literal8 only. */
static void test_nul(void **state)
{
    (void)state;
    static const struct {
        const unsigned char *data;
        size_t len;
        bool nul;
    } cases[] = {
        {BYTES("* OK a\0b\r\n"), true},
        {BYTES("* OK a\r\n\0"), false}, /* that is the next response's */
        {BYTES("* XYZ {2}\r\na\0\r\n"), true},
        {BYTES("* XYZ ~{2}\r\na\0\r\n"), false},
        {BYTES("* XYZ ~{2}\r\na\0b\0\r\n"), true},
        {BYTES("* XYZ ~{2}\r\n\0\0 {1}\r\n\0\r\n"), true},
        {BYTES("* XYZ ~{2}\r\n\0\0 ~{1}\r\n\0\r\n"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct imap_framer framer;
        imap_framer_init(&framer);
        size_t len = 0;
        assert_int_equal(imap_frame(&framer, cases[i].data, cases[i].len, &len), FRAME_COMPLETE);
        struct imap_response r;
        imap_parse(&r, cases[i].data, len);
        assert_int_equal(r.nul, cases[i].nul);
    }
}

/* ---- capability lists ---- */

static const struct {
    const char *list, *words; /* words are given with a comma behind each */
    bool odd;
} lists[] = {
    {"", "", false},
    {"IMAP4rev1", "IMAP4rev1,", false},
    {"IMAP4rev1 AUTH=PLAIN LITERAL+ RIGHTS=kxten", "IMAP4rev1,AUTH=PLAIN,LITERAL+,RIGHTS=kxten,", false},
    {"st11p00mm-iscream009 1Q49 I18NLEVEL=1 X-A_b!#$&'/:;<>?@^`|}~[.", /* odd names, yet atoms */
     "st11p00mm-iscream009,1Q49,I18NLEVEL=1,X-A_b!#$&'/:;<>?@^`|}~[.,", false},
    {"A ", "A,", true},
    {" A", "A,", true},
    {"A  B", "A,B,", true},
    {"A\tB", "A,B,", true},
    {"A\r", "A,", true},
    {"A \t B  ", "A,B,", true},
    {"  ", "", true},
    {"A (B) C", "A,(B),C,", true},
    {"A \"B\"", "A,\"B\",", true},
    {"A B] C", "A,B],C,", true},
    {"A \x01 B", "A,B,", true},
    {"A caf\xc3\xa9 B", "A,B,", true},
    {"A x\x7f", "A,", true},
};

static void test_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct text list = text_of(lists[i].list), word;
        char words[256] = "";
        bool odd = false;
        while (imap_next_word(&list, &word, &odd)) {
            strncat(words, word.data, word.len);
            strcat(words, ",");
        }
        assert_string_equal(words, lists[i].words);
        assert_int_equal(odd, lists[i].odd);
    }
}

/* ---- ID ---- */

static const struct {
    const char *parameters;
    enum imap_id result;
    bool answered;
    const char *fields; /* name=value; with * for NIL */
} ids[] = {
    {"NIL", ID_WELL_FORMED, true, ""},
    {"nil", ID_WELL_FORMED, true, ""},
    {"()", ID_WELL_FORMED, true, ""},
    {"(\"name\" \"Dovecot\")", ID_WELL_FORMED, true, "name=Dovecot;"},
    {"(\"name\" NIL \"version\" \"2\")", ID_WELL_FORMED, true, "name=*;version=2;"},
    {"(\"name\" nil)", ID_WELL_FORMED, true, "name=*;"},
    {"(\"NIL\" \"NIL\")", ID_WELL_FORMED, true, "NIL=NIL;"},
    {"(\"a\\\"b\" \"c\\\\d\")", ID_WELL_FORMED, true, "a\"b=c\\d;"},
    {"(\"a\" \"\")", ID_WELL_FORMED, true, "a=;"},
    {"(\"a\" \")\")", ID_WELL_FORMED, true, "a=);"},
    {"({4}\r\nname {3}\r\na\"b)", ID_WELL_FORMED, true, "name=a\"b;"},
    {"(\"a\" {3}\nx\\y)", ID_WELL_FORMED, true, "a=x\\y;"},
    {"(\"a\" {0}\r\n)", ID_WELL_FORMED, true, "a=;"},
    {"(\"a\" ~{1+}\r\nx)", ID_WELL_FORMED, true, "a=x;"},
    {"(\"a\"   \"b\"  )", ID_WELL_FORMED, true, "a=b;"},
    {"(\"a\" b)", ID_MALFORMED, true, "a=b;"},
    {"(a \"b\")", ID_MALFORMED, true, "a=b;"},
    {"(NIL \"b\" \"c\" \"d\")", ID_MALFORMED, true, "c=d;"},
    {"(\"a\" \"b\"", ID_MALFORMED, true, "a=b;"},
    {"(\"a\" \"b\") x", ID_MALFORMED, true, "a=b;"},
    {"(\"a\" \"b\" \"c\")", ID_MALFORMED, true, "a=b;"},
    {"(\"a\" \"b\" \"c\" \"d", ID_MALFORMED, true, "a=b;"},
    {"(\"a\" \"b\\", ID_MALFORMED, true, ""},
    {"(\"a\" \"b\" (\"c\" \"d\"))", ID_MALFORMED, true, "a=b;"},
    {"(\"a\" {9}\r\nx)", ID_MALFORMED, true, ""},
    {"(\"a\" {9", ID_MALFORMED, true, ""},
    {"(\"a\" ~x)", ID_MALFORMED, true, ""},
    {"(", ID_MALFORMED, true, ""},
    {"", ID_MALFORMED, false, ""},
    {"\"name\" \"x\"", ID_MALFORMED, false, ""},
    {"NIL x", ID_MALFORMED, false, ""},
    {"NIL ", ID_MALFORMED, true, ""},
};

static void test_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct arena arena;
        arena_init(&arena, 64 * 1024);
        struct server_id id = {0};
        bool cut = false;
        enum imap_id result = imap_parse_id(text_of(ids[i].parameters), &arena, &id, &cut);
        if (result != ids[i].result || id.answered != ids[i].answered) {
            fail_msg("%d: %s", (int)result, ids[i].parameters);
        }
        assert_false(cut);
        char fields[256] = "";
        for (size_t k = 0; k < id.count; k++) {
            strncat(fields, id.fields[k].name.data, id.fields[k].name.len);
            strcat(fields, "=");
            if (id.fields[k].value.data) {
                strncat(fields, id.fields[k].value.data, id.fields[k].value.len);
            } else {
                strcat(fields, "*");
            }
            strcat(fields, ";");
        }
        assert_string_equal(fields, ids[i].fields);
        arena_deinit(&arena);
    }
}

/* LIMIT_ID_FIELDS pairs are kept whole, one more sets `cut`; so does an endless value. */
static void test_id_bounds(void **state)
{
    (void)state;
    for (size_t pairs = LIMIT_ID_FIELDS - 1; pairs <= LIMIT_ID_FIELDS + 1; pairs++) {
        char parameters[2048] = "(";
        for (size_t i = 0; i < pairs; i++) {
            strcat(parameters, i == 0 ? "\"a\" \"b\"" : " \"a\" \"b\"");
        }
        strcat(parameters, ")");
        struct arena arena;
        arena_init(&arena, 64 * 1024);
        struct server_id id = {0};
        bool cut = false;
        assert_int_equal(imap_parse_id(text_of(parameters), &arena, &id, &cut), ID_WELL_FORMED);
        assert_int_equal(id.count, pairs < LIMIT_ID_FIELDS ? pairs : LIMIT_ID_FIELDS);
        assert_int_equal(cut, pairs > LIMIT_ID_FIELDS);
        arena_deinit(&arena);
    }
    char parameters[8192] = "(\"a\" \"";
    memset(parameters + 6, '\\', 5000);
    strcpy(parameters + 5006, "\")");
    struct arena arena;
    arena_init(&arena, 64 * 1024);
    struct server_id id = {0};
    bool cut = false;
    assert_int_equal(imap_parse_id(text_of(parameters), &arena, &id, &cut), ID_WELL_FORMED);
    assert_true(cut);
    assert_int_equal(id.fields[0].value.len, LIMIT_TEXT_CHARS * 4);
    arena_deinit(&arena);
}

static void test_id_no_memory(void **state)
{
    (void)state;
    bool failed = false, passed = false;
    for (size_t max = 0; max < 4096; max += 8) {
        struct arena arena;
        arena_init(&arena, max);
        struct server_id id = {0};
        bool cut = false;
        enum imap_id result = imap_parse_id(text_of("(\"a\" \"b\" \"c\" NIL)"), &arena, &id, &cut);
        failed |= result == ID_NO_MEMORY;
        passed |= result == ID_WELL_FORMED;
        assert_int_equal(result == ID_NO_MEMORY, arena.failed);
        assert_true(result == ID_NO_MEMORY || id.count == 2);
        arena_deinit(&arena);
    }
    assert_true(failed && passed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_framing_never_rescans),
        cmocka_unit_test(test_framing_of_big_literals),
        cmocka_unit_test(test_framing_of_long_lines),
        cmocka_unit_test(test_parsing),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_id),
        cmocka_unit_test(test_id_bounds),
        cmocka_unit_test(test_id_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

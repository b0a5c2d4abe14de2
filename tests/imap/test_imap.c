/* The dialogue as plays: what the server says, before and inside TLS, against what is sent and what is
 * learnt.
 *
 * "$n" in a play stands for the tag of the n-th command. Every play is given whole, in two parts at every
 * position, and octet by octet, and must come out the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/limits.h"
#include "probe/imap/imap.h"

#define SEED 4711u
#define WHOLE SIZE_MAX

/* ---- the stage: a driver without sockets ---- */

struct stage {
    struct port_report port;
    struct arena arena;
    struct imap imap;
    struct buf out;
    const char *end;         /* how the play ended */
    enum proto_verdict last; /* of the last reply */
};

static const char *const verdict_names[] = {
    [PROTO_MORE] = "waits", [PROTO_NEXT] = "waits", [PROTO_STARTTLS] = "starttls",
    [PROTO_DONE] = "done",  [PROTO_FAIL] = "fail",  [PROTO_NO_MEMORY] = "memory",
};

static void stage_init(struct stage *stage, size_t arena_max)
{
    *stage = (struct stage){0};
    arena_init(&stage->arena, arena_max);
    buf_init(&stage->out, 4096);
    imap_init(&stage->imap, &stage->port, &stage->arena, SEED);
}

static void stage_deinit(struct stage *stage)
{
    buf_deinit(&stage->out);
    arena_deinit(&stage->arena);
}

/* Replaces "$" by the prefix that SEED gives to tags; the result is malloc'ed. */
static char *expand(const char *play, size_t len, size_t *expanded)
{
    struct stage stage;
    stage_init(&stage, LIMIT_REPORT_BYTES);
    size_t room = len * 8 + 64, n = 0;
    char *text = malloc(room);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        if (play[i] == '$') {
            n += (size_t)snprintf(text + n, room - n, "%s", stage.imap.prefix);
        } else {
            text[n++] = play[i];
        }
    }
    text[n] = '\0';
    *expanded = n;
    stage_deinit(&stage);
    return text;
}

/* Gives the bytes to the dialogue, `first` octets and then `step` octets at a time, until it needs no more.
 */
static enum proto_verdict give(struct stage *stage, const char *bytes, size_t total, size_t first,
                               size_t step)
{
    const unsigned char *data = (const unsigned char *)bytes;
    size_t start = 0, known = first < total ? first : total;
    for (;;) {
        size_t len = 0;
        enum proto_frame frame = imap_proto.frame(&stage->imap, data + start, known - start, &len);
        if (frame == FRAME_TOO_LONG) {
            stage->end = "long";
            return PROTO_FAIL;
        }
        if (frame == FRAME_COMPLETE) {
            enum proto_verdict verdict = imap_proto.reply(&stage->imap, data + start, len, &stage->out);
            start += len;
            stage->end = verdict_names[verdict];
            stage->last = verdict;
            if (verdict != PROTO_MORE && verdict != PROTO_NEXT) {
                return verdict;
            }
            continue;
        }
        if (known == total) {
            stage->end = "waits";
            return PROTO_MORE;
        }
        known = step < total - known ? known + step : total;
    }
}

static void perform(struct stage *stage, bool tls_port, const char *plain, size_t plain_len, const char *tls,
                    size_t tls_len, size_t first, size_t step)
{
    stage->port.tls_port = tls_port;
    enum proto_verdict verdict = imap_proto.begin(&stage->imap, tls_port, &stage->out);
    assert_int_equal(verdict, PROTO_MORE);
    assert_int_equal(stage->out.len, 0); /* the server speaks first */
    if (!tls_port) {
        if (give(stage, plain, plain_len, first, step) != PROTO_STARTTLS) {
            return;
        }
        verdict = imap_proto.secured(&stage->imap, &stage->out);
        stage->end = verdict_names[verdict];
        if (verdict != PROTO_MORE) {
            return;
        }
    }
    give(stage, tls, tls_len, first, step);
}

/* ---- what was learnt, as text ---- */

static void say(FILE *f, const char *name, struct text text)
{
    if (!text.data) {
        return;
    }
    fprintf(f, "%s", name);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '\0') {
            fprintf(f, "\\0");
        } else {
            fputc(c, f);
        }
    }
}

static void say_resp_text(FILE *f, struct resp_text t)
{
    say(f, "/", t.code);
    say(f, "/", t.argument);
    say(f, ":", t.text);
}

static void say_reply(FILE *f, const char *name, struct reply reply)
{
    static const char *const names[] = {"", "?", "OK", "NO", "BAD"};
    if (reply.status == REPLY_NOT_ASKED) {
        return;
    }
    fprintf(f, " %s=%s", name, names[reply.status]);
    /* The words of an OK are tested once, in a play of their own. */
    if (reply.status != REPLY_OK) {
        say_resp_text(f, reply.text);
    }
}

static char *facts(const struct stage *stage)
{
    static const char *const greetings[] = {"none", "ok", "preauth", "bye"};
    static const char *const deviations[DEVIATION_COUNT] = {
        "bare-lf", "foreign-tag", "unparsed", "continuation", "unexpected",
        "nul",     "no-caps",     "syntax",   "duplicate",    "lists",
    };
    const struct port_report *port = &stage->port;
    const struct dialogue *d = &port->dialogue;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    fprintf(f, "%s %s greeting=%s", stage->end, imap_state_name(stage->imap.state), greetings[d->greeting]);
    say_resp_text(f, d->greeting_text);
    for (unsigned phase = 0; phase < CAPS_PHASES; phase++) {
        const struct caps_list *list = &port->caps.phase[phase];
        for (size_t i = 0; i < list->count; i++) {
            say(f,
                i > 0                    ? ","
                : phase == CAPS_GREETING ? " G:"
                : phase == CAPS_COMMAND  ? " C:"
                                         : " S:",
                list->names[i]);
        }
    }
    say_reply(f, "plain", d->capability_plain);
    say_reply(f, "starttls", d->starttls);
    say_reply(f, "tls", d->capability_tls);
    say_reply(f, "id", d->id);
    say_reply(f, "logout", d->logout);
    if (d->server_id.answered) {
        fprintf(f, " fields");
    }
    for (size_t i = 0; i < d->server_id.count; i++) {
        say(f, "|", d->server_id.fields[i].name);
        say(f, "=", d->server_id.fields[i].value);
    }
    if (d->bye) {
        fprintf(f, " bye");
        say_resp_text(f, d->bye_text);
    }
    if (port->error.code != ERROR_NONE) {
        fprintf(f, " error=%s@%s", error_name(port->error.code), phase_name(port->error.phase));
        say(f, ":", port->error.said);
    }
    for (unsigned i = 0; i < DEVIATION_COUNT; i++) {
        if (d->deviations & 1u << i) {
            fprintf(f, " !%s", deviations[i]);
            say(f, ":", d->deviation_example[i]);
        }
    }
    for (unsigned i = 0; i < CUT_COUNT; i++) {
        if (port->truncated & 1u << i) {
            fprintf(f, " cut=%s", cut_name((enum cut)i));
        }
    }
    fclose(f);
    return text;
}

/* Nothing is ever sent but these, whatever the server says: above all no LOGIN and no AUTHENTICATE. */
static void assert_harmless(const struct stage *stage)
{
    static const char *const allowed[] = {"CAPABILITY", "STARTTLS", "ID (\"name\" \"imap-testd\")", "LOGOUT"};
    size_t at = 0;
    unsigned number = 0;
    while (at < stage->out.len) {
        const char *line = (const char *)stage->out.data + at;
        const char *lf = memchr(line, '\n', stage->out.len - at);
        assert_non_null(lf);
        char expected[128];
        bool found = false;
        number++;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
            int len =
                snprintf(expected, sizeof expected, "%s%u %s\r\n", stage->imap.prefix, number, allowed[i]);
            found |= lf + 1 - line == len && memcmp(line, expected, (size_t)len) == 0;
        }
        assert_true(found);
        at += (size_t)(lf + 1 - line);
    }
}

/* ---- the plays ---- */

struct play {
    const char *name;
    enum { P143, P993 } port;
    const char *plain, *tls;
    const char *sent; /* initials: C S I L */
    const char *facts;
};

#define CAPA(n) "* CAPABILITY IMAP4rev1\r\n$" n " OK done\r\n"
#define GREET "* OK hi\r\n"
#define START GREET CAPA("1") "$2 OK go\r\n"
#define BYE(n) "* BYE bye\r\n$" n " OK done\r\n"

#define PLAIN_FACTS "greeting=ok:hi C:IMAP4rev1"
#define GOOD_143 "done FINISHED " PLAIN_FACTS " S:IMAP4rev1 plain=OK starttls=OK tls=OK logout=OK"
#define GOOD_993 "done FINISHED " PLAIN_FACTS " tls=OK logout=OK"

static const struct play plays[] = {
#include "tests/imap/plays.def"
};

static char *sent_lines(const char *initials)
{
    char text[512] = "";
    for (size_t i = 0; initials[i]; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "$%zu %s\r\n", i + 1,
                 initials[i] == 'C'   ? "CAPABILITY"
                 : initials[i] == 'S' ? "STARTTLS"
                 : initials[i] == 'I' ? "ID (\"name\" \"imap-testd\")"
                                      : "LOGOUT");
    }
    size_t len;
    return expand(text, strlen(text), &len);
}

static void check(const struct play *play, const char *plain, size_t plain_len, const char *tls,
                  size_t tls_len, const char *expected, size_t first, size_t step)
{
    struct stage stage;
    stage_init(&stage, LIMIT_REPORT_BYTES);
    perform(&stage, play->port == P993, plain, plain_len, tls, tls_len, first, step);
    assert_harmless(&stage);
    char *learnt = facts(&stage), *sent = sent_lines(play->sent);
    if (strcmp(learnt, expected) != 0) {
        fail_msg("%s (first %zu)\n  learnt   %s\n  expected %s", play->name, first, learnt, expected);
    }
    if (stage.out.len != strlen(sent) ||
        (stage.out.len > 0 && memcmp(stage.out.data, sent, stage.out.len) != 0)) {
        fail_msg("%s (first %zu) sent\n%.*sexpected\n%s", play->name, first, (int)stage.out.len,
                 stage.out.data ? (const char *)stage.out.data : "", sent);
    }
    free(learnt);
    free(sent);
    stage_deinit(&stage);
}

static void test_plays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plays / sizeof *plays; i++) {
        const struct play *play = &plays[i];
        size_t plain_len, tls_len, len;
        char *plain = expand(play->plain, strlen(play->plain), &plain_len);
        char *tls = expand(play->tls, strlen(play->tls), &tls_len);
        char *expected = expand(play->facts, strlen(play->facts), &len);
        size_t longest = plain_len > tls_len ? plain_len : tls_len;
        check(play, plain, plain_len, tls, tls_len, expected, WHOLE, WHOLE);
        check(play, plain, plain_len, tls, tls_len, expected, 0, 1);
        for (size_t first = 0; first < longest; first++) {
            check(play, plain, plain_len, tls, tls_len, expected, first, WHOLE);
        }
        free(plain);
        free(tls);
        free(expected);
    }
}

/* ---- single points ---- */

/* Plays on the TLS port as a whole; the caller looks at the stage and ends it. */
static void play_993(struct stage *stage, size_t arena_max, const char *play, size_t len)
{
    size_t n;
    char *text = expand(play, len, &n);
    stage_init(stage, arena_max);
    perform(stage, true, "", 0, text, n, WHOLE, WHOLE);
    assert_harmless(stage);
    free(text);
}

static void assert_facts(const struct stage *stage, const char *expected)
{
    char *learnt = facts(stage);
    assert_string_equal(learnt, expected);
    free(learnt);
}

static void assert_text(struct text text, const char *expected)
{
    assert_non_null(text.data);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.data, expected, text.len);
}

static void test_words_of_replies(void **state)
{
    (void)state;
    static const char play[] = GREET "* CAPABILITY ID\r\n$1 OK [A b] c d\r\n$2 OK [E] f\r\n$3 OK g\r\n";
    struct stage stage;
    play_993(&stage, LIMIT_REPORT_BYTES, play, sizeof play - 1);
    const struct dialogue *d = &stage.port.dialogue;
    assert_text(d->capability_tls.text.code, "A");
    assert_text(d->capability_tls.text.argument, "b");
    assert_text(d->capability_tls.text.text, "c d");
    assert_text(d->id.text.code, "E");
    assert_null(d->id.text.argument.data);
    assert_text(d->id.text.text, "f");
    assert_null(d->logout.text.code.data);
    assert_text(d->logout.text.text, "g");
    stage_deinit(&stage);
}

static void test_nul(void **state)
{
    (void)state;
    static const char play[] = "* OK a\0b\r\n* CAPABILITY A B\0C\r\n$1 OK x\r\n$2 OK\0\r\n$2 OK x\r\n";
    struct stage stage;
    play_993(&stage, LIMIT_REPORT_BYTES, play, sizeof play - 1);
    /* "OK\0" is no OK; where LOGOUT awaits its answer that is the end all the same. */
    assert_facts(&stage, "done FINISHED greeting=ok:a\\0b C:A tls=OK logout=? !nul:* OK a\\0b "
                         "!syntax:* CAPABILITY A B\\0C");
    stage_deinit(&stage);
}

/* Nothing refers to the bytes given once the reply has been taken. */
static void test_bytes_are_only_lent(void **state)
{
    (void)state;
    static const char play[] = "* OK [X y] hi\r\n* CAPABILITY ID A\r\n$1 OK x\r\n* ID (\"a\" \"b\")\r\nb OK\n"
                               "$2 NO x\r\n* LIST\r\n$3 OK x\r\n";
    static const char expected[] =
        "done FINISHED greeting=ok/X/y:hi C:ID,A tls=OK id=NO:x logout=OK fields|a=b "
        "!bare-lf:b OK !foreign-tag:b OK !unexpected:* LIST";
    size_t n;
    char *text = expand(play, sizeof play - 1, &n);
    struct stage stage;
    stage_init(&stage, LIMIT_REPORT_BYTES);
    perform(&stage, true, "", 0, text, n, 0, 1);
    memset(text, '?', n);
    assert_facts(&stage, expected);
    free(text);
    stage_deinit(&stage);
}

/* Which end is fine, in which phase an error falls and how long is waited, state by state. */
static void test_ends_phases_and_waits(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *tls; /* tls NULL: not secured */
        enum imap_state state;
        enum proto_verdict ended;
        enum phase phase;
        unsigned wait_ms;
    } cases[] = {
        {"* O", NULL, IMAP_GREETING, PROTO_MORE, PHASE_GREETING, 0},
        {GREET, NULL, IMAP_CAPABILITY, PROTO_MORE, PHASE_CAPABILITY, 0},
        {GREET CAPA("1"), NULL, IMAP_STARTTLS, PROTO_MORE, PHASE_STARTTLS, 0},
        {START, NULL, IMAP_HANDSHAKE, PROTO_MORE, PHASE_TLS, 0},
        {START, "", IMAP_CAPABILITY_TLS, PROTO_MORE, PHASE_CAPABILITY, 0},
        {START, "* CAPABILITY ID\r\n$3 OK x\r\n", IMAP_ID, PROTO_MORE, PHASE_CAPABILITY, 0},
        {START, "* CAPABILITY ID\r\n$3 OK x\r\n$4 OK x\r\n", IMAP_LOGOUT, PROTO_DONE, PHASE_CAPABILITY,
         LIMIT_LOGOUT_MS},
        {START, CAPA("3"), IMAP_LOGOUT, PROTO_DONE, PHASE_CAPABILITY, LIMIT_LOGOUT_MS},
        {START, CAPA("3") "* BYE x\r\n", IMAP_LOGOUT, PROTO_DONE, PHASE_CAPABILITY, LIMIT_LOGOUT_MS},
        {START, CAPA("3") BYE("4"), IMAP_FINISHED, PROTO_DONE, PHASE_CAPABILITY, 0},
        {GREET CAPA("1") "$2 NO\r\n", NULL, IMAP_LOGOUT, PROTO_DONE, PHASE_CAPABILITY, LIMIT_LOGOUT_MS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const struct {
            const char *bytes;
            bool closed, foreign; /* where a greeting is awaited */
        } rests[] = {
            {"", true, false},
            {"* OK half a li", true, false},
            {"*", true, false},
            {"* pre", true, false},
            {"\x15\x03\x03", false, true},
            {"login: ", false, false},
            {"login: ", true, true},
            {"* * ", true, true},
        };
        for (size_t k = 0; k < sizeof rests / sizeof *rests; k++) {
            struct stage stage;
            size_t plain_len, tls_len = 0;
            char *plain = expand(cases[i].plain, strlen(cases[i].plain), &plain_len), *tls = NULL;
            stage_init(&stage, LIMIT_REPORT_BYTES);
            imap_proto.begin(&stage.imap, false, &stage.out);
            enum proto_verdict verdict = give(&stage, plain, plain_len, WHOLE, WHOLE);
            if (cases[i].tls) {
                assert_int_equal(verdict, PROTO_STARTTLS);
                assert_int_equal(imap_proto.secured(&stage.imap, &stage.out), PROTO_MORE);
                tls = expand(cases[i].tls, strlen(cases[i].tls), &tls_len);
                give(&stage, tls, tls_len, WHOLE, WHOLE);
            }
            assert_int_equal(stage.imap.state, cases[i].state);
            assert_int_equal(stage.imap.tls, cases[i].tls != NULL);
            assert_int_equal(imap_proto.phase(&stage.imap), cases[i].phase);
            assert_int_equal(imap_proto.wait_ms(&stage.imap), cases[i].wait_ms);
            enum error_code before = stage.port.error.code;
            const char *rest = rests[k].bytes;
            bool foreign = cases[i].state == IMAP_GREETING && rests[k].foreign;
            assert_int_equal(
                imap_proto.ended(&stage.imap, rests[k].closed, (const unsigned char *)rest, strlen(rest)),
                foreign ? PROTO_FAIL : cases[i].ended);
            assert_int_equal(stage.port.error.code, foreign ? ERROR_NOT_IMAP : before);
            assert_int_equal(stage.port.error.said.len, foreign ? strlen(rest) : 0);
            free(plain);
            free(tls);
            stage_deinit(&stage);
        }
    }
}

/* LOGOUT is on its way already: its wait starts when ID is answered, or will not be. */
static void test_wait_after_id(void **state)
{
    (void)state;
    static const struct {
        const char *play, *facts;
    } cases[] = {
        {GREET "* CAPABILITY ID\r\n$1 OK x\r\n$2 OK x\r\n",
         "waits LOGOUT greeting=ok:hi C:ID tls=OK id=OK logout=?"},
        {GREET "* CAPABILITY ID\r\n$1 OK x\r\n* BYE x\r\n",
         "waits ID greeting=ok:hi C:ID tls=OK id=? logout=?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        play_993(&stage, LIMIT_REPORT_BYTES, cases[i].play, strlen(cases[i].play));
        assert_int_equal(stage.last, PROTO_NEXT);
        assert_facts(&stage, cases[i].facts);
        stage_deinit(&stage);
    }
}

/* A farewell in the place of the answer to ID is the server's own where LOGOUT has none. */
static void test_bye_to_id(void **state)
{
    (void)state;
    static const char play[] = GREET "* CAPABILITY ID\r\n$1 OK x\r\n* BYE [X] why\r\n* BYE again\r\n";
    struct stage stage;
    play_993(&stage, LIMIT_REPORT_BYTES, play, sizeof play - 1);
    assert_int_equal(stage.last, PROTO_MORE); /* the wait is that of the first */
    assert_int_equal(imap_proto.wait_ms(&stage.imap), LIMIT_LOGOUT_MS);
    assert_int_equal(imap_proto.ended(&stage.imap, false, (const unsigned char *)"", 0), PROTO_FAIL);
    stage.end = "fail";
    assert_facts(&stage, "fail FINISHED greeting=ok:hi C:ID tls=OK id=? logout=? bye/X:why "
                         "error=server_bye@capability:why");
    stage_deinit(&stage);
}

/* What a server can have said before it saw our hello, and what may be its answer to it. */
static void test_withdrawn(void **state)
{
    (void)state;
    const struct imap imap = {.prefix = "abc", .command = 2};
    static const struct {
        const char *said;
        bool closed, withdrawn;
    } cases[] = {
        {"abc2 NO not today\r\n", false, true},
        {"abc2 BAD no TLS\r\n* NO an error\r\n", true, true},
        {"abc2 OK go\r\n", true, false},
        {"abc1 NO not today\r\n", true, false},
        {"abc20 NO not today\r\n", true, false},
        {"* BYE TLS initialization failed.\r\n", true, true},
        {"* BYE TLS initialization failed.\r\n", false, false},
        {"* bye", true, true},
        {"* BYE first\r\n\x16\x03\x03", true, false},
        {"* BYE first\r\n* BYE second\r\n", true, false},
        {"* NO not today\r\n", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool withdrawn = imap_proto.withdrawn(&imap, cases[i].closed, (const unsigned char *)cases[i].said,
                                              strlen(cases[i].said));
        if (withdrawn != cases[i].withdrawn) {
            fail_msg("case %zu: %s", i, cases[i].said);
        }
    }
}

static void test_injected(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        bool injected;
    } cases[] = {
        {"* OK x\r\n", true},
        {"* OK x", true},
        {"* OK x\r\n* BAD y\r\n", true},
        {"* NO x\r\n", true},
        {"* PREAUTH x\r\n", true},
        {"a NO x\r\n", true},
        {"* CAPABILITY x\r\n", true},
        {"* ID NIL\r\n", true},
        {"* 1 EXISTS\r\n", true},
        {"* BAD x\r\n", false},
        {"* BYE x\r\n", false},
        {"a BAD x\r\n", false},
        {"a", false},
        {"+ x\r\n", false},
        {"(\r\n", false},
        {"\x16\x03\x01", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool injected =
            imap_proto.injected(NULL, (const unsigned char *)cases[i].said, strlen(cases[i].said));
        if (injected != cases[i].injected) {
            fail_msg("case %zu: %s", i, cases[i].said);
        }
    }
}

/* ---- bounds ---- */

/* Repeats `line` behind `play` until `total` octets have been said. */
static char *repeat(const char *play, const char *line, size_t total, size_t *len)
{
    char *text = malloc(total + strlen(play) + strlen(line) + 1);
    assert_non_null(text);
    strcpy(text, play);
    size_t n = strlen(play), step = strlen(line);
    for (; n < total; n += step) {
        memcpy(text + n, line, step);
    }
    text[n] = '\0';
    *len = n;
    return text;
}

static void test_endless_lines(void **state)
{
    (void)state;
    static const struct {
        const char *play, *line, *facts;
    } cases[] = {
        {GREET, "* OK still working\r\n",
         "fail FINISHED greeting=ok:hi tls=? error=response_too_long@capability"},
        {GREET, "\n",
         "fail FINISHED greeting=ok:hi tls=? error=response_too_long@capability !bare-lf: !unparsed:"},
        {GREET, "* CAPABILITY A\r\n",
         "fail FINISHED greeting=ok:hi C:A tls=? error=response_too_long@capability !lists:* CAPABILITY A"},
        {GREET "* CAPABILITY ID\r\n$1 OK x\r\n", "* ID (\"a\" \"b\" \"c\" \"d\")\r\n",
         "fail FINISHED greeting=ok:hi C:ID tls=OK id=? logout=? fields|a=b|c=d "
         "error=response_too_long@capability"},
        {GREET CAPA("1"), "* BYE x\r\n", "done FINISHED greeting=ok:hi C:IMAP4rev1 tls=OK logout=?"},
        {GREET, "x", "long CAPABILITY greeting=ok:hi tls=?"},
        {GREET, "* LIST {10}\r\n0123456789\r\n",
         "fail FINISHED greeting=ok:hi tls=? error=response_too_long@capability "
         "!unexpected:* LIST {10}\r\n0123456789"},
        {"", "* ", "long GREETING greeting=none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len;
        char *text = repeat(cases[i].play, cases[i].line, LIMIT_PHASE_BYTES + 1024, &len);
        struct stage stage;
        play_993(&stage, LIMIT_REPORT_BYTES, text, len);
        assert_facts(&stage, cases[i].facts);
        free(text);
        stage_deinit(&stage);
    }
}

/* The bound is one of the phase: each of these two stays below it, their sum does not. */
static void test_phase_bytes_start_anew(void **state)
{
    (void)state;
    size_t len, more, all;
    char line[200];
    memset(line, 'x', sizeof line);
    memcpy(line, "* OK ", 5);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    char *first = repeat(GREET, line, LIMIT_PHASE_BYTES - 300, &len);
    char *second = repeat(CAPA("1"), line, LIMIT_PHASE_BYTES - 300, &more);
    char *plain = repeat(first, second, len + 1, &all);
    size_t end;
    char *text = repeat(plain, "$2 OK x\r\n", all + 1, &end);
    struct stage stage;
    play_993(&stage, LIMIT_REPORT_BYTES, text, end);
    assert_facts(&stage, GOOD_993);
    free(first);
    free(second);
    free(plain);
    free(text);
    stage_deinit(&stage);
}

/* So is the bound on lines: that many are fine, in each of two phases, and one more is not. */
static void test_phase_lines(void **state)
{
    (void)state;
    for (unsigned surplus = 0; surplus < 2; surplus++) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        assert_non_null(f);
        fprintf(f, GREET);
        for (unsigned i = 0; i < LIMIT_PHASE_LINES - 2 + surplus; i++) {
            fprintf(f, "* OK x\r\n");
        }
        fprintf(f, CAPA("1"));
        for (unsigned i = 0; i < LIMIT_PHASE_LINES - 2; i++) {
            fprintf(f, "* OK x\r\n");
        }
        fprintf(f, BYE("2"));
        fclose(f);
        struct stage stage;
        play_993(&stage, LIMIT_REPORT_BYTES, text, size);
        assert_facts(&stage, surplus == 0 ? GOOD_993
                                          : "fail FINISHED greeting=ok:hi C:IMAP4rev1 tls=? "
                                            "error=response_too_long@capability");
        free(text);
        stage_deinit(&stage);
    }
}

static void test_long_words(void **state)
{
    (void)state;
    size_t len;
    /* 2048 octets are what 512 characters can take */
    for (size_t text_len = 2047; text_len <= 2049; text_len++) {
        char *text = repeat("* BYE ", "x", text_len + 6, &len);
        struct stage stage;
        char *line = repeat(text, "\r\n", len + 1, &len);
        play_993(&stage, LIMIT_REPORT_BYTES, line, len);
        assert_int_equal(stage.port.dialogue.greeting_text.text.len, text_len < 2048 ? text_len : 2048);
        assert_int_equal((stage.port.truncated & 1u << CUT_GREETING) != 0, text_len > 2048);
        assert_int_equal((stage.port.truncated & 1u << CUT_TEXT) != 0, text_len > 2048);
        free(text);
        free(line);
        stage_deinit(&stage);
    }
    char *text = repeat("* OK hi\r\n* 1 FETCH ", "x", 5000, &len);
    char *line = repeat(text, "\r\n", len + 1, &len);
    struct stage stage;
    play_993(&stage, LIMIT_REPORT_BYTES, line, len);
    assert_int_equal(stage.port.dialogue.deviation_example[DEVIATION_UNEXPECTED_DATA].len, 200);
    assert_int_equal(stage.port.truncated, 0);
    free(text);
    free(line);
    stage_deinit(&stage);
}

static void test_many_capabilities(void **state)
{
    (void)state;
    size_t room = 9000 * 8, n = 0;
    char *text = malloc(room + 64);
    assert_non_null(text);
    n += (size_t)sprintf(text, GREET "* CAPABILITY");
    for (int i = 0; i < 9000; i++) {
        n += (size_t)sprintf(text + n, " X%d", i);
    }
    n += (size_t)sprintf(text + n, "\r\n");
    struct stage stage;
    play_993(&stage, LIMIT_REPORT_BYTES, text, n);
    assert_int_equal(stage.port.caps.phase[CAPS_COMMAND].count, LIMIT_CAPABILITIES);
    assert_int_equal(stage.port.truncated, 1u << CUT_CAPABILITIES);
    assert_int_equal(stage.port.dialogue.deviations, 0);
    free(text);
    stage_deinit(&stage);
}

static void test_many_id_fields(void **state)
{
    (void)state;
    size_t len;
    char *list = repeat(GREET "* CAPABILITY ID\r\n$1 OK x\r\n* ID (", "\"a\" NIL ", 1000, &len);
    char *text = repeat(list, ")\r\n$2 OK x\r\n", len + 1, &len);
    struct stage stage;
    play_993(&stage, LIMIT_REPORT_BYTES, text, len);
    assert_int_equal(stage.port.dialogue.server_id.count, LIMIT_ID_FIELDS);
    assert_int_equal(stage.port.dialogue.id.status, REPLY_OK);
    assert_int_equal(stage.port.truncated, 1u << CUT_SERVER_ID);
    free(list);
    free(text);
    stage_deinit(&stage);
}

/* Runs out of memory at every point; then that is said, and nothing about the server. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char play[] =
        "* OK [CAPABILITY A B ID] hi\r\n+ x\r\n* CAPABILITY A  B ID\r\n$1 OK [X y] x\r\n"
        "* ID (\"name\" \"value\" \"os\" {1}\r\nx)\r\n$2 OK x\r\n* BYE x\r\n$3 OK x\r\n";
    size_t failed = 0, passed = 0;
    for (size_t max = 0; max < 16 * 1024; max += 16) {
        struct stage stage;
        play_993(&stage, max, play, sizeof play - 1);
        bool done = strcmp(stage.end, "done") == 0;
        assert_true(done || strcmp(stage.end, "memory") == 0);
        assert_int_equal(stage.arena.failed, !done);
        assert_int_equal(stage.port.error.code, ERROR_NONE);
        failed += !done;
        passed += done;
        stage_deinit(&stage);
    }
    assert_true(failed > 10 && passed > 10);
}

/* A buffer that cannot take the command is our own failure too. */
static void test_no_room_to_send(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, LIMIT_REPORT_BYTES);
    buf_init(&stage.out, 5);
    perform(&stage, true, "", 0, GREET, strlen(GREET), WHOLE, WHOLE);
    assert_string_equal(stage.end, "memory");
    assert_int_equal(stage.port.error.code, ERROR_NONE);
    stage_deinit(&stage);
}

/* Letters only, and other seeds make other tags. */
static void test_tags(void **state)
{
    (void)state;
    static const uint32_t seeds[] = {0, 1, 25, 26, 4711, UINT32_MAX - 1, UINT32_MAX};
    char seen[sizeof seeds / sizeof *seeds][IMAP_TAG_SIZE];
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        struct imap imap;
        struct port_report port = {0};
        struct arena arena;
        arena_init(&arena, 1024);
        imap_init(&imap, &port, &arena, seeds[i]);
        assert_int_equal(strlen(imap.prefix), 7);
        assert_int_equal(strspn(imap.prefix, "abcdefghijklmnopqrstuvwxyz"), 7);
        strcpy(seen[i], imap.prefix);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(seen[k], imap.prefix);
        }
        arena_deinit(&arena);
    }
}

/* A server whose every line tempts to log in. */
static void test_never_logs_in(void **state)
{
    (void)state;
    static const char plain[] =
        "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=ANONYMOUS SASL-IR] LOGIN now\r\n"
        "* CAPABILITY IMAP4rev1 AUTH=PLAIN STARTTLS\r\n+ AUTHENTICATE PLAIN\r\n* OK LOGIN please\r\n"
        "$1 OK [CAPABILITY AUTH=LOGIN] a1 LOGIN x y\r\n+ \r\n+ VXNlcm5hbWU6\r\n$2 OK LOGIN\r\n";
    static const char tls[] =
        "* PREAUTH x\r\n* CAPABILITY AUTH=PLAIN LOGIN ID\r\n+ \r\n$3 OK LOGIN\r\n"
        "* ID (\"LOGIN\" \"a LOGIN b c\")\r\n+ \r\n$4 OK LOGIN\r\n+ \r\n$5 OK LOGIN\r\n";
    size_t plain_len, tls_len;
    char *p = expand(plain, sizeof plain - 1, &plain_len), *t = expand(tls, sizeof tls - 1, &tls_len);
    struct stage stage;
    stage_init(&stage, LIMIT_REPORT_BYTES);
    perform(&stage, false, p, plain_len, t, tls_len, WHOLE, WHOLE);
    assert_string_equal(stage.end, "done");
    assert_harmless(&stage);
    assert_int_equal(buf_append(&stage.out, "", 1), BUF_OK);
    assert_null(strstr((const char *)stage.out.data, "LOGIN"));
    assert_null(strstr((const char *)stage.out.data, "AUTH"));
    assert_int_equal(strlen((const char *)stage.out.data), stage.out.len - 1);
    free(p);
    free(t);
    stage_deinit(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plays),
        cmocka_unit_test(test_words_of_replies),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_bytes_are_only_lent),
        cmocka_unit_test(test_ends_phases_and_waits),
        cmocka_unit_test(test_injected),
        cmocka_unit_test(test_wait_after_id),
        cmocka_unit_test(test_bye_to_id),
        cmocka_unit_test(test_withdrawn),
        cmocka_unit_test(test_endless_lines),
        cmocka_unit_test(test_phase_bytes_start_anew),
        cmocka_unit_test(test_phase_lines),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_many_capabilities),
        cmocka_unit_test(test_many_id_fields),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_room_to_send),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_never_logs_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

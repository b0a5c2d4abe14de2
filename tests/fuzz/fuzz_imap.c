/* The whole dialogue against any server. The first octet selects the port (1: TLS from the first byte) and
 * how many octets come at a time; the rest is what the server says, inside TLS where that has begun. Tags
 * start with "aaaaaaa". Whatever happens, only harmless commands are sent, a failure has its reason in the
 * report, and the facts do not depend on how the bytes are cut. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/imap/imap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct port_report port;
    struct arena arena;
    struct imap imap;
    struct buf out;
    enum proto_verdict verdict;
    bool too_long;
};

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* Gives the bytes until the dialogue is over or they are. */
static void give(struct run *run, const uint8_t *data, size_t size, size_t step)
{
    size_t start = 0, known = 0;
    while (run->verdict == PROTO_MORE) {
        size_t len = 0;
        enum proto_frame frame = imap_proto.frame(&run->imap, data + start, known - start, &len);
        run->too_long = frame == FRAME_TOO_LONG;
        if (run->too_long || (frame == FRAME_PARTIAL && known == size)) {
            return;
        }
        if (frame == FRAME_PARTIAL) {
            known = step < size - known ? known + step : size;
            continue;
        }
        enum proto_verdict verdict = imap_proto.reply(&run->imap, data + start, len, &run->out);
        start += len;
        if (verdict == PROTO_STARTTLS) {
            require(!run->imap.tls && run->port.dialogue.starttls.status == REPLY_OK);
            require(!caps_seen(&run->port.caps, CAPS_IN(CAPS_STARTTLS)));
            verdict = imap_proto.secured(&run->imap, &run->out);
        }
        run->verdict = verdict;
    }
}

static void play(struct run *run, const uint8_t *data, size_t size, bool tls, size_t step)
{
    *run = (struct run){0};
    arena_init(&run->arena, LIMIT_REPORT_BYTES);
    buf_init(&run->out, 1024);
    imap_init(&run->imap, &run->port, &run->arena, 0);
    run->verdict = imap_proto.begin(&run->imap, tls, &run->out);
    give(run, data, size, step);
}

static bool starts(const struct run *run, size_t at, const char *line)
{
    size_t len = strlen(line);
    return run->out.len - at >= len && memcmp(run->out.data + at, line, len) == 0;
}

static void check_sent(const struct run *run)
{
    static const char *const allowed[] = {"CAPABILITY", "STARTTLS", "ID (\"name\" \"imap-testd\")", "LOGOUT"};
    size_t at = 0;
    for (unsigned number = 1; at < run->out.len; number++) {
        size_t len = 0;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed && len == 0; i++) {
            char line[64];
            int n = snprintf(line, sizeof line, "aaaaaaa%u %s\r\n", number, allowed[i]);
            if (starts(run, at, line)) {
                len = (size_t)n;
            }
            if (len > 0 && i == 2) {
                require(run->imap.tls);
            }
        }
        require(len > 0);
        at += len;
    }
}

static void check(struct run *run)
{
    const struct dialogue *dialogue = &run->port.dialogue;
    check_sent(run);
    require(run->verdict != PROTO_FAIL || run->port.error.code != ERROR_NONE);
    require(run->verdict == PROTO_MORE || run->imap.state == IMAP_FINISHED ||
            run->verdict == PROTO_NO_MEMORY);
    require(run->verdict != PROTO_NO_MEMORY || run->arena.failed);
    require(dialogue->greeting != GREETING_NONE || run->out.len == 0);
    for (unsigned i = 0; i < DEVIATION_COUNT; i++) {
        require(((dialogue->deviations & 1u << i) != 0) == (dialogue->deviation_example[i].data != NULL));
    }
    bool over = run->imap.state == IMAP_LOGOUT || run->imap.state == IMAP_FINISHED;
    require(imap_proto.phase(&run->imap) < PHASE_COUNT && imap_state_name(run->imap.state) != NULL);
    require(imap_proto.ended(&run->imap, END_EOF) == (over ? PROTO_DONE : PROTO_MORE));
}

static bool equal(struct text a, struct text b)
{
    return a.len == b.len && (a.data == NULL) == (b.data == NULL) &&
           (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void compare(const struct run *a, const struct run *b)
{
    const struct dialogue *x = &a->port.dialogue, *y = &b->port.dialogue;
    require(a->verdict == b->verdict && a->too_long == b->too_long && a->imap.state == b->imap.state);
    require(a->out.len == b->out.len &&
            (a->out.len == 0 || memcmp(a->out.data, b->out.data, a->out.len) == 0));
    require(a->port.error.code == b->port.error.code && equal(a->port.error.said, b->port.error.said));
    require(x->greeting == y->greeting && equal(x->greeting_text.text, y->greeting_text.text));
    require(x->deviations == y->deviations && x->bye == y->bye && a->port.truncated == b->port.truncated);
    require(x->server_id.count == y->server_id.count && x->server_id.answered == y->server_id.answered);
    require(a->port.caps.all.count == b->port.caps.all.count);
    for (size_t i = 0; i < a->port.caps.all.count; i++) {
        require(equal(a->port.caps.all.names[i], b->port.caps.all.names[i]) &&
                a->port.caps.phases[i] == b->port.caps.phases[i]);
    }
}

static void end(struct run *run)
{
    buf_deinit(&run->out);
    arena_deinit(&run->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    bool tls = data[0] & 1;
    size_t step = (size_t)(data[0] >> 1) + 1;
    struct run whole, parts;
    play(&whole, data + 1, size - 1, tls, SIZE_MAX);
    play(&parts, data + 1, size - 1, tls, step);
    check(&whole);
    check(&parts);
    compare(&whole, &parts);
    end(&whole);
    end(&parts);
    return 0;
}

/* The whole dialogues with both ports of one host, into the judged report. The first octet says which ports
 * there are (bit 0: the STARTTLS port, bit 1: the TLS port; neither: both) and how many octets come at a
 * time. The rest is what the servers say, inside TLS where that has begun; an octet 0xF5, which is in no
 * UTF-8, stands between the two ports. Tags start with "aaaaaaa". Whatever comes, only harmless commands are
 * sent, a failure has its reason in the report, the facts do not depend on how the bytes are cut, and the
 * words of the report are fit to be shown. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/imap/imap.h"
#include "probe/report/gaps.h"
#include "probe/report/judge.h"

#define BETWEEN_PORTS 0xF5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct imap imap;
    struct buf out;
    enum proto_verdict verdict;
};

static bool goes_on(enum proto_verdict verdict)
{
    return verdict == PROTO_MORE || verdict == PROTO_NEXT;
}

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* What the driver asks where these bytes were no TLS: a refusal is one whether or not the server closes. */
static void take_for_plaintext(const struct run *run, const uint8_t *data, size_t size)
{
    size_t len = size < LIMIT_TEXT_CHARS ? size : LIMIT_TEXT_CHARS;
    if (len > 0) {
        (void)imap_proto.injected(&run->imap, data, len);
        require(!imap_proto.withdrawn(&run->imap, false, data, len) ||
                imap_proto.withdrawn(&run->imap, true, data, len));
    }
}

/* Gives the bytes until the dialogue is over or they are; what was never whole stays from *start on. */
static bool give(struct run *run, const uint8_t *data, size_t size, size_t step, size_t *start)
{
    struct port_report *port = run->imap.port;
    size_t known = 0;
    *start = 0;
    while (goes_on(run->verdict)) {
        size_t len = 0;
        enum proto_frame frame = imap_proto.frame(&run->imap, data + *start, known - *start, &len);
        if (frame == FRAME_TOO_LONG || (frame == FRAME_PARTIAL && known == size)) {
            return frame == FRAME_TOO_LONG;
        }
        if (frame == FRAME_PARTIAL) {
            known = step < size - known ? known + step : size;
            continue;
        }
        enum proto_verdict verdict = imap_proto.reply(&run->imap, data + *start, len, &run->out);
        *start += len;
        if (verdict == PROTO_STARTTLS) {
            require(!run->imap.tls && port->dialogue.starttls.status == REPLY_OK);
            require(!caps_seen(&port->caps, CAPS_IN(CAPS_STARTTLS)));
            take_for_plaintext(run, data + *start, size - *start);
            port->starttls_supported = port->tls.completed = true;
            verdict = imap_proto.secured(&run->imap, &run->out);
        }
        run->verdict = verdict;
    }
    return false;
}

static bool starts(const struct buf *out, size_t at, const char *line)
{
    size_t len = strlen(line);
    return out->len - at >= len && memcmp(out->data + at, line, len) == 0;
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
            if (starts(&run->out, at, line)) {
                len = (size_t)n;
            }
            require(len == 0 || i != 2 || run->imap.tls);
        }
        require(len > 0);
        at += len;
    }
}

static void check(const struct run *run)
{
    const struct port_report *port = run->imap.port;
    const struct dialogue *dialogue = &port->dialogue;
    check_sent(run);
    require(run->verdict != PROTO_FAIL || port->error.code != ERROR_NONE);
    require(goes_on(run->verdict) || run->imap.state == IMAP_FINISHED || run->verdict == PROTO_NO_MEMORY);
    require(run->verdict != PROTO_NO_MEMORY || run->imap.arena->failed);
    require(dialogue->greeting != GREETING_NONE || run->out.len == 0);
    for (unsigned i = 0; i < DEVIATION_COUNT; i++) {
        require(((dialogue->deviations & 1u << i) != 0) == (dialogue->deviation_example[i].data != NULL));
    }
    require(imap_proto.phase(&run->imap) < PHASE_COUNT && imap_state_name(run->imap.state) != NULL);
}

/* One port from the first octet to the end of the connection. */
static void play(struct report *r, bool tls, const uint8_t *data, size_t size, size_t step)
{
    struct port_report *port = &r->ports[r->port_count++];
    struct run run;
    port->number = tls ? 993 : 143;
    port->tls_port = port->implicit_tls = port->tls.completed = tls;
    port->reachable = true;
    buf_init(&run.out, 1024);
    imap_init(&run.imap, port, &r->arena, 0);
    run.verdict = imap_proto.begin(&run.imap, tls, &run.out);
    size_t start;
    bool too_long = give(&run, data, size, step, &start);
    check(&run);
    if (goes_on(run.verdict)) {
        bool over = run.imap.state == IMAP_LOGOUT, bye = run.imap.state == IMAP_ID && run.imap.said_bye;
        enum phase phase = imap_proto.phase(&run.imap);
        enum proto_verdict end = imap_proto.ended(&run.imap, !too_long, data + start, size - start);
        require(end == (over  ? PROTO_DONE
                        : bye ? PROTO_FAIL
                              : PROTO_MORE) ||
                (bye && end == PROTO_FAIL && port->error.code == ERROR_SERVER_BYE) ||
                (phase == PHASE_GREETING && end == PROTO_FAIL && port->error.code == ERROR_NOT_IMAP));
        if (end == PROTO_MORE) {
            enum error_code code = too_long ? ERROR_RESPONSE_TOO_LONG : ERROR_CONNECTION_CLOSED;
            port_fail(port, (struct failure){.code = code, .phase = phase});
        }
    }
    buf_deinit(&run.out);
}

static void play_host(struct report *r, const uint8_t *data, size_t size, size_t step)
{
    bool plain = data[0] & 1, tls = data[0] & 2;
    report_init(r);
    r->host = "imap.example.com";
    data++;
    size--;
    const uint8_t *end = plain == tls ? memchr(data, BETWEEN_PORTS, size) : NULL;
    size_t first = end != NULL ? (size_t)(end - data) : size;
    if (plain || !tls) {
        play(r, false, data, first, step);
    }
    if (plain == tls && end != NULL) {
        play(r, true, end + 1, size - first - 1, step);
    } else if (tls) {
        play(r, true, data, size, step);
    }
}

/* Printable UTF-8 of a bounded length, as far as a look at the octets tells. */
static void check_words(const char *s)
{
    require(s != NULL && strlen(s) <= LIMIT_TEXT_CHARS * 4);
    for (; *s != '\0'; s++) {
        require((unsigned char)*s >= 0x20 && *s != 0x7F);
    }
}

static void check_judgement(struct report *r)
{
    require(judge(r) == !r->arena.failed);
    if (r->arena.failed) {
        return;
    }
    check_words(r->summary);
    for (size_t i = 0; i < r->finding_count; i++) {
        check_words(r->findings[i].title);
        check_words(r->findings[i].detail);
    }
    bool grave = false;
    for (size_t i = 0; i < r->finding_count; i++) {
        grave |= r->findings[i].severity <= SEVERITY_WARNING;
    }
    require(r->verdict == VERDICT_OK || grave);
    size_t rows;
    const struct catalogue_row *row = catalogue_rows(&rows);
    for (size_t i = 0; i < rows; i++) {
        require(!gaps_missing(r, &row[i]) || gaps_list_seen(r));
    }
}

static bool equal(struct text a, struct text b)
{
    return a.len == b.len && (a.data == NULL) == (b.data == NULL) &&
           (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void compare_ports(const struct port_report *a, const struct port_report *b)
{
    const struct dialogue *x = &a->dialogue, *y = &b->dialogue;
    require(a->error.code == b->error.code && a->error.phase == b->error.phase);
    require(equal(a->error.said, b->error.said) && a->truncated == b->truncated);
    require(x->greeting == y->greeting && equal(x->greeting_text.text, y->greeting_text.text));
    require(x->deviations == y->deviations && x->bye == y->bye);
    require(x->server_id.count == y->server_id.count && x->server_id.answered == y->server_id.answered);
    require(x->starttls.status == y->starttls.status && x->logout.status == y->logout.status);
    require(a->caps.all.count == b->caps.all.count);
    for (size_t i = 0; i < a->caps.all.count; i++) {
        require(equal(a->caps.all.names[i], b->caps.all.names[i]) && a->caps.phases[i] == b->caps.phases[i]);
    }
}

static void compare(const struct report *a, const struct report *b)
{
    for (size_t i = 0; i < a->port_count; i++) {
        compare_ports(&a->ports[i], &b->ports[i]);
    }
    require(a->verdict == b->verdict && strcmp(a->summary, b->summary) == 0);
    require(a->finding_count == b->finding_count);
    for (size_t i = 0; i < a->finding_count; i++) {
        require(a->findings[i].id == b->findings[i].id &&
                strcmp(a->findings[i].detail, b->findings[i].detail) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct report *whole = malloc(sizeof *whole), *parts = malloc(sizeof *parts);
    require(whole != NULL && parts != NULL);
    play_host(whole, data, size, SIZE_MAX);
    play_host(parts, data, size, (size_t)(data[0] >> 2) + 1);
    check_judgement(whole);
    check_judgement(parts);
    if (!whole->arena.failed && !parts->arena.failed) {
        compare(whole, parts);
    }
    report_deinit(whole);
    report_deinit(parts);
    free(whole);
    free(parts);
    return 0;
}

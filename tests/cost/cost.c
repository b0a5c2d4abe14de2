/* cost.c: runs parsers on files, so that cost.py can count instructions.
 *
 *     cost PARSER FILE [PARSER FILE]...
 *
 * Only what happens inside cost_measured() counts; reading files and setting up stays outside. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/host.h"
#include "api/json_setup.h"
#include "api/query.h"
#include "api/report_json.h"
#include "probe/imap/imap.h"
#include "probe/net/cert.h"
#include "probe/net/dns_aliases.h"
#include "probe/net/hostmatch.h"
#include "probe/net/tls.h"
#include "probe/report/judge.h"
#include "server/metrics.h"

#define NOW 1795600000
#define HOST "imap.example.com"

static struct report report;
static struct tls_env *env;

/* What a parser gives back goes here, so that the compiler keeps the parser. */
static volatile size_t sink;

typedef void (*parser_function)(const unsigned char *data, size_t len);

void cost_measured(parser_function parse, const unsigned char *data, size_t len);

__attribute__((noinline, noclone)) void cost_measured(parser_function parse, const unsigned char *data,
                                                      size_t len)
{
    parse(data, len);
}

static struct text text(const unsigned char *data, size_t len)
{
    return (struct text){(const char *)data, len};
}

/* Frames responses as the bytes come in, `step` of them at a time; `take` may be NULL. */
static void frame_by(const unsigned char *data, size_t len, size_t step,
                     void (*take)(const unsigned char *, size_t))
{
    struct imap_framer framer;
    imap_framer_init(&framer);
    size_t start = 0, known = 0;
    for (;;) {
        size_t end = 0;
        enum proto_frame frame = imap_frame(&framer, data + start, known - start, &end);
        if (frame == FRAME_COMPLETE) {
            if (take) {
                take(data + start, end);
            }
            start += end;
        } else if (frame == FRAME_TOO_LONG || known == len) {
            break;
        } else {
            known = step < len - known ? known + step : len;
        }
    }
    sink = start;
}

static void frame(const unsigned char *data, size_t len)
{
    frame_by(data, len, SIZE_MAX, NULL);
}

static void frame_octets(const unsigned char *data, size_t len)
{
    frame_by(data, len, 1, NULL);
}

static void take_response(const unsigned char *data, size_t len)
{
    struct imap_response response;
    imap_parse(&response, data, len);
    sink = response.line.len;
}

static void parse(const unsigned char *data, size_t len)
{
    frame_by(data, len, SIZE_MAX, take_response);
}

static void add_words(struct caps *caps, enum caps_phase phase, struct text list)
{
    struct text word;
    bool odd = false;
    while (imap_next_word(&list, &word, &odd)) {
        if (!caps_add(caps, &report.arena, phase, word)) {
            abort();
        }
    }
}

static void caps(const unsigned char *data, size_t len)
{
    add_words(&report.ports[0].caps, CAPS_GREETING, text(data, len));
    add_words(&report.ports[0].caps, CAPS_COMMAND, text(data, len));
    sink = report.ports[0].caps.all.count;
}

static void id(const unsigned char *data, size_t len)
{
    struct server_id found = {.answered = false};
    bool cut = false;
    sink = imap_parse_id(text(data, len), &report.arena, &found, &cut);
}

static bool goes_on(enum proto_verdict verdict)
{
    return verdict == PROTO_MORE || verdict == PROTO_NEXT;
}

/* The part of the driver: bytes go through a buffer and the dialogue until either is over. */
static void dialogue_by(const unsigned char *data, size_t len, size_t port, size_t step)
{
    struct imap imap;
    struct buf in, out;
    buf_init(&in, LIMIT_LINE_BYTES + 16384);
    buf_init(&out, LIMIT_REQUEST_LINE_BYTES);
    imap_init(&imap, &report.ports[port], &report.arena, 0);
    enum proto_verdict verdict = imap_proto.begin(&imap, port == 1, &out);
    for (size_t at = 0; goes_on(verdict) && at < len; at += step) {
        step = step < len - at ? step : len - at;
        if (buf_append(&in, data + at, step) != BUF_OK) {
            abort();
        }
        enum proto_frame frame = FRAME_COMPLETE;
        while (goes_on(verdict) && frame == FRAME_COMPLETE && in.len > 0) {
            size_t end = 0;
            frame = imap_proto.frame(&imap, in.data, in.len, &end);
            if (frame != FRAME_COMPLETE) {
                break;
            }
            verdict = imap_proto.reply(&imap, in.data, end, &out);
            buf_consume(&in, end);
            buf_consume(&out, out.len);
            if (verdict == PROTO_STARTTLS) {
                verdict = imap_proto.secured(&imap, &out);
            }
        }
        if (frame == FRAME_TOO_LONG) {
            break;
        }
    }
    buf_deinit(&in);
    buf_deinit(&out);
}

static void dialogue_143(const unsigned char *data, size_t len)
{
    dialogue_by(data, len, 0, 16384);
}

static void dialogue_143_octets(const unsigned char *data, size_t len)
{
    dialogue_by(data, len, 0, 1);
}

static void dialogue_993(const unsigned char *data, size_t len)
{
    dialogue_by(data, len, 1, 16384);
}

static void dialogue_993_octets(const unsigned char *data, size_t len)
{
    dialogue_by(data, len, 1, 1);
}

static void show(const unsigned char *data, size_t len)
{
    sink = text_show(&report.arena, text(data, len), len, NULL) != NULL;
}

static void query(const unsigned char *data, size_t len)
{
    static const struct query_limits limits = {.imap_port = 143, .imaps_port = 993, .deadline_ms = 20000};
    struct query found;
    struct problem problem;
    sink = query_parse((const char *)data, len, &limits, &found, &problem);
}

static void host(const unsigned char *data, size_t len)
{
    struct probe_request found;
    char why[HOST_WHY_SIZE];
    sink = host_parse((const char *)data, len, &found, why);
}

static void dns(const unsigned char *data, size_t len)
{
    struct dns_aliases found;
    sink = dns_aliases_read(&found, data, len);
}

/* The presented name is what the host is, too. */
static void hostmatch(const unsigned char *data, size_t len)
{
    sink = hostmatch_dns(text(data, len), (const char *)data);
}

/* Facts that let all rules of the judge speak; the file holds the words of both ports, a line each. */
static void fill_report(const unsigned char *data, size_t len)
{
    const unsigned char *lf = memchr(data, '\n', len);
    size_t first = lf ? (size_t)(lf - data) : len;
    struct text words[] = {text(data, first), text(data + first, len - first)};
    report.port_count = REPORT_PORTS;
    for (size_t i = 0; i < REPORT_PORTS; i++) {
        struct port_report *port = &report.ports[i];
        port->number = i == 0 ? 143 : 993;
        port->tls_port = i == 1;
        port->reachable = port->tls.completed = true;
        port->tls.version = "TLS 1.3";
        port->tls.cipher_suite = port->tls.key_exchange = "x";
        port->dialogue.greeting = GREETING_OK;
        port->dialogue.greeting_text.text = words[i];
        port->dialogue.deviations = (1u << DEVIATION_COUNT) - 1;
        for (size_t d = 0; d < DEVIATION_COUNT; d++) {
            port->dialogue.deviation_example[d] = words[i];
        }
        for (unsigned phase = 0; phase < CAPS_PHASES; phase++) {
            add_words(&port->caps, (enum caps_phase)phase, words[i]);
        }
    }
}

static void judge_report(const unsigned char *data, size_t len)
{
    (void)data;
    (void)len;
    sink = judge(&report);
}

static void json(const unsigned char *data, size_t len)
{
    (void)data;
    (void)len;
    char *body = report_json(&report, NULL);
    if (!body) {
        abort();
    }
    sink = strlen(body);
    free(body);
}

static void fill_and_judge(const unsigned char *data, size_t len)
{
    fill_report(data, len);
    if (!judge(&report)) {
        abort();
    }
}

/* The file holds certificates and a stapled OCSP response as records: a letter, four octets of length, DER.
 */
static void certificates(const unsigned char *data, size_t len)
{
    static const struct ip none = {.family = 0};
    gnutls_datum_t chain[64];
    struct cert_input in = {.chain = chain, .host = HOST, .host_ip = &none, .now = NOW};
    for (size_t at = 0; at < len;) {
        const unsigned char *p = data + at;
        size_t size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        gnutls_datum_t der = {(unsigned char *)(uintptr_t)p + 5, (unsigned)size};
        if (p[0] == 'o') {
            in.staple = der;
        } else if (in.count < sizeof chain / sizeof chain[0]) {
            chain[in.count++] = der;
        }
        at += 5 + size;
    }
    if (!cert_describe(&in, env, &report.ports[0].certificate, &report.arena)) {
        abort();
    }
}

/* Each octet is a test of both ports that ended well, and the request for it. */
static void count_tests(const unsigned char *data, size_t len)
{
    static struct metrics figures;
    const struct metrics_request request = {.route = ROUTE_IMAP_TEST, .status = 200, .seconds = 0.1};
    (void)data;
    for (size_t i = 0; i < len; i++) {
        metrics_add(&figures, METRIC_CACHE_MISS, 1);
        metrics_test(&figures, JOB_REPORTED, &report);
        metrics_request(&figures, &request);
    }
    sink = figures.tests[VERDICT_OK];
}

static void fill_times(const unsigned char *data, size_t len)
{
    (void)data;
    (void)len;
    report.port_count = REPORT_PORTS;
    report.dns.duration_ms = 5;
    report.duration_ms = 100;
    for (size_t i = 0; i < REPORT_PORTS; i++) {
        report.ports[i].timings = (struct timings){10, 20, 30, 100, 20};
    }
}

static const struct {
    const char *name;
    parser_function run, before;
} parsers[] = {
    {"frame", frame, NULL},
    {"frame-octets", frame_octets, NULL},
    {"parse", parse, NULL},
    {"caps", caps, NULL},
    {"id", id, NULL},
    {"dialogue-143", dialogue_143, NULL},
    {"dialogue-143-octets", dialogue_143_octets, NULL},
    {"dialogue-993", dialogue_993, NULL},
    {"dialogue-993-octets", dialogue_993_octets, NULL},
    {"show", show, NULL},
    {"query", query, NULL},
    {"host", host, NULL},
    {"dns", dns, NULL},
    {"hostmatch", hostmatch, NULL},
    {"judge", judge_report, fill_report},
    {"json", json, fill_and_judge},
    {"certificates", certificates, NULL},
    {"metrics", count_tests, fill_times},
};

/* The whole file and a NUL behind it; the caller's. */
static unsigned char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        return NULL;
    }
    long size = ftell(f);
    rewind(f);
    unsigned char *data = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (data) {
        *len = fread(data, 1, (size_t)size, f);
        data[*len] = '\0';
    }
    fclose(f);
    return data;
}

static bool run(const char *name, const char *path)
{
    for (size_t i = 0; i < sizeof parsers / sizeof parsers[0]; i++) {
        if (strcmp(parsers[i].name, name) != 0) {
            continue;
        }
        size_t len = 0;
        unsigned char *data = read_file(path, &len);
        if (!data) {
            break;
        }
        report_init(&report);
        report.host = HOST;
        report.tested_at = NOW;
        if (parsers[i].before) {
            parsers[i].before(data, len);
        }
        cost_measured(parsers[i].run, data, len);
        report_deinit(&report);
        free(data);
        return true;
    }
    fprintf(stderr, "%s %s: no such parser, or the file cannot be read\n", name, path);
    return false;
}

int main(int argc, char **argv)
{
    char why[256];
    env = tls_env_create(COST_ROOT, why, sizeof why);
    if (!env) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    json_setup();
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!run(argv[i], argv[i + 1])) {
            return 1;
        }
    }
    tls_env_release(&env);
    return 0;
}

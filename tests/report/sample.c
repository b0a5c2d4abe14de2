#include "tests/report/sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/arena.h"

#define WORDS_PLAIN "IMAP4rev1 SASL-IR ID IDLE STARTTLS LOGINDISABLED"
#define WORDS_TLS "IMAP4rev1 SASL-IR ID IDLE AUTH=PLAIN"

struct ip sample_ip(const char *s)
{
    struct ip ip = {0};
    ip_parse(&ip, s);
    return ip;
}

void sample_caps(struct report *r, struct port_report *p, enum caps_phase phase, const char *words)
{
    struct caps old = p->caps;
    p->caps = (struct caps){0};
    for (unsigned k = 0; k < CAPS_PHASES; k++) {
        for (size_t i = 0; k != (unsigned)phase && i < old.phase[k].count; i++) {
            caps_add(&p->caps, &r->arena, (enum caps_phase)k, old.phase[k].names[i]);
        }
        for (const char *s = words; k == (unsigned)phase && *s != '\0'; s += *s == ' ') {
            size_t len = strcspn(s, " ");
            caps_add(&p->caps, &r->arena, phase, (struct text){.data = s, .len = len});
            s += len;
        }
    }
}

static void add_certificate(struct report *r, struct port_report *p)
{
    struct chain_link *chain = arena_alloc(&r->arena, 2 * sizeof *chain);
    struct san *sans = arena_alloc(&r->arena, sizeof *sans);
    chain[0] = (struct chain_link){.subject = text_of("CN=imap.example.com"),
                                   .issuer = text_of("CN=Example CA"),
                                   .not_before = SAMPLE_NOW - 30 * SAMPLE_DAY,
                                   .not_after = SAMPLE_NOW + 60 * SAMPLE_DAY,
                                   .sha256 = {0x5f, 0x0c}};
    chain[1] = (struct chain_link){.subject = text_of("CN=Example CA"),
                                   .issuer = text_of("CN=Example Root"),
                                   .not_before = SAMPLE_NOW - 300 * SAMPLE_DAY,
                                   .not_after = SAMPLE_NOW + 3000 * SAMPLE_DAY,
                                   .sha256 = {0xa1, 0x77}};
    sans[0] = (struct san){.type = SAN_DNS, .value = text_of("imap.example.com")};
    p->certificate = (struct certificate){
        .seen = true,
        .parsed = true,
        .chain = chain,
        .chain_count = 2,
        .chain_sent = 2,
        .sans = sans,
        .san_count = 1,
        .san_total = 1,
        .serial = {0x03, 0xa1, 0xb2},
        .serial_len = 3,
        .hostname_match = true,
        .key_algorithm = "ECDSA",
        .key_bits = 256,
        .signature_algorithm = "ECDSA-SHA384",
        .sct_count = 2,
    };
}

static void add_port(struct report *r, uint16_t number, bool tls_port)
{
    struct port_report *p = &r->ports[r->port_count++];
    p->number = number;
    p->tls_port = tls_port;
    p->reachable = true;
    p->starttls_supported = !tls_port;
    p->implicit_tls = tls_port;
    p->address = sample_ip("192.0.2.10");
    p->source_address = sample_ip("198.51.100.7");
    p->tries = arena_alloc(&r->arena, (LIMIT_ADDRESSES + 1) * sizeof *p->tries);
    assert_non_null(p->tries);
    p->tries[p->try_count++] = (struct connect_try){.address = p->address, .duration_ms = 11.04};
    p->dialogue.greeting = GREETING_OK;
    p->dialogue.greeting_text.text = text_of("Server ready.");
    if (!tls_port) {
        p->dialogue.capability_plain.status = REPLY_OK;
        p->dialogue.starttls.status = REPLY_OK;
        sample_caps(r, p, CAPS_GREETING, WORDS_PLAIN);
        sample_caps(r, p, CAPS_COMMAND, WORDS_PLAIN);
    }
    p->dialogue.capability_tls.status = REPLY_OK;
    sample_caps(r, p, tls_port ? CAPS_COMMAND : CAPS_STARTTLS, WORDS_TLS);
    p->tls = (struct tls_facts){
        .completed = true,
        .version = "TLS 1.3",
        .version_latest = true,
        .cipher_suite = "TLS_AES_256_GCM_SHA384",
        .key_exchange = "x25519",
        .forward_secrecy = true,
    };
    p->timings = (struct timings){.connect = 11.04, .greeting = 12.5, .tls_handshake = 31.77, .total = 80.12};
    add_certificate(r, p);
}

void sample_report(struct report *r)
{
    report_init(r);
    r->host = "imap.example.com";
    r->tested_at = SAMPLE_NOW;
    r->duration_ms = 182.4;
    r->dns.addresses[0] = sample_ip("192.0.2.10");
    r->dns.address_count = 1;
    r->dns.duration_ms = 4.2;
    add_port(r, 143, false);
    add_port(r, 993, true);
}

void sample_fail(struct port_report *p, enum error_code code, enum phase phase)
{
    struct port_report fresh = {.number = p->number, .tls_port = p->tls_port, .tries = p->tries};
    fresh.timings = (struct timings){TIME_NONE, TIME_NONE, TIME_NONE, TIME_NONE, 0};
    fresh.error = (struct failure){.code = code, .phase = phase};
    if (phase == PHASE_CONNECT) {
        fresh.tries[fresh.try_count++] = (struct connect_try){.address = p->address, .error = fresh.error};
    }
    *p = fresh;
}

void sample_stop(struct port_report *p, enum error_code code, enum phase phase)
{
    /* Whether the phase comes before TLS is up on this port; inside TLS there is no phase STARTTLS. */
    bool before_tls = p->tls_port ? phase == PHASE_TLS : true;
    struct port_report kept = *p;
    sample_fail(p, code, phase);
    p->reachable = true;
    p->address = kept.address;
    p->tries[0] = (struct connect_try){.address = kept.address, .duration_ms = 1};
    p->try_count = 1;
    if (!before_tls) {
        p->tls = kept.tls;
        p->certificate = kept.certificate;
        p->implicit_tls = true;
    }
    if (phase == PHASE_GREETING || (p->tls_port && phase == PHASE_TLS)) {
        return;
    }
    p->dialogue.greeting = kept.dialogue.greeting;
    p->dialogue.greeting_text = kept.dialogue.greeting_text;
    if (phase == PHASE_TLS) {
        p->dialogue.starttls.status = REPLY_OK;
    }
}

const struct finding *sample_find(const struct report *r, enum finding_id id, unsigned port)
{
    for (size_t i = 0; i < r->finding_count; i++) {
        if (r->findings[i].id == id && r->findings[i].port == port) {
            return &r->findings[i];
        }
    }
    return NULL;
}

static void judge_after(struct report *r, void (*change)(void))
{
    sample_report(r);
    change();
    assert_true(judge(r));
}

void sample_check_found(struct report *r, const struct sample_found *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        judge_after(r, rows[i].change);
        const struct finding *f = sample_find(r, rows[i].id, rows[i].port);
        if (f == NULL || f->severity != rows[i].severity) {
            fail_msg("case %zu: %s on port %u: %s", i, finding_row(rows[i].id)->id, rows[i].port,
                     f == NULL ? "not found" : severity_name(f->severity));
        }
        assert_true(f->title[0] != '\0' && f->detail[0] != '\0' && f->remedy[0] != '\0' &&
                    f->reference[0] != '\0');
        report_deinit(r);
    }
}

void sample_check_absent(struct report *r, const struct sample_absent *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        judge_after(r, rows[i].change);
        for (size_t k = 0; k < r->finding_count; k++) {
            if (rows[i].id == FINDING_COUNT || r->findings[k].id == rows[i].id) {
                fail_msg("case %zu: %s: %s", i, finding_row(r->findings[k].id)->id, r->findings[k].detail);
            }
        }
        report_deinit(r);
    }
}

void sample_check_verdicts(struct report *r, const struct sample_verdict *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        judge_after(r, rows[i].change);
        if (r->ports[0].verdict != rows[i].plain || r->ports[1].verdict != rows[i].secure ||
            r->verdict != rows[i].host) {
            fail_msg("case %zu: %s, %s, together %s", i, verdict_name(r->ports[0].verdict),
                     verdict_name(r->ports[1].verdict), verdict_name(r->verdict));
        }
        assert_true(strlen(r->summary) > 20);
        if (rows[i].summary != NULL) {
            assert_string_equal(r->summary, rows[i].summary);
        }
        report_deinit(r);
    }
}

void sample_check_rows(const struct sample_found *rows, size_t count, enum finding_id first,
                       enum finding_id last)
{
    for (unsigned id = first; id <= last; id++) {
        bool seen = false;
        for (size_t i = 0; i < count; i++) {
            seen = seen || (rows[i].id == id && rows[i].severity == finding_row(id)->severity);
        }
        if (!seen) {
            fail_msg("no case for %s", finding_row(id)->id);
        }
    }
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/report_json.h"
#include "probe/report/judge.h"
#include "tests/report/sample.h"

/* A report made from kept pieces is, to the byte, the one that is written anew. */

#define CACHE_BYTES ((size_t)1024 * 1024)

static struct report r;
static struct piece_cache *pieces;

/* The n-th of these, counted down; false: there are no more. */
#define X(change)                                                                                            \
    if (n-- == 0) {                                                                                          \
        change;                                                                                              \
        return true;                                                                                         \
    }

static bool change_port(unsigned n)
{
    static struct id_field id[] = {{{"name", 4}, {"Dovecot", 7}},
                                   {{"version", 7}, {"2", 1}},
                                   {{"name", 4}, {"Courier", 7}},
                                   {{"eman", 4}, {"Dovecot", 7}}};
    static char long_text[600];
    memset(long_text, 'x', sizeof long_text);
    struct port_report *p = &r.ports[0];
    struct dialogue *d = &p->dialogue;
    X(p->number = 144)
    X(p->tls_port = true)
    X(p->verdict = VERDICT_PROBLEMS)
    X(p->implicit_tls = true)
    X(p->starttls_supported = false)
    X(p->reachable = false)
    X(p->address = sample_ip("192.0.2.11"))
    X(p->address.family = 0)
    X(p->source_address = sample_ip("2001:db8::1"))
    X(p->tries[0].duration_ms = 3)
    X(p->error = ((struct failure){.code = ERROR_SERVER_BYE, .phase = PHASE_CAPABILITY}))
    X(p->timings.total = 81)
    X(d->greeting = GREETING_PREAUTH)
    X(d->greeting = GREETING_NONE)
    X(d->greeting_text.code = text_of("Server ready."))
    X(d->greeting_text.code = text_of(""))
    X(d->greeting_text.text = text_of("Server steady."))
    X(d->greeting_text.text = ((struct text){0}))
    X(d->greeting_text.text = ((struct text){long_text, sizeof long_text}))
    X(d->server_id.answered = true)
    X(d->server_id = ((struct server_id){.answered = true, .fields = id, .count = 1}))
    X(d->server_id = ((struct server_id){.answered = true, .fields = id, .count = 2}))
    X(d->server_id = ((struct server_id){.answered = true, .fields = id + 1, .count = 1}))
    X(d->server_id = ((struct server_id){.answered = true, .fields = id + 2, .count = 1}))
    X(d->server_id = ((struct server_id){.answered = true, .fields = id + 3, .count = 1}))
    X(sample_caps(&r, p, CAPS_GREETING, "IMAP4rev1"))
    X(sample_caps(&r, p, CAPS_GREETING, "IMAP4rev1 SASL-IR ID IDLE STARTTLS LOGINDISABLED X"))
    X(sample_caps(&r, p, CAPS_COMMAND, ""))
    X(sample_caps(&r, p, CAPS_GREETING, "IMAP4rev1"); sample_caps(&r, p, CAPS_COMMAND, "ID"))
    X(sample_caps(&r, p, CAPS_GREETING, "IMAP4rev1 ID"); sample_caps(&r, p, CAPS_COMMAND, ""))
    X(sample_caps(&r, p, CAPS_STARTTLS, "IMAP4rev1 SASL-IR ID IDLE AUTH=PLAIN QUOTA"))
    X(sample_caps(&r, p, CAPS_STARTTLS, "IMAP4rev1 SASL-IR ID AUTH=PLAIN IDLE"))
    return false;
}

static bool change_tls(unsigned n)
{
    static char long_text[600];
    memset(long_text, 'x', sizeof long_text);
    struct tls_facts *t = &r.ports[0].tls;
    X(t->completed = false)
    X(t->version = "TLS 1.2")
    X(t->version_weak = true)
    X(t->cipher_suite = "TLS_AES_128_GCM_SHA256")
    X(t->cipher_suite = NULL)
    X(t->cipher_class = CIPHER_BROKEN)
    X(t->key_exchange = "secp256r1")
    X(t->forward_secrecy = false)
    X(t->alpn = text_of("imap"))
    X(t->alpn = text_of(""))
    /* What was cut in one piece is not laid at the door of the next. */
    X(t->alpn = ((struct text){long_text, sizeof long_text}); r.ports[0].certificate.key_bits = 1)
    X(r.ports[0].certificate.key_bits = 1)
    return false;
}

/* One name and one certificate that, run together, are the bytes of two certificates without a name. */
static struct san crafted_san(const struct chain_link *link)
{
    static unsigned char bytes[57];
    size_t len = sizeof link->sha256;
    memcpy(bytes + 1, &link->not_before, 8);
    memcpy(bytes + 9, &link->not_after, 8);
    memcpy(bytes + 17, &len, 8);
    memcpy(bytes + 25, link->sha256, len);
    return (struct san){.type = SAN_IP, .value = {(const char *)bytes, sizeof bytes}};
}

static bool change_certificate(unsigned n)
{
    static struct san two[] = {{SAN_DNS, {"imap.example.com", 16}}, {SAN_DNS, {"", 0}}};
    struct certificate *c = &r.ports[0].certificate;
    X(c->seen = false)
    X(c->parsed = false)
    X(c->self_signed = true)
    X(c->hostname_match = false)
    X(c->must_staple = true)
    X(c->ocsp_stapling = OCSP_REVOKED)
    X(c->sct_count = 3)
    X(c->key_bits = 384)
    X(c->key_algorithm = "RSA")
    X(c->key_algorithm = NULL)
    X(c->signature_algorithm = "RSA-SHA1")
    X(c->serial[2] = 1)
    X(c->serial_len = 4)
    X(c->serial_len = 0)
    X(c->chain_errors = 1u << CHAIN_OTHER)
    X(c->leaf_errors = 1u << CHAIN_EXPIRED)
    X(c->leaf_errors = 1u << CHAIN_NOT_YET_VALID)
    X(c->sans[0].type = SAN_URI)
    X(c->sans[0].value = text_of("imap.example.org"))
    X(c->san_count = 0)
    X(c->sans[0] = crafted_san(&c->chain[0]); c->chain_count = 1)
    X(c->san_count = 0; c->chain[1] = c->chain[0]; c->chain[0].subject = ((struct text){"9", 1});
      c->chain[0].issuer = text_of(""))
    X(c->sans = two; c->san_count = 2)
    return false;
}

static bool change_chain(unsigned n)
{
    struct certificate *c = &r.ports[0].certificate;
    X(c->chain[0].subject = text_of("CN=another"))
    X(c->chain[0].subject = ((struct text){0}))
    X(c->chain[0].issuer = text_of("CN=Another CA"))
    X(c->chain[0].not_before++)
    X(c->chain[0].not_after--)
    X(c->chain[0].sha256[31] = 1)
    X(c->chain[1].subject = text_of("CN=another"))
    X(c->chain[1].issuer = text_of("CN=Another CA"))
    X(c->chain[1].not_before++)
    X(c->chain[1].not_after--)
    X(c->chain[1].sha256[31] = 1)
    X(c->chain_count = 1)
    X(c->chain_count = 0)
    X(r.tested_at += SAMPLE_DAY)
    return false;
}

static bool change_findings(unsigned n)
{
    struct finding *f = &r.findings[0];
    X(f->id = (enum finding_id)(f->id + 1))
    X(f->severity = SEVERITY_INFO)
    X(f->port = 993)
    X(f->port = 0)
    X(f->address.family = 4)
    X(f->address = sample_ip("192.0.2.12"))
    X(f->address = sample_ip("192.0.2.13"))
    X(f->title = "Another title")
    X(f->detail = "another detail")
    X(f->remedy = "another remedy")
    X(f->reference = "another reference")
    X(r.finding_count = 0)
    X(r.finding_count = 2)
    return false;
}

#undef X

static void make_sample(void)
{
    static struct finding found[2];
    sample_report(&r);
    assert_true(judge(&r));
    for (size_t i = 0; i < 2; i++) {
        found[i] = (struct finding){.id = (enum finding_id)i,
                                    .severity = SEVERITY_WARNING,
                                    .port = 143,
                                    .title = "A title",
                                    .detail = "a detail",
                                    .remedy = "a remedy",
                                    .reference = "a reference"};
    }
    r.findings = found;
    r.finding_count = 1;
}

static void assert_rendered(const char *what, unsigned n, const char *unlike)
{
    char *anew = report_json(&r, NULL), *kept = report_json(&r, pieces), *again = report_json(&r, pieces);
    assert_non_null(anew);
    assert_non_null(kept);
    assert_non_null(again);
    if (unlike != NULL && strcmp(anew, unlike) == 0) {
        fail_msg("%s %u shows nowhere", what, n);
    }
    if (strcmp(anew, kept) != 0 || strcmp(anew, again) != 0) {
        fail_msg("%s %u: %s, not %s", what, n, again, anew);
    }
    free(anew);
    free(kept);
    free(again);
}

static void test_each_fact_counts(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        bool (*change)(unsigned n);
    } parts[] = {
        {"port", change_port},   {"tls", change_tls},           {"certificate", change_certificate},
        {"chain", change_chain}, {"findings", change_findings},
    };
    pieces = piece_cache_create(CACHE_BYTES);
    make_sample();
    char *base = report_json(&r, pieces);
    report_deinit(&r);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        bool more = true;
        for (unsigned n = 0; more; n++) {
            make_sample();
            more = parts[i].change(n);
            assert_rendered(parts[i].what, n, more ? base : NULL);
            report_deinit(&r);
        }
    }
    free(base);
    piece_cache_free(&pieces);
}

static size_t taken;
static size_t allowed;

static void *limited_malloc(size_t size)
{
    return taken++ == allowed ? NULL : malloc(size);
}

/* The next report about a host takes less than half of what the first took. */
static void test_less_is_written(void **state)
{
    (void)state;
    pieces = piece_cache_create(CACHE_BYTES);
    make_sample();
    json_set_alloc_funcs(limited_malloc, free);
    allowed = SIZE_MAX;
    taken = 0;
    free(report_json(&r, pieces));
    size_t first = taken;
    size_t count = piece_cache_count(pieces);
    r.duration_ms++;
    taken = 0;
    free(report_json(&r, pieces));
    json_set_alloc_funcs(malloc, free);
    assert_true(count > 0);
    assert_int_equal(piece_cache_count(pieces), count);
    assert_in_range(taken, 1, first / 2);
    report_deinit(&r);
    piece_cache_free(&pieces);
}

/* Whichever allocation fails, no piece that is not whole is kept. */
static void test_no_memory(void **state)
{
    (void)state;
    make_sample();
    char *whole = report_json(&r, NULL);
    bool reached = true;
    for (allowed = 0; reached; allowed++) {
        pieces = piece_cache_create(CACHE_BYTES);
        json_set_alloc_funcs(limited_malloc, free);
        taken = 0;
        char *text = report_json(&r, pieces);
        reached = taken > allowed;
        json_set_alloc_funcs(malloc, free);
        if (text != NULL) {
            assert_string_equal(text, whole);
        }
        assert_true(reached ? allowed < 100000 : text != NULL);
        free(text);
        assert_rendered("failure", (unsigned)allowed, NULL);
        piece_cache_free(&pieces);
    }
    free(whole);
    report_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_fact_counts),
        cmocka_unit_test(test_less_is_written),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

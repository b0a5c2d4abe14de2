#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/report_json.h"
#include "probe/report/catalogue.h"
#include "probe/report/judge.h"
#include "tests/report/sample.h"

static struct report r;

/* What a caller would read. */
static json_t *parsed(char *text)
{
    json_error_t error;
    assert_non_null(text);
    json_t *t = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (t == NULL) {
        fail_msg("%s at %d: %s", error.text, error.position, text);
    }
    free(text);
    return t;
}

/* "ports.0.tls.version"; a path that is not there fails the test. */
static json_t *at(json_t *t, const char *path)
{
    char copy[128], *rest = copy;
    strncpy(copy, path, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    for (char *key = strsep(&rest, "."); key != NULL; key = strsep(&rest, ".")) {
        t = json_is_array(t) ? json_array_get(t, (size_t)atoi(key)) : json_object_get(t, key);
        if (t == NULL) {
            fail_msg("%s: no %s", path, key);
        }
    }
    return t;
}

/* The value as JSON text. */
static void assert_value(json_t *t, const char *path, const char *expected)
{
    char *text = json_dumps(at(t, path), JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(12));
    if (text == NULL || strcmp(text, expected) != 0) {
        fail_msg("%s: %s, not %s", path, text, expected);
    }
    free(text);
}

static void assert_keys(json_t *t, const char *path, const char *expected)
{
    char joined[1024] = "";
    const char *key;
    json_t *value;
    json_object_foreach(path[0] != '\0' ? at(t, path) : t, key, value)
    {
        if (joined[0] != '\0') {
            strcat(joined, " ");
        }
        strcat(joined, key);
    }
    assert_string_equal(joined, expected);
}

#define PORT_KEYS                                                                                            \
    "port service verdict implicit_tls starttls_supported reachable address source_address attempts error "  \
    "greeting "                                                                                              \
    "server_id capabilities capability_phases tls certificate timings_ms truncated transcript"

static void check_shape(json_t *t)
{
    assert_keys(
        t, "",
        "host host_unicode tested_at duration_ms cached tester verdict summary dns ports endpoints findings "
        "feature_gaps");
    assert_keys(t, "tester", "name version");
    assert_keys(t, "dns", "addresses canonical_name duration_ms truncated error");
    assert_keys(t, "ports.0", PORT_KEYS);
    assert_keys(t, "ports.1", PORT_KEYS);
    assert_keys(t, "ports.0.capability_phases", "greeting command starttls");
    assert_keys(t, "ports.0.timings_ms", "connect greeting tls_handshake total");
}

static void test_full_report(void **state)
{
    (void)state;
    static const struct {
        const char *path, *value;
    } values[] = {
        {"host", "\"imap.example.com\""},
        {"host_unicode", "null"},
        {"tested_at", "\"2026-11-23T18:29:00Z\""},
        {"duration_ms", "182.4"},
        {"cached", "false"},
        {"tester.name", "\"imap-testd\""},
        {"verdict", "\"ok\""},
        {"dns.addresses", "[\"192.0.2.10\"]"},
        {"dns.canonical_name", "null"},
        {"dns.error", "null"},
        {"ports.0.port", "143"},
        {"ports.0.service", "\"imap\""},
        {"ports.0.starttls_supported", "true"},
        {"ports.0.implicit_tls", "false"},
        {"ports.1.port", "993"},
        {"ports.1.service", "\"imaps\""},
        {"ports.1.implicit_tls", "true"},
        {"ports.0.address", "\"192.0.2.10\""},
        {"ports.0.source_address", "\"198.51.100.7\""},
        {"ports.0.attempts", "[{\"address\":\"192.0.2.10\",\"duration_ms\":11.0,\"error\":null}]"},
        {"ports.0.greeting", "{\"status\":\"ok\",\"code\":null,\"text\":\"Server ready.\"}"},
        {"ports.0.server_id", "null"},
        {"ports.0.capabilities",
         "[\"IMAP4rev1\",\"SASL-IR\",\"ID\",\"IDLE\",\"STARTTLS\",\"LOGINDISABLED\",\"AUTH=PLAIN\"]"},
        {"ports.0.capability_phases.starttls", "[\"IMAP4rev1\",\"SASL-IR\",\"ID\",\"IDLE\",\"AUTH=PLAIN\"]"},
        {"ports.1.capability_phases.greeting", "[]"},
        {"ports.0.tls",
         "{\"version\":\"TLS 1.3\",\"version_weak\":false,\"cipher_suite\":\"TLS_AES_256_GCM_SHA384\","
         "\"cipher_weak\":false,\"key_exchange\":\"x25519\",\"forward_secrecy\":true,\"alpn\":null,"
         "\"versions_accepted\":[]}"},
        {"ports.0.certificate.sans", "[{\"type\":\"dns\",\"value\":\"imap.example.com\"}]"},
        {"ports.0.certificate.serial_number", "\"03a1b2\""},
        {"ports.0.certificate.not_after", "\"2027-01-22T18:29:00Z\""},
        {"ports.0.certificate.days_remaining", "60"},
        {"ports.0.certificate.expired", "false"},
        {"ports.0.certificate.chain_valid", "true"},
        {"ports.0.certificate.chain_errors", "[]"},
        {"ports.0.certificate.key_bits", "256"},
        {"ports.0.certificate.ocsp_stapling", "\"none\""},
        {"ports.0.certificate.sct_count", "2"},
        {"ports.0.certificate.fingerprint_sha256", "\"5f:0c:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:"
                                                   "00:00:00:00:00:00:00:00:00:00:00:00:00:00\""},
        {"ports.0.certificate.chain.1.subject", "\"CN=Example CA\""},
        {"ports.0.timings_ms", "{\"connect\":11.0,\"greeting\":12.5,\"tls_handshake\":31.8,\"total\":80.1}"},
        {"ports.0.truncated", "[]"},
        {"ports.0.transcript", "[]"},
        {"endpoints", "[]"},
        {"findings", "[]"},
        {"feature_gaps.0.capability", "\"CONDSTORE\""},
    };
    sample_report(&r);
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    check_shape(t);
    assert_keys(
        t, "ports.0.certificate",
        "subject issuer sans serial_number not_before not_after days_remaining expired not_yet_valid "
        "self_signed hostname_match chain_valid chain_errors key_algorithm key_bits signature_algorithm "
        "fingerprint_sha256 must_staple ocsp_stapling sct_count chain");
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_value(t, values[i].path, values[i].value);
    }
    const char *impact = json_string_value(at(t, "feature_gaps.0.impact"));
    assert_int_equal(strncmp(impact, "Not advertised before login. ", 29), 0);
    assert_true(strlen(impact) > 40);
    json_decref(t);
    report_deinit(&r);
}

static void test_transcript(void **state)
{
    (void)state;
    static struct transcript_line lines[] = {
        {.connection = 1, .at_ms = 11.26, .complete = true, .text = {"* OK \x1b[31m", 10}},
        {.connection = 1, .at_ms = 11.31, .sent = true, .complete = true, .text = {"a1 CAPABILITY", 13}},
        {.connection = 2, .at_ms = 3012, .tls = true, .text = {"half", 4}},
    };
    static char long_line[600];
    sample_report(&r);
    r.ports[0].transcript = (struct transcript){.lines = lines, .count = 3};
    memset(long_line, 'x', sizeof long_line);
    r.ports[1].transcript = (struct transcript){.lines = lines, .count = 2, .truncated = true};
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    assert_value(
        t, "ports.0.transcript.0",
        "{\"connection\":1,\"at_ms\":11.3,\"direction\":\"received\",\"tls\":false,\"complete\":true,"
        "\"text\":\"* OK \\\\x1b[31m\"}");
    assert_value(t, "ports.0.transcript.1.direction", "\"sent\"");
    assert_value(
        t, "ports.0.transcript.2",
        "{\"connection\":2,\"at_ms\":3012.0,\"direction\":\"received\",\"tls\":true,\"complete\":false,"
        "\"text\":\"half\"}");
    assert_value(t, "ports.0.truncated", "[]");
    assert_value(t, "ports.1.truncated", "[\"transcript\"]");
    json_decref(t);
    lines[0].text = (struct text){long_line, sizeof long_line};
    t = parsed(report_json(&r, NULL));
    assert_value(t, "ports.0.truncated", "[\"text\",\"transcript\"]");
    assert_int_equal(strlen(json_string_value(at(t, "ports.0.transcript.0.text"))), 511 + strlen("\u2026"));
    json_decref(t);
    report_deinit(&r);
}

/* Nothing was learnt: all fields are there. */
static void test_empty_report(void **state)
{
    (void)state;
    static const char *const nulls[] = {
        "host_unicode",
        "dns.canonical_name",
        "ports.0.address",
        "ports.0.source_address",
        "ports.0.greeting",
        "ports.0.server_id",
        "ports.0.tls",
        "ports.0.certificate",
        "ports.0.timings_ms.connect",
        "ports.0.timings_ms.greeting",
        "ports.0.timings_ms.tls_handshake",
        "ports.0.timings_ms.total",
        "ports.0.error.raw",
        "ports.0.error.alert",
        "findings.0.port",
        "findings.0.address",
    };
    static const char *const empty[] = {
        "dns.addresses", "ports.0.attempts", "ports.0.capabilities", "ports.0.capability_phases.command",
        "feature_gaps",
    };
    sample_report(&r);
    r.dns.address_count = 0;
    r.dns.error = (struct failure){.code = ERROR_DNS_NAME_NOT_FOUND, .phase = PHASE_DNS};
    for (size_t i = 0; i < 2; i++) {
        sample_fail(&r.ports[i], ERROR_DNS_NAME_NOT_FOUND, PHASE_DNS);
    }
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    check_shape(t);
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++) {
        assert_value(t, nulls[i], "null");
    }
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        assert_value(t, empty[i], "[]");
    }
    assert_value(t, "dns.error.code", "\"dns_name_not_found\"");
    assert_value(t, "dns.error.phase", "\"dns\"");
    assert_value(t, "ports.1.error.message", "\"The name does not exist in the DNS.\"");
    assert_value(t, "findings.0.id", "\"host_not_resolved\"");
    assert_value(t, "findings.0.severity", "\"critical\"");
    assert_keys(t, "findings.0", "id severity port address title detail remedy reference");
    json_decref(t);
    report_deinit(&r);
}

static const char evil[] =
    "a\0b\x1b[0m\r\n\x7f\xc2\x85 \xff\xc0\x80\xed\xa0\x80 \xe2\x80\xae\xe2\x81\xa6 \xc3\xa9\"\\";
#define EVIL ((struct text){.data = evil, .len = sizeof evil - 1})
#define EVIL_SHOWN                                                                                           \
    "a\\x00b\\x1b[0m\\x0d\\x0a\\x7f\\u{0085} "                                                               \
    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"                               \
    " \\u{202e}\\u{2066} \xc3\xa9\"\\"

static void assert_evil(json_t *t, const char *path)
{
    assert_string_equal(json_string_value(at(t, path)), EVIL_SHOWN);
}

static void test_hostile_text(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "dns.canonical_name",
        "ports.0.greeting.code",
        "ports.0.greeting.text",
        "ports.0.capabilities.7",
        "ports.0.capability_phases.starttls.5",
        "ports.0.tls.alpn",
        "ports.0.certificate.subject",
        "ports.0.certificate.issuer",
        "ports.0.certificate.sans.0.value",
        "ports.0.certificate.chain.0.subject",
    };
    struct id_field fields[] = {{EVIL, EVIL}, {text_of("name"), {0}}, {text_of("name"), text_of("again")}};
    sample_report(&r);
    struct port_report *p = &r.ports[0];
    r.dns.canonical_name = EVIL;
    p->dialogue.greeting_text = (struct resp_text){.code = EVIL, .text = EVIL};
    p->dialogue.server_id = (struct server_id){.answered = true, .fields = fields, .count = 3};
    assert_true(caps_add(&p->caps, &r.arena, CAPS_STARTTLS, EVIL));
    p->tls.alpn = EVIL;
    p->certificate.chain[0].subject = p->certificate.chain[0].issuer = EVIL;
    p->certificate.sans[0].value = EVIL;
    p->error = (struct failure){.code = ERROR_SERVER_BYE, .phase = PHASE_CAPABILITY, .said = EVIL};
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_evil(t, paths[i]);
    }
    json_t *id = at(t, "ports.0.server_id");
    assert_int_equal(json_object_size(id), 2);
    assert_string_equal(json_string_value(json_object_get(id, EVIL_SHOWN)), EVIL_SHOWN);
    assert_true(json_is_null(json_object_get(id, "name")));
    assert_string_equal(json_string_value(at(t, "ports.0.error.message")),
                        "The server ended the session. The server said: \"" EVIL_SHOWN "\"");
    assert_value(t, "ports.0.truncated", "[]");
    json_decref(t);
    report_deinit(&r);
}

static size_t characters(const char *s)
{
    size_t count = 0;
    for (; *s != '\0'; s++) {
        count += ((unsigned char)*s & 0xC0) != 0x80;
    }
    return count;
}

/* No string is longer than the bound, wherever it stands. */
static void check_lengths(json_t *t)
{
    const char *key, *s = json_string_value(t);
    json_t *value;
    size_t i;
    if (s != NULL) {
        assert_in_range(characters(s), 0, LIMIT_TEXT_CHARS);
    }
    json_array_foreach(t, i, value) check_lengths(value);
    json_object_foreach(t, key, value) check_lengths(value);
}

static void test_long_text(void **state)
{
    (void)state;
    char data[600];
    memset(data, 'x', sizeof data);
    struct text longest = {.data = data, .len = sizeof data}, whole = {.data = data, .len = LIMIT_TEXT_CHARS};
    sample_report(&r);
    r.ports[0].dialogue.greeting_text.text = longest;
    r.ports[0].error = (struct failure){.code = ERROR_SERVER_BYE, .phase = PHASE_CAPABILITY, .said = longest};
    r.ports[0].dialogue.bye_text.text = longest;
    r.ports[0].certificate.sans[0].value = longest;
    r.ports[0].certificate.hostname_match = false;
    r.ports[1].dialogue.greeting_text.text = whole;
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    check_lengths(t);
    assert_int_equal(characters(json_string_value(at(t, "ports.0.greeting.text"))), LIMIT_TEXT_CHARS);
    assert_int_equal(strlen(json_string_value(at(t, "ports.0.greeting.text"))), LIMIT_TEXT_CHARS - 1 + 3);
    assert_int_equal(strlen(json_string_value(at(t, "ports.1.greeting.text"))), LIMIT_TEXT_CHARS);
    assert_value(t, "ports.0.truncated", "[\"greeting\",\"text\"]");
    assert_value(t, "ports.1.truncated", "[]"); /* just at the bound nothing is cut */
    json_decref(t);
    report_deinit(&r);
}

static void test_cuts(void **state)
{
    (void)state;
    sample_report(&r);
    r.ports[0].truncated = 1u << CUT_GREETING | 1u << CUT_SERVER_ID;
    r.ports[0].caps.truncated = true;
    r.ports[0].certificate.san_total = 2;
    r.ports[0].certificate.chain_sent = 17;
    r.dns.truncated = true;
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    assert_value(t, "ports.0.truncated", "[\"capabilities\",\"sans\",\"chain\",\"greeting\",\"server_id\"]");
    assert_value(t, "ports.1.truncated", "[]");
    assert_value(t, "dns.truncated", "true");
    json_decref(t);
    report_deinit(&r);
}

/* A certificate of which no more is known than that it came. */
static void test_unreadable_certificate(void **state)
{
    (void)state;
    static const char *const nulls[] = {
        "subject",        "issuer",        "serial_number", "not_before",          "not_after",
        "days_remaining", "key_algorithm", "key_bits",      "signature_algorithm", "fingerprint_sha256",
    };
    sample_report(&r);
    r.ports[0].certificate = (struct certificate){.seen = true};
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++) {
        assert_true(json_is_null(at(at(t, "ports.0.certificate"), nulls[i])));
    }
    assert_value(t, "ports.0.certificate.chain_valid", "false");
    assert_value(t, "ports.0.certificate.chain_errors", "[\"other\"]");
    assert_value(t, "ports.0.certificate.chain", "[]");
    json_decref(t);
    report_deinit(&r);
}

static void test_chain_errors(void **state)
{
    (void)state;
    sample_report(&r);
    struct certificate *a = &r.ports[0].certificate, *b = &r.ports[1].certificate;
    a->chain_errors = 1u << CHAIN_WRONG_ORDER;
    b->chain_errors = 1u << CHAIN_OTHER | 1u << CHAIN_EXPIRED | 1u << CHAIN_WRONG_ORDER;
    b->leaf_errors = 1u << CHAIN_EXPIRED;
    b->chain[0].not_after = SAMPLE_NOW - 1;
    b->chain[1].not_after = INT64_C(253402300800); /* the year 10000 */
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    assert_value(t, "ports.0.certificate.chain_valid", "true");
    assert_value(t, "ports.0.certificate.chain_errors", "[\"wrong_order\"]");
    assert_value(t, "ports.1.certificate.chain_valid", "false");
    assert_value(t, "ports.1.certificate.chain_errors", "[\"expired\",\"wrong_order\",\"other\"]");
    assert_value(t, "ports.1.certificate.expired", "true");
    assert_value(t, "ports.1.certificate.not_yet_valid", "false");
    assert_value(t, "ports.1.certificate.days_remaining", "-1");
    assert_value(t, "ports.1.certificate.chain.1.not_after", "null");
    json_decref(t);
    report_deinit(&r);
}

static void test_errors(void **state)
{
    (void)state;
    sample_report(&r);
    struct port_report *p = &r.ports[1];
    sample_stop(p, ERROR_TLS_HANDSHAKE_FAILED, PHASE_TLS);
    p->error.alert = "handshake_failure";
    p->tries[1] = p->tries[0];
    p->tries[0] = (struct connect_try){
        .address = sample_ip("2001:db8::10"),
        .duration_ms = 0.44,
        .error = {.code = ERROR_CONNECTION_REFUSED, .phase = PHASE_CONNECT, .raw = "ECONNREFUSED"}};
    p->try_count = 2;
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    assert_value(
        t, "ports.1.error",
        "{\"code\":\"tls_handshake_failed\",\"phase\":\"tls\",\"message\":\"The TLS handshake failed.\","
        "\"alert\":\"handshake_failure\",\"raw\":null}");
    assert_value(
        t, "ports.1.attempts.0",
        "{\"address\":\"2001:db8::10\",\"duration_ms\":0.4,\"error\":{\"code\":\"connection_refused\","
        "\"phase\":\"connect\",\"message\":\"The server refused the connection.\",\"alert\":null,"
        "\"raw\":\"ECONNREFUSED\"}}");
    assert_value(t, "verdict", "\"problems\"");
    assert_value(t, "ports.1.verdict", "\"problems\"");
    assert_value(t, "findings.0.id", "\"tls_handshake_failed\"");
    assert_value(t, "findings.0.port", "993");
    assert_value(t, "findings.0.address", "\"192.0.2.10\"");
    json_decref(t);
    report_deinit(&r);
}

static void test_server_id(void **state)
{
    (void)state;
    sample_report(&r);
    r.ports[0].dialogue.server_id.answered = true;
    r.host_unicode = "imap.b\xc3\xbc"
                     "cher.example";
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    assert_value(t, "ports.0.server_id", "{}");
    assert_value(t, "ports.1.server_id", "null");
    assert_string_equal(json_string_value(at(t, "host_unicode")), r.host_unicode);
    json_decref(t);
    report_deinit(&r);
}

static void test_many_capabilities(void **state)
{
    (void)state;
    sample_report(&r);
    char word[32];
    for (unsigned i = 0; i < LIMIT_CAPABILITIES; i++) {
        snprintf(word, sizeof word, "X\xff%u", i);
        assert_true(caps_add(&r.ports[0].caps, &r.arena, CAPS_COMMAND, text_of(word)));
    }
    assert_true(judge(&r));
    json_t *t = parsed(report_json(&r, NULL));
    assert_int_equal(json_array_size(at(t, "ports.0.capability_phases.command")), LIMIT_CAPABILITIES);
    assert_value(t, "ports.0.truncated", "[\"capabilities\"]");
    json_decref(t);
    report_deinit(&r);
}

static void test_capabilities(void **state)
{
    (void)state;
    size_t count;
    const struct catalogue_row *rows = catalogue_rows(&count);
    json_t *t = parsed(capabilities_json());
    assert_int_equal(json_array_size(at(t, "capabilities")), count);
    for (size_t i = 0; i < count; i++) {
        json_t *row = json_array_get(at(t, "capabilities"), i);
        assert_keys(row, "", "name category meaning absence reference");
        assert_string_equal(json_string_value(at(row, "name")), rows[i].name);
        assert_true(json_is_string(at(row, "absence")) == (rows[i].absence != NULL));
    }
    json_decref(t);
}

/* Whichever allocation fails, the answer is none or the whole. */
static size_t allowed;

static void *failing_malloc(size_t size)
{
    if (allowed == 0) {
        return NULL;
    }
    allowed--;
    return malloc(size);
}

static void test_no_memory(void **state)
{
    (void)state;
    sample_report(&r);
    r.ports[0].dialogue.greeting_text.text = EVIL;
    assert_true(judge(&r));
    char *whole = report_json(&r, NULL), *text = NULL;
    assert_non_null(whole);
    json_set_alloc_funcs(failing_malloc, free);
    for (size_t n = 0; text == NULL; n++) {
        allowed = n;
        text = report_json(&r, NULL);
        assert_true(n < 100000);
    }
    json_set_alloc_funcs(malloc, free);
    assert_string_equal(text, whole);
    free(text);
    free(whole);
    report_deinit(&r);
}

static long until_failure;

static void *failing_once(size_t size)
{
    return until_failure-- == 0 ? NULL : malloc(size);
}

/* Also where memory is there again at once, the text is whole or there is none. */
static void test_no_memory_once(void **state)
{
    (void)state;
    sample_report(&r);
    assert_true(judge(&r));
    char *whole = report_json(&r, NULL), *text;
    assert_non_null(whole);
    json_set_alloc_funcs(failing_once, free);
    for (long n = 0; n < 100000; n++) {
        until_failure = n;
        text = report_json(&r, NULL);
        if (text != NULL && strcmp(text, whole) != 0) {
            fail_msg("allocation %ld: %s", n, text);
        }
        if (until_failure >= 0) {
            break; /* it needs no more than n */
        }
        free(text);
    }
    json_set_alloc_funcs(malloc, free);
    assert_non_null(text);
    free(text);
    free(whole);
    report_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_report),
        cmocka_unit_test(test_transcript),
        cmocka_unit_test(test_empty_report),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_unreadable_certificate),
        cmocka_unit_test(test_chain_errors),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_server_id),
        cmocka_unit_test(test_many_capabilities),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_memory_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

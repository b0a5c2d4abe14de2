#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/page.h"
#include "api/report_table.h"
#include "tests/report/sample.h"

#define COLUMNS 80u

static struct report r;

/* The table of the sample after judging, to be freed. */
static char *table(void)
{
    assert_true(judge(&r));
    char *text = report_table(&r);
    assert_non_null(text);
    return text;
}

static void assert_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("not there: %s\n%s", part, text);
    }
}

static void assert_not_in(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("there: %s\n%s", part, text);
    }
}

static size_t times(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        count++;
    }
    return count;
}

static size_t characters(const char *s, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        count += ((unsigned char)s[i] & 0xC0) != 0x80;
    }
    return count;
}

/* No line is longer than the page, but for one that is a single word; none ends in a space; the last one is
 * ended. */
static void check_lines(const char *text)
{
    size_t len = 0;
    for (const char *line = text; *line != '\0'; line += len + 1) {
        len = strcspn(line, "\n");
        size_t indent = strspn(line, " ");
        size_t word = strcspn(line + indent, " \n");
        if (line[len] != '\n' || (len > 0 && line[len - 1] == ' ') ||
            (characters(line, len) > COLUMNS && indent + word < len)) {
            fail_msg("this line: %.*s|\n%s", (int)len, line, text);
        }
    }
}

/* Nothing but printable characters and line ends, as far as ASCII and the C1 controls go. */
static void check_harmless(const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s != '\0'; s++) {
        if ((*s < 0x20 && *s != '\n') || *s == 0x7F || (*s == 0xC2 && s[1] < 0xA0)) {
            fail_msg("a control character (%02x) in\n%s", *s, text);
        }
    }
}

static void test_healthy(void **state)
{
    (void)state;
    static const char expected[] =
        "imap.example.com: ok\n"
        "Ports 143 (STARTTLS) and 993 work with TLS 1.3. The certificate is trusted and\n"
        "expires in 60 days.\n"
        "\n"
        "Port   Service  Verdict       Address     TLS\n"
        "143    imap     ok            192.0.2.10  TLS 1.3 TLS_AES_256_GCM_SHA384\n"
        "993    imaps    ok            192.0.2.10  TLS 1.3 TLS_AES_256_GCM_SHA384\n"
        "\n"
        "Certificate of port 143 and of port 993\n"
        "  Subject  CN=imap.example.com\n"
        "  Issuer   CN=Example CA\n"
        "  Names    imap.example.com\n"
        "  Valid    2026-10-24 18:29:00 to 2027-01-22 18:29:00 UTC\n"
        "  Key      ECDSA, 256 bits, signed with ECDSA-SHA384\n"
        "  Trust    trusted, matches the host\n"
        "\n"
        "Capabilities\n"
        "  143    IMAP4rev1 SASL-IR ID IDLE STARTTLS LOGINDISABLED AUTH=PLAIN\n"
        "  993    IMAP4rev1 SASL-IR ID IDLE AUTH=PLAIN\n"
        "\n"
        "Not advertised before login (the JSON report says what clients lose)\n";
    sample_report(&r);
    char *text = table();
    text[strlen(text) - 1] = ' '; /* every gap stands between spaces then */
    if (strncmp(text, expected, strlen(expected)) != 0) {
        fail_msg("not as expected:\n%s", text);
    }
    const char *gaps = text + strlen(expected);
    assert_in(gaps, " CONDSTORE ");
    assert_not_in(gaps, " IDLE ");
    assert_not_in(gaps, "\n\n");
    free(text);
    report_deinit(&r);
}

static void test_findings(void **state)
{
    (void)state;
    sample_report(&r);
    for (size_t i = 0; i < 2; i++) {
        r.ports[i].certificate.chain[0].not_after = SAMPLE_NOW + 4 * SAMPLE_DAY + 60;
    }
    r.ports[0].tls.version = "TLS 1.1";
    r.ports[0].tls.version_weak = true;
    r.ports[0].tls.version_latest = false;
    char *text = table();
    check_lines(text);
    char head[128];
    snprintf(head, sizeof head, "imap.example.com: %s\n", verdict_name(r.verdict));
    assert_int_equal(strncmp(text, head, strlen(head)), 0);
    assert_in(text, "\nFindings\n");
    assert_in(text, "\n  warning: The certificate expires in 4 days (port 143, port 993)\n"
                    "    The certificate CN=imap.example.com expires on 2026-11-27 18:30:00 UTC.\n"
                    "    Remedy: Renew the certificate");
    assert_int_equal(times(text, "The certificate expires in 4 days"), 1);
    const struct finding *weak = sample_find(&r, FINDING_TLS_VERSION_WEAK, 143);
    assert_non_null(weak);
    snprintf(head, sizeof head, "  %s: %s (port 143)\n", severity_name(weak->severity), weak->title);
    assert_in(text, head);
    assert_int_equal(times(text, "    Remedy: "), r.finding_count - 1);
    free(text);
    report_deinit(&r);
}

static void test_errors(void **state)
{
    (void)state;
    sample_report(&r);
    sample_fail(&r.ports[0], ERROR_CONNECTION_REFUSED, PHASE_CONNECT);
    r.ports[0].error.raw = "ECONNREFUSED";
    sample_stop(&r.ports[1], ERROR_TLS_HANDSHAKE_FAILED, PHASE_TLS);
    r.ports[1].error.alert = "handshake_failure";
    r.ports[1].error.said = text_of("Too  many");
    char *text = table();
    check_lines(text);
    assert_in(text, "\n143    imap     unreachable   -           -\n"
                    "                              The server refused the connection. (ECONNREFUSED)\n"
                    "993    imaps    problems      192.0.2.10  none\n"
                    "                              The TLS handshake failed. The server said: \"Too\n"
                    "                              many\" (TLS alert handshake_failure)\n");
    assert_not_in(text, "Certificate of");
    assert_not_in(text, "\nCapabilities\n");
    assert_not_in(text, "\nNot advertised");
    free(text);
    report_deinit(&r);
}

static void test_unresolved(void **state)
{
    (void)state;
    sample_report(&r);
    r.dns.address_count = 0;
    r.dns.error = (struct failure){.code = ERROR_DNS_NAME_NOT_FOUND, .phase = PHASE_DNS};
    for (size_t i = 0; i < 2; i++) {
        sample_fail(&r.ports[i], ERROR_DNS_NAME_NOT_FOUND, PHASE_DNS);
    }
    r.host_unicode = "imap.b\xc3\xbc"
                     "cher.example";
    r.host = "imap.xn--bcher-kva.example";
    char *text = table();
    check_lines(text);
    assert_int_equal(
        strncmp(text,
                "imap.b\xc3\xbc"
                "cher.example (imap.xn--bcher-kva.example): unreachable\nThe host name cannot be resolved",
                80),
        0);
    assert_in(text, "The name does not exist in the DNS.\n");
    free(text);
    report_deinit(&r);
}

static void test_certificates(void **state)
{
    (void)state;
    struct san sans[12];
    sample_report(&r);
    struct certificate *plain = &r.ports[0].certificate, *secure = &r.ports[1].certificate;
    for (size_t i = 0; i < 12; i++) {
        sans[i] = (struct san){.type = SAN_DNS, .value = text_of("shown.example")};
    }
    plain->sans = sans;
    plain->san_count = 12;
    plain->san_total = 600;
    plain->hostname_match = false;
    plain->chain_errors = 1u << CHAIN_UNKNOWN_ISSUER | 1u << CHAIN_EXPIRED;
    plain->leaf_errors = 1u << CHAIN_EXPIRED;
    plain->chain[0].sha256[31] = 1;
    *secure = (struct certificate){.seen = true, .chain_errors = 1u << CHAIN_OTHER};
    char *text = table();
    check_lines(text);
    assert_in(text, "\nCertificate of port 143\n");
    assert_in(text, "  Names    shown.example, shown.example, ");
    assert_in(text, " shown.example and 590 more\n");
    assert_in(text, "  Trust    not trusted (expired, unknown_issuer), does not match the host\n");
    assert_in(text, "\nCertificate of port 993\n  Trust    not trusted, as it cannot be read\n");
    *strstr(text, "  Valid ") = '\0';
    assert_int_equal(times(strstr(text, "  Names "), "shown.example"), 10);
    free(text);
    report_deinit(&r);
}

static void test_two_certificates(void **state)
{
    (void)state;
    sample_report(&r);
    r.ports[1].certificate.chain[0].sha256[31] = 1;
    r.ports[1].certificate.chain_errors = 1u << CHAIN_WRONG_ORDER;
    r.ports[0].certificate.san_count = r.ports[0].certificate.san_total = 0;
    r.ports[0].certificate.chain[0].not_before = -INT64_C(4000000000000000000);
    char *text = table();
    assert_in(text, "\nCertificate of port 143\n");
    assert_in(text, "  Names    none\n");
    assert_in(text, "  Valid    ? to 2027-01-22 18:29:00 UTC\n");
    assert_in(text, "\nCertificate of port 993\n");
    assert_in(text, "  Trust    trusted (wrong_order), matches the host\n");
    free(text);
    report_deinit(&r);
}

/* The longest that can stand in the row of a port still fits. */
static void test_wide_row(void **state)
{
    (void)state;
    static const struct {
        const char *address, *cipher, *row;
    } rows[] = {
        {"2001:db8:1:2::25", "TLS_AES_256_GCM_SHA384",
         "993    imaps    ok            2001:db8:1:2::25  TLS 1.2 TLS_AES_256_GCM_SHA384\n"},
        {"2001:db8:1:2:3::25", "TLS_AES_256_GCM_SHA384",
         "993    imaps    ok            2001:db8:1:2:3::25  TLS 1.2 TLS_AES_256_GCM_SHA384\n"},
        {"2001:db8:1:2:34::25", "TLS_AES_256_GCM_SHA384",
         "993    imaps    ok            2001:db8:1:2:34::25  TLS 1.2\n"
         "                              TLS_AES_256_GCM_SHA384\n"},
        {"2001:db8:1111:2222:3333:4444:5555:6666", "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256",
         "993    imaps    ok            2001:db8:1111:2222:3333:4444:5555:6666  TLS 1.2\n"
         "                              TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sample_report(&r);
        r.ports[1].address = sample_ip(rows[i].address);
        r.ports[1].tls.version = "TLS 1.2";
        r.ports[1].tls.cipher_suite = rows[i].cipher;
        char *text = table();
        check_lines(text);
        assert_in(text, rows[i].row);
        free(text);
        report_deinit(&r);
    }
}

static const char evil[] = "a\0b\x1b[31m\r\n\x7f\x07\xc2\x9b"
                           "2J \xff\xed\xa0\x80 \xe2\x80\xae\xe2\x81\xa6 \xc3\xa9\"\\%s%n";
#define EVIL ((struct text){.data = evil, .len = sizeof evil - 1})
#define EVIL_SHOWN                                                                                           \
    "a\\x00b\\x1b[31m\\x0d\\x0a\\x7f\\x07\\u{009b}2J \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "      \
    "\\u{202e}\\u{2066} \xc3\xa9\"\\%s%n"

/* Puts one space for each end of line and the spaces after it. */
static void unwrap(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        size_t skip = *from == '\n' ? 1 + strspn(from + 1, " \n") : 1;
        *to = *from == '\n' ? ' ' : *from;
        from += skip;
    }
    *to = '\0';
}

static void test_hostile_text(void **state)
{
    (void)state;
    sample_report(&r);
    struct port_report *p = &r.ports[0];
    r.dns.canonical_name = EVIL;
    p->dialogue.greeting_text = (struct resp_text){.code = EVIL, .text = EVIL};
    assert_true(caps_add(&p->caps, &r.arena, CAPS_STARTTLS, EVIL));
    p->tls.alpn = EVIL;
    p->certificate.chain[0].subject = p->certificate.chain[0].issuer = EVIL;
    p->certificate.chain[0].not_after = SAMPLE_NOW + SAMPLE_DAY; /* a finding that quotes the subject */
    p->certificate.sans[0].value = EVIL;
    p->dialogue.deviations = 1u << DEVIATION_UNPARSED_LINE;
    p->dialogue.deviation_example[DEVIATION_UNPARSED_LINE] = EVIL;
    p->error = (struct failure){.code = ERROR_SERVER_BYE, .phase = PHASE_CAPABILITY, .said = EVIL};
    assert_true(judge(&r));
    r.host_unicode = r.host = "b\x1b[2J";
    r.findings[0].title = "c\x1b[2J";
    char *text = report_table(&r);
    assert_non_null(text);
    check_harmless(text);
    check_lines(text);
    unwrap(text);
    assert_in(text, " Subject  " EVIL_SHOWN " Issuer");
    assert_in(text, " Issuer   " EVIL_SHOWN " Names");
    assert_in(text, " Names    " EVIL_SHOWN " Valid");
    assert_in(text, " AUTH=PLAIN " EVIL_SHOWN " 993");
    assert_in(text, " The server said: \"" EVIL_SHOWN "\" 993");
    assert_in(text, " The certificate " EVIL_SHOWN " expires");
    assert_in(text, "b\\x1b[2J (b\\x1b[2J): ");
    assert_in(text, "c\\x1b[2J (port 143");
    free(text);
    report_deinit(&r);
}

static void test_many_capabilities(void **state)
{
    (void)state;
    char word[LIMIT_CAPABILITY_BYTES + 1] = "";
    sample_report(&r);
    for (unsigned i = 0; i < LIMIT_CAPABILITIES; i++) {
        int len = snprintf(word, sizeof word, "X%u", i);
        if (i % 8 == 0) {
            len = LIMIT_CAPABILITY_BYTES;
            memset(word + 5, '\x1b', LIMIT_CAPABILITY_BYTES - 5);
        }
        (void)caps_add(&r.ports[0].caps, &r.arena, CAPS_COMMAND,
                       (struct text){.data = word, .len = (size_t)len});
    }
    r.ports[0].caps.all.names[1] = (struct text){.data = "   ", .len = 3};
    char *text = table();
    check_harmless(text);
    check_lines(text);
    assert_in(text, "X4713");
    assert_in(text, "\xe2\x80\xa6"); /* cut at LIMIT_TEXT_CHARS */
    free(text);
    report_deinit(&r);
}

static void test_page(void **state)
{
    (void)state;
    static const char fifty[] = "1234567890123456789012345678901234567890123456789x";
    struct page p;
    page_init(&p);
    p.indent = 3;
    page_say(&p, "%s ", fifty);
    page_say(&p, "%.25s", fifty); /* 76 */
    page_say(&p, "end");          /* grows the word to 79 */
    page_show(&p, text_of("!"), 9);
    page_end_line(&p);
    page_say(&p, "%s %.29s.  ,%s%s", fifty, fifty, fifty, fifty);
    page_go_to(&p, 2);
    page_say(&p, "a   b ");
    page_end_line(&p);
    page_show(&p, text_of("1234567890123456789012345678901234567890 \xc3\xa4\xf0\x9f\x93\xa7"), 99);
    page_say(&p, "4567890123456789012345678901234567890 1");
    char *text = page_take(&p);
    assert_string_equal(text, "1234567890123456789012345678901234567890123456789x "
                              "1234567890123456789012345end!\n"
                              "1234567890123456789012345678901234567890123456789x\n"
                              "   12345678901234567890123456789.\n"
                              "   ,1234567890123456789012345678901234567890123456789x"
                              "1234567890123456789012345678901234567890123456789x\n"
                              "   a   b\n"
                              "1234567890123456789012345678901234567890 \xc3\xa4\xf0\x9f\x93\xa7"
                              "4567890123456789012345678901234567890\n"
                              "   1");
    free(text);
    page_deinit(&p);
}

static void test_page_without_memory(void **state)
{
    (void)state;
    struct page p;
    page_init(&p);
    p.out.max = 4;
    page_say(&p, "much too long");
    assert_null(page_take(&p));
    page_deinit(&p);
    page_init(&p);
    p.scratch.max = 1;
    page_show(&p, text_of("word"), 9);
    assert_null(page_take(&p));
    page_deinit(&p);
}

static void test_dialogue(void **state)
{
    (void)state;
    static struct transcript_line lines[] = {
        {.connection = 1, .at_ms = 11.26, .complete = true, .text = {"* OK \x1b[31m", 10}},
        {.connection = 1, .at_ms = 11.31, .sent = true, .complete = true, .text = {"a1 STARTTLS", 11}},
        {.connection = 1, .at_ms = 3012, .tls = true, .text = {"half", 4}},
        {.connection = 2, .at_ms = 3013, .complete = true, .text = {"* OK again", 10}},
    };
    sample_report(&r);
    r.ports[0].transcript = (struct transcript){.lines = lines, .count = 4};
    char *text = table();
    assert_in(text, "\nDialogue with port 143\n"
                    "      11.3 ms S: * OK \\x1b[31m\n"
                    "      11.3 ms C: a1 STARTTLS\n"
                    "  --- inside TLS\n"
                    "    3012.0 ms S: half (no line end)\n"
                    "  --- another connection\n"
                    "    3013.0 ms S: * OK again\n");
    assert_not_in(text, "Dialogue with port 993");
    free(text);
    report_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy),
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_unresolved),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_two_certificates),
        cmocka_unit_test(test_wide_row),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_many_capabilities),
        cmocka_unit_test(test_dialogue),

        cmocka_unit_test(test_page),
        cmocka_unit_test(test_page_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

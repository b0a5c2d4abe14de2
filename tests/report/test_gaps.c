#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "probe/report/gaps.h"
#include "tests/report/sample.h"

#define ALL                                                                                                  \
    "SASL-IR IDLE CONDSTORE QRESYNC UIDPLUS NAMESPACE SPECIAL-USE MOVE SORT THREAD LITERAL+ "                \
    "COMPRESS=DEFLATE QUOTA ID"

static struct report r;

/* The names of the gaps in the order of the catalogue. */
static void assert_gaps(const char *expected)
{
    char joined[512] = "";
    size_t count;
    const struct catalogue_row *rows = catalogue_rows(&count);
    for (size_t i = 0; i < count; i++) {
        if (!gaps_missing(&r, &rows[i])) {
            continue;
        }
        if (joined[0] != '\0') {
            strcat(joined, " ");
        }
        strcat(joined, rows[i].name);
    }
    assert_string_equal(joined, expected);
}

/* On the STARTTLS port alone, inside TLS. */
static void given(const char *words)
{
    sample_report(&r);
    sample_caps(&r, &r.ports[0], CAPS_STARTTLS, words);
    r.port_count = 1;
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *words, *gaps;
    } cases[] = {
        {"IMAP4rev1", ALL},
        {ALL, ""},
        {"IMAP4rev1 idle move",
         "SASL-IR CONDSTORE QRESYNC UIDPLUS NAMESPACE SPECIAL-USE SORT THREAD LITERAL+ "
         "COMPRESS=DEFLATE QUOTA ID"},
        {"QRESYNC",
         "SASL-IR IDLE UIDPLUS NAMESPACE SPECIAL-USE MOVE SORT THREAD LITERAL+ COMPRESS=DEFLATE QUOTA ID"},
        {"CONDSTORE LITERAL-",
         "SASL-IR IDLE QRESYNC UIDPLUS NAMESPACE SPECIAL-USE MOVE SORT THREAD COMPRESS=DEFLATE "
         "QUOTA ID"},
        {"IMAP4rev2", "CONDSTORE QRESYNC SORT THREAD COMPRESS=DEFLATE QUOTA ID"},
        {"IMAP4rev2 THREAD=REFS QUOTA=RES-STORAGE SORT=DISPLAY", "CONDSTORE QRESYNC COMPRESS=DEFLATE ID"},
        /* other words that only begin alike */
        {"IMAP4rev2 THREADS SORTING QUOTASET IDX COMPRESS=LZ4",
         "CONDSTORE QRESYNC SORT THREAD COMPRESS=DEFLATE QUOTA ID"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        given(cases[i].words);
        if (cases[i].words[0] == '\0') {
            sample_caps(&r, &r.ports[0], CAPS_GREETING, "");
            sample_caps(&r, &r.ports[0], CAPS_COMMAND, "");
        }
        assert_gaps(cases[i].gaps);
        report_deinit(&r);
    }
}

/* Plain lists count only where no port gave one inside TLS. */
static void test_which_lists_count(void **state)
{
    (void)state;
    given("IMAP4rev1");
    sample_caps(&r, &r.ports[0], CAPS_COMMAND, ALL);
    assert_gaps(ALL);
    sample_caps(&r, &r.ports[0], CAPS_STARTTLS, "");
    assert_gaps("");
    report_deinit(&r);
}

static void test_union_of_ports(void **state)
{
    (void)state;
    given("IMAP4rev2 QRESYNC SORT");
    r.port_count = 2;
    sample_caps(&r, &r.ports[1], CAPS_COMMAND, "THREAD=REFERENCES COMPRESS=DEFLATE");
    sample_caps(&r, &r.ports[1], CAPS_GREETING, "QUOTA");
    assert_gaps("ID");
    report_deinit(&r);
}

/* The other port's list inside TLS makes the plain one of this port count for nothing. */
static void test_plain_beside_tls(void **state)
{
    (void)state;
    given("");
    r.port_count = 2;
    sample_caps(&r, &r.ports[0], CAPS_COMMAND, ALL);
    sample_caps(&r, &r.ports[1], CAPS_COMMAND, "IMAP4rev1");
    assert_gaps(ALL);
    assert_true(gaps_list_seen(&r));
    report_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_which_lists_count),
        cmocka_unit_test(test_union_of_ports),
        cmocka_unit_test(test_plain_beside_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A result on its way into the store and back: it comes back whole, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/base/limits.h"
#include "server/cache_entry.h"

static const uint8_t key[CACHE_ENTRY_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const uint8_t other_key[CACHE_ENTRY_KEY_SIZE] = "1123456789abcdef0123456789abcde";
static const struct text name = {"imap-testd:name", 15}, other_name = {"imap-testd:nam", 14};

static struct cached report;
static char *bytes;
static size_t len;

static void make(const char *body, size_t body_len)
{
    report = (struct cached){.verdict = VERDICT_WARNINGS, .dns_ms = 4.25, .test_ms = 182.36};
    report.address = (struct ip){4, {192, 0, 2, 1}};
    report.phases.imap = (struct port_times){true, 0, 1.26, TIME_NONE, 17.5};
    report.body = shared_create(body, body_len);
    assert_non_null(report.body);
    bytes = cache_entry_encode(key, name, &report, 30, &len);
}

static void drop(void)
{
    shared_release(report.body);
    free(bytes);
    bytes = NULL;
}

static bool decode(const uint8_t *with, struct text under, struct cache_entry *entry)
{
    return cache_entry_decode(with, under, (struct text){bytes, len}, entry);
}

static void test_comes_back(void **state)
{
    (void)state;
    static const char body[] = "{\"cached\":true }";
    struct cache_entry entry;
    make(body, sizeof body - 1);
    assert_non_null(bytes);
    assert_int_equal(len, CACHE_ENTRY_HEAD_SIZE + sizeof body - 1);
    assert_true(decode(key, name, &entry));
    assert_int_equal(entry.lifetime_s, 30);
    assert_int_equal(entry.report.verdict, VERDICT_WARNINGS);
    assert_true(ip_equal(&entry.report.address, &report.address));
    assert_true(entry.report.dns_ms > 4.24 && entry.report.dns_ms < 4.36);
    assert_true(entry.report.test_ms > 182.35 && entry.report.test_ms < 182.45);
    assert_false(entry.report.phases.imaps.tested);
    const struct port_times *imap = &entry.report.phases.imap;
    assert_true(imap->tested && imap->connect >= 0 && imap->connect < 0.05);
    assert_true(imap->greeting > 1.25 && imap->greeting < 1.35 && imap->tls < 0);
    assert_true(imap->total > 17.45 && imap->total < 17.55);
    assert_int_equal(entry.body.len, sizeof body - 1);
    assert_memory_equal(entry.body.data, body, sizeof body - 1);
    drop();
}

static void test_of_others(void **state)
{
    (void)state;
    struct cache_entry entry;
    make("{}", 2);
    assert_false(decode(other_key, name, &entry));
    assert_false(decode(key, other_name, &entry));
    assert_true(decode(key, name, &entry));
    drop();
}

static void test_each_bit_counts(void **state)
{
    (void)state;
    struct cache_entry entry;
    make("{\"a\":1}", 7);
    for (size_t i = 0; i < len * 8; i++) {
        bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
        assert_false(decode(key, name, &entry));
        bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
    }
    assert_true(decode(key, name, &entry));
    drop();
}

static void test_each_octet_counts(void **state)
{
    (void)state;
    struct cache_entry entry;
    make("{\"a\":1}", 7);
    size_t whole = len;
    for (len = 0; len < whole; len++) {
        char *exact = malloc(len + (len == 0));
        assert_non_null(exact);
        memcpy(exact, bytes, len);
        assert_false(cache_entry_decode(key, name, (struct text){exact, len}, &entry));
        free(exact);
    }
    drop();
}

/* Sealed, so that it is the content that is refused. */
static bool decode_changed(size_t at, uint8_t value)
{
    struct cache_entry entry;
    char before = bytes[at];
    bytes[at] = (char)value;
    cache_entry_seal(key, name, (uint8_t *)bytes, len);
    bool ok = decode(key, name, &entry);
    bytes[at] = before;
    return ok;
}

static void test_sealed_nonsense(void **state)
{
    (void)state;
    enum {
        VERDICT_AT = 8,
        FAMILY_AT = 9,
        DNS_AT = 28,
        TEST_AT = 32,
        IMAP_AT = 36,
        IMAPS_AT = 56,
        BODY_AT = CACHE_ENTRY_HEAD_SIZE
    };
    make("{\"a\":1}", 7);
    assert_true(decode_changed(VERDICT_AT, VERDICT_OK));
    assert_true(decode_changed(VERDICT_AT, VERDICT_UNREACHABLE));
    assert_false(decode_changed(VERDICT_AT, VERDICT_INCONCLUSIVE));
    assert_false(decode_changed(VERDICT_AT, 5));
    assert_false(decode_changed(VERDICT_AT, 255));
    assert_true(decode_changed(FAMILY_AT, 0));
    assert_true(decode_changed(FAMILY_AT, 6));
    assert_false(decode_changed(FAMILY_AT, 5));
    assert_false(decode_changed(DNS_AT, 255));
    assert_false(decode_changed(TEST_AT, 255));
    assert_false(decode_changed(0, 'X'));
    assert_false(decode_changed(IMAP_AT, 1));
    assert_false(decode_changed(IMAP_AT + 3, 2));
    assert_false(decode_changed(IMAPS_AT + 3, 2));
    assert_true(decode_changed(IMAPS_AT + 3, 1));
    assert_false(decode_changed(IMAP_AT + 4, 255));
    assert_false(decode_changed(IMAPS_AT + 16, 255));
    assert_false(decode_changed(3, '1'));
    assert_false(decode_changed(BODY_AT, '['));
    assert_false(decode_changed(BODY_AT + 1, '\0'));
    assert_false(decode_changed(BODY_AT + 1, '\r'));
    assert_false(decode_changed(len - 1, ']'));
    drop();
}

static void test_sizes(void **state)
{
    (void)state;
    struct cache_entry entry;
    char *body = malloc(LIMIT_SHARED_BODY_BYTES + 1);
    assert_non_null(body);
    memset(body, 'x', LIMIT_SHARED_BODY_BYTES + 1);
    body[0] = '{';
    body[LIMIT_SHARED_BODY_BYTES - 1] = '}';
    make(body, LIMIT_SHARED_BODY_BYTES);
    assert_non_null(bytes);
    assert_true(decode(key, name, &entry));
    drop();
    make(body, LIMIT_SHARED_BODY_BYTES + 1);
    assert_null(bytes);
    drop();
    make("{", 1);
    assert_false(decode(key, name, &entry));
    drop();
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),      cmocka_unit_test(test_of_others),
        cmocka_unit_test(test_each_bit_counts), cmocka_unit_test(test_each_octet_counts),
        cmocka_unit_test(test_sealed_nonsense), cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

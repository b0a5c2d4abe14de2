/* Certificates made with the library, one property each, which no tool would issue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "probe/base/limits.h"
#include "probe/net/cert_internal.h"
#include "probe/net/tls.h"

#define NOW 1795600000
#define OCSP "1.3.6.1.5.5.7.3.9"
#define STEP_UP "2.16.840.1.113730.4.1"

static gnutls_x509_privkey_t key;
static struct tls_env *env;
static struct arena arena;

static int start(void **state)
{
    (void)state;
    char why[256];
    env = tls_env_create(TEST_ROOT, why, sizeof why);
    assert_non_null(env);
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    return gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                        GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
}

static int end(void **state)
{
    (void)state;
    gnutls_x509_privkey_deinit(key);
    tls_env_release(&env);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, LIMIT_REPORT_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static gnutls_x509_crt_t begin(const char *subject)
{
    gnutls_x509_crt_t cert;
    assert_int_equal(gnutls_x509_crt_init(&cert), 0);
    assert_int_equal(gnutls_x509_crt_set_version(cert, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(cert, subject, NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(cert, "\x05", 1), 0);
    gnutls_x509_crt_set_activation_time(cert, NOW - 1000);
    gnutls_x509_crt_set_expiration_time(cert, NOW + 1000);
    assert_int_equal(gnutls_x509_crt_set_key(cert, key), 0);
    return cert;
}

static gnutls_x509_crt_t root(void)
{
    gnutls_datum_t pem;
    gnutls_x509_crt_t cert;
    assert_int_equal(gnutls_load_file(TEST_ROOT, &pem), 0);
    assert_int_equal(gnutls_x509_crt_init(&cert), 0);
    assert_int_equal(gnutls_x509_crt_import(cert, &pem, GNUTLS_X509_FMT_PEM), 0);
    gnutls_free(pem.data);
    return cert;
}

/* Signs with the one key that all have, be it for the trusted root (issuer NULL); read again, since a
 * certificate being made answers otherwise. */
static gnutls_x509_crt_t finish(gnutls_x509_crt_t cert, const char *issuer)
{
    gnutls_datum_t der;
    gnutls_x509_crt_t named = issuer ? begin(issuer) : root(), again;
    assert_int_equal(gnutls_x509_crt_sign2(cert, named, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_DER, &der), 0);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_crt_deinit(named);
    assert_int_equal(gnutls_x509_crt_init(&again), 0);
    assert_int_equal(gnutls_x509_crt_import(again, &der, GNUTLS_X509_FMT_DER), 0);
    gnutls_free(der.data);
    return again;
}

static void test_costly_keys(void **state)
{
    (void)state;
    static const struct {
        unsigned bytes, exponent_bytes;
        bool costly, halts;
    } cases[] = {
        {256, 3, false, false}, {1024, 3, false, false}, {1025, 3, true, false}, {4096, 3, true, false},
        {4097, 3, true, true},  {256, 9, false, false},  {256, 10, true, true},
    };
    static unsigned char modulus[4097], exponent[10];
    memset(modulus, 0xff, sizeof modulus);
    memset(exponent, 0x7f, sizeof exponent);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gnutls_datum_t m = {modulus, cases[i].bytes}, e = {exponent, cases[i].exponent_bytes}, der;
        gnutls_pubkey_t public;
        gnutls_x509_crt_t cert = begin("CN=x");
        assert_int_equal(gnutls_x509_crt_set_version(cert, i % 2 == 0 ? 3 : 1), 0);
        assert_int_equal(gnutls_pubkey_init(&public), 0);
        assert_int_equal(gnutls_pubkey_import_rsa_raw(public, &m, &e), 0);
        assert_int_equal(gnutls_x509_crt_set_pubkey(cert, public), 0);
        gnutls_pubkey_deinit(public);
        cert = finish(cert, "CN=x");
        assert_int_equal(cert_key_is_costly(cert), cases[i].costly);
        assert_int_equal(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_DER, &der), 0);
        assert_int_equal(cert_key_halts_handshake(&der), cases[i].halts);
        gnutls_free(der.data);
        assert_false(cert_is_self_signed(cert)); /* its own name, but another key signed it */
        gnutls_x509_crt_deinit(cert);
    }
}

static void test_costly_dsa_keys(void **state)
{
    (void)state;
    static const struct {
        unsigned bytes, order_bytes;
        bool costly;
    } cases[] = {{256, 32, false}, {512, 64, false}, {513, 32, true}, {256, 66, true}};
    static unsigned char number[513];
    memset(number, 0x7f, sizeof number);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gnutls_datum_t p = {number, cases[i].bytes}, q = {number, cases[i].order_bytes}, g = {number, 100},
                       der;
        gnutls_pubkey_t public;
        gnutls_x509_crt_t cert = begin("CN=x");
        assert_int_equal(gnutls_pubkey_init(&public), 0);
        assert_int_equal(gnutls_pubkey_import_dsa_raw(public, &p, &q, &g, &g), 0);
        assert_int_equal(gnutls_x509_crt_set_pubkey(cert, public), 0);
        gnutls_pubkey_deinit(public);
        cert = finish(cert, "CN=x");
        assert_int_equal(cert_key_is_costly(cert), cases[i].costly);
        assert_int_equal(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_DER, &der), 0);
        assert_int_equal(cert_key_halts_handshake(&der), cases[i].costly);
        gnutls_free(der.data);
        gnutls_x509_crt_deinit(cert);
    }
}

static void test_purposes(void **state)
{
    (void)state;
    static const struct {
        const char *purposes[3];
        bool ca, serves;
    } cases[] = {
        {{NULL}, false, true},
        {{GNUTLS_KP_TLS_WWW_SERVER}, false, true},
        {{GNUTLS_KP_TLS_WWW_CLIENT}, false, false},
        {{GNUTLS_KP_TLS_WWW_CLIENT, OCSP, GNUTLS_KP_TLS_WWW_SERVER}, false, true},
        {{GNUTLS_KP_TLS_WWW_CLIENT, GNUTLS_KP_ANY}, false, true},
        {{STEP_UP}, false, false},
        {{STEP_UP}, true, true},
        {{OCSP}, true, false},
        {{"1.3.6.1.5.5.7.3.11"}, false, false}, /* starts as that of servers does */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gnutls_x509_crt_t cert = begin("CN=x");
        for (size_t k = 0; k < 3 && cases[i].purposes[k]; k++) {
            assert_int_equal(gnutls_x509_crt_set_key_purpose_oid(cert, cases[i].purposes[k], 0), 0);
        }
        assert_int_equal(gnutls_x509_crt_set_ca_status(cert, cases[i].ca), 0);
        cert = finish(cert, "CN=x");
        assert_int_equal(cert_is_for_servers(cert), cases[i].serves);
        /* The library, which asks for one purpose after the other, says the same. */
        if ((gnutls_x509_crt_check_key_purpose(cert, GNUTLS_KP_TLS_WWW_SERVER, 0) != 0) != cases[i].serves) {
            fail_msg("case %zu: the library disagrees", i);
        }
        gnutls_x509_crt_deinit(cert);
    }
    gnutls_x509_crt_t odd = begin("CN=x");
    assert_int_equal(gnutls_x509_crt_set_extension_by_oid(odd, "2.5.29.37", "odd", 3, 0), 0);
    odd = finish(odd, "CN=x");
    assert_false(cert_is_for_servers(odd));
    gnutls_x509_crt_deinit(odd);
}

static void add_access(gnutls_x509_crt_t cert, int what, const char *url)
{
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)url, (unsigned)strlen(url)};
    assert_int_equal(gnutls_x509_crt_set_authority_info_access(cert, what, &data), 0);
}

static void check_issuer_url(gnutls_x509_crt_t cert, const char *expected)
{
    cert = finish(cert, "CN=x");
    struct text url = cert_issuer_url(cert, &arena);
    assert_int_equal(url.len, expected ? strlen(expected) : 0);
    assert_int_equal(url.data != NULL, expected != NULL);
    assert_true(!expected || memcmp(url.data, expected, url.len) == 0);
    assert_false(arena.failed);
    gnutls_x509_crt_deinit(cert);
}

static void test_issuer_url(void **state)
{
    (void)state;
    char longest[LIMIT_TEXT_CHARS + 101] = "http://";
    gnutls_x509_crt_t cert = begin("CN=x");
    check_issuer_url(cert, NULL);
    cert = begin("CN=x");
    add_access(cert, GNUTLS_IA_OCSP_URI, "http://ocsp.test/");
    check_issuer_url(cert, NULL);
    cert = begin("CN=x");
    for (unsigned i = 0; i < 20; i++) {
        add_access(cert, GNUTLS_IA_OCSP_URI, "http://ocsp.test/");
    }
    add_access(cert, GNUTLS_IA_CAISSUERS_URI, "http://ca.test/first");
    add_access(cert, GNUTLS_IA_CAISSUERS_URI, "http://ca.test/second");
    check_issuer_url(cert, "http://ca.test/first");
    memset(longest + 7, 'x', sizeof longest - 8);
    cert = begin("CN=x");
    add_access(cert, GNUTLS_IA_CAISSUERS_URI, longest);
    longest[LIMIT_TEXT_CHARS] = '\0';
    check_issuer_url(cert, longest);
    cert = begin("CN=x");
    assert_int_equal(gnutls_x509_crt_set_extension_by_oid(cert, GNUTLS_OID_AIA, "odd", 3, 0), 0);
    check_issuer_url(cert, NULL);
    /* An rfc822Name is no place. */
    cert = begin("CN=x");
    static const char mail[] = "\x30\x0f\x30\x0d\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x81\x01x";
    assert_int_equal(gnutls_x509_crt_set_extension_by_oid(cert, GNUTLS_OID_AIA, mail, sizeof mail - 1, 0), 0);
    check_issuer_url(cert, NULL);
}

/* Fills *out as for a server that sends these certificates. */
static bool describe(gnutls_x509_crt_t *certs, unsigned count, const char *host, struct certificate *out)
{
    gnutls_datum_t chain[LIMIT_CHAIN + 2];
    struct ip ip = {.family = 0};
    (void)ip_parse(&ip, host);
    struct cert_input in = {.chain = chain, .count = count, .host = host, .host_ip = &ip, .now = NOW};
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(gnutls_x509_crt_export2(certs[i], GNUTLS_X509_FMT_DER, &chain[i]), 0);
    }
    bool ok = cert_describe(&in, env, out, &arena);
    for (unsigned i = 0; i < count; i++) {
        gnutls_free(chain[i].data);
    }
    return ok;
}

static gnutls_x509_crt_t with_names(const char *subject, const void *names, size_t len)
{
    gnutls_x509_crt_t cert = begin(subject);
    assert_int_equal(gnutls_x509_crt_set_extension_by_oid(cert, "2.5.29.17", names, len, 0), 0);
    return finish(cert, subject);
}

static void test_odd_names(void **state)
{
    (void)state;
    /* iPAddress of five octets, a registeredID */
    static const char odd[] = "\x30\x0b\x87\x05\xc0\x00\x02\x01\x00\x88\x02\x2a\x03";
    struct certificate c;
    gnutls_x509_crt_t cert = with_names("CN=192.0.2.1", odd, sizeof odd - 1);
    assert_true(describe(&cert, 1, "192.0.2.1", &c));
    assert_true(c.parsed && !c.hostname_match && !c.common_name_match && c.self_signed);
    assert_true(c.san_total >= 1);
    assert_int_equal(c.sans[0].type, SAN_IP);
    assert_true(text_is(c.sans[0].value, "invalid iPAddress"));
    gnutls_x509_crt_deinit(cert);
    /* The common name holds an address, but of another host. */
    cert = finish(begin("CN=192.0.2.2"), "CN=192.0.2.2");
    assert_true(describe(&cert, 1, "192.0.2.1", &c));
    assert_false(c.common_name_match);
    assert_true(describe(&cert, 1, "192.0.2.2", &c));
    assert_true(c.common_name_match);
    gnutls_x509_crt_deinit(cert);
    cert = finish(begin("CN=no address"), "CN=no address");
    assert_true(describe(&cert, 1, "192.0.2.1", &c));
    assert_false(c.common_name_match);
    gnutls_x509_crt_deinit(cert);
}

static gnutls_x509_crt_t authority(const char *subject, const char *issuer, const char *purpose)
{
    gnutls_x509_crt_t cert = begin(subject);
    assert_int_equal(gnutls_x509_crt_set_ca_status(cert, 1), 0);
    if (purpose) {
        assert_int_equal(gnutls_x509_crt_set_key_purpose_oid(cert, purpose, 0), 0);
    }
    return finish(cert, issuer);
}

/* Without a root, what was sent twice is surplus, and a CA that may be needed is not. */
static void test_surplus(void **state)
{
    (void)state;
    struct certificate c;
    gnutls_x509_crt_t leaf = finish(begin("CN=leaf.test"), "CN=CA");
    gnutls_x509_crt_t ca = authority("CN=CA", "CN=Nobody", NULL);
    gnutls_x509_crt_t other = authority("CN=Other", "CN=Nobody", NULL);
    gnutls_x509_crt_t sent[] = {leaf, ca, ca, other, leaf};
    assert_true(describe(sent, 5, "leaf.test", &c));
    assert_int_equal(c.chain_count, 5);
    assert_int_equal(c.surplus, 2);
    assert_int_equal(c.chain_errors, 1u << CHAIN_UNKNOWN_ISSUER);
    assert_true(text_is(c.missing_issuer, "CN=Nobody"));
    gnutls_x509_crt_deinit(leaf);
    gnutls_x509_crt_deinit(ca);
    gnutls_x509_crt_deinit(other);
}

/* A CA's purpose counts on a path to a root, be the signatures right or not; without a root only the leaf's.
 */
static void test_purpose_of_path(void **state)
{
    (void)state;
    struct certificate c;
    gnutls_x509_crt_t leaf = finish(begin("CN=leaf.test"), "CN=CA");
    gnutls_x509_crt_t sent[] = {leaf, authority("CN=CA", "CN=Nobody", OCSP)};
    assert_true(describe(sent, 2, "leaf.test", &c));
    assert_true(text_is(c.wrong_purpose, "CN=CA"));
    assert_int_equal(c.chain_errors & 1u << CHAIN_WRONG_PURPOSE, 0);
    gnutls_x509_crt_deinit(sent[1]);
    sent[1] = authority("CN=CA", NULL, OCSP);
    assert_true(describe(sent, 2, "leaf.test", &c));
    assert_true(text_is(c.wrong_purpose, "CN=CA"));
    assert_int_equal(c.chain_errors, 1u << CHAIN_WRONG_PURPOSE | 1u << CHAIN_BAD_SIGNATURE);
    assert_int_equal(c.leaf_errors, 0);
    gnutls_x509_crt_deinit(sent[1]);
    gnutls_x509_crt_deinit(leaf);
}

/* A longer chain than is looked at. */
static void test_long_chain(void **state)
{
    (void)state;
    struct certificate c;
    gnutls_x509_crt_t ca = authority("CN=CA", "CN=CA", NULL), sent[LIMIT_CHAIN + 2];
    for (size_t i = 0; i < LIMIT_CHAIN + 2; i++) {
        sent[i] = ca;
    }
    assert_true(describe(sent, LIMIT_CHAIN + 2, "leaf.test", &c));
    assert_int_equal(c.chain_count, LIMIT_CHAIN);
    assert_int_equal(c.chain_sent, LIMIT_CHAIN + 2);
    gnutls_x509_crt_deinit(ca);
}

/* Wherever the memory of the report ends, that is told. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char names[] = "\x30\x0a\x82\x01\x61\x82\x01\x62\x87\x02\x01\x02";
    struct certificate c;
    size_t failures = 0;
    gnutls_x509_crt_t sent[] = {with_names("CN=leaf.test", names, sizeof names - 1),
                                authority("CN=CA", "CN=Nobody", OCSP)};
    for (size_t max = 0; max < 6000; max += 40) {
        arena_deinit(&arena);
        arena_init(&arena, max);
        bool ok = describe(sent, 2, "leaf.test", &c);
        assert_int_equal(ok, !arena.failed);
        failures += !ok;
    }
    assert_in_range(failures, 5, 149);
    gnutls_x509_crt_deinit(sent[0]);
    gnutls_x509_crt_deinit(sent[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_costly_keys),     TEST(test_costly_dsa_keys), TEST(test_purposes),
        TEST(test_issuer_url),      TEST(test_odd_names),       TEST(test_surplus),
        TEST(test_purpose_of_path), TEST(test_long_chain),      TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, start, end);
}

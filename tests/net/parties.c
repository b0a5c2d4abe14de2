#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "parties.h"

gnutls_x509_privkey_t keys[4];
struct party root;
struct tls_env *env;
struct chain_cache *cache;
struct arena arena;

struct party make(struct made m)
{
    struct party p = {.key = m.key};
    gnutls_x509_crt_t cert;
    gnutls_datum_t der;
    const char *san = m.san ? m.san : HOST;
    assert_int_equal(gnutls_x509_crt_init(&cert), 0);
    gnutls_x509_crt_set_version(cert, 3);
    assert_int_equal(gnutls_x509_crt_set_dn(cert, m.subject, NULL), 0);
    gnutls_x509_crt_set_serial(cert, "\x05", 1);
    gnutls_x509_crt_set_activation_time(cert, m.not_before ? m.not_before : NOW - YEAR);
    gnutls_x509_crt_set_expiration_time(cert, m.not_after ? m.not_after : NOW + YEAR);
    assert_int_equal(gnutls_x509_crt_set_key(cert, m.key), 0);
    if (m.ca) {
        assert_int_equal(gnutls_x509_crt_set_basic_constraints(cert, 1, m.path_length - 1), 0);
    } else {
        assert_int_equal(
            gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, san, (unsigned)strlen(san), 0), 0);
    }
    if (m.key_id) {
        assert_int_equal(gnutls_x509_crt_set_subject_key_id(cert, m.key_id, 1), 0);
    }
    if (m.issuer_id) {
        assert_int_equal(gnutls_x509_crt_set_authority_key_id(cert, m.issuer_id, 1), 0);
    }
    if (m.oid) {
        assert_int_equal(gnutls_x509_crt_set_extension_by_oid(cert, m.oid, m.extension, m.extension_size, 0),
                         0);
    }
    gnutls_x509_crt_t by = m.issuer ? m.issuer->cert : cert;
    assert_int_equal(gnutls_x509_crt_sign2(cert, by, m.issuer ? m.issuer->key : m.key, GNUTLS_DIG_SHA256, 0),
                     0);
    assert_int_equal(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_DER, &der), 0);
    gnutls_x509_crt_deinit(cert);
    assert_int_equal(gnutls_x509_crt_init(&p.cert), 0);
    assert_int_equal(gnutls_x509_crt_import(p.cert, &der, GNUTLS_X509_FMT_DER), 0);
    gnutls_free(der.data);
    return p;
}

void drop(struct party *parties, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gnutls_x509_crt_deinit(parties[i].cert);
    }
}

struct tls_env *trusting(const struct party *roots, size_t count)
{
    char why[256], path[] = "/tmp/imap-test-roots-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    assert_non_null(out);
    for (size_t i = 0; i < count; i++) {
        gnutls_datum_t pem;
        assert_int_equal(gnutls_x509_crt_export2(roots[i].cert, GNUTLS_X509_FMT_PEM, &pem), 0);
        fwrite(pem.data, 1, pem.size, out);
        gnutls_free(pem.data);
    }
    fclose(out);
    struct tls_env *made = tls_env_create(path, why, sizeof why);
    unlink(path);
    assert_non_null(made);
    return made;
}

int start(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        gnutls_x509_privkey_init(&keys[i]);
        gnutls_x509_privkey_generate(keys[i], GNUTLS_PK_ECDSA,
                                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    }
    root = make((struct made){.subject = "CN=Root", .key = keys[0], .ca = true, .not_after = NOW + 9 * YEAR});
    env = trusting(&root, 1);
    return 0;
}

int end(void **state)
{
    (void)state;
    tls_env_release(&env);
    drop(&root, 1);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        gnutls_x509_privkey_deinit(keys[i]);
    }
    return 0;
}

int set_up(void **state)
{
    (void)state;
    arena_init(&arena, LIMIT_REPORT_BYTES);
    cache = chain_cache_create(100, (size_t)1 << 20);
    return cache ? 0 : -1;
}

int tear_down(void **state)
{
    (void)state;
    chain_cache_free(&cache);
    arena_deinit(&arena);
    return 0;
}

struct certificate describe(const struct asked *a, struct chain_cache *with)
{
    gnutls_datum_t chain[4];
    struct ip ip = {.family = 0};
    struct certificate c;
    struct cert_input in = {.chain = chain, .host = a->host ? a->host : HOST, .host_ip = &ip, .cache = with};
    (void)ip_parse(&ip, in.host);
    in.now = a->now ? a->now : NOW;
    if (a->staple) {
        in.staple = (gnutls_datum_t){(unsigned char *)(uintptr_t)a->staple, (unsigned)strlen(a->staple)};
    }
    while (in.count < 4 && a->sent[in.count]) {
        assert_int_equal(
            gnutls_x509_crt_export2(a->sent[in.count]->cert, GNUTLS_X509_FMT_DER, &chain[in.count]), 0);
        in.count++;
    }
    assert_true(cert_describe(&in, a->env ? a->env : env, &c, &arena));
    for (unsigned i = 0; i < in.count; i++) {
        gnutls_free(chain[i].data);
    }
    return c;
}

static void assert_same_text(struct text a, struct text b)
{
    assert_int_equal(a.data == NULL, b.data == NULL);
    assert_int_equal(a.len, b.len);
    if (a.data) {
        assert_memory_equal(a.data, b.data, a.len);
    }
}

static void assert_same(struct certificate a, struct certificate b)
{
    assert_int_equal(a.chain_errors, b.chain_errors);
    assert_int_equal(a.chain_count, b.chain_count);
    assert_int_equal(a.san_count, b.san_count);
    for (size_t i = 0; i < a.chain_count; i++) {
        assert_same_text(a.chain[i].subject, b.chain[i].subject);
        assert_same_text(a.chain[i].issuer, b.chain[i].issuer);
        assert_int_equal(a.chain[i].not_before, b.chain[i].not_before);
        assert_int_equal(a.chain[i].not_after, b.chain[i].not_after);
        assert_memory_equal(a.chain[i].sha256, b.chain[i].sha256, sizeof a.chain[i].sha256);
    }
    for (size_t i = 0; i < a.san_count; i++) {
        assert_int_equal(a.sans[i].type, b.sans[i].type);
        assert_same_text(a.sans[i].value, b.sans[i].value);
    }
    struct text *texts[][2] = {
        {&a.common_name, &b.common_name},     {&a.missing_issuer, &b.missing_issuer},
        {&a.issuer_url, &b.issuer_url},       {&a.bad_ca, &b.bad_ca},
        {&a.weak_key, &b.weak_key},           {&a.weak_signature, &b.weak_signature},
        {&a.wrong_purpose, &b.wrong_purpose},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_same_text(*texts[i][0], *texts[i][1]);
        *texts[i][0] = *texts[i][1] = (struct text){0};
    }
    /* The rest is plain; the padding is equal too, since both are copies of wholes. */
    assert_int_equal(a.seen, b.seen);
    assert_int_equal(a.parsed, b.parsed);
    assert_int_equal(a.chain_sent, b.chain_sent);
    assert_int_equal(a.san_total, b.san_total);
    assert_int_equal(a.serial_len, b.serial_len);
    assert_memory_equal(a.serial, b.serial, sizeof a.serial);
    assert_int_equal(a.self_signed, b.self_signed);
    assert_int_equal(a.hostname_match, b.hostname_match);
    assert_int_equal(a.common_name_match, b.common_name_match);
    assert_int_equal(a.leaf_errors, b.leaf_errors);
    assert_string_equal(a.key_algorithm, b.key_algorithm);
    assert_int_equal(a.key_bits, b.key_bits);
    assert_string_equal(a.signature_algorithm, b.signature_algorithm);
    assert_int_equal(a.must_staple, b.must_staple);
    assert_int_equal(a.ocsp_stapling, b.ocsp_stapling);
    assert_int_equal(a.sct_count, b.sct_count);
    assert_int_equal(a.name_cut, b.name_cut);
    assert_int_equal(a.surplus, b.surplus);
}

unsigned check(struct asked a)
{
    struct chain_cache *none = chain_cache_create(0, 0);
    struct certificate anew = describe(&a, NULL);
    assert_same(anew, describe(&a, none));
    assert_int_equal(chain_cache_uses(none)->verified, 1);
    chain_cache_free(&none);
    assert_same(anew, describe(&a, cache));
    return anew.chain_errors;
}

void assert_uses(uint64_t verified, uint64_t below_known, uint64_t recalled)
{
    const struct chain_cache_uses *uses = chain_cache_uses(cache);
    assert_int_equal(uses->verified, verified);
    assert_int_equal(uses->below_known, below_known);
    assert_int_equal(uses->recalled, recalled);
}

void forget_all(void)
{
    chain_cache_free(&cache);
    cache = chain_cache_create(1000, (size_t)8 << 20);
    assert_non_null(cache);
}

/* Verdicts and facts from memory are those that a new verification gives: for chains that are nearly the
 * same, at the edges of validity, for other names, other roots and stapled responses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/x509.h>

#include "probe/base/arena.h"
#include "probe/base/limits.h"
#include "probe/net/cert.h"
#include "probe/net/chain_cache.h"
#include "probe/net/tls.h"

#define NOW INT64_C(1795600000)
#define YEAR INT64_C(31536000)
#define HOST "leaf.test"
#define NAME_CONSTRAINTS "2.5.29.30"
#define TLS_FEATURE "1.3.6.1.5.5.7.1.24"

/* permitted: dNSName leaf.test */
static const char permit_leaf[] = "\x30\x0f\xa0\x0d\x30\x0b\x82\x09"
                                  "leaf.test";
static const char status_request[] = "\x30\x03\x02\x01\x05";

/* An authority or a leaf: its certificate, and the key it signs with. */
struct party {
    gnutls_x509_crt_t cert;
    gnutls_x509_privkey_t key;
};

static gnutls_x509_privkey_t keys[4];
static struct party root;
static struct tls_env *env;
static struct chain_cache *cache;
static struct arena arena;

struct made {
    const char *subject;
    gnutls_x509_privkey_t key;
    const struct party *issuer; /* NULL: itself */
    int64_t not_before, not_after;
    bool ca;
    int path_length; /* 0: none; else one more than it */
    const char *oid; /* an extension besides */
    const void *extension;
    size_t extension_size;
};

static struct party make(struct made m)
{
    struct party p = {.key = m.key};
    gnutls_x509_crt_t cert;
    gnutls_datum_t der, name = {(unsigned char *)(uintptr_t)HOST, sizeof HOST - 1};
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
            gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, name.data, name.size, 0), 0);
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

static void drop(struct party *parties, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gnutls_x509_crt_deinit(parties[i].cert);
    }
}

static struct tls_env *trusting(const struct party *roots, size_t count)
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

static int start(void **state)
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

static int end(void **state)
{
    (void)state;
    tls_env_release(&env);
    drop(&root, 1);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        gnutls_x509_privkey_deinit(keys[i]);
    }
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, LIMIT_REPORT_BYTES);
    cache = chain_cache_create(100, (size_t)1 << 20);
    return cache ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    chain_cache_free(&cache);
    arena_deinit(&arena);
    return 0;
}

/* What a server sends, to whom, and when. */
struct asked {
    const struct party *sent[4]; /* leaf first */
    const char *host;            /* NULL: HOST */
    int64_t now;                 /* 0: NOW */
    const char *staple;
    const struct tls_env *env; /* NULL: the usual */
};

static struct certificate describe(const struct asked *a, struct chain_cache *with)
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

/* The same with a memory, without one, and with one that keeps nothing. Returns the errors of the chain. */
static unsigned check(struct asked a)
{
    struct chain_cache *none = chain_cache_create(0, 0);
    struct certificate anew = describe(&a, NULL);
    assert_same(anew, describe(&a, none));
    assert_int_equal(chain_cache_uses(none)->verified, 1);
    chain_cache_free(&none);
    assert_same(anew, describe(&a, cache));
    return anew.chain_errors;
}

static void assert_uses(uint64_t verified, uint64_t below_known, uint64_t recalled)
{
    const struct chain_cache_uses *uses = chain_cache_uses(cache);
    assert_int_equal(uses->verified, verified);
    assert_int_equal(uses->below_known, below_known);
    assert_int_equal(uses->recalled, recalled);
}

/* A memory of its own for each order of asking. */
static void forget_all(void)
{
    chain_cache_free(&cache);
    cache = chain_cache_create(1000, (size_t)8 << 20);
    assert_non_null(cache);
}

static void test_both_ports_are_verified_once(void **state)
{
    (void)state;
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[1], .issuer = &root, .ca = true});
    struct party leaf = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &ca});
    const struct asked a = {.sent = {&leaf, &ca}};
    assert_int_equal(check(a), 0);
    assert_uses(1, 0, 0);
    assert_int_equal(check(a), 0);
    assert_uses(1, 0, 1);
    drop((struct party[]){ca, leaf}, 2);
}

/* Issuers that share a name or a key, but not both, and every leaf with every issuer, in every order of two.
 */
static void test_nearly_the_same_issuers(void **state)
{
    (void)state;
    enum { CAS = 4, SENT = CAS + 1, ALL = CAS * SENT };
    struct party cas[CAS] = {make((struct made){.subject = "CN=A", .key = keys[1], .issuer = &root, .ca = true}),
                             make((struct made){.subject = "CN=A", .key = keys[2], .issuer = &root, .ca = true}),
                             make((struct made){.subject = "CN=B", .key = keys[1], .issuer = &root, .ca = true}),
                             make((struct made){.subject = "CN=B", .key = keys[2], .issuer = &root, .ca = true})};
    struct party leaves[CAS];
    struct asked chains[ALL];
    unsigned good = 0, bad = 0;
    for (unsigned i = 0; i < CAS; i++) {
        leaves[i] = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &cas[i]});
    }
    for (unsigned i = 0; i < ALL; i++) {
        chains[i] = (struct asked){.sent = {&leaves[i / SENT]}};
        chains[i].sent[1] = i % SENT < CAS ? &cas[i % SENT] : NULL;
    }
    for (unsigned i = 0; i < ALL; i++) {
        for (unsigned k = 0; k < ALL; k++) {
            forget_all();
            unsigned first = check(chains[i]), second = check(chains[k]);
            assert_int_equal(check(chains[i]), first);
            assert_int_equal(check(chains[k]), second);
            assert_int_equal(chain_cache_uses(cache)->recalled, i == k ? 3 : 2);
        }
        unsigned errors = check(chains[i]);
        good += errors == 0;
        bad += errors == 1u << CHAIN_BAD_SIGNATURE;
        assert_int_equal(errors == 0, i / SENT == i % SENT);
    }
    assert_int_equal(good, CAS);
    assert_int_equal(bad, CAS);
    drop(cas, CAS);
    drop(leaves, CAS);
}

/* Every second around each edge, forwards and backwards, over a path whose three certificates end apart. */
static void test_edges_of_validity(void **state)
{
    (void)state;
    static const int64_t edges[][2] = {
        {NOW - 300, NOW + 300}, {NOW - 200, NOW + 100}, {NOW - 100, NOW + 200}};
    struct party top = make((struct made){.subject = "CN=Top",
                                          .key = keys[0],
                                          .ca = true,
                                          .not_before = edges[0][0],
                                          .not_after = edges[0][1]});
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[1], .issuer = &top, .not_before = edges[1][0], .not_after = edges[1][1], .ca = true});
    struct party leaf = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &ca, .not_before = edges[2][0], .not_after = edges[2][1]});
    struct tls_env *other = trusting(&top, 1);
    struct asked a = {.sent = {&leaf, &ca}, .env = other};
    unsigned seen = 0;
    for (int64_t step = 1; step >= -1; step -= 2) {
        forget_all();
        for (int64_t t = -310; t <= 310; t++) {
            a.now = NOW + step * t;
            unsigned errors = check(a);
            seen |= errors;
            assert_int_equal(errors == 0, a.now >= NOW - 100 && a.now <= NOW + 100);
        }
        /* Three certificates that begin and end: seven times, and each one's last second. */
        assert_int_equal(chain_cache_uses(cache)->verified, 10);
        assert_int_equal(chain_cache_uses(cache)->recalled, 621 - 10);
    }
    assert_int_equal(seen, 1u << CHAIN_EXPIRED | 1u << CHAIN_NOT_YET_VALID);
    tls_env_release(&other);
    drop((struct party[]){top, ca, leaf}, 3);
}

/* The way ends at a root that is not sent: what becomes of the root is seen nevertheless. */
static void test_root_that_ends_first(void **state)
{
    (void)state;
    struct party top =
        make((struct made){.subject = "CN=Top", .key = keys[0], .ca = true, .not_after = NOW + 10});
    struct party leaf = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &top});
    struct tls_env *other = trusting(&top, 1);
    struct asked a = {.sent = {&leaf}, .env = other};
    assert_int_equal(check(a), 0);
    a.now = NOW + 10;
    assert_int_equal(check(a), 0);
    a.now = NOW + 11;
    assert_int_equal(check(a), 1u << CHAIN_EXPIRED);
    a.now = NOW + 10;
    assert_int_equal(check(a), 0);
    tls_env_release(&other);
    drop((struct party[]){top, leaf}, 2);
}

static void test_each_name_for_itself(void **state)
{
    (void)state;
    static const char *const hosts[] = {HOST, "other.test", "192.0.2.1", "2001:db8::1", "leaf.tes"};
    struct party leaf = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &root});
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
            struct asked a = {.sent = {&leaf}, .host = hosts[i]};
            (void)check(a);
            assert_int_equal(describe(&a, cache).hostname_match, i == 0);
        }
    }
    assert_int_equal(chain_cache_uses(cache)->verified, 5);
    drop(&leaf, 1);
}

static void test_other_roots(void **state)
{
    (void)state;
    struct party stranger = make((struct made){.subject = "CN=Stranger", .key = keys[2], .ca = true});
    struct party twin = make((struct made){.subject = "CN=Root", .key = keys[2], .ca = true});
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[1], .issuer = &root, .ca = true});
    struct party leaf = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &ca});
    struct party leaf2 = make((struct made){.subject = "CN=leaf 2", .key = keys[3], .issuer = &ca});
    struct tls_env *again = trusting(&root, 1), *none = trusting(&stranger, 1), *other = trusting(&twin, 1);
    const struct tls_env *envs[] = {env, none, other, again};
    static const unsigned expected[] = {0, 1u << CHAIN_UNKNOWN_ISSUER, 1u << CHAIN_BAD_SIGNATURE, 0};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(check((struct asked){.sent = {&leaf, &ca}, .env = envs[i]}), expected[i]);
            assert_int_equal(check((struct asked){.sent = {&leaf2, &ca}, .env = envs[i]}), expected[i]);
        }
    }
    assert_uses(8, 2, 8);
    tls_env_release(&again);
    tls_env_release(&none);
    tls_env_release(&other);
    drop((struct party[]){stranger, twin, ca, leaf, leaf2}, 5);
}

/* Whatever a server stapled, it is looked at each time, and never told of a session without. */
static void test_stapled_responses(void **state)
{
    (void)state;
    struct party leaves[] = {make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &root}),
                             make((struct made){.subject = "CN=must staple", .key = keys[3], .issuer = &root, .oid = TLS_FEATURE,
                                                .extension = status_request, .extension_size = 5})};
    for (size_t i = 0; i < 2; i++) {
        forget_all();
        const struct asked with = {.sent = {&leaves[i]}, .staple = "odd"}, without = {.sent = {&leaves[i]}};
        for (size_t round = 0; round < 2; round++) {
            (void)check(with);
            assert_int_equal(describe(&with, cache).ocsp_stapling, OCSP_INVALID);
            (void)check(without);
            struct certificate c = describe(&without, cache);
            assert_int_equal(c.ocsp_stapling, OCSP_NONE);
            assert_int_equal(c.must_staple, i == 1);
        }
        assert_uses(5, 0, 3);
    }
    drop(leaves, 2);
}

/* Of a leaf never seen below issuers that are known only its own signature is checked. */
static void test_known_issuers(void **state)
{
    (void)state;
    struct party upper = make((struct made){.subject = "CN=Upper", .key = keys[1], .issuer = &root, .ca = true});
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[2], .issuer = &upper, .ca = true, .path_length = 1});
    struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &ca});
    struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca});
    struct party late = make((struct made){.subject = "CN=late", .key = keys[3], .issuer = &ca, .not_after = NOW - 1});
    /* In the issuer's name, but not by its key. */
    struct party forger = {ca.cert, keys[1]}, forged = make((struct made){.subject = "CN=three", .key = keys[3], .issuer = &forger});
    assert_int_equal(check((struct asked){.sent = {&one, &ca, &upper}}), 0);
    assert_int_equal(check((struct asked){.sent = {&two, &ca, &upper}}), 0);
    assert_uses(2, 1, 0);
    assert_int_equal(check((struct asked){.sent = {&forged, &ca, &upper}}), 1u << CHAIN_BAD_SIGNATURE);
    assert_uses(3, 1, 0);
    assert_int_equal(check((struct asked){.sent = {&late, &ca, &upper}}), 1u << CHAIN_EXPIRED);
    assert_uses(4, 2, 0);
    assert_int_equal(check((struct asked){.sent = {&two, &upper, &ca}}), 1u << CHAIN_WRONG_ORDER);
    assert_uses(5, 3, 0);
    assert_int_equal(check((struct asked){.sent = {&two, &ca}}), 1u << CHAIN_UNKNOWN_ISSUER);
    assert_uses(6, 3, 0);
    /* The time of the issuers is judged each time. */
    assert_int_equal(check((struct asked){.sent = {&one, &ca, &upper}, .now = NOW + 2 * YEAR}),
                     1u << CHAIN_EXPIRED);
    assert_uses(7, 4, 0);
    drop((struct party[]){upper, ca, one, two, late, forged}, 6);
}

/* A leaf that fails says nothing of its issuers. */
static void test_issuers_of_a_bad_leaf(void **state)
{
    (void)state;
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[1], .issuer = &root, .ca = true});
    struct party forged_ca =
        make((struct made){.subject = "CN=CA", .key = keys[2], .issuer = &(struct party){root.cert, keys[2]}, .ca = true});
    struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &forged_ca});
    struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &forged_ca});
    struct party other = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &(struct party){ca.cert, keys[3]}});
    assert_int_equal(check((struct asked){.sent = {&one, &forged_ca}}), 1u << CHAIN_BAD_SIGNATURE);
    assert_int_equal(check((struct asked){.sent = {&two, &forged_ca}}), 1u << CHAIN_BAD_SIGNATURE);
    assert_int_equal(check((struct asked){.sent = {&other, &ca}}), 1u << CHAIN_BAD_SIGNATURE);
    assert_uses(3, 0, 0);
    drop((struct party[]){ca, forged_ca, one, two, other}, 5);
}

/* Where an issuer demands something of what is below it, each leaf is checked in full. */
static void test_issuers_that_demand_something(void **state)
{
    (void)state;
    static const struct made plain = {.ca = true};
    static const struct made names = {.ca = true,
                                      .oid = NAME_CONSTRAINTS,
                                      .extension = permit_leaf,
                                      .extension_size = sizeof permit_leaf - 1};
    static const struct made features = {.ca = true,
                                         .oid = TLS_FEATURE,
                                         .extension = status_request,
                                         .extension_size = sizeof status_request - 1};
    static const struct made length = {.ca = true, .path_length = 4};
    const struct made *cases[][3] = {
        {&names, &plain, &plain},    {&plain, &names, &plain},    {&plain, &plain, &names},
        {&features, &plain, &plain}, {&plain, &features, &plain}, {&plain, &plain, &features},
        {&length, &plain, &plain},   {&plain, &length, &plain},   {&plain, &plain, &length},
        {&plain, &plain, &plain},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct made m = *cases[i][0];
        forget_all();
        m.subject = "CN=Top";
        m.key = keys[0];
        struct party top = make(m);
        m = *cases[i][1];
        m.subject = "CN=Upper";
        m.key = keys[1];
        m.issuer = &top;
        struct party upper = make(m);
        m = *cases[i][2];
        m.subject = "CN=CA";
        m.key = keys[2];
        m.issuer = &upper;
        struct party ca = make(m);
        struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &ca});
        struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca});
        struct tls_env *other = trusting(&top, 1);
        unsigned first = check((struct asked){.sent = {&one, &ca, &upper}, .env = other});
        assert_int_equal(check((struct asked){.sent = {&two, &ca, &upper}, .env = other}), first);
        /* The length that the leaf's own issuer allows concerns no CA. */
        assert_uses(2, i >= 8 ? 1 : 0, 0);
        tls_env_release(&other);
        drop((struct party[]){top, upper, ca, one, two}, 5);
    }
}

/* Two roots of one name: which of them is taken is the library's choice, at the time. */
static void test_roots_of_one_name(void **state)
{
    (void)state;
    struct party roots[] = {root, make((struct made){.subject = "CN=Root", .key = keys[2], .ca = true})};
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[1], .issuer = &root, .ca = true});
    struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &ca});
    struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca});
    struct tls_env *other = trusting(roots, 2);
    unsigned first = check((struct asked){.sent = {&one, &ca}, .env = other});
    assert_int_equal(check((struct asked){.sent = {&two, &ca}, .env = other}), first);
    assert_int_equal(check((struct asked){.sent = {&two, &ca}, .env = other}), first);
    assert_uses(2, 0, 1);
    tls_env_release(&other);
    /* The same one twice is one. */
    other = trusting((struct party[]){root, root}, 2);
    (void)check((struct asked){.sent = {&one, &ca}, .env = other});
    (void)check((struct asked){.sent = {&two, &ca}, .env = other});
    assert_uses(4, 1, 1);
    tls_env_release(&other);
    drop((struct party[]){roots[1], ca, one, two}, 4);
}

/* A report without room for what is remembered is no report. */
static void test_no_memory(void **state)
{
    (void)state;
    struct party leaf = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &root});
    gnutls_datum_t der;
    struct ip none = {.family = 0};
    struct certificate c;
    size_t failures = 0;
    (void)check((struct asked){.sent = {&leaf}});
    assert_int_equal(gnutls_x509_crt_export2(leaf.cert, GNUTLS_X509_FMT_DER, &der), 0);
    struct cert_input in = {
        .chain = &der, .count = 1, .host = HOST, .host_ip = &none, .now = NOW, .cache = cache};
    for (size_t max = 0; max < 2000; max += 20) {
        struct arena small;
        arena_init(&small, max);
        bool told = cert_describe(&in, env, &c, &small);
        assert_int_equal(told, !small.failed);
        failures += !told;
        arena_deinit(&small);
    }
    assert_in_range(failures, 5, 95);
    assert_uses(1, 0, 100);
    gnutls_free(der.data);
    drop(&leaf, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_both_ports_are_verified_once),
        TEST(test_nearly_the_same_issuers),
        TEST(test_edges_of_validity),
        TEST(test_root_that_ends_first),
        TEST(test_each_name_for_itself),
        TEST(test_other_roots),
        TEST(test_stapled_responses),
        TEST(test_known_issuers),
        TEST(test_issuers_of_a_bad_leaf),
        TEST(test_issuers_that_demand_something),
        TEST(test_roots_of_one_name),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, start, end);
}

/* Verdicts and facts from memory are those that a new verification gives: at the edges of validity, for other
 * names, other roots and stapled responses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parties.h"

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
    struct party ca = make((struct made){.subject = "CN=CA",
                                         .key = keys[1],
                                         .issuer = &top,
                                         .not_before = edges[1][0],
                                         .not_after = edges[1][1],
                                         .ca = true});
    struct party leaf = make((struct made){.subject = "CN=leaf",
                                           .key = keys[3],
                                           .issuer = &ca,
                                           .not_before = edges[2][0],
                                           .not_after = edges[2][1]});
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
                             make((struct made){.subject = "CN=must staple",
                                                .key = keys[3],
                                                .issuer = &root,
                                                .oid = TLS_FEATURE,
                                                .extension = STATUS_REQUEST,
                                                .extension_size = 5})};
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
        TEST(test_edges_of_validity),
        TEST(test_root_that_ends_first),
        TEST(test_each_name_for_itself),
        TEST(test_other_roots),
        TEST(test_stapled_responses),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, start, end);
}

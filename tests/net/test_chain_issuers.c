/* Chains that are nearly the same, and leaves below issuers that are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parties.h"

#define NAME_CONSTRAINTS "2.5.29.30"

/* permitted: dNSName leaf.test */
static const char permit_leaf[] = "\x30\x0f\xa0\x0d\x30\x0b\x82\x09"
                                  "leaf.test";

/* Issuers that share a name or a key, but not both, and every leaf with every issuer, in every order of two.
 */
static void test_nearly_the_same_issuers(void **state)
{
    (void)state;
    enum { CAS = 4, SENT = CAS + 1, ALL = CAS * SENT };
    struct party cas[CAS] = {
        make((struct made){.subject = "CN=A", .key = keys[1], .issuer = &root, .ca = true}),
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

/* Of a leaf never seen below issuers that are known only its own signature is checked. */
static void test_known_issuers(void **state)
{
    (void)state;
    struct party upper =
        make((struct made){.subject = "CN=Upper", .key = keys[1], .issuer = &root, .ca = true});
    struct party ca = make(
        (struct made){.subject = "CN=CA", .key = keys[2], .issuer = &upper, .ca = true, .path_length = 1});
    struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &ca});
    struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca});
    struct party late =
        make((struct made){.subject = "CN=late", .key = keys[3], .issuer = &ca, .not_after = NOW - 1});
    /* In the issuer's name, but not by its key. */
    struct party forger = {ca.cert, keys[1]},
                 forged = make((struct made){.subject = "CN=three", .key = keys[3], .issuer = &forger});
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
    struct party forged_ca = make((struct made){
        .subject = "CN=CA", .key = keys[2], .issuer = &(struct party){root.cert, keys[2]}, .ca = true});
    struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &forged_ca});
    struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &forged_ca});
    struct party other =
        make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &(struct party){ca.cert, keys[3]}});
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
                                         .extension = STATUS_REQUEST,
                                         .extension_size = sizeof STATUS_REQUEST - 1};
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nearly_the_same_issuers), TEST(test_known_issuers),
        TEST(test_issuers_of_a_bad_leaf),   TEST(test_issuers_that_demand_something),
        TEST(test_roots_of_one_name),
    };
    return cmocka_run_group_tests(tests, start, end);
}

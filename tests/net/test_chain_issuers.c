/* Chains that are nearly the same, and leaves below issuers that are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

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

/* Where an issuer demands something of what is below it, each leaf is checked in full: one that fulfils it,
 * then one that does not. */
static void test_issuers_that_demand_something(void **state)
{
    (void)state;
    static const struct made plain = {.ca = true}, length = {.ca = true, .path_length = 4};
    static const struct made names = {.ca = true,
                                      .oid = NAME_CONSTRAINTS,
                                      .extension = permit_leaf,
                                      .extension_size = sizeof permit_leaf - 1};
    static const struct made features = {.ca = true,
                                         .oid = TLS_FEATURE,
                                         .extension = STATUS_REQUEST,
                                         .extension_size = sizeof STATUS_REQUEST - 1};
    static const struct {
        const struct made *top, *upper, *ca;
        bool demand, known;
    } cases[] = {
        {&names, &plain, &plain, true, false},       {&plain, &names, &plain, true, false},
        {&plain, &plain, &names, true, false},       {&features, &features, &features, true, false},
        {&plain, &features, &features, true, false}, {&plain, &plain, &features, true, false},
        {&length, &plain, &plain, false, false},     {&plain, &length, &plain, false, false},
        {&plain, &plain, &length, false, true}, /* none of its CAs is on the path */
        {&plain, &plain, &plain, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct made m = *cases[i].top;
        forget_all();
        m.subject = "CN=Top";
        m.key = keys[0];
        struct party top = make(m);
        m = *cases[i].upper;
        m.subject = "CN=Upper";
        m.key = keys[1];
        m.issuer = &top;
        struct party upper = make(m);
        m = *cases[i].ca;
        m.subject = "CN=CA";
        m.key = keys[2];
        m.issuer = &upper;
        struct party ca = make(m);
        m = features;
        m.subject = "CN=one";
        m.key = keys[3];
        m.issuer = &ca;
        m.ca = false;
        struct party one = make(m);
        struct party two =
            make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca, .san = "elsewhere.test"});
        struct tls_env *other = trusting(&top, 1);
        assert_int_equal(check((struct asked){.sent = {&one, &ca, &upper}, .env = other}), 0);
        assert_int_equal(check((struct asked){.sent = {&two, &ca, &upper}, .env = other}),
                         cases[i].demand ? 1u << CHAIN_CONSTRAINT_VIOLATION : 0);
        assert_uses(2, cases[i].known, 0);
        m.subject = "CN=three";
        struct party three = make(m);
        assert_int_equal(check((struct asked){.sent = {&three, &ca, &upper}, .env = other}), 0);
        assert_uses(3, cases[i].known ? 2 : 0, 0);
        tls_env_release(&other);
        drop((struct party[]){top, upper, ca, one, two, three}, 6);
    }
}

/* Of two CAs of one name that were sent the one is taken whose key fits. */
static void test_two_issuers_of_one_name(void **state)
{
    (void)state;
    struct party a = make((struct made){.subject = "CN=A", .key = keys[1], .issuer = &root, .ca = true});
    struct party b = make((struct made){.subject = "CN=A", .key = keys[2], .issuer = &root, .ca = true});
    struct party leaf = make((struct made){.subject = "CN=leaf", .key = keys[3], .issuer = &b});
    struct party stray = make(
        (struct made){.subject = "CN=stray", .key = keys[3], .issuer = &(struct party){a.cert, keys[0]}});
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(check((struct asked){.sent = {&leaf, &b, &a}}), 0);
        assert_int_equal(check((struct asked){.sent = {&leaf, &a, &b}}), 1u << CHAIN_WRONG_ORDER);
        assert_int_equal(check((struct asked){.sent = {&stray, &a, &b}}), 1u << CHAIN_BAD_SIGNATURE);
    }
    assert_uses(3, 1, 3);
    drop((struct party[]){a, b, leaf, stray}, 4);
}

/* The CA that is sent is the known one, the CA above it another. */
static void test_issuers_are_known_together(void **state)
{
    (void)state;
    struct party upper =
        make((struct made){.subject = "CN=Upper", .key = keys[1], .issuer = &root, .ca = true});
    struct party forger = {root.cert, keys[2]};
    struct party forged =
        make((struct made){.subject = "CN=Upper", .key = keys[1], .issuer = &forger, .ca = true});
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[2], .issuer = &upper, .ca = true});
    struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &ca});
    struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca});
    assert_int_equal(check((struct asked){.sent = {&one, &ca, &upper}}), 0);
    assert_int_equal(check((struct asked){.sent = {&two, &ca, &forged}}), 1u << CHAIN_BAD_SIGNATURE);
    assert_uses(2, 0, 0);
    drop((struct party[]){upper, forged, ca, one, two}, 5);
}

static time_t library_now;

static time_t tell_time(time_t *at)
{
    if (at) {
        *at = library_now;
    }
    return library_now;
}

static unsigned check_at(int64_t now, const struct party *leaf, const struct party *ca,
                         const struct tls_env *by)
{
    library_now = (time_t)now;
    return check((struct asked){.sent = {leaf, ca}, .env = by, .now = now});
}

/* Of two roots of one name the library takes one that is valid, by its own clock. */
static void test_roots_of_one_name(void **state)
{
    (void)state;
    struct party roots[] = {root, make((struct made){.subject = "CN=Root",
                                                     .key = keys[2],
                                                     .ca = true,
                                                     .not_before = NOW + 100,
                                                     .not_after = NOW + 200})};
    struct party ca = make((struct made){.subject = "CN=CA", .key = keys[1], .issuer = &root, .ca = true});
    struct party one = make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &ca});
    struct party two = make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca});
    struct tls_env *other = trusting(roots, 2);
    gnutls_global_set_time_function(tell_time);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(check_at(NOW + 99, &one, &ca, other), 0);
        assert_int_equal(check_at(NOW + 100, &one, &ca, other), 1u << CHAIN_BAD_SIGNATURE);
        assert_int_equal(check_at(NOW + 199, &two, &ca, other), 1u << CHAIN_BAD_SIGNATURE);
        assert_int_equal(check_at(NOW + 200, &two, &ca, other), 0);
        assert_int_equal(check_at(NOW + 201, &two, &ca, other), 0);
    }
    assert_int_equal(chain_cache_uses(cache)->below_known, 0);
    tls_env_release(&other);
    /* The same one twice is one. */
    forget_all();
    other = trusting((struct party[]){root, root}, 2);
    assert_int_equal(check_at(NOW, &one, &ca, other), 0);
    assert_int_equal(check_at(NOW, &two, &ca, other), 0);
    assert_uses(2, 1, 0);
    gnutls_global_set_time_function(time);
    tls_env_release(&other);
    drop((struct party[]){roots[1], ca, one, two}, 4);
}

/* The library takes a CA that has name and key of a root for the root: what stands above it is not looked at.
 */
static void test_issuer_that_is_a_root_by_another_number(void **state)
{
    (void)state;
    struct party twin = make((struct made){.subject = "CN=Twin", .key = keys[1], .ca = true, .key_id = "\1"});
    struct party ca = make(
        (struct made){.subject = "CN=Twin", .key = keys[1], .issuer = &root, .ca = true, .key_id = "\2"});
    struct party one =
        make((struct made){.subject = "CN=one", .key = keys[3], .issuer = &ca, .issuer_id = "\2"});
    struct party two =
        make((struct made){.subject = "CN=two", .key = keys[3], .issuer = &ca, .issuer_id = "\2"});
    struct tls_env *other = trusting((struct party[]){root, twin}, 2);
    unsigned first = check((struct asked){.sent = {&one, &ca}, .env = other});
    assert_int_equal(check((struct asked){.sent = {&two, &ca}, .env = other}), first);
    assert_int_equal(chain_cache_uses(cache)->below_known, 0);
    tls_env_release(&other);
    drop((struct party[]){twin, ca, one, two}, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nearly_the_same_issuers), TEST(test_known_issuers),
        TEST(test_issuers_of_a_bad_leaf),   TEST(test_issuers_that_demand_something),
        TEST(test_two_issuers_of_one_name), TEST(test_issuers_are_known_together),
        TEST(test_roots_of_one_name),       TEST(test_issuer_that_is_a_root_by_another_number),
    };
    return cmocka_run_group_tests(tests, start, end);
}

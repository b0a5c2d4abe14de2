/* This machine's own addresses: what is taken from the interfaces, that a later look replaces an earlier one,
 * and that it may do so while threads ask. */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/net/target.h"

#define INTERFACES 4

/* The interfaces of this machine: getifaddrs() and freeifaddrs() below stand in for those of the C library.
 */
struct interface {
    const char *address, *broadcast; /* NULL: none */
    unsigned flags;
};

static struct interface interfaces[INTERFACES];
static size_t interface_count;
static struct sockaddr_storage addresses[INTERFACES], broadcasts[INTERFACES];
static struct ifaddrs list[INTERFACES];
static bool fails;
static int lists_lent;

static struct ip address(const char *text)
{
    struct ip ip;
    if (!ip_parse(&ip, text)) {
        fail_msg("%s is no address", text);
    }
    return ip;
}

static struct sockaddr *socket_address(const char *text, struct sockaddr_storage *storage)
{
    if (text == NULL) {
        return NULL;
    }
    struct ip ip = address(text);
    ip_to_sockaddr(&ip, 0, storage);
    return (struct sockaddr *)storage;
}

int getifaddrs(struct ifaddrs **out)
{
    if (fails) {
        errno = EMFILE;
        return -1;
    }
    for (size_t i = 0; i < interface_count; i++) {
        list[i] = (struct ifaddrs){.ifa_flags = interfaces[i].flags};
        list[i].ifa_addr = socket_address(interfaces[i].address, &addresses[i]);
        list[i].ifa_broadaddr = socket_address(interfaces[i].broadcast, &broadcasts[i]);
        list[i].ifa_next = i + 1 < interface_count ? &list[i + 1] : NULL;
    }
    *out = interface_count > 0 ? list : NULL;
    lists_lent++;
    return 0;
}

void freeifaddrs(struct ifaddrs *lent)
{
    assert_true(lent == list || lent == NULL);
    lists_lent--;
}

static void set_interfaces(const struct interface *wanted, size_t count)
{
    assert_true(count <= INTERFACES);
    for (size_t i = 0; i < count; i++) {
        interfaces[i] = wanted[i];
    }
    interface_count = count;
}

static void assert_allowed(const struct target_policy *policy, const char *text, bool allowed)
{
    struct ip ip = address(text);
    if (target_allowed(policy, &ip) != allowed) {
        fail_msg("%s is %s", text, allowed ? "forbidden" : "allowed");
    }
    if (target_special(&ip) != NULL) {
        fail_msg("%s is in the list", text);
    }
}

static const struct interface two[] = {
    {"9.9.9.9", "9.9.9.255", IFF_BROADCAST},
    {"2a00::9", NULL, IFF_BROADCAST},
    {"9.9.9.9", "9.9.9.255", IFF_BROADCAST}, /* under another label */
    {NULL, NULL, IFF_POINTOPOINT},           /* an interface may have no address */
};

static void test_addresses_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool allowed;
    } rows[] = {
        {"9.9.9.9", false},          {"9.9.9.8", true},           {"9.9.9.10", true},
        {"9.9.9.255", false},        {"9.9.9.254", true},         {"::ffff:9.9.9.9", false},
        {"::ffff:9.9.9.255", false}, {"::9.9.9.9", false},        {"64:ff9b::9.9.9.9", false},
        {"::ffff:9.9.9.8", true},    {"2a00:64::9.9.9.9", false}, {"2a00:64::9.9.9.8", true},
        {"2a00::9", false},          {"2a00::8", true},
    };
    struct cidr network;
    struct target_policy *policy = target_policy_create();
    assert_true(cidr_parse(&network, "2a00:64::/96"));
    assert_true(target_policy_add_nat64(policy, &network));
    set_interfaces(two, 4);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_allowed(policy, rows[i].address, true);
    }
    assert_true(target_policy_refresh_own(policy));
    assert_int_equal(lists_lent, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_allowed(policy, rows[i].address, rows[i].allowed);
    }
    assert_true(cidr_parse(&network, "9.9.0.0/16"));
    assert_true(target_policy_add(policy, &network, true)); /* the operator has the last word */
    assert_allowed(policy, "9.9.9.9", true);
    assert_allowed(policy, "9.9.9.255", true);
    target_policy_free(&policy);
}

/* Of an interface without broadcasts the same field holds the other end, which is no address of ours. */
static void test_the_other_end_is_not_ours(void **state)
{
    (void)state;
    static const struct interface tunnel[] = {{"9.9.9.9", "9.9.9.8", IFF_POINTOPOINT}};
    struct target_policy *policy = target_policy_create();
    set_interfaces(tunnel, 1);
    assert_true(target_policy_refresh_own(policy));
    assert_allowed(policy, "9.9.9.9", false);
    assert_allowed(policy, "9.9.9.8", true);
    target_policy_free(&policy);
}

/* A prefix that covers an own IPv6 address by mistake does not make it a way in. */
static void test_own_address_inside_a_nat64_prefix(void **state)
{
    (void)state;
    static const struct interface one[] = {{"2a00:64::909:909", NULL, 0}};
    struct cidr prefix;
    struct target_policy *policy = target_policy_create();
    assert_true(cidr_parse(&prefix, "2a00:64::/96"));
    assert_true(target_policy_add_nat64(policy, &prefix));
    assert_allowed(policy, "2a00:64::9.9.9.9", true);
    set_interfaces(one, 1);
    assert_true(target_policy_refresh_own(policy));
    assert_allowed(policy, "2a00:64::9.9.9.9", false);
    assert_allowed(policy, "2a00:64::9.9.9.8", true);
    assert_allowed(policy, "9.9.9.9", true);
    target_policy_free(&policy);
}

static void test_a_later_look_replaces_the_earlier_one(void **state)
{
    (void)state;
    static const struct interface other[] = {{"9.9.9.10", "9.9.9.127", IFF_BROADCAST}};
    struct target_policy *policy = target_policy_create();
    set_interfaces(two, 4);
    assert_true(target_policy_refresh_own(policy));
    fails = true;
    errno = 0;
    assert_false(target_policy_refresh_own(policy));
    assert_int_equal(errno, EMFILE);
    fails = false;
    assert_allowed(policy, "9.9.9.9", false); /* a look that failed takes nothing away */
    set_interfaces(other, 1);
    assert_true(target_policy_refresh_own(policy));
    assert_allowed(policy, "9.9.9.9", true);
    assert_allowed(policy, "9.9.9.255", true);
    assert_allowed(policy, "2a00::9", true);
    assert_allowed(policy, "9.9.9.10", false);
    assert_allowed(policy, "9.9.9.127", false);
    set_interfaces(NULL, 0);
    assert_true(target_policy_refresh_own(policy));
    assert_allowed(policy, "9.9.9.10", true);
    assert_int_equal(lists_lent, 0);
    target_policy_free(&policy);
}

struct asker {
    const struct target_policy *policy;
    atomic_bool *stop;
    atomic_ulong wrong, asked;
};

/* One of the two addresses is always there, a third one never. */
static void *ask(void *context)
{
    struct asker *a = context;
    struct ip always = {.family = 4, .bytes = {9, 9, 9, 9}}, never = {.family = 4, .bytes = {9, 9, 9, 7}};
    while (!atomic_load(a->stop)) {
        a->wrong += target_allowed(a->policy, &always);
        a->wrong += !target_allowed(a->policy, &never);
        a->asked++;
    }
    return NULL;
}

static void test_threads_may_ask_meanwhile(void **state)
{
    (void)state;
    static const struct interface one[] = {{"9.9.9.9", NULL, 0}};
    struct target_policy *policy = target_policy_create();
    atomic_bool stop = false;
    struct asker askers[2] = {{policy, &stop, 0, 0}, {policy, &stop, 0, 0}};
    pthread_t threads[2];
    set_interfaces(one, 1);
    assert_true(target_policy_refresh_own(policy));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < 500 || atomic_load(&askers[0].asked) < 500 || atomic_load(&askers[1].asked) < 500;
         i++) {
        set_interfaces(i % 2 == 0 ? two : one, i % 2 == 0 ? 4 : 1);
        assert_true(target_policy_refresh_own(policy));
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&askers[i].wrong), 0);
    }
    target_policy_free(&policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_taken),
        cmocka_unit_test(test_the_other_end_is_not_ours),
        cmocka_unit_test(test_own_address_inside_a_nat64_prefix),
        cmocka_unit_test(test_a_later_look_replaces_the_earlier_one),
        cmocka_unit_test(test_threads_may_ask_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

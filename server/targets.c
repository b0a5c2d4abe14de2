#include "server/targets.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/base/limits.h"
#include "server/limiter.h"
#include "server/log.h"

#define NS_PER_S 1000000000u

/* How old what is known of this machine's own addresses may be. */
#define OWN_ADDRESSES_S 30u

struct targets {
    struct target_policy *policy;
    struct limiter *limiter;
    pthread_mutex_t refreshing;
    atomic_uint_fast64_t refreshed; /* when, ns */
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool add_networks(struct target_policy *policy, const struct config_list *list, bool allow)
{
    for (size_t i = 0; i < list->count; i++) {
        struct cidr network;
        if (!cidr_parse(&network, list->items[i]) || !target_policy_add(policy, &network, allow)) {
            return false;
        }
    }
    return true;
}

static bool add_nat64(struct target_policy *policy, const struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct cidr prefix;
        if (!cidr_parse(&prefix, list->items[i]) || !target_policy_add_nat64(policy, &prefix)) {
            return false;
        }
    }
    return true;
}

struct targets *targets_create(const struct config *config, char *why, size_t why_size)
{
    struct targets *t = calloc(1, sizeof *t);
    if (t) {
        pthread_mutex_init(&t->refreshing, NULL);
        atomic_init(&t->refreshed, clock_ns());
        t->policy = target_policy_create();
        t->limiter = limiter_create(config->target_rate, LIMIT_TARGET_ENTRIES);
    }
    if (!t || !t->policy || !t->limiter || !add_networks(t->policy, &config->allow_target, true) ||
        !add_networks(t->policy, &config->deny_target, false) ||
        !add_nat64(t->policy, &config->nat64_prefix) || !target_policy_refresh_own(t->policy)) {
        snprintf(why, why_size, "the target policy cannot be set up");
        targets_free(&t);
    }
    return t;
}

void targets_free(struct targets **targets)
{
    struct targets *t = *targets;
    *targets = NULL;
    if (t) {
        target_policy_free(&t->policy);
        limiter_free(&t->limiter);
        pthread_mutex_destroy(&t->refreshing);
        free(t);
    }
}

static bool is_old(struct targets *t)
{
    return clock_ns() - atomic_load(&t->refreshed) >= OWN_ADDRESSES_S * (uint64_t)NS_PER_S;
}

/* When a test asks and not by a clock of its own, so that the service sleeps when nobody wants anything of
 * it. */
static bool on_allowed(const void *context, const struct ip *ip)
{
    struct targets *t = (struct targets *)(uintptr_t)context;
    if (is_old(t)) {
        pthread_mutex_lock(&t->refreshing); /* nobody passes by what is older */
        if (is_old(t)) {
            targets_refresh(t);
        }
        pthread_mutex_unlock(&t->refreshing);
    }
    return target_allowed(t->policy, ip);
}

struct target_guard targets_guard(struct targets *t)
{
    return (struct target_guard){on_allowed, t};
}

void targets_key(const struct targets *t, const struct ip *ip, uint8_t key[TARGET_KEY_SIZE])
{
    struct ip destination = target_destination(t->policy, ip);
    key[0] = destination.family;
    memcpy(key + 1, destination.bytes, sizeof destination.bytes);
}

unsigned targets_permit(void *targets, struct permit *permit)
{
    struct targets *t = targets;
    uint8_t key[TARGET_KEY_SIZE];
    targets_key(t, &permit->ip, key);
    uint64_t wait = limiter_take(t->limiter, key, sizeof key, clock_ns());
    return (unsigned)((wait + NS_PER_S - 1) / NS_PER_S);
}

void targets_refresh(struct targets *t)
{
    uint64_t now = clock_ns();
    bool refreshed = target_policy_refresh_own(t->policy);
    int err = errno;
    atomic_store(&t->refreshed, now);
    if (!refreshed) {
        struct log_field field = log_text("reason", strerror(err));
        log_event(LOG_LEVEL_WARN, "own_addresses_not_read", &field, 1);
    }
}

#include "server/limiter.h"

#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>

#define NS_PER_SECOND 1000000000u
#define SET_ENTRIES 8u
#define CANDIDATE_SETS 2u

/* A bucket by the generic cell rate algorithm (ITU-T I.371): all it takes is the theoretical arrival time, at
 * which the bucket is full again. One that is past says no more than an empty entry, which is all zeros. */
struct entry {
    uint64_t fingerprint, full_at;
};

struct set {
    struct entry entries[SET_ENTRIES];
};

struct limiter {
    pthread_mutex_t lock; /* guards the sets */
    struct rate rate;
    uint64_t interval; /* ns until a token comes back */
    uint64_t burst;    /* ns that the bucket may be short of full, and still has a token */
    unsigned char secret[crypto_shorthash_KEYBYTES];
    struct set *sets;
    uint64_t set_count;
};

struct limiter *limiter_create(struct rate rate, size_t entries)
{
    struct limiter *l = sodium_init() >= 0 ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        return NULL;
    }
    l->rate = rate;
    if (rate.count > 0) {
        l->interval = (uint64_t)rate.seconds * NS_PER_SECOND / rate.count;
        l->burst = (rate.count - 1) * l->interval;
        l->set_count = entries / SET_ENTRIES > CANDIDATE_SETS ? entries / SET_ENTRIES : CANDIDATE_SETS;
        l->sets = calloc(l->set_count, sizeof *l->sets);
        if (!l->sets) {
            free(l);
            return NULL;
        }
    }
    /* Without it nobody can tell which keys meet in one set. */
    randombytes_buf(l->secret, sizeof l->secret);
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void limiter_free(struct limiter **limiter)
{
    struct limiter *l = *limiter;
    *limiter = NULL;
    if (l) {
        pthread_mutex_destroy(&l->lock);
        free(l->sets);
        free(l);
    }
}

struct rate limiter_rate(const struct limiter *limiter)
{
    return limiter->rate;
}

static uint64_t fingerprint_of(const struct limiter *l, const void *key, size_t len)
{
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t fingerprint = 0;
    crypto_shorthash(hash, key, len, l->secret);
    for (size_t i = 0; i < sizeof hash; i++) {
        fingerprint = fingerprint << 8 | hash[i];
    }
    return fingerprint;
}

/* Two sets, never the same, from the two halves of the fingerprint. */
static void find_sets(const struct limiter *l, uint64_t fingerprint, struct set *sets[CANDIDATE_SETS])
{
    uint64_t first = (fingerprint >> 32) * l->set_count >> 32;
    uint64_t second = (fingerprint & UINT32_MAX) * l->set_count >> 32;
    if (first == second) {
        second = first + 1 < l->set_count ? first + 1 : 0;
    }
    sets[0] = &l->sets[first];
    sets[1] = &l->sets[second];
}

static struct entry *find_entry(struct set *const sets[CANDIDATE_SETS], uint64_t fingerprint)
{
    for (size_t s = 0; s < CANDIDATE_SETS; s++) {
        for (size_t i = 0; i < SET_ENTRIES; i++) {
            if (sets[s]->entries[i].fingerprint == fingerprint) {
                return &sets[s]->entries[i];
            }
        }
    }
    return NULL;
}

/* How long until the bucket is full. */
static uint64_t short_of_full(const struct entry *e, uint64_t now)
{
    return e->full_at > now ? e->full_at - now : 0;
}

/* The entry to be used for a new key; NULL where all are of keys over their limit. The set with fewer entries
 * in use comes first, since that alone lets the table fill up evenly. */
static struct entry *find_room(const struct limiter *l, struct set *const sets[CANDIDATE_SETS], uint64_t now)
{
    struct entry *best = NULL;
    size_t best_used = 0;
    for (size_t s = 0; s < CANDIDATE_SETS; s++) {
        struct entry *fullest = &sets[s]->entries[0];
        size_t used = 0;
        for (size_t i = 0; i < SET_ENTRIES; i++) {
            struct entry *e = &sets[s]->entries[i];
            used += e->full_at > now;
            fullest = e->full_at < fullest->full_at ? e : fullest;
        }
        if (!best || used < best_used || (used == best_used && fullest->full_at < best->full_at)) {
            best = fullest;
            best_used = used;
        }
    }
    return short_of_full(best, now) <= l->burst ? best : NULL;
}

static uint64_t take(const struct limiter *l, uint64_t fingerprint, uint64_t now)
{
    struct set *sets[CANDIDATE_SETS];
    find_sets(l, fingerprint, sets);
    struct entry *e = find_entry(sets, fingerprint);
    uint64_t missing = e ? short_of_full(e, now) : 0;
    if (missing > l->burst) {
        return missing - l->burst;
    }
    e = e ? e : find_room(l, sets, now);
    if (e) {
        *e = (struct entry){fingerprint, now + missing + l->interval};
    }
    return 0;
}

uint64_t limiter_take(struct limiter *limiter, const void *key, size_t len, uint64_t now_ns)
{
    if (limiter->rate.count == 0) {
        return 0;
    }
    uint64_t fingerprint = fingerprint_of(limiter, key, len);
    pthread_mutex_lock(&limiter->lock);
    uint64_t wait = take(limiter, fingerprint, now_ns);
    pthread_mutex_unlock(&limiter->lock);
    return wait;
}

void limiter_give_back(struct limiter *limiter, const void *key, size_t len)
{
    struct set *sets[CANDIDATE_SETS];
    if (limiter->rate.count == 0) {
        return;
    }
    uint64_t fingerprint = fingerprint_of(limiter, key, len);
    pthread_mutex_lock(&limiter->lock);
    find_sets(limiter, fingerprint, sets);
    struct entry *e = find_entry(sets, fingerprint);
    if (e && e->full_at >= limiter->interval) {
        e->full_at -= limiter->interval;
    }
    pthread_mutex_unlock(&limiter->lock);
}

#include "server/shared_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"
#include "server/cache_entry.h"
#include "server/redis.h"
#include "server/shared_key.h"
#include "server/shared_log.h"

#define US_PER_S 1000000u

/* Adds its result to an entry: how long it is still kept, in ms. */
static const char script_get[] = "local v = redis.call('GET', KEYS[1]) "
                                 "if not v then return false end "
                                 "return redis.call('PTTL', KEYS[1]) .. ' ' .. v";

/* limiter.h on the clock of the server, in us: kept is when the bucket is full again. */
static const char script_take[] =
    "local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2]) "
    "local t = redis.call('TIME') "
    "local now = t[1] * 1000000 + t[2] "
    "local missing = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - now, 0) "
    "missing = math.min(missing, burst + interval) "
    "if missing > burst then return missing - burst end "
    "redis.call('SET', KEYS[1], string.format('%.0f', now + missing + interval), "
    "'PX', math.ceil((missing + interval) / 1000)) "
    "return 0";

struct shared_cache {
    struct redis_url url;
    struct shared_keys keys;
    struct targets *targets;
    unsigned cache_seconds;
    struct rate target_rate;
    struct shared_log log;
    atomic_uint_fast64_t hits, misses, stored, permitted, limited, unavailable, errors, rejected, failures;
};

struct shared_link {
    struct shared_cache *cache;
    struct redis *redis;
    struct redis_watch watch;
    uint8_t results[SHARED_KEY_SIZE]; /* what names and seals results, as of the roots of now */
    unsigned generation;              /* of the roots */
};

static void count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

struct shared_cache *shared_cache_create(const struct config *config, struct targets *targets, char *why,
                                         size_t why_size)
{
    struct shared_cache *c = calloc(1, sizeof *c);
    char sentence[256] = "";

    if (!c) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    c->targets = targets;
    c->cache_seconds = config->cache_seconds;
    c->target_rate = config->target_rate;
    shared_log_init(&c->log);
    if (!redis_url_parse(&c->url, config->shared_cache, sentence, sizeof sentence)) {
        snprintf(why, why_size, "--shared-cache: the value %s", sentence);
        shared_cache_free(&c);
    } else if (!shared_keys_init(&c->keys, config, why, why_size)) {
        shared_cache_free(&c);
    }
    return c;
}

void shared_cache_free(struct shared_cache **cache)
{
    if (*cache) {
        shared_log_deinit(&(*cache)->log);
        shared_keys_wipe(&(*cache)->keys);
    }
    free(*cache);
    *cache = NULL;
}

void shared_cache_stats(const struct shared_cache *cache, struct shared_cache_stats *stats)
{
    struct shared_cache *c = (struct shared_cache *)(uintptr_t)cache;
    *stats = (struct shared_cache_stats){.up = shared_log_is_up(&c->log)};
    stats->hits = atomic_load(&c->hits);
    stats->misses = atomic_load(&c->misses);
    stats->stored = atomic_load(&c->stored);
    stats->permitted = atomic_load(&c->permitted);
    stats->limited = atomic_load(&c->limited);
    stats->unavailable = atomic_load(&c->unavailable);
    stats->errors = atomic_load(&c->errors);
    stats->rejected = atomic_load(&c->rejected);
    stats->failures = atomic_load(&c->failures);
}

static void on_up(void *owner)
{
    shared_log_up(&((struct shared_cache *)owner)->log);
}

static void on_down(void *owner, const char *why)
{
    struct shared_cache *c = owner;
    count(&c->failures);
    shared_log_down(&c->log, why);
}

struct shared_link *shared_link_open(struct shared_cache *cache, uv_loop_t *loop, const struct tls_env *tls)
{
    struct shared_link *l = calloc(1, sizeof *l);
    if (!l) {
        return NULL;
    }
    l->cache = cache;
    l->watch = (struct redis_watch){on_up, on_down, cache};
    shared_link_set_roots(l, tls);
    l->redis = redis_open(loop, &cache->url, &l->watch);
    if (!l->redis) {
        free(l);
        l = NULL;
    }
    return l;
}

void shared_link_close(struct shared_link **link)
{
    if (*link) {
        redis_close(&(*link)->redis);
    }
    free(*link);
    *link = NULL;
}

void shared_link_set_roots(struct shared_link *l, const struct tls_env *tls)
{
    shared_keys_of_results(&l->cache->keys, tls, l->results);
    l->generation++;
}

/* What cannot be answered by such a server, or an error of it. */
static void note_error(struct shared_cache *c, const struct redis_reply *reply)
{
    count(&c->errors);
    shared_log_error(&c->log, reply->kind == REDIS_KIND_ERROR ? reply->text : text_of("unexpected reply"));
}

/* `MS ENTRY`, as script_get answers. False: it is not for us. */
static bool read_found(struct shared_link *l, struct job *job, struct text found)
{
    const char *space = memchr(found.data, ' ', found.len);
    struct text name = {job->shared_name, SHARED_NAME_LEN};
    struct cache_entry entry;
    uint64_t left_ms = 0;

    if (!space || space == found.data || space - found.data > 9) {
        return false;
    }
    for (const char *digit = found.data; digit < space; digit++) {
        if (*digit < '0' || *digit > '9') {
            return false;
        }
        left_ms = left_ms * 10 + (uint64_t)(*digit - '0');
    }
    struct text bytes = {space + 1, found.len - (size_t)(space + 1 - found.data)};
    if (!cache_entry_decode(l->results, name, bytes, &entry) || left_ms > entry.lifetime_s * 1000ull) {
        return false;
    }
    uint64_t age_ms = entry.lifetime_s * 1000ull - left_ms;
    job->body = age_ms < l->cache->cache_seconds * 1000ull ? strndup(entry.body.data, entry.body.len) : NULL;
    if (!job->body) {
        return true;
    }
    job->shared = true;
    job->age_ms = age_ms;
    job->verdict = entry.report.verdict;
    job->address = entry.report.address;
    job->dns_ms = entry.report.dns_ms;
    job->test_ms = entry.report.test_ms;
    job->phases = entry.report.phases;
    return true;
}

static void on_found(void *owner, const struct redis_reply *reply)
{
    struct job *job = owner;
    struct shared_link *l = job->shared_link;
    struct shared_cache *c = l->cache;

    job->asking = NULL;
    if (!reply) {
        count(&c->unavailable);
    } else if (reply->kind == REDIS_KIND_NIL || job->shared_generation != l->generation) {
        count(&c->misses);
    } else if (reply->kind != REDIS_KIND_TEXT) {
        note_error(c, reply);
    } else if (!read_found(l, job, reply->text)) {
        count(&c->rejected);
    } else {
        count(job->shared ? &c->hits : &c->misses);
    }
    job->on_looked_up(job, job->shared);
}

bool shared_link_look_up(struct shared_link *l, struct job *job,
                         void (*on_looked_up)(struct job *job, bool found))
{
    char text[QUERY_KEY_SIZE];
    /* Metrics are for one Prometheus, which asks again when these are old. */
    if (l->cache->cache_seconds == 0 || job->query.form != QUERY_REPORT) {
        return false;
    }
    shared_key_name(l->results, text_of(query_key(&job->query, text)), job->shared_name);
    job->shared_generation = l->generation;
    if (job->query.fresh) {
        return false;
    }
    const struct text words[] = {
        text_of("EVAL"), text_of(script_get), text_of("1"), {job->shared_name, SHARED_NAME_LEN}};
    job->shared_link = l;
    job->on_looked_up = on_looked_up;
    job->asking = redis_ask(l->redis, 4, words, on_found, job);
    if (!job->asking) {
        count(&l->cache->unavailable);
    }
    return job->asking != NULL;
}

void shared_link_forget(struct job *job)
{
    redis_forget(job->asking);
    job->asking = NULL;
}

static void on_stored(void *owner, const struct redis_reply *reply)
{
    struct shared_cache *c = owner;
    if (!reply) {
        count(&c->unavailable);
    } else if (reply->kind == REDIS_KIND_STATUS) {
        count(&c->stored);
    } else {
        note_error(c, reply);
    }
}

void shared_link_store(struct shared_link *l, const struct job *job, const struct cached *report)
{
    struct text name = {job->shared_name, SHARED_NAME_LEN};
    char lifetime[16];
    size_t len = 0;
    char *entry = job->shared_name[0] && job->shared_generation == l->generation
                      ? cache_entry_encode(l->results, name, report, l->cache->cache_seconds, &len)
                      : NULL;
    if (!entry) {
        return;
    }
    snprintf(lifetime, sizeof lifetime, "%u", l->cache->cache_seconds);
    const struct text words[] = {text_of("SET"), name, {entry, len}, text_of("EX"), text_of(lifetime)};
    if (!redis_ask(l->redis, 5, words, on_stored, l->cache)) {
        count(&l->cache->unavailable);
    }
    free(entry);
}

/* Until a token comes back, which is as long as anybody has to wait for one. */
static long long interval_us(const struct shared_cache *c)
{
    return (long long)c->target_rate.seconds * US_PER_S / c->target_rate.count;
}

static unsigned permit_locally(struct shared_link *l, struct permit *permit)
{
    return targets_permit(l->cache->targets, permit);
}

/* Whatever the others did, this replica's own limit counts as well; it is what is left when the server is
 * away, so it is told of all tests. */
static void on_taken(void *owner, const struct redis_reply *reply)
{
    struct permit *permit = owner;
    struct shared_link *l = permit->asker;
    struct shared_cache *c = l->cache;
    unsigned wait_s = 0;

    permit->asked = NULL;
    if (!reply) {
        count(&c->unavailable);
    } else if (reply->kind != REDIS_KIND_INTEGER || reply->integer < 0 || reply->integer > interval_us(c)) {
        note_error(c, reply);
    } else {
        wait_s = (unsigned)((reply->integer + US_PER_S - 1) / US_PER_S);
        count(wait_s == 0 ? &c->permitted : &c->limited);
    }
    permit->on_answer(permit, wait_s > 0 ? wait_s : permit_locally(l, permit));
}

unsigned shared_link_permit(void *link, struct permit *permit)
{
    struct shared_link *l = link;
    struct shared_cache *c = l->cache;
    struct rate rate = c->target_rate;
    char name[SHARED_NAME_SIZE], interval[32], burst[32];
    uint8_t target[TARGET_KEY_SIZE];

    if (rate.count == 0) {
        return permit_locally(l, permit);
    }
    targets_key(c->targets, &permit->ip, target);
    shared_key_name(c->keys.limits, (struct text){(const char *)target, sizeof target}, name);
    snprintf(interval, sizeof interval, "%lld", interval_us(c));
    snprintf(burst, sizeof burst, "%lld", interval_us(c) * (rate.count - 1));
    const struct text words[] = {text_of("EVAL"), text_of(script_take), text_of("1"),
                                 text_of(name),   text_of(interval),    text_of(burst)};
    permit->asker = l;
    permit->asked = redis_ask(l->redis, 6, words, on_taken, permit);
    if (!permit->asked) {
        count(&c->unavailable);
        return permit_locally(l, permit);
    }
    return PERMIT_LATER;
}

void shared_link_withdraw(void *link, struct permit *permit)
{
    (void)link;
    redis_forget(permit->asked);
    permit->asked = NULL;
}

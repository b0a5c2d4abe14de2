#include <string.h>

#include "probe/base/memory.h"
#include "probe/net/cert_internal.h"
#include "probe/net/tls_env.h"

/* All that the verdict and the facts follow from but the time: the roots, the name asked for, and what the
 * server sent. The flags of the checks are the same for all. */
static bool make_key(const struct cert_input *in, const struct tls_env *env, uint8_t key[CHAIN_KEY_BYTES])
{
    const struct ip *ip = in->host_ip;
    chain_key_add(in->cache, "chain", sizeof "chain");
    chain_key_add(in->cache, env->id, sizeof env->id);
    chain_key_add(in->cache, &ip->family, sizeof ip->family);
    chain_key_add(in->cache, ip->bytes, ip->family == 0 ? 0 : sizeof ip->bytes);
    chain_key_add(in->cache, in->host, strlen(in->host));
    for (unsigned i = 0; i < in->count; i++) {
        chain_key_add(in->cache, in->chain[i].data, in->chain[i].size);
    }
    return chain_key_end(in->cache, key);
}

/* A stapled response may be another in each session. Without one, a leaf that must have it is no exception:
 * that none came is part of the facts, and the demand is held against it when the report is judged. */
bool cert_describe(const struct cert_input *in, const struct tls_env *env, struct certificate *out,
                   struct arena *arena)
{
    uint8_t key[CHAIN_KEY_BYTES];
    struct period period = trust_period(env, in->now);
    unsigned long failures = memory_failures();
    bool keyed = in->cache && env->surveyed && !in->staple.data && make_key(in, env, key);

    if (keyed && chain_cache_get(in->cache, key, in->now, out, arena)) {
        chain_cache_uses(in->cache)->recalled++;
        return !arena->failed;
    }
    if (in->cache) {
        chain_cache_uses(in->cache)->verified++;
    }
    bool told = cert_describe_anew(in, env, out, &period, arena);
    if (keyed && told && memory_failures() == failures) {
        chain_cache_put(in->cache, key, &period, out);
    }
    return told;
}

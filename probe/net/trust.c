#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "probe/net/tls_env.h"

#define DIGEST_BYTES 32u

/* Of a trusted root: digests of its name and of all of it. */
struct root {
    uint8_t name[DIGEST_BYTES], whole[DIGEST_BYTES];
};

/* False: the library failed. */
static bool digest_root(gnutls_x509_crt_t cert, struct root *root)
{
    gnutls_datum_t dn = {NULL, 0};
    size_t size = sizeof root->whole;
    bool done = gnutls_x509_crt_get_raw_dn(cert, &dn) >= 0 &&
                gnutls_hash_fast(GNUTLS_DIG_SHA256, dn.data, dn.size, root->name) >= 0 &&
                gnutls_x509_crt_get_fingerprint(cert, GNUTLS_DIG_SHA256, root->whole, &size) >= 0;
    gnutls_free(dn.data);
    return done;
}

static bool shares_name(const struct root *roots, size_t count, const struct root *with)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(roots[i].name, with->name, DIGEST_BYTES) == 0 &&
            memcmp(roots[i].whole, with->whole, DIGEST_BYTES) != 0) {
            return true;
        }
    }
    return false;
}

/* False: a root could not be looked at, or there are more than were loaded. */
static bool survey(struct tls_env *env, struct root *roots)
{
    gnutls_x509_trust_list_iter_t iter = NULL;
    gnutls_x509_crt_t cert = NULL;
    size_t n = 0;
    int r;
    while ((r = gnutls_x509_trust_list_iter_get_ca(env->trust, &iter, &cert)) >= 0) {
        bool seen = n < env->roots && digest_root(cert, &roots[n]);
        if (seen) {
            env->validities[n] = (struct validity){gnutls_x509_crt_get_activation_time(cert),
                                                   gnutls_x509_crt_get_expiration_time(cert)};
            env->names_shared |= shares_name(roots, n, &roots[n]);
            n++;
        }
        gnutls_x509_crt_deinit(cert);
        if (!seen) {
            break;
        }
    }
    if (iter) {
        gnutls_x509_trust_list_iter_deinit(iter);
    }
    env->validity_count = n;
    return r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
}

void trust_survey(struct tls_env *env)
{
    struct root *roots = calloc(env->roots, sizeof *roots);
    env->validities = calloc(env->roots, sizeof *env->validities);
    env->surveyed = roots && env->validities && gnutls_rnd(GNUTLS_RND_NONCE, env->id, sizeof env->id) >= 0 &&
                    survey(env, roots);
    free(roots);
}

struct period trust_period(const struct tls_env *env, int64_t now)
{
    struct period period = period_always();
    for (size_t i = 0; i < env->validity_count; i++) {
        period_split_validity(&period, env->validities[i].not_before, env->validities[i].not_after, now);
    }
    return period;
}

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "probe/net/tls.h"
#include "probe/net/tls_env.h"

struct name {
    uint8_t sha256[32];
};

/* False: the library failed. */
static bool read_name(gnutls_x509_crt_t cert, struct name *name)
{
    gnutls_datum_t dn = {NULL, 0};
    bool done = gnutls_x509_crt_get_raw_dn(cert, &dn) >= 0 &&
                gnutls_hash_fast(GNUTLS_DIG_SHA256, dn.data, dn.size, name->sha256) >= 0;
    gnutls_free(dn.data);
    return done;
}

static bool is_among(const struct name *names, size_t count, const struct name *name)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&names[i], name, sizeof *name) == 0) {
            return true;
        }
    }
    return false;
}

/* The list holds none twice. False: a root could not be looked at, or there are more than were loaded. */
static bool survey(struct tls_env *env, struct name *names)
{
    gnutls_x509_trust_list_iter_t iter = NULL;
    gnutls_x509_crt_t cert = NULL;
    size_t n = 0;
    int r;
    while ((r = gnutls_x509_trust_list_iter_get_ca(env->trust, &iter, &cert)) >= 0) {
        bool seen = n < env->roots && read_name(cert, &names[n]);
        if (seen) {
            env->validities[n] = (struct validity){gnutls_x509_crt_get_activation_time(cert),
                                                   gnutls_x509_crt_get_expiration_time(cert)};
            env->names_shared |= is_among(names, n, &names[n]);
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
    struct name *names = calloc(env->roots, sizeof *names);
    env->validities = calloc(env->roots, sizeof *env->validities);
    env->surveyed = names && env->validities && gnutls_rnd(GNUTLS_RND_NONCE, env->id, sizeof env->id) >= 0 &&
                    survey(env, names);
    free(names);
}

struct period trust_period(const struct tls_env *env, int64_t now)
{
    struct period period = period_always();
    for (size_t i = 0; i < env->validity_count; i++) {
        period_split_validity(&period, env->validities[i].not_before, env->validities[i].not_after, now);
    }
    return period;
}

/* Their order is that of the library's table and says nothing, so the digests are put together without one.
 */
bool tls_env_roots_digest(const struct tls_env *env, uint8_t digest[TLS_ROOTS_DIGEST_SIZE])
{
    gnutls_x509_trust_list_iter_t iter = NULL;
    gnutls_x509_crt_t cert = NULL;
    bool read = true;
    int r = 0;

    memset(digest, 0, TLS_ROOTS_DIGEST_SIZE);
    while (read && (r = gnutls_x509_trust_list_iter_get_ca(env->trust, &iter, &cert)) >= 0) {
        uint8_t one[TLS_ROOTS_DIGEST_SIZE];
        size_t size = sizeof one;
        read = gnutls_x509_crt_get_fingerprint(cert, GNUTLS_DIG_SHA256, one, &size) >= 0;
        for (size_t i = 0; i < sizeof one && read; i++) {
            digest[i] ^= one[i];
        }
        gnutls_x509_crt_deinit(cert);
    }
    if (iter) {
        gnutls_x509_trust_list_iter_deinit(iter);
    }
    return read && r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
}

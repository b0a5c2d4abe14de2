/* The issuers of a leaf, verified once for all leaves below them. The full check of a path goes from the top
 * down and carries along what issuers demand of all below: only where they demand nothing is the check of the
 * leaf against its issuer the whole rest of it. Times, strength and purposes are judged anew for each leaf,
 * by chain.c. */
#include "probe/net/chain_cache_internal.h"
#include "probe/net/chain_path.h"

/* Of the extensions that the library lets act downwards; path lengths it asks for by another name. */
static const char *const inherited[] = {
    "2.5.29.30",          /* nameConstraints, RFC 5280 section 4.2.1.10 */
    "1.3.6.1.5.5.7.1.24", /* tlsfeature, RFC 7633 */
};

static bool demands_of_all_below(gnutls_x509_crt_t cert)
{
    for (size_t i = 0; i < sizeof inherited / sizeof inherited[0]; i++) {
        gnutls_datum_t der = {NULL, 0};
        int r = gnutls_x509_crt_get_extension_by_oid2(cert, inherited[i], 0, &der, NULL);
        gnutls_free(der.data);
        if (r != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
            return true;
        }
    }
    return false;
}

/* The leaf's own issuer may limit the length: none of its CAs is on the path. */
static bool limits_length(gnutls_x509_crt_t cert)
{
    int length = -1;
    return gnutls_x509_crt_get_basic_constraints(cert, NULL, NULL, &length) < 0 || length >= 0;
}

/* A CA that has the name of a root may be taken for it: the library then cuts the path there. */
static bool may_be_cut_at(gnutls_x509_crt_t cert, const struct tls_env *env)
{
    gnutls_datum_t dn = {NULL, 0};
    gnutls_x509_crt_t root = NULL;
    bool uncut = !cert_names_issuer(cert, cert) && gnutls_x509_crt_get_raw_dn(cert, &dn) >= 0 &&
                 gnutls_x509_trust_list_get_issuer_by_dn(env->trust, &dn, &root, 0) ==
                     GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    gnutls_free(dn.data);
    if (root) {
        gnutls_x509_crt_deinit(root);
    }
    return !uncut;
}

static bool are_plain(const struct path *path, const struct tls_env *env)
{
    for (unsigned i = 1; i < path->count; i++) {
        if (demands_of_all_below(path->certs[i]) || (i > 1 && limits_length(path->certs[i])) ||
            may_be_cut_at(path->certs[i], env)) {
            return false;
        }
    }
    return !env->names_shared && !demands_of_all_below(path->anchor) && !limits_length(path->anchor);
}

bool issuers_key(const struct path *path, const struct parsed_chain *chain, const struct certificate *facts,
                 const struct tls_env *env, uint8_t key[CHAIN_KEY_BYTES])
{
    if (!chain->cache || !env->surveyed || path->count < 2) {
        return false;
    }
    chain_key_add(chain->cache, "issuers", sizeof "issuers");
    chain_key_add(chain->cache, env->id, sizeof env->id);
    for (unsigned i = 1; i < path->count; i++) {
        const struct chain_link *link = &facts->chain[path->sent_at[i]];
        chain_key_add(chain->cache, link->sha256, sizeof link->sha256);
    }
    return chain_key_end(chain->cache, key);
}

bool issuers_vouch(const struct path *path, const struct parsed_chain *chain,
                   const uint8_t key[CHAIN_KEY_BYTES])
{
    unsigned status = 0;
    /* The library's full check forbids CAs of version 1 below the root. */
    bool vouch =
        chain_cache_get(chain->cache, key, 0, NULL, NULL) &&
        gnutls_x509_crt_verify(path->certs[0], &path->certs[1], 1,
                               SIGNATURE_ONLY | GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT, &status) == 0 &&
        status == 0;
    if (vouch) {
        chain_cache_uses(chain->cache)->below_known++;
    }
    return vouch;
}

void issuers_remember(const struct path *path, const struct parsed_chain *chain, const struct tls_env *env,
                      const uint8_t key[CHAIN_KEY_BYTES])
{
    static const struct period always = {INT64_MIN, INT64_MAX};
    if (are_plain(path, env)) {
        chain_cache_put(chain->cache, key, &always, NULL);
    }
}

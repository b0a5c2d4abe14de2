/* chain_path.h: a path from the leaf towards a root, for chain.c and chain_issuers.c only. */
#ifndef NET_CHAIN_PATH_H
#define NET_CHAIN_PATH_H

#include "probe/net/cert_internal.h"
#include "probe/net/tls_env.h"

/* What a signature check alone is to say; times, keys and digests have verdicts of their own. */
#define SIGNATURE_ONLY                                                                                       \
    (GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS |                         \
     GNUTLS_VERIFY_ALLOW_BROKEN)

struct path {
    gnutls_x509_crt_t certs[LIMIT_CHAIN];
    unsigned sent_at[LIMIT_CHAIN]; /* place of each in the chain as sent */
    unsigned count;
    gnutls_x509_crt_t anchor; /* trusted; borrowed from the trust list. NULL: none found */
};

/* chain_issuers.c. The key under which the issuers on a path to a root are remembered. False: they cannot be.
 */
bool issuers_key(const struct path *path, const struct parsed_chain *chain, const struct certificate *facts,
                 const struct tls_env *env, uint8_t key[CHAIN_KEY_BYTES]);

/* Whether the full check of this path would find nothing to complain of, as far as known issuers tell. */
bool issuers_vouch(const struct path *path, const struct parsed_chain *chain,
                   const uint8_t key[CHAIN_KEY_BYTES]);

/* After a full check without complaint. */
void issuers_remember(const struct path *path, const struct parsed_chain *chain, const struct tls_env *env,
                      const uint8_t key[CHAIN_KEY_BYTES]);

#endif

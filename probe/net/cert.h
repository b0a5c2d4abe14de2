/* cert.h: facts and verdicts about a certificate chain, each verdict on its own, none hidden behind another
 * (RFC 5280 section 6). It fetches nothing and knows no sockets; the time is passed in. For the net room
 * only. */
#ifndef NET_CERT_H
#define NET_CERT_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "probe/report/report.h"

struct chain_cache;
struct tls_env;

struct cert_input {
    const gnutls_datum_t *chain; /* DER, leaf first, as sent */
    unsigned count;
    gnutls_datum_t staple; /* OCSP response for the leaf, data NULL: none */
    const char *host;
    const struct ip *host_ip;  /* family 0: `host` is a name */
    int64_t now;               /* seconds since 1970 */
    struct chain_cache *cache; /* NULL: everything is verified anew */
};

/* Fills *out from the arena, be it with what is known of the same chain. False: out of memory. */
bool cert_describe(const struct cert_input *in, const struct tls_env *env, struct certificate *out,
                   struct arena *arena);

/* Whether this server certificate (DER) holds a key with which the library would calculate for seconds to
 * hours in a handshake, and nobody else's test would go on. */
bool cert_key_halts_handshake(const gnutls_datum_t *der);

#endif

/* cert_internal.h: what cert.c, chain.c and staple.c share; for them only. */
#ifndef NET_CERT_INTERNAL_H
#define NET_CERT_INTERNAL_H

#include <gnutls/x509.h>

#include "probe/net/cert.h"
#include "probe/net/chain_cache_internal.h"

/* The certificates sent that could be parsed, leaf first. */
struct parsed_chain {
    gnutls_x509_crt_t certs[LIMIT_CHAIN];
    unsigned count;
    gnutls_x509_crt_t issuer;  /* of the leaf: one of `certs`, a trusted root, or NULL; borrowed */
    struct chain_cache *cache; /* where issuers are remembered; NULL: nowhere */
    struct period *period;     /* narrowed to the time in which the verdicts stay what they are */
};

/* Longer texts are cut when shown; this is more than the cut needs, whatever the encoding. */
#define CERT_NAME_BYTES (LIMIT_TEXT_CHARS * 4 + 16)

/* cert.c: cert_describe() without the memory of whole chains, of which it says how long the facts hold. */
bool cert_describe_anew(const struct cert_input *in, const struct tls_env *env, struct certificate *out,
                        struct period *period, struct arena *arena);

/* cert_name.c: names in certificates. GnuTLS needs the square of the number of relative names to print a
 * name: of a long one (DER, changed in place) only the first are left, at least one. *cut is set, never
 * cleared. */
void cert_shorten_name(gnutls_datum_t *dn, bool *cut);

/* The subject in RFC 4514 form, cut where nobody would read on (sets *cut). */
struct text cert_subject(gnutls_x509_crt_t cert, struct arena *arena, bool *cut);
struct text cert_issuer(gnutls_x509_crt_t cert, struct arena *arena, bool *cut);

/* Whether the certificate names the other (or itself) as its issuer. Cheap also where the library would
 * compare long names by printing them. */
bool cert_names_issuer(gnutls_x509_crt_t cert, gnutls_x509_crt_t issuer);

/* cert_key.c: whether using the key to check a signature takes longer than any honest CA's: a stranger chose
 * it. */
bool cert_key_is_costly(gnutls_x509_crt_t cert);

/* Whether the certificate is its own issuer and its signature verifies with its own key. */
bool cert_is_self_signed(gnutls_x509_crt_t cert);

/* cert_extension.c: whether the extended key usage, where there is one, allows TLS servers (RFC 5280 section
 * 4.2.1.12). */
bool cert_is_for_servers(gnutls_x509_crt_t cert);

/* Where the issuer's certificate can be had (RFC 5280 section 4.2.2.1), absent: not told. */
struct text cert_issuer_url(gnutls_x509_crt_t cert, struct arena *arena);

/* chain.c: path from the leaf towards a trusted root, and every verdict on it; fills chain->issuer. */
bool chain_judge(struct parsed_chain *chain, const struct tls_env *env, int64_t now, struct certificate *out,
                 struct arena *arena);

/* staple.c: what the stapled OCSP response says of the leaf (RFC 6960). `issuer` may be NULL. */
enum ocsp_stapling staple_judge(const gnutls_datum_t *staple, gnutls_x509_crt_t leaf,
                                gnutls_x509_crt_t issuer, int64_t now);

#endif

#include <gnutls/abstract.h>

#include "probe/net/cert_internal.h"

/* Larger keys are in no use (RFC 8017 sets no bound; NIST SP 800-57 goes to 15360 for RSA, CAs stop at 8192).
 */
#define MAX_RSA_BITS 8192u
#define MAX_DSA_BITS 4096u
#define MAX_DSA_ORDER_BYTES 65u /* FIPS 186-4 section 4.2 goes to 256 bits */
#define MAX_EXPONENT_BYTES 9u

/* A server's own key is used once in a handshake, a CA's up to LIMIT_CHAIN times. */
#define MAX_SERVER_RSA_BITS 32768u

/* The number that says how often the library multiplies: RSA's public exponent, also of keys bound to
 * RSASSA-PSS, which gnutls_x509_crt_get_pk_rsa_raw() does not read, or DSA's subgroup order. */
static bool exponent_is_short(gnutls_x509_crt_t cert, bool dsa)
{
    gnutls_pubkey_t key = NULL;
    gnutls_datum_t modulus = {NULL, 0}, exponent = {NULL, 0};
    bool is_short = gnutls_pubkey_init(&key) >= 0 && gnutls_pubkey_import_x509(key, cert, 0) >= 0;
    if (is_short) {
        int r = dsa ? gnutls_pubkey_export_dsa_raw(key, &modulus, &exponent, NULL, NULL)
                    : gnutls_pubkey_export_rsa_raw(key, &modulus, &exponent);
        is_short = r >= 0 && exponent.size <= (dsa ? MAX_DSA_ORDER_BYTES : MAX_EXPONENT_BYTES);
    }
    gnutls_free(modulus.data);
    gnutls_free(exponent.data);
    if (key) {
        gnutls_pubkey_deinit(key);
    }
    return is_short;
}

static bool is_beyond(gnutls_x509_crt_t cert, unsigned max_rsa_bits)
{
    unsigned bits = 0;
    int key = gnutls_x509_crt_get_pk_algorithm(cert, &bits);
    bool rsa = key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS, dsa = key == GNUTLS_PK_DSA;
    return bits > (dsa ? MAX_DSA_BITS : max_rsa_bits) || ((rsa || dsa) && !exponent_is_short(cert, dsa));
}

bool cert_key_is_costly(gnutls_x509_crt_t cert)
{
    return is_beyond(cert, MAX_RSA_BITS);
}

bool cert_key_halts_handshake(const gnutls_datum_t *der)
{
    gnutls_x509_crt_t cert = NULL;
    bool halts = false;
    if (gnutls_x509_crt_init(&cert) < 0) {
        return false;
    }
    if (gnutls_x509_crt_import(cert, der, GNUTLS_X509_FMT_DER) >= 0) {
        halts = is_beyond(cert, MAX_SERVER_RSA_BITS);
    }
    gnutls_x509_crt_deinit(cert);
    return halts;
}

#include <gnutls/abstract.h>

#include "probe/net/cert_internal.h"

/* Larger keys are in no use (RFC 8017 sets no bound; NIST SP 800-57 goes to 15360 for RSA, CAs stop at 8192).
 */
#define MAX_RSA_BITS 8192u
#define MAX_DSA_BITS 4096u
#define MAX_DSA_ORDER_BYTES 65u /* FIPS 186-4 section 4.2 goes to 256 bits */
#define MAX_EXPONENT_BYTES 9u
#define MAX_SHORT_KEY_BYTES 200u /* P-521 takes 158; an RSA key has 1,500 bits at most then */

/* A server's own key is used once in a handshake, a CA's up to LIMIT_CHAIN times. */
#define MAX_SERVER_RSA_BITS 32768u

#define TAG_INTEGER 0x02
#define TAG_BIT_STRING 0x03
#define TAG_SEQUENCE 0x30
#define TAG_VERSION 0xa0
#define MAX_HEADER_BYTES 5u /* tag and a length of up to 24 bits */

/* The number that says how often the library multiplies: RSA's public exponent, or DSA's subgroup order. */
static bool exponent_is_short(gnutls_pubkey_t key, bool dsa)
{
    gnutls_datum_t modulus = {NULL, 0}, exponent = {NULL, 0};
    int r = dsa ? gnutls_pubkey_export_dsa_raw(key, &modulus, &exponent, NULL, NULL)
                : gnutls_pubkey_export_rsa_raw(key, &modulus, &exponent);
    bool is_short = r >= 0 && exponent.size <= (dsa ? MAX_DSA_ORDER_BYTES : MAX_EXPONENT_BYTES);
    gnutls_free(modulus.data);
    gnutls_free(exponent.data);
    return is_short;
}

static bool is_rsa(int kind)
{
    return kind == GNUTLS_PK_RSA || kind == GNUTLS_PK_RSA_PSS;
}

static bool is_beyond(gnutls_pubkey_t key, unsigned max_rsa_bits)
{
    unsigned bits = 0;
    int kind = gnutls_pubkey_get_pk_algorithm(key, &bits);
    bool dsa = kind == GNUTLS_PK_DSA;
    return bits > (dsa ? MAX_DSA_BITS : max_rsa_bits) ||
           ((is_rsa(kind) || dsa) && !exponent_is_short(key, dsa));
}

/* A key that the library cannot read it does not use. Curves have a size; to hand out a key the library looks
 * through all extensions. */
static bool cert_is_beyond(gnutls_x509_crt_t cert, unsigned max_rsa_bits)
{
    gnutls_pubkey_t key = NULL;
    int kind = gnutls_x509_crt_get_pk_algorithm(cert, NULL);
    if (!is_rsa(kind) && kind != GNUTLS_PK_DSA) {
        return false;
    }
    bool beyond = gnutls_pubkey_init(&key) >= 0 && gnutls_pubkey_import_x509(key, cert, 0) >= 0 &&
                  is_beyond(key, max_rsa_bits);
    if (key) {
        gnutls_pubkey_deinit(key);
    }
    return beyond;
}

bool cert_key_is_costly(gnutls_x509_crt_t cert)
{
    return cert_is_beyond(cert, MAX_RSA_BITS);
}

/* Takes the element at the front (X.690 section 8.1), header included, and tells how long that is. False:
 * there is none, or its length is written in an odd way. */
static bool take_element(gnutls_datum_t *der, gnutls_datum_t *element, unsigned *header)
{
    if (der->size < 2) {
        return false;
    }
    unsigned size = der->data[1];
    *header = 2;
    if (size >= 0x80) {
        *header += size & 0x7f;
        if (size == 0x80 || *header > MAX_HEADER_BYTES || *header > der->size) {
            return false;
        }
        size = 0;
        for (unsigned i = 2; i < *header; i++) {
            size = size << 8 | der->data[i];
        }
    }
    if (size > der->size - *header) {
        return false;
    }
    *element = (gnutls_datum_t){der->data, *header + size};
    der->data += element->size;
    der->size -= element->size;
    return true;
}

static bool take_tagged(gnutls_datum_t *der, unsigned tag, gnutls_datum_t *content)
{
    unsigned header;
    if (!take_element(der, content, &header) || content->data[0] != tag) {
        return false;
    }
    *content = (gnutls_datum_t){content->data + header, content->size - header};
    return true;
}

static bool open_sequence(gnutls_datum_t *der)
{
    gnutls_datum_t content;
    if (!take_tagged(der, TAG_SEQUENCE, &content)) {
        return false;
    }
    *der = content;
    return true;
}

/* The subjectPublicKeyInfo of a certificate (RFC 5280 section 4.1), which the library hands out only after it
 * has read all extensions: of some that takes it a second. */
static bool find_key(gnutls_datum_t der, gnutls_datum_t *spki)
{
    unsigned header, before = 5; /* serialNumber, signature, issuer, validity, subject */
    if (!open_sequence(&der) || !open_sequence(&der)) {
        return false;
    }
    before += der.size > 0 && der.data[0] == TAG_VERSION;
    for (unsigned i = 0; i <= before; i++) {
        if (!take_element(&der, spki, &header)) {
            return false;
        }
    }
    return true;
}

/* Whether the lengths alone, without the library's numbers, tell that it costs little: it is short, as those
 * of curves are, or an RSA key as most are (RFC 8017 appendix A.1.1: SEQUENCE of two INTEGERs, and nothing
 * else). */
static bool is_plainly_cheap(gnutls_datum_t spki)
{
    gnutls_datum_t algorithm, bits, modulus, exponent;
    unsigned header;
    if (spki.size <= MAX_SHORT_KEY_BYTES) {
        return true;
    }
    if (!open_sequence(&spki) || !take_element(&spki, &algorithm, &header) ||
        !take_tagged(&spki, TAG_BIT_STRING, &bits) || spki.size > 0 || bits.size == 0 || bits.data[0] != 0) {
        return false;
    }
    bits = (gnutls_datum_t){bits.data + 1, bits.size - 1};
    return open_sequence(&bits) && take_tagged(&bits, TAG_INTEGER, &modulus) &&
           take_tagged(&bits, TAG_INTEGER, &exponent) && bits.size == 0 &&
           modulus.size <= MAX_RSA_BITS / 8 + 1 && exponent.size <= MAX_EXPONENT_BYTES;
}

bool cert_key_halts_handshake(const gnutls_datum_t *der)
{
    gnutls_datum_t spki;
    gnutls_pubkey_t key = NULL;
    gnutls_x509_crt_t cert = NULL;
    bool halts = false, found = find_key(*der, &spki);
    if ((found && is_plainly_cheap(spki)) || gnutls_pubkey_init(&key) < 0) {
        return false;
    }
    if (found && gnutls_pubkey_import(key, &spki, GNUTLS_X509_FMT_DER) >= 0) {
        halts = is_beyond(key, MAX_SERVER_RSA_BITS);
    } else if (gnutls_x509_crt_init(&cert) >= 0) {
        halts = gnutls_x509_crt_import(cert, der, GNUTLS_X509_FMT_DER) >= 0 &&
                cert_is_beyond(cert, MAX_SERVER_RSA_BITS);
        gnutls_x509_crt_deinit(cert);
    }
    gnutls_pubkey_deinit(key);
    return halts;
}

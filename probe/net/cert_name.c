#include <string.h>

#include "probe/net/cert_internal.h"

/* Names up to this size are printed whole; honest ones have some hundred bytes. */
#define MAX_NAME_DER 4096u

/* GnuTLS needs the square of the number of relative names to print a name: of a long one only the first are
 * left, about MAX_NAME_DER bytes, at least one. Changes the name in place. */
void cert_shorten_name(gnutls_datum_t *dn, bool *cut)
{
    size_t used = 0, head = 2;
    if (dn->size <= MAX_NAME_DER) {
        return;
    }
    /* A SEQUENCE this long has its length in two to four octets (X.690 section 8.1.3.5). */
    head += dn->data[1] & 0x7f;
    while (used < MAX_NAME_DER && head + used + 4 <= dn->size) {
        const unsigned char *p = dn->data + head + used;
        size_t len = p[1] < 0x80 ? 2u + p[1] : p[1] == 0x81 ? 3u + p[2] : 4u + ((size_t)p[2] << 8 | p[3]);
        if (p[1] > 0x82 || head + used + len > dn->size || used + len > UINT16_MAX) {
            break;
        }
        used += len;
    }
    memmove(dn->data + 4, dn->data + head, used);
    dn->data[1] = 0x82;
    dn->data[2] = (unsigned char)(used >> 8);
    dn->data[3] = (unsigned char)used;
    *cut |= head + used < dn->size;
    dn->size = (unsigned)used + 4;
}

/* Takes over the name's memory. */
static struct text name_text(gnutls_datum_t *raw, struct arena *arena, bool *cut)
{
    gnutls_datum_t text = {NULL, 0};
    cert_shorten_name(raw, cut);
    int r = gnutls_x509_rdn_get2(raw, &text, 0);
    gnutls_free(raw->data);
    if (r < 0) {
        arena->failed |= r == GNUTLS_E_MEMORY_ERROR;
        return arena_text(arena, "", 0);
    }
    *cut |= text.size > CERT_NAME_BYTES;
    struct text t = arena_text(arena, text.data, text.size < CERT_NAME_BYTES ? text.size : CERT_NAME_BYTES);
    gnutls_free(text.data);
    return t;
}

struct text cert_subject(gnutls_x509_crt_t cert, struct arena *arena, bool *cut)
{
    gnutls_datum_t raw = {NULL, 0};
    arena->failed |= gnutls_x509_crt_get_raw_dn(cert, &raw) == GNUTLS_E_MEMORY_ERROR;
    return raw.data ? name_text(&raw, arena, cut) : arena_text(arena, "", 0);
}

struct text cert_issuer(gnutls_x509_crt_t cert, struct arena *arena, bool *cut)
{
    gnutls_datum_t raw = {NULL, 0};
    arena->failed |= gnutls_x509_crt_get_raw_issuer_dn(cert, &raw) == GNUTLS_E_MEMORY_ERROR;
    return raw.data ? name_text(&raw, arena, cut) : arena_text(arena, "", 0);
}

bool cert_names_issuer(gnutls_x509_crt_t cert, gnutls_x509_crt_t issuer)
{
    gnutls_datum_t named = {NULL, 0}, subject = {NULL, 0};
    bool same = gnutls_x509_crt_get_raw_issuer_dn(cert, &named) >= 0 &&
                gnutls_x509_crt_get_raw_dn(issuer, &subject) >= 0 && named.size == subject.size &&
                memcmp(named.data, subject.data, named.size) == 0;
    gnutls_free(named.data);
    gnutls_free(subject.data);
    return same && gnutls_x509_crt_check_issuer(cert, issuer); /* key identifiers as well */
}

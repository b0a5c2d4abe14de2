#include <gnutls/x509-ext.h>
#include <string.h>

#include "probe/net/cert_internal.h"

/* Extensions that hold lists are taken apart once: the library's functions on certificates decode the whole
 * list again for each entry asked for. */

#define OID_EXTENDED_KEY_USAGE "2.5.29.37"

/* What CAs of old have instead of the purpose of servers; the library takes it for that, too. */
#define OID_STEP_UP "2.16.840.1.113730.4.1"

static bool is_oid(const gnutls_datum_t *value, const char *oid)
{
    return value->size >= strlen(oid) && strcmp((const char *)value->data, oid) == 0;
}

bool cert_is_for_servers(gnutls_x509_crt_t cert)
{
    gnutls_datum_t der = {NULL, 0}, purpose = {NULL, 0};
    gnutls_x509_key_purposes_t purposes = NULL;
    bool found = false;

    int r = gnutls_x509_crt_get_extension_by_oid2(cert, OID_EXTENDED_KEY_USAGE, 0, &der, NULL);
    if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
        return true;
    }
    if (r >= 0) {
        r = gnutls_x509_key_purpose_init(&purposes);
    }
    if (r >= 0) {
        r = gnutls_x509_ext_import_key_purposes(&der, purposes, 0);
    }
    bool ca = gnutls_x509_crt_get_basic_constraints(cert, NULL, NULL, NULL) > 0;
    for (unsigned i = 0; r >= 0 && !found && gnutls_x509_key_purpose_get(purposes, i, &purpose) >= 0; i++) {
        found = is_oid(&purpose, GNUTLS_KP_TLS_WWW_SERVER) || is_oid(&purpose, GNUTLS_KP_ANY) ||
                (ca && is_oid(&purpose, OID_STEP_UP));
    }
    if (purposes) {
        gnutls_x509_key_purpose_deinit(purposes);
    }
    gnutls_free(der.data);
    return found;
}

struct text cert_issuer_url(gnutls_x509_crt_t cert, struct arena *arena)
{
    gnutls_datum_t der = {NULL, 0}, method = {NULL, 0}, place = {NULL, 0};
    gnutls_x509_aia_t accesses = NULL;
    unsigned type = 0;
    struct text url = {0};

    int r = gnutls_x509_crt_get_extension_by_oid2(cert, GNUTLS_OID_AIA, 0, &der, NULL);
    if (r >= 0) {
        r = gnutls_x509_aia_init(&accesses);
    }
    if (r >= 0) {
        r = gnutls_x509_ext_import_aia(&der, accesses, 0);
    }
    for (unsigned i = 0; r >= 0 && !url.data; i++) {
        r = gnutls_x509_aia_get(accesses, i, &method, &type, &place);
        if (r >= 0 && type == GNUTLS_SAN_URI && is_oid(&method, GNUTLS_OID_AD_CAISSUERS)) {
            url =
                arena_text(arena, place.data, place.size < LIMIT_TEXT_CHARS ? place.size : LIMIT_TEXT_CHARS);
            break;
        }
    }
    arena->failed |= r == GNUTLS_E_MEMORY_ERROR;
    if (accesses) {
        gnutls_x509_aia_deinit(accesses);
    }
    gnutls_free(der.data);
    return url;
}

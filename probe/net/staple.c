#include <gnutls/ocsp.h>

#include "probe/net/cert_internal.h"

/* A responder's clock may be a little ahead of ours. */
#define CLOCK_SKEW_S 300

/* The single response that speaks of the leaf, whatever its place in the list. */
static enum ocsp_stapling single_status(gnutls_ocsp_resp_t response, gnutls_x509_crt_t leaf, int64_t now)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned status = 0;
        time_t this_update = -1, next_update = -1;
        int r = gnutls_ocsp_resp_get_single(response, i, NULL, NULL, NULL, NULL, &status, &this_update,
                                            &next_update, NULL, NULL);
        if (r < 0) {
            break;
        }
        if (gnutls_ocsp_resp_check_crt(response, i, leaf) < 0) {
            continue;
        }
        if ((this_update != -1 && this_update > now + CLOCK_SKEW_S) ||
            (next_update != -1 && next_update < now)) {
            return OCSP_INVALID;
        }
        return status == GNUTLS_OCSP_CERT_GOOD      ? OCSP_GOOD
               : status == GNUTLS_OCSP_CERT_REVOKED ? OCSP_REVOKED
                                                    : OCSP_UNKNOWN;
    }
    return OCSP_INVALID;
}

/* The responder may have a key of its own, vouched for by the issuer, who is a stranger too. */
static bool costly_responder(gnutls_ocsp_resp_t response)
{
    gnutls_x509_crt_t *certs = NULL;
    size_t count = 0;
    bool costly = false;
    if (gnutls_ocsp_resp_get_certs(response, &certs, &count) < 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        costly |= cert_key_is_costly(certs[i]);
        gnutls_x509_crt_deinit(certs[i]);
    }
    gnutls_free(certs);
    return costly;
}

enum ocsp_stapling staple_judge(const gnutls_datum_t *staple, gnutls_x509_crt_t leaf,
                                gnutls_x509_crt_t issuer, int64_t now)
{
    gnutls_ocsp_resp_t response;
    enum ocsp_stapling result = OCSP_INVALID;
    unsigned verify = 0;

    if (!staple->data) {
        return OCSP_NONE;
    }
    if (gnutls_ocsp_resp_init(&response) < 0) {
        return OCSP_INVALID;
    }
    if (gnutls_ocsp_resp_import(response, staple) >= 0 &&
        gnutls_ocsp_resp_get_status(response) == GNUTLS_OCSP_RESP_SUCCESSFUL && issuer &&
        !cert_key_is_costly(issuer) && !costly_responder(response) &&
        gnutls_ocsp_resp_verify_direct(response, issuer, &verify, 0) >= 0 && verify == 0) {
        result = single_status(response, leaf, now);
    }
    gnutls_ocsp_resp_deinit(response);
    return result;
}

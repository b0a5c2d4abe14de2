#include "probe/report/certificate.h"

static const char *const chain_errors[CHAIN_ERROR_COUNT] = {
#define X(name, code) [CHAIN_##name] = code,
#include "probe/report/chain_error.def"
#undef X
};

static const char *const san_types[SAN_TYPE_COUNT] = {
    [SAN_DNS] = "dns", [SAN_IP] = "ip",   [SAN_EMAIL] = "email",
    [SAN_URI] = "uri", [SAN_SRV] = "srv", [SAN_OTHER] = "other",
};

static const char *const ocsp_staplings[OCSP_STAPLING_COUNT] = {
    [OCSP_NONE] = "none",       [OCSP_GOOD] = "good",       [OCSP_REVOKED] = "revoked",
    [OCSP_UNKNOWN] = "unknown", [OCSP_INVALID] = "invalid",
};

const char *chain_error_name(enum chain_error e)
{
    return chain_errors[e];
}

const char *san_type_name(enum san_type t)
{
    return san_types[t];
}

const char *ocsp_stapling_name(enum ocsp_stapling o)
{
    return ocsp_staplings[o];
}

#include "probe/report/certificate.h"

#include <string.h>

#include "probe/base/arena.h"

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

static struct text copy(struct text from, struct arena *arena)
{
    return arena_text(arena, from.data, from.len);
}

/* NULL for none, or where memory has run out. */
static void *copy_array(const void *from, size_t size, size_t count, struct arena *arena)
{
    void *to = count > 0 ? arena_alloc(arena, size * count) : NULL;
    return to ? memcpy(to, from, size * count) : NULL;
}

void certificate_copy(struct certificate *to, const struct certificate *from, struct arena *arena)
{
    *to = *from;
    to->chain = copy_array(from->chain, sizeof *to->chain, from->chain_count, arena);
    for (size_t i = 0; to->chain && i < to->chain_count; i++) {
        to->chain[i].subject = copy(to->chain[i].subject, arena);
        to->chain[i].issuer = copy(to->chain[i].issuer, arena);
    }
    to->sans = copy_array(from->sans, sizeof *to->sans, from->san_count, arena);
    for (size_t i = 0; to->sans && i < to->san_count; i++) {
        to->sans[i].value = copy(to->sans[i].value, arena);
    }
    to->common_name = copy(from->common_name, arena);
    to->missing_issuer = copy(from->missing_issuer, arena);
    to->issuer_url = copy(from->issuer_url, arena);
    to->bad_ca = copy(from->bad_ca, arena);
    to->weak_key = copy(from->weak_key, arena);
    to->weak_signature = copy(from->weak_signature, arena);
    to->wrong_purpose = copy(from->wrong_purpose, arena);
}

/* certificate.h: what a server's certificate chain says, and what checking it gave. Plain data. */
#ifndef REPORT_CERTIFICATE_H
#define REPORT_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/base/text.h"

enum chain_error {
#define X(name, code) CHAIN_##name,
#include "probe/report/chain_error.def"
#undef X
    CHAIN_ERROR_COUNT
};

enum san_type { SAN_DNS, SAN_IP, SAN_EMAIL, SAN_URI, SAN_SRV, SAN_OTHER, SAN_TYPE_COUNT };

enum ocsp_stapling { OCSP_NONE, OCSP_GOOD, OCSP_REVOKED, OCSP_UNKNOWN, OCSP_INVALID, OCSP_STAPLING_COUNT };

struct san {
    enum san_type type;
    struct text value; /* IP addresses already as text */
};

/* One certificate of the chain, in the order sent. */
struct chain_link {
    struct text subject, issuer; /* RFC 4514 */
    int64_t not_before, not_after;
    uint8_t sha256[32];
};

struct certificate {
    bool seen;
    bool parsed; /* false: the leaf is no certificate that can be read */
    struct chain_link *chain;
    size_t chain_count, chain_sent; /* shown, received */
    struct san *sans;
    size_t san_count, san_total;
    uint8_t serial[64];
    size_t serial_len;
    struct text common_name; /* the last of the subject; absent: none */
    bool self_signed;
    bool hostname_match;
    bool common_name_match; /* no SAN matches, but the common name would have */
    unsigned chain_errors;  /* mask of 1u << enum chain_error */
    unsigned leaf_errors;   /* the part of it that concerns the leaf itself */
    const char *key_algorithm;
    unsigned key_bits;
    const char *signature_algorithm;
    bool must_staple;
    enum ocsp_stapling ocsp_stapling;
    size_t sct_count;
    struct text missing_issuer; /* the issuer that was not found, absent: none */
    struct text issuer_url;     /* where the last link's issuer can be had (caIssuers) */
    struct text bad_ca;         /* subject of the first CA out of its time */
    struct text weak_key;       /* the first certificate with one, and what it is; absent: none */
    struct text weak_signature; /* the same */
    struct text wrong_purpose;  /* subject of the first CA whose EKU excludes servers; absent: none */
    bool name_cut;              /* a subject or issuer is not shown whole */
    size_t surplus;             /* certificates sent that are on no path */
};

/* *to becomes an independent copy with what it points to in the arena (arena->failed: not all of it). */
void certificate_copy(struct certificate *to, const struct certificate *from, struct arena *arena);

const char *chain_error_name(enum chain_error e);
const char *san_type_name(enum san_type t);
const char *ocsp_stapling_name(enum ocsp_stapling o);

#endif

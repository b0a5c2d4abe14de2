#include "probe/net/cert.h"

#include <gnutls/abstract.h>
#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>
#include <string.h>

#include "probe/net/cert_internal.h"
#include "probe/net/hostmatch.h"

#define MAX_COMMON_NAMES 8u

#define OID_SAN "2.5.29.17"
#define OID_SRV_NAME "1.3.6.1.5.5.7.8.7"       /* RFC 4985 */
#define OID_SCT_LIST "1.3.6.1.4.1.11129.2.4.2" /* RFC 6962 section 3.3 */

/* RFC 7633: the TLS feature "status_request". */
#define TLS_FEATURE_STATUS_REQUEST 5

bool cert_is_self_signed(gnutls_x509_crt_t cert)
{
    unsigned status = 0;
    if (!cert_names_issuer(cert, cert) || cert_key_is_costly(cert)) {
        return false;
    }
    /* ALLOW_SAME would take the certificate for trusted, since it is given as such, and check no signature.
     */
    int r = gnutls_x509_crt_verify(cert, &cert, 1,
                                   GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_CA_SIGN |
                                       GNUTLS_VERIFY_ALLOW_BROKEN | GNUTLS_VERIFY_DO_NOT_ALLOW_SAME,
                                   &status);
    return r == 0 && status == 0;
}

static void describe_link(gnutls_x509_crt_t cert, const gnutls_datum_t *der, struct chain_link *link,
                          bool *cut, struct arena *arena)
{
    size_t size = sizeof link->sha256;
    link->subject = cert_subject(cert, arena, cut);
    link->issuer = cert_issuer(cert, arena, cut);
    link->not_before = gnutls_x509_crt_get_activation_time(cert);
    link->not_after = gnutls_x509_crt_get_expiration_time(cert);
    if (gnutls_fingerprint(GNUTLS_DIG_SHA256, der, link->sha256, &size) < 0) {
        arena->failed = true; /* hashing fails for want of memory only */
    }
}

static const char *key_name(int algorithm)
{
    switch (algorithm) {
    case GNUTLS_PK_RSA:
    case GNUTLS_PK_RSA_PSS:
        return "RSA";
    case GNUTLS_PK_ECDSA:
        return "ECDSA";
    case GNUTLS_PK_EDDSA_ED25519:
        return "Ed25519";
    case GNUTLS_PK_EDDSA_ED448:
        return "Ed448";
    case GNUTLS_PK_DSA:
        return "DSA";
    default:
        return NULL;
    }
}

/* The library counts the octets of a point; of the curves in use only P-521 does not fill them. */
static unsigned key_bits(gnutls_x509_crt_t cert, unsigned bits)
{
    gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
    gnutls_datum_t x = {NULL, 0}, y = {NULL, 0};
    if (gnutls_x509_crt_get_pk_ecc_raw(cert, &curve, &x, &y) >= 0) {
        gnutls_free(x.data);
        gnutls_free(y.data);
    }
    return curve == GNUTLS_ECC_CURVE_SECP521R1 ? 521 : bits;
}

/* RFC 9525 section 6.3: SANs decide alone; the common name is kept only to explain a mismatch. */
static bool san_matches(const struct san *san, const gnutls_datum_t *raw, const struct cert_input *in)
{
    if (in->host_ip->family == 0) {
        return san->type == SAN_DNS && hostmatch_dns(san->value, in->host);
    }
    size_t size = in->host_ip->family == 4 ? 4 : 16;
    return san->type == SAN_IP && raw->size == size && memcmp(raw->data, in->host_ip->bytes, size) == 0;
}

static struct text ip_san_text(const gnutls_datum_t *raw, struct arena *arena)
{
    struct ip ip = {.family = raw->size == 4 ? 4 : 6};
    char text[IP_TEXT_SIZE];
    if (raw->size != 4 && raw->size != 16) {
        return arena_text(arena, "invalid iPAddress", strlen("invalid iPAddress"));
    }
    memcpy(ip.bytes, raw->data, raw->size);
    ip_format(&ip, text);
    return arena_text(arena, text, strlen(text));
}

static struct text bounded_text(const gnutls_datum_t *d, struct arena *arena)
{
    return arena_text(arena, d->data, d->size < CERT_NAME_BYTES ? d->size : CERT_NAME_BYTES);
}

static struct text other_name_text(const gnutls_datum_t *oid, const gnutls_datum_t *raw, enum san_type *type,
                                   struct arena *arena)
{
    gnutls_datum_t srv = {NULL, 0};
    unsigned virtual_type = 0;
    *type = SAN_OTHER;
    if (oid->size >= strlen(OID_SRV_NAME) && strcmp((const char *)oid->data, OID_SRV_NAME) == 0 &&
        gnutls_x509_othername_to_virtual(OID_SRV_NAME, raw, &virtual_type, &srv) == 0) {
        *type = SAN_SRV;
        struct text t = bounded_text(&srv, arena);
        gnutls_free(srv.data);
        return t;
    }
    return oid->data ? arena_text(arena, oid->data, strlen((const char *)oid->data))
                     : arena_text(arena, "", 0);
}

static void describe_san(unsigned type, const gnutls_datum_t *raw, const gnutls_datum_t *oid, struct san *san,
                         struct arena *arena)
{
    static const enum san_type types[] = {
        [GNUTLS_SAN_DNSNAME] = SAN_DNS,
        [GNUTLS_SAN_RFC822NAME] = SAN_EMAIL,
        [GNUTLS_SAN_URI] = SAN_URI,
    };
    san->type = SAN_OTHER;
    switch (type) {
    case GNUTLS_SAN_IPADDRESS:
        san->type = SAN_IP;
        san->value = ip_san_text(raw, arena);
        break;
    case GNUTLS_SAN_DNSNAME:
    case GNUTLS_SAN_RFC822NAME:
    case GNUTLS_SAN_URI:
        san->type = types[type];
        san->value = bounded_text(raw, arena);
        break;
    case GNUTLS_SAN_OTHERNAME:
        san->value = other_name_text(oid, raw, &san->type, arena);
        break;
    default:
        san->value = bounded_text(raw, arena);
        break;
    }
}

/* All SANs are matched; the first LIMIT_SANS_SHOWN are kept. */
static void read_sans(gnutls_subject_alt_names_t sans, const struct cert_input *in, struct certificate *out,
                      struct arena *arena, bool *can_identify)
{
    size_t room = 0;
    for (unsigned i = 0;; i++) {
        unsigned type = 0;
        gnutls_datum_t raw = {NULL, 0}, oid = {NULL, 0};
        if (gnutls_subject_alt_names_get(sans, i, &type, &raw, &oid) < 0) {
            return;
        }
        out->san_total++;
        *can_identify |= type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_IPADDRESS;
        struct san beyond = {0}, *san = &beyond;
        if (out->san_count < LIMIT_SANS_SHOWN) {
            struct san *grown =
                arena_grow(arena, out->sans, sizeof *out->sans, out->san_count, out->san_count + 1, &room);
            if (!grown) {
                return;
            }
            out->sans = grown;
            san = &out->sans[out->san_count++];
            describe_san(type, &raw, &oid, san, arena);
        } else {
            beyond =
                (struct san){type == GNUTLS_SAN_DNSNAME ? SAN_DNS : SAN_IP, {(char *)raw.data, raw.size}};
        }
        out->hostname_match |= (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_IPADDRESS) && raw.data &&
                               raw.size <= CERT_NAME_BYTES && san_matches(san, &raw, in);
    }
}

static void describe_common_name(gnutls_x509_crt_t leaf, struct certificate *out, struct arena *arena)
{
    char cn[CERT_NAME_BYTES];
    gnutls_datum_t raw = {NULL, 0};
    bool cut = false;

    arena->failed |= gnutls_x509_crt_get_raw_dn(leaf, &raw) == GNUTLS_E_MEMORY_ERROR;
    if (!raw.data) {
        return;
    }
    cert_shorten_name(&raw, &cut);
    for (unsigned i = 0; i < MAX_COMMON_NAMES; i++) {
        size_t size = sizeof cn;
        int r = gnutls_x509_rdn_get_by_oid(&raw, GNUTLS_OID_X520_COMMON_NAME, i, 0, cn, &size);
        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
            break;
        }
        if (r >= 0) {
            out->common_name = arena_text(arena, cn, size);
        }
    }
    gnutls_free(raw.data);
}

static void describe_names(gnutls_x509_crt_t leaf, const struct cert_input *in, struct certificate *out,
                           struct arena *arena)
{
    gnutls_datum_t der = {NULL, 0};
    gnutls_subject_alt_names_t sans = NULL;
    bool can_identify = false;

    int r = gnutls_x509_crt_get_extension_by_oid2(leaf, OID_SAN, 0, &der, NULL);
    if (r >= 0) {
        r = gnutls_subject_alt_names_init(&sans);
    }
    if (r >= 0) {
        r = gnutls_x509_ext_import_subject_alt_names(&der, sans, 0);
    }
    if (r >= 0) {
        read_sans(sans, in, out, arena, &can_identify);
    }
    arena->failed |= r == GNUTLS_E_MEMORY_ERROR;
    if (sans) {
        gnutls_subject_alt_names_deinit(sans);
    }
    gnutls_free(der.data);
    describe_common_name(leaf, out, arena);
    /* Clients that still fall back do so only where no SAN could have named the host. */
    if (!out->hostname_match && !can_identify && out->common_name.data) {
        struct ip ip;
        bool matches = in->host_ip->family == 0
                           ? hostmatch_dns(out->common_name, in->host)
                           : strlen(out->common_name.data) == out->common_name.len &&
                                 ip_parse(&ip, out->common_name.data) && ip_equal(&ip, in->host_ip);
        out->common_name_match = matches;
    }
}

static bool must_staple(gnutls_x509_crt_t leaf)
{
    gnutls_x509_tlsfeatures_t features;
    bool found = false;
    if (gnutls_x509_tlsfeatures_init(&features) < 0) {
        return false;
    }
    if (gnutls_x509_crt_get_tlsfeatures(leaf, features, 0, NULL) >= 0) {
        unsigned feature = 0;
        for (unsigned i = 0; i < 64 && gnutls_x509_tlsfeatures_get(features, i, &feature) >= 0; i++) {
            found |= feature == TLS_FEATURE_STATUS_REQUEST;
        }
    }
    gnutls_x509_tlsfeatures_deinit(features);
    return found;
}

static size_t count_scts(gnutls_x509_crt_t leaf)
{
    gnutls_datum_t der = {NULL, 0};
    gnutls_x509_ct_scts_t scts = NULL;
    size_t count = 0;

    if (gnutls_x509_crt_get_extension_by_oid2(leaf, OID_SCT_LIST, 0, &der, NULL) < 0) {
        return 0;
    }
    if (gnutls_x509_ext_ct_scts_init(&scts) >= 0) {
        if (gnutls_x509_ext_ct_import_scts(&der, scts, 0) >= 0) {
            time_t at;
            gnutls_datum_t log = {NULL, 0}, signature = {NULL, 0};
            gnutls_sign_algorithm_t algorithm;
            while (gnutls_x509_ct_sct_get(scts, (unsigned)count, &at, &log, &algorithm, &signature) >= 0) {
                gnutls_free(log.data);
                gnutls_free(signature.data);
                log = signature = (gnutls_datum_t){NULL, 0};
                count++;
            }
        }
        gnutls_x509_ext_ct_scts_deinit(scts);
    }
    gnutls_free(der.data);
    return count;
}

static void describe_leaf(gnutls_x509_crt_t leaf, const struct cert_input *in, struct certificate *out,
                          struct arena *arena)
{
    size_t size = sizeof out->serial;
    unsigned bits = 0;

    out->parsed = true;
    if (gnutls_x509_crt_get_serial(leaf, out->serial, &size) >= 0) {
        out->serial_len = size;
    }
    out->key_algorithm = key_name(gnutls_x509_crt_get_pk_algorithm(leaf, &bits));
    out->key_bits = key_bits(leaf, bits);
    out->signature_algorithm =
        gnutls_sign_get_name((gnutls_sign_algorithm_t)gnutls_x509_crt_get_signature_algorithm(leaf));
    out->self_signed = cert_is_self_signed(leaf);
    out->must_staple = must_staple(leaf);
    out->sct_count = count_scts(leaf);
    describe_names(leaf, in, out, arena);
}

bool cert_describe_anew(const struct cert_input *in, const struct tls_env *env, struct certificate *out,
                        struct period *period, struct arena *arena)
{
    struct parsed_chain chain = {.cache = in->cache, .period = period};
    size_t room = 0;

    *out = (struct certificate){.seen = true};
    out->chain_sent = in->count;
    for (unsigned i = 0; i < in->count && i < LIMIT_CHAIN; i++) {
        gnutls_x509_crt_t cert;
        if (gnutls_x509_crt_init(&cert) < 0) {
            arena->failed = true;
            break;
        }
        int r = in->chain[i].size <= LIMIT_CERTIFICATE_BYTES
                    ? gnutls_x509_crt_import(cert, &in->chain[i], GNUTLS_X509_FMT_DER)
                    : GNUTLS_E_LARGE_PACKET;
        if (r < 0) {
            gnutls_x509_crt_deinit(cert);
            arena->failed |= r == GNUTLS_E_MEMORY_ERROR;
            out->chain_errors |= 1u << CHAIN_OTHER;
            if (i == 0) {
                break;
            }
            continue;
        }
        chain.certs[chain.count++] = cert;
        struct chain_link *links =
            arena_grow(arena, out->chain, sizeof *links, out->chain_count, out->chain_count + 1, &room);
        if (!links) {
            break;
        }
        out->chain = links;
        describe_link(cert, &in->chain[i], &links[out->chain_count++], &out->name_cut, arena);
    }
    if (chain.count > 0 && !arena->failed) {
        describe_leaf(chain.certs[0], in, out, arena);
        chain_judge(&chain, env, in->now, out, arena);
        out->ocsp_stapling = staple_judge(&in->staple, chain.certs[0], chain.issuer, in->now);
        if (out->ocsp_stapling == OCSP_REVOKED) {
            out->chain_errors |= 1u << CHAIN_REVOKED;
            out->leaf_errors |= 1u << CHAIN_REVOKED;
        }
    }
    for (unsigned i = 0; i < chain.count; i++) {
        gnutls_x509_crt_deinit(chain.certs[i]);
    }
    return !arena->failed;
}

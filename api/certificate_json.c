#include "api/certificate_json.h"

#define SECONDS_PER_DAY 86400

#define BIT(error) (1u << CHAIN_##error)

static json_t *tls_json(struct json_out *o, const struct tls_facts *tls)
{
    if (!tls->completed) {
        return json_null();
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "version", json_out_own(o, tls->version));
    json_out_put(o, t, "version_weak", json_out_bool(tls->version_weak));
    json_out_put(o, t, "cipher_suite", json_out_own(o, tls->cipher_suite));
    json_out_put(o, t, "cipher_weak", json_out_bool(tls->cipher_class != CIPHER_STRONG));
    json_out_put(o, t, "key_exchange", json_out_own(o, tls->key_exchange));
    json_out_put(o, t, "forward_secrecy", json_out_bool(tls->forward_secrecy));
    json_out_put(o, t, "alpn", json_out_text(o, tls->alpn));
    json_out_put(o, t, "versions_accepted", json_out_array(o));
    return t;
}

static void tls_key(struct piece_cache *c, const struct tls_facts *tls)
{
    piece_cache_key(c, PIECE_TLS);
    piece_cache_number(c, tls->completed << 2 | tls->version_weak << 1 | tls->forward_secrecy);
    piece_cache_number(c, tls->cipher_class);
    piece_cache_own(c, tls->version);
    piece_cache_own(c, tls->cipher_suite);
    piece_cache_own(c, tls->key_exchange);
    piece_cache_text(c, tls->alpn);
}

void tls_piece(struct json_out *o, const struct tls_facts *tls)
{
    if (o->pieces != NULL) {
        tls_key(o->pieces, tls);
    }
    if (json_out_recall(o)) {
        return;
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "tls", tls_json(o, tls));
    json_out_inside_kept(o, t);
}

static json_t *sans(struct json_out *o, const struct certificate *c)
{
    json_t *array = json_out_array(o);
    for (size_t i = 0; i < c->san_count; i++) {
        json_t *san = json_out_object(o);
        json_out_put(o, san, "type", json_out_own(o, san_type_name(c->sans[i].type)));
        json_out_put(o, san, "value", json_out_text(o, c->sans[i].value));
        json_out_append(o, array, san);
    }
    return array;
}

static json_t *chain(struct json_out *o, const struct certificate *c)
{
    json_t *array = json_out_array(o);
    for (size_t i = 0; i < c->chain_count; i++) {
        const struct chain_link *link = &c->chain[i];
        json_t *one = json_out_object(o);
        json_out_put(o, one, "subject", json_out_text(o, link->subject));
        json_out_put(o, one, "issuer", json_out_text(o, link->issuer));
        json_out_put(o, one, "not_before", json_out_time(o, link->not_before));
        json_out_put(o, one, "not_after", json_out_time(o, link->not_after));
        json_out_put(o, one, "fingerprint_sha256", json_out_hex(o, link->sha256, sizeof link->sha256, ':'));
        json_out_append(o, array, one);
    }
    return array;
}

static json_t *chain_errors(struct json_out *o, unsigned errors)
{
    json_t *array = json_out_array(o);
    for (unsigned e = 0; e < CHAIN_ERROR_COUNT; e++) {
        if (errors & 1u << e) {
            json_out_append(o, array, json_out_own(o, chain_error_name((enum chain_error)e)));
        }
    }
    return array;
}

/* Whole days, rounded down also before zero. */
static int64_t days(int64_t seconds)
{
    return seconds / SECONDS_PER_DAY - (seconds % SECONDS_PER_DAY < 0);
}

static json_t *certificate_json(struct json_out *o, const struct certificate *c, int64_t days_left)
{
    if (!c->seen) {
        return json_null();
    }
    /* Nothing can be vouched for in a leaf that cannot be read. */
    unsigned errors = c->chain_errors | (c->parsed ? 0 : BIT(OTHER));
    const struct chain_link *leaf = c->parsed && c->chain_count > 0 ? &c->chain[0] : NULL;
    json_t *t = json_out_object(o);
    json_out_put(o, t, "subject", leaf != NULL ? json_out_text(o, leaf->subject) : json_null());
    json_out_put(o, t, "issuer", leaf != NULL ? json_out_text(o, leaf->issuer) : json_null());
    json_out_put(o, t, "sans", sans(o, c));
    json_out_put(o, t, "serial_number", json_out_hex(o, c->serial, c->serial_len, '\0'));
    json_out_put(o, t, "not_before", leaf != NULL ? json_out_time(o, leaf->not_before) : json_null());
    json_out_put(o, t, "not_after", leaf != NULL ? json_out_time(o, leaf->not_after) : json_null());
    json_out_put(o, t, "days_remaining", leaf != NULL ? json_out_integer(o, days_left) : json_null());
    json_out_put(o, t, "expired", json_out_bool(c->leaf_errors & BIT(EXPIRED)));
    json_out_put(o, t, "not_yet_valid", json_out_bool(c->leaf_errors & BIT(NOT_YET_VALID)));
    json_out_put(o, t, "self_signed", json_out_bool(c->self_signed));
    json_out_put(o, t, "hostname_match", json_out_bool(c->hostname_match));
    json_out_put(o, t, "chain_valid", json_out_bool((errors & ~BIT(WRONG_ORDER)) == 0));
    json_out_put(o, t, "chain_errors", chain_errors(o, errors));
    json_out_put(o, t, "key_algorithm", json_out_own(o, c->key_algorithm));
    json_out_put(o, t, "key_bits", leaf != NULL ? json_out_integer(o, c->key_bits) : json_null());
    json_out_put(o, t, "signature_algorithm", json_out_own(o, c->signature_algorithm));
    json_out_put(o, t, "fingerprint_sha256",
                 c->chain_count > 0 ? json_out_hex(o, c->chain[0].sha256, sizeof c->chain[0].sha256, ':')
                                    : json_null());
    json_out_put(o, t, "must_staple", json_out_bool(c->must_staple));
    json_out_put(o, t, "ocsp_stapling", json_out_own(o, ocsp_stapling_name(c->ocsp_stapling)));
    json_out_put(o, t, "sct_count", json_out_integer(o, (int64_t)c->sct_count));
    json_out_put(o, t, "chain", chain(o, c));
    return t;
}

static void certificate_key(struct piece_cache *k, const struct certificate *c, int64_t days_left)
{
    piece_cache_key(k, PIECE_CERTIFICATE);
    piece_cache_number(k, c->seen << 4 | c->parsed << 3 | c->self_signed << 2 | c->hostname_match << 1 |
                              c->must_staple);
    piece_cache_number(k, days_left);
    piece_cache_number(k, (int64_t)c->chain_errors << 32 | c->leaf_errors);
    piece_cache_number(k, (int64_t)c->ocsp_stapling << 32 | c->key_bits);
    piece_cache_number(k, (int64_t)c->sct_count);
    piece_cache_bytes(k, c->serial, c->serial_len);
    piece_cache_own(k, c->key_algorithm);
    piece_cache_own(k, c->signature_algorithm);
    piece_cache_number(k, (int64_t)c->san_count);
    for (size_t i = 0; i < c->san_count; i++) {
        piece_cache_number(k, c->sans[i].type);
        piece_cache_text(k, c->sans[i].value);
    }
    for (size_t i = 0; i < c->chain_count; i++) {
        piece_cache_text(k, c->chain[i].subject);
        piece_cache_text(k, c->chain[i].issuer);
        piece_cache_number(k, c->chain[i].not_before);
        piece_cache_number(k, c->chain[i].not_after);
        piece_cache_bytes(k, c->chain[i].sha256, sizeof c->chain[i].sha256);
    }
}

void certificate_piece(struct json_out *o, const struct certificate *c, int64_t now)
{
    int64_t days_left = c->chain_count > 0 ? days(c->chain[0].not_after - now) : 0;
    if (o->pieces != NULL) {
        certificate_key(o->pieces, c, days_left);
    }
    if (json_out_recall(o)) {
        return;
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "certificate", certificate_json(o, c, days_left));
    json_out_inside_kept(o, t);
}

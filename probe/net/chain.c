#include <string.h>

#include "probe/base/memory.h"
#include "probe/net/chain_path.h"

/* In search of a path; certificates that share one name could ask for many more. */
#define MAX_SIGNATURE_CHECKS (2u * LIMIT_CHAIN)

/* RFC 9325 section 4.5 */
#define MIN_RSA_BITS 2048u
#define MIN_CURVE_BITS 224u

static bool link_verifies(gnutls_x509_crt_t cert, gnutls_x509_crt_t issuer)
{
    unsigned status = 0;
    return !cert_key_is_costly(issuer) &&
           gnutls_x509_crt_verify(cert, &issuer, 1,
                                  SIGNATURE_ONLY | GNUTLS_VERIFY_DISABLE_CA_SIGN |
                                      GNUTLS_VERIFY_DO_NOT_ALLOW_SAME,
                                  &status) == 0 &&
           (status & GNUTLS_CERT_SIGNATURE_FAILURE) == 0;
}

/* The issuer among the certificates sent: one whose key fits if there is one, else one of the right name.
 * Of one that is alone with its name the signature is checked later, with the path. */
static int find_sent_issuer(const struct parsed_chain *chain, gnutls_x509_crt_t cert, unsigned used,
                            unsigned *checks)
{
    unsigned named[LIMIT_CHAIN], count = 0;
    for (unsigned i = 1; i < chain->count; i++) {
        if (!(used & 1u << i) && cert_names_issuer(cert, chain->certs[i])) {
            named[count++] = i;
        }
    }
    for (unsigned k = 0; count > 1 && k < count; k++) {
        if (*checks == 0) {
            break;
        }
        (*checks)--;
        if (link_verifies(cert, chain->certs[named[k]])) {
            return (int)named[k];
        }
    }
    return count > 0 ? (int)named[0] : -1;
}

/* From the leaf upwards; the shortest way to a root of ours wins over what else was sent. */
static void build_path(const struct parsed_chain *chain, const struct tls_env *env, struct path *path)
{
    unsigned used = 1, checks = MAX_SIGNATURE_CHECKS;
    path->certs[0] = chain->certs[0];
    path->count = 1;
    for (;;) {
        gnutls_x509_crt_t last = path->certs[path->count - 1];
        gnutls_x509_crt_t root = NULL;
        if (gnutls_x509_trust_list_get_issuer(env->trust, last, &root, 0) == 0) {
            path->anchor = root;
            return;
        }
        int next = find_sent_issuer(chain, last, used, &checks);
        if (next < 0 || path->count == LIMIT_CHAIN) {
            return;
        }
        used |= 1u << next;
        path->sent_at[path->count] = (unsigned)next;
        path->certs[path->count++] = chain->certs[next];
    }
}

static void judge_time(gnutls_x509_crt_t cert, bool leaf, int64_t now, struct certificate *out,
                       struct period *period, struct arena *arena)
{
    int64_t not_before = gnutls_x509_crt_get_activation_time(cert);
    int64_t not_after = gnutls_x509_crt_get_expiration_time(cert);
    unsigned errors = 0;
    if (not_after < now) {
        errors |= 1u << CHAIN_EXPIRED;
    }
    if (not_before > now) {
        errors |= 1u << CHAIN_NOT_YET_VALID;
    }
    period_split_validity(period, not_before, not_after, now);
    out->chain_errors |= errors;
    if (leaf) {
        out->leaf_errors |= errors;
    } else if (errors && !out->bad_ca.data) {
        out->bad_ca = cert_subject(cert, arena, &out->name_cut);
    }
}

static const char *shown_subject(gnutls_x509_crt_t cert, struct certificate *out, struct arena *arena)
{
    struct text subject = cert_subject(cert, arena, &out->name_cut);
    const char *shown = subject.data ? text_show(arena, subject, LIMIT_QUOTED_CHARS, NULL) : NULL;
    return shown ? shown : "";
}

/* RFC 9325 section 4.5; a root's signature upon itself proves nothing and is left aside. */
static void judge_strength(gnutls_x509_crt_t cert, bool leaf, bool root, struct certificate *out,
                           struct arena *arena)
{
    unsigned bits = 0, errors = 0;
    int key = gnutls_x509_crt_get_pk_algorithm(cert, &bits);
    gnutls_sign_algorithm_t sign = (gnutls_sign_algorithm_t)gnutls_x509_crt_get_signature_algorithm(cert);
    gnutls_digest_algorithm_t digest = gnutls_sign_get_hash_algorithm(sign);

    if ((key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS || key == GNUTLS_PK_DSA) && bits < MIN_RSA_BITS) {
        errors |= 1u << CHAIN_WEAK_KEY;
    }
    if (key == GNUTLS_PK_ECDSA && bits < MIN_CURVE_BITS) {
        errors |= 1u << CHAIN_WEAK_KEY;
    }
    if (!root && (digest == GNUTLS_DIG_MD2 || digest == GNUTLS_DIG_MD5 || digest == GNUTLS_DIG_SHA1)) {
        errors |= 1u << CHAIN_WEAK_SIGNATURE;
    }
    out->chain_errors |= errors;
    if (leaf) {
        out->leaf_errors |= errors;
    }
    if ((errors & 1u << CHAIN_WEAK_KEY) && !out->weak_key.data) {
        out->weak_key =
            text_of(arena_printf(arena, "%s has %s %s key of %u bits", shown_subject(cert, out, arena),
                                 key == GNUTLS_PK_RSA || key == GNUTLS_PK_RSA_PSS ? "an" : "a",
                                 gnutls_pk_get_name((gnutls_pk_algorithm_t)key), bits));
    }
    if ((errors & 1u << CHAIN_WEAK_SIGNATURE) && !out->weak_signature.data) {
        const char *name = gnutls_sign_get_name(sign);
        out->weak_signature =
            text_of(arena_printf(arena, "%s is signed with %s", shown_subject(cert, out, arena),
                                 name ? name : "an unknown algorithm"));
    }
}

/* Signatures, basic constraints, name constraints and path length along a path that ends in a root. */
static unsigned verify_anchored(struct path *path, const struct parsed_chain *chain,
                                const struct tls_env *env, const struct certificate *out, struct arena *arena)
{
    static const struct {
        unsigned status;
        enum chain_error error;
    } map[] = {
        {GNUTLS_CERT_SIGNATURE_FAILURE, CHAIN_BAD_SIGNATURE},
        {GNUTLS_CERT_SIGNER_NOT_FOUND, CHAIN_UNKNOWN_ISSUER},
        {GNUTLS_CERT_SIGNER_NOT_CA, CHAIN_CONSTRAINT_VIOLATION},
        {GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, CHAIN_CONSTRAINT_VIOLATION},
        {GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, CHAIN_OTHER},
        {GNUTLS_CERT_REVOKED, CHAIN_REVOKED},
    };
    unsigned status = 0, errors = 0;
    unsigned long failures = memory_failures();
    uint8_t key[CHAIN_KEY_BYTES];

    for (unsigned i = 1; i < path->count; i++) {
        if (cert_key_is_costly(path->certs[i])) {
            return 1u << CHAIN_OTHER;
        }
    }
    bool keyed = issuers_key(path, chain, out, env, key);
    if (keyed && issuers_vouch(path, chain, key)) {
        return 0;
    }
    int r = gnutls_x509_trust_list_verify_crt2(env->trust, path->certs, path->count, NULL, 0, SIGNATURE_ONLY,
                                               &status, NULL);
    if (r < 0) {
        arena->failed |= r == GNUTLS_E_MEMORY_ERROR;
        return 1u << CHAIN_OTHER;
    }
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        if (status & map[i].status) {
            errors |= 1u << map[i].error;
        }
    }
    if (keyed && status == 0 && memory_failures() == failures) {
        issuers_remember(path, chain, env, key);
    }
    return status != 0 && errors == 0 ? 1u << CHAIN_OTHER : errors;
}

/* Whether a root was sent that is none of ours: even the missing link would not lead to trust. */
static bool strange_root_sent(const struct parsed_chain *chain, const struct tls_env *env)
{
    for (unsigned i = 1; i < chain->count; i++) {
        gnutls_x509_crt_t root = NULL;
        if (cert_names_issuer(chain->certs[i], chain->certs[i]) &&
            gnutls_x509_trust_list_get_issuer(env->trust, chain->certs[i], &root, 0) != 0) {
            return true;
        }
    }
    return false;
}

/* A path without a root: which certificate is missing, and whether those there belong together. */
static unsigned verify_loose(const struct path *path, const struct parsed_chain *chain,
                             const struct tls_env *env, struct certificate *out, struct arena *arena)
{
    gnutls_x509_crt_t last = path->certs[path->count - 1];
    unsigned errors = 0;
    for (unsigned i = 0; i + 1 < path->count; i++) {
        if (!link_verifies(path->certs[i], path->certs[i + 1])) {
            errors |= 1u << CHAIN_BAD_SIGNATURE;
        }
    }
    if (path->count == 1 && out->self_signed) {
        return errors | 1u << CHAIN_SELF_SIGNED;
    }
    out->missing_issuer = cert_issuer(last, arena, &out->name_cut);
    if (path->count > 1) {
        return errors | 1u << CHAIN_UNKNOWN_ISSUER;
    }
    if (strange_root_sent(chain, env)) {
        errors |= 1u << CHAIN_UNKNOWN_ISSUER;
    }
    return errors | 1u << CHAIN_MISSING_INTERMEDIATE;
}

static bool is_on_path(const struct path *path, unsigned at)
{
    for (unsigned k = 0; k < path->count; k++) {
        if (path->sent_at[k] == at) {
            return true;
        }
    }
    return false;
}

static bool is_sent_again(const struct path *path, unsigned at, const struct certificate *out)
{
    const uint8_t *own = out->chain[at].sha256;
    for (unsigned k = 0; k < path->count; k++) {
        if (memcmp(own, out->chain[path->sent_at[k]].sha256, sizeof out->chain[at].sha256) == 0) {
            return true;
        }
    }
    return false;
}

/* What was sent for nothing. Where the path has a gap nobody can know which CAs will be needed above it. */
static size_t count_surplus(const struct parsed_chain *chain, const struct path *path,
                            const struct certificate *out)
{
    size_t surplus = 0;
    if (path->anchor) {
        return out->chain_sent - path->count;
    }
    for (unsigned i = 1; i < chain->count; i++) {
        if (!is_on_path(path, i) &&
            (is_sent_again(path, i, out) ||
             gnutls_x509_crt_get_basic_constraints(chain->certs[i], NULL, NULL, NULL) <= 0)) {
            surplus++;
        }
    }
    return surplus;
}

/* Whether all of the path may vouch for a TLS server (RFC 5280 section 4.2.1.12). Of a path without a root
 * only the leaf counts: the CAs may not be those that clients will use. */
static void judge_purpose(const struct path *path, struct certificate *out, struct arena *arena)
{
    if (!cert_is_for_servers(path->certs[0])) {
        out->chain_errors |= 1u << CHAIN_WRONG_PURPOSE;
        out->leaf_errors |= 1u << CHAIN_WRONG_PURPOSE;
    }
    for (unsigned i = 1; i < path->count && !out->wrong_purpose.data; i++) {
        if (!cert_is_for_servers(path->certs[i])) {
            out->wrong_purpose = cert_subject(path->certs[i], arena, &out->name_cut);
            out->chain_errors |= path->anchor ? 1u << CHAIN_WRONG_PURPOSE : 0;
        }
    }
}

bool chain_judge(struct parsed_chain *chain, const struct tls_env *env, int64_t now, struct certificate *out,
                 struct arena *arena)
{
    struct path path = {.count = 0};
    build_path(chain, env, &path);

    bool leaf_is_anchor = path.anchor && gnutls_x509_crt_equals(path.anchor, path.certs[path.count - 1]);
    for (unsigned i = 0; i < path.count; i++) {
        bool top = i > 0 && i + 1 == path.count && cert_names_issuer(path.certs[i], path.certs[i]);
        judge_time(path.certs[i], i == 0, now, out, chain->period, arena);
        judge_strength(path.certs[i], i == 0, top, out, arena);
        if (path.sent_at[i] != i) {
            out->chain_errors |= 1u << CHAIN_WRONG_ORDER;
        }
    }
    if (path.anchor && !leaf_is_anchor) {
        judge_time(path.anchor, false, now, out, chain->period, arena);
        judge_strength(path.anchor, false, true, out, arena);
    }
    judge_purpose(&path, out, arena);
    if (path.anchor) {
        out->chain_errors |= verify_anchored(&path, chain, env, out, arena);
    } else {
        out->chain_errors |= verify_loose(&path, chain, env, out, arena);
        out->issuer_url = cert_issuer_url(path.certs[path.count - 1], arena);
    }
    chain->issuer = path.count > 1 ? path.certs[1] : path.anchor;
    out->surplus = count_surplus(chain, &path, out);
    return !arena->failed;
}

#include "probe/net/tls_env.h"

#include <stdio.h>
#include <stdlib.h>

#include "probe/base/memory.h"
#include "probe/net/tls.h"

/* In the order of mail clients (AES-128-GCM first, as Thunderbird): authenticated encryption
 * before CBC, forward secrecy before static RSA, so that a server which follows its client picks for us what
 * it picks for them. What no server should use (TLS 1.0 and 1.1, 3DES, RC4, DSS, anonymous key exchange)
 * comes last of its kind and is seen only where there is nothing better. The NULL cipher cannot be offered:
 * the library then drops TLS 1.3. The profile lets short primes and keys through, to be told. */
#define PRIORITY                                                                                             \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1:+VERS-TLS1.0"                                   \
    ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:+DHE-RSA:+RSA:+DHE-DSS:+ANON-ECDH:+ANON-DH"                            \
    ":-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:+AES-256-CCM:+AES-128-CCM:+AES-256-CBC:+AES-" \
    "128-CBC"                                                                                                \
    ":+3DES-CBC:+ARCFOUR-128:-MAC-ALL:+AEAD:+SHA384:+SHA256:+SHA1"                                           \
    ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448"               \
    ":+GROUP-FFDHE2048:+GROUP-FFDHE3072:+GROUP-FFDHE4096:+SIGN-DSA-SHA256:+SIGN-DSA-SHA1:%PROFILE_VERY_WEAK"

static bool load_trust(struct tls_env *env, const char *trust_file, char *why, size_t why_size)
{
    if (gnutls_x509_trust_list_init(&env->trust, 0) < 0) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    int n = trust_file ? gnutls_x509_trust_list_add_trust_file(env->trust, trust_file, NULL,
                                                               GNUTLS_X509_FMT_PEM, 0, 0)
                       : gnutls_x509_trust_list_add_system_trust(env->trust, 0, 0);
    if (n <= 0) {
        snprintf(why, why_size, "no trusted root in %s%s%s",
                 trust_file ? trust_file
                            : "the system's trust store (is the package ca-certificates installed?)",
                 n < 0 ? ": " : "", n < 0 ? gnutls_strerror(n) : "");
        return false;
    }
    env->roots = (size_t)n;
    trust_survey(env);
    return true;
}

struct tls_env *tls_env_create(const char *trust_file, char *why, size_t why_size)
{
    struct tls_env *env = calloc(1, sizeof *env);
    int r = env ? 0 : GNUTLS_E_MEMORY_ERROR;
    memory_guard_enter();
    if (r == 0) {
        r = gnutls_priority_init(&env->priority, PRIORITY, NULL);
    }
    if (r == 0) {
        r = gnutls_certificate_allocate_credentials(&env->credentials);
    }
    if (r == 0) {
        r = gnutls_anon_allocate_client_credentials(&env->anonymous);
    }
    if (r < 0) {
        snprintf(why, why_size, "TLS cannot be set up: %s", gnutls_strerror(r));
    }
    if (env) {
        atomic_init(&env->references, 1);
    }
    bool loaded = r == 0 && load_trust(env, trust_file, why, why_size);
    if (!memory_guard_leave()) {
        snprintf(why, why_size, "out of memory");
        loaded = false;
    }
    if (!loaded) {
        tls_env_release(&env);
    }
    return env;
}

struct tls_env *tls_env_hold(struct tls_env *env)
{
    atomic_fetch_add(&env->references, 1);
    return env;
}

void tls_env_release(struct tls_env **env)
{
    struct tls_env *e = *env;
    *env = NULL;
    if (!e || atomic_fetch_sub(&e->references, 1) > 1) {
        return;
    }
    if (e->anonymous) {
        gnutls_anon_free_client_credentials(e->anonymous);
    }
    if (e->trust) {
        gnutls_x509_trust_list_deinit(e->trust, 1);
    }
    if (e->credentials) {
        gnutls_certificate_free_credentials(e->credentials);
    }
    if (e->priority) {
        gnutls_priority_deinit(e->priority);
    }
    free(e->validities);
    free(e);
}

size_t tls_env_roots(const struct tls_env *env)
{
    return env->roots;
}

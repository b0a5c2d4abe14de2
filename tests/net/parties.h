/* parties.h: authorities and leaves made with the library, sent as chains to cert_describe() with a memory
 * and without. What a test uses lies in globals that set_up() fills anew. */
#ifndef TESTS_NET_PARTIES_H
#define TESTS_NET_PARTIES_H

#include <gnutls/x509.h>

#include "probe/base/arena.h"
#include "probe/base/limits.h"
#include "probe/net/cert.h"
#include "probe/net/chain_cache.h"
#include "probe/net/tls.h"

#define NOW INT64_C(1795600000)
#define YEAR INT64_C(31536000)
#define HOST "leaf.test"
#define TLS_FEATURE "1.3.6.1.5.5.7.1.24"
#define STATUS_REQUEST "\x30\x03\x02\x01\x05"

/* An authority or a leaf: its certificate, and the key it signs with. */
struct party {
    gnutls_x509_crt_t cert;
    gnutls_x509_privkey_t key;
};

extern gnutls_x509_privkey_t keys[4];
extern struct party root;         /* "CN=Root", trusted, with keys[0] */
extern struct tls_env *env;       /* trusts it alone */
extern struct chain_cache *cache; /* empty */
extern struct arena arena;

int start(void **state);
int end(void **state);
int set_up(void **state);
int tear_down(void **state);

/* A cache that has seen nothing. */
void forget_all(void);

/* What a certificate is to be; it is good for HOST unless it is a CA's. */
struct made {
    const char *subject;
    gnutls_x509_privkey_t key;
    const struct party *issuer; /* NULL: itself */
    int64_t not_before, not_after;
    bool ca;
    const char *san;                /* NULL: HOST */
    const char *key_id, *issuer_id; /* key identifiers of one octet; NULL: none */
    int path_length;                /* 0: none; else one more than it */
    const char *oid;                /* an extension besides */
    const void *extension;
    size_t extension_size;
};

struct party make(struct made m);
void drop(struct party *parties, size_t count);
struct tls_env *trusting(const struct party *roots, size_t count);

/* What a server sends, to whom, and when. */
struct asked {
    const struct party *sent[4]; /* leaf first */
    const char *host;            /* NULL: HOST */
    int64_t now;                 /* 0: NOW */
    const char *staple;
    const struct tls_env *env; /* NULL: the usual */
};

struct certificate describe(const struct asked *a, struct chain_cache *with);

/* Asserts the same with the cache, without one, and with one that keeps nothing. Returns the chain's errors.
 */
unsigned check(struct asked a);

void assert_uses(uint64_t verified, uint64_t below_known, uint64_t recalled);

#endif

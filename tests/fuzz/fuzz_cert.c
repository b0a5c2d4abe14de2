/* fuzz_cert.c: any bytes as the certificates and the OCSP response of a server.
 *
 * Input: one byte (host, time), then records of a kind byte ('c' certificate, 'o' OCSP response), a length of
 * two bytes and the DER. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/net/cert.h"
#include "probe/net/chain_cache.h"
#include "probe/net/tls.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inside, before and after the validity of the seeds. */
static const int64_t times[] = {1795600000, 1000000000, 4000000000, 1803500000};

static struct tls_env *env;
static struct chain_cache *cache;

static void start(void)
{
    char why[256];
    if (!env) {
        env = tls_env_create(FUZZ_ROOT, why, sizeof why);
        if (!env) {
            fprintf(stderr, "%s\n", why);
            abort();
        }
        cache = chain_cache_create(64, (size_t)1 << 20);
        if (!cache) {
            abort();
        }
    }
}

static void check(const struct certificate *c)
{
    assert(c->seen);
    assert(c->chain_count <= LIMIT_CHAIN && c->chain_count <= c->chain_sent);
    assert(c->san_count <= LIMIT_SANS_SHOWN && c->san_count <= c->san_total);
    assert(c->parsed == (c->chain_count > 0));
    assert(!(c->hostname_match && c->common_name_match));
    assert((c->leaf_errors & ~c->chain_errors) == 0);
    assert(c->serial_len <= sizeof c->serial);
    /* A leaf that is its own root is never missing an issuer. */
    assert(!((c->chain_errors & 1u << CHAIN_SELF_SIGNED) &&
             (c->chain_errors & 1u << CHAIN_MISSING_INTERMEDIATE)));
    for (size_t i = 0; i < c->chain_count; i++) {
        assert(c->chain[i].subject.data && c->chain[i].issuer.data);
    }
}

/* The same, be the verdict new, from known issuers or from memory. */
static void check_remembered(struct cert_input in, const struct certificate *c, struct arena *arena)
{
    in.cache = cache;
    for (unsigned i = 0; i < 2; i++) {
        struct certificate again;
        if (cert_describe(&in, env, &again, arena)) {
            assert(again.chain_errors == c->chain_errors && again.leaf_errors == c->leaf_errors);
            assert(again.chain_count == c->chain_count && again.san_count == c->san_count);
            assert(again.hostname_match == c->hostname_match && again.ocsp_stapling == c->ocsp_stapling);
            check(&again);
        }
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = {"good.test", "192.0.2.1", "www.wild.test", "2001:db8::1"};
    gnutls_datum_t chain[LIMIT_CHAIN + 4];
    struct cert_input in = {.chain = chain};
    struct certificate certificate;
    struct arena arena;
    struct ip ip = {.family = 0};

    start();
    if (size == 0) {
        return 0;
    }
    in.host = hosts[data[0] & 3];
    (void)ip_parse(&ip, in.host);
    in.host_ip = &ip;
    in.now = times[data[0] >> 2 & 3];
    data++;
    size--;
    while (size >= 3) {
        size_t len = (size_t)data[1] << 8 | data[2];
        len = len < size - 3 ? len : size - 3;
        gnutls_datum_t der = {(unsigned char *)(uintptr_t)data + 3, (unsigned)len};
        if (data[0] == 'o') {
            in.staple = der;
        } else if (in.count < sizeof chain / sizeof chain[0]) {
            chain[in.count++] = der;
        }
        data += 3 + len;
        size -= 3 + len;
    }
    if (in.count == 0) {
        return 0;
    }
    (void)cert_key_halts_handshake(&chain[0]);
    arena_init(&arena, LIMIT_REPORT_BYTES);
    if (cert_describe(&in, env, &certificate, &arena)) {
        check(&certificate);
        check_remembered(in, &certificate, &arena);
    }
    arena_deinit(&arena);
    return 0;
}

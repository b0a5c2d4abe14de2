/* chains.c: the certificates of the benchmark.
 *
 *   chains FOLDER KIND HOSTS ADDRESS...
 *
 * KIND is ecdsa (P-256) or rsa (2048 bits). Makes a chain leaf <- intermediate <- root in FOLDER: root.pem,
 * chain.pem (leaf and intermediate) and key.pem for mail.KIND.bench.test and the addresses, intermediate.pem,
 * and N.pem (key and leaf) for each of the names h0.KIND.bench.test up to HOSTS below the same intermediate.
 * A key of RSA takes long to make, so those names share one. */
#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_S 86400
#define RSA_BITS 2048
#define PATH_BYTES 4096
#define PEM_BYTES 8192

struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
};

static const char *folder, *kind;
static unsigned serial;

/* There is nothing to go on with. */
static void must(int status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "chains: %s: %s\n", what, gnutls_strerror(status));
        exit(1);
    }
}

static void make_key(gnutls_x509_privkey_t *key)
{
    bool ec = strcmp(kind, "ecdsa") == 0;
    must(gnutls_x509_privkey_init(key), "key");
    must(gnutls_x509_privkey_generate(*key, ec ? GNUTLS_PK_ECDSA : GNUTLS_PK_RSA,
                                      ec ? GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1) : RSA_BITS, 0),
         "key");
}

/* A certificate for a key, without what tells an authority from a server. `days` is how long it lasts. */
static void begin(struct pair *p, const char *name, int days)
{
    unsigned char number[4], id[64];
    size_t id_len = sizeof id;
    char dn[256];
    uint32_t next = htonl(++serial);
    memcpy(number, &next, sizeof number);
    number[0] |= 0x40;
    snprintf(dn, sizeof dn, "CN=%s,O=Bench %s", name, kind);
    must(gnutls_x509_crt_init(&p->crt), "certificate");
    must(gnutls_x509_crt_set_version(p->crt, 3), "version");
    must(gnutls_x509_crt_set_serial(p->crt, number, sizeof number), "serial number");
    must(gnutls_x509_crt_set_dn(p->crt, dn, NULL), "subject");
    must(gnutls_x509_crt_set_activation_time(p->crt, time(NULL) - DAY_S), "start");
    must(gnutls_x509_crt_set_expiration_time(p->crt, time(NULL) + (time_t)days * DAY_S), "end");
    must(gnutls_x509_crt_set_key(p->crt, p->key), "key");
    must(gnutls_x509_crt_get_key_id(p->crt, GNUTLS_KEYID_USE_SHA1, id, &id_len), "key identifier");
    must(gnutls_x509_crt_set_subject_key_id(p->crt, id, id_len), "key identifier");
}

static void sign(struct pair *p, const struct pair *issuer)
{
    unsigned char id[64];
    size_t id_len = sizeof id;
    must(gnutls_x509_crt_get_key_id(issuer->crt, GNUTLS_KEYID_USE_SHA1, id, &id_len), "issuer");
    must(gnutls_x509_crt_set_authority_key_id(p->crt, id, id_len), "issuer");
    must(gnutls_x509_crt_sign2(p->crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0), "signature");
}

static void make_authority(struct pair *p, const char *name, int path_len, int days,
                           const struct pair *issuer)
{
    make_key(&p->key);
    begin(p, name, days);
    must(gnutls_x509_crt_set_basic_constraints(p->crt, 1, path_len), "basic constraints");
    must(gnutls_x509_crt_set_key_usage(p->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), "key usage");
    sign(p, issuer ? issuer : p);
}

static void make_leaf(struct pair *p, const char *name, char **addresses, const struct pair *issuer)
{
    begin(p, name, 90);
    must(gnutls_x509_crt_set_basic_constraints(p->crt, 0, -1), "basic constraints");
    must(gnutls_x509_crt_set_key_usage(p->crt, GNUTLS_KEY_DIGITAL_SIGNATURE), "key usage");
    must(gnutls_x509_crt_set_key_purpose_oid(p->crt, GNUTLS_KP_TLS_WWW_SERVER, 0), "purpose");
    must(gnutls_x509_crt_set_subject_alt_name(p->crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name),
                                              GNUTLS_FSAN_APPEND),
         "name");
    for (; addresses && *addresses; addresses++) {
        struct in_addr ip;
        must(inet_pton(AF_INET, *addresses, &ip) == 1 ? 0 : GNUTLS_E_INVALID_REQUEST, "address");
        must(gnutls_x509_crt_set_subject_alt_name(p->crt, GNUTLS_SAN_IPADDRESS, &ip, sizeof ip,
                                                  GNUTLS_FSAN_APPEND),
             "address");
    }
    sign(p, issuer);
}

/* Writes the key and then the certificates that are given, each in PEM. */
static void store(const char *file, gnutls_x509_privkey_t key, gnutls_x509_crt_t first,
                  gnutls_x509_crt_t second)
{
    char path[PATH_BYTES], pem[PEM_BYTES];
    gnutls_x509_crt_t crts[] = {first, second};
    size_t len = sizeof pem;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        exit(1);
    }
    if (key) {
        must(gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, pem, &len), "export");
        fwrite(pem, 1, len, out);
    }
    for (size_t i = 0; i < 2; i++) {
        len = sizeof pem;
        if (crts[i]) {
            must(gnutls_x509_crt_export(crts[i], GNUTLS_X509_FMT_PEM, pem, &len), "export");
            fwrite(pem, 1, len, out);
        }
    }
    if (fclose(out) != 0) {
        perror(path);
        exit(1);
    }
}

static void make_hosts(int count, const struct pair *intermediate)
{
    char name[128], file[32];
    struct pair host;
    for (int i = 0; i < count; i++) {
        if (i == 0 || strcmp(kind, "rsa") != 0) {
            make_key(&host.key);
        }
        snprintf(name, sizeof name, "h%d.%s.bench.test", i, kind);
        snprintf(file, sizeof file, "%d.pem", i);
        make_leaf(&host, name, NULL, intermediate);
        store(file, host.key, host.crt, NULL);
        gnutls_x509_crt_deinit(host.crt);
    }
}

int main(int argc, char **argv)
{
    struct pair root, intermediate, leaf;
    char name[128];
    if (argc < 4 || (strcmp(argv[2], "ecdsa") != 0 && strcmp(argv[2], "rsa") != 0)) {
        fputs("usage: chains FOLDER ecdsa|rsa HOSTS ADDRESS...\n", stderr);
        return 2;
    }
    folder = argv[1];
    kind = argv[2];
    make_authority(&root, "Root", -1, 3650, NULL);
    make_authority(&intermediate, "Issuing CA", 0, 1000, &root);
    make_key(&leaf.key);
    snprintf(name, sizeof name, "mail.%s.bench.test", kind);
    make_leaf(&leaf, name, argv + 4, &intermediate);
    store("root.pem", NULL, root.crt, NULL);
    store("intermediate.pem", NULL, intermediate.crt, NULL);
    store("chain.pem", NULL, leaf.crt, intermediate.crt);
    store("key.pem", leaf.key, NULL, NULL);
    make_hosts(atoi(argv[3]), &intermediate);
    return 0;
}

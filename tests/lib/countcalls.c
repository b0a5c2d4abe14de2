/* countcalls.c: preloaded into the service, counts how often it has the TLS library parse or verify
 * certificates. The file named in COUNTCALLS is shared with the test. */
#include <dlfcn.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As tests/lib/countcalls.py reads it. */
struct counts {
    atomic_llong chains;     /* gnutls_x509_trust_list_verify_crt2 */
    atomic_llong signatures; /* gnutls_x509_crt_verify */
    atomic_llong imports;    /* gnutls_x509_crt_import, where the program calls it */
};

static struct counts nowhere, *counts = &nowhere;

static void __attribute__((constructor)) prepare(void)
{
    const char *path = getenv("COUNTCALLS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared =
        fd >= 0 ? mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0) {
        close(fd);
    }
    counts = shared != MAP_FAILED ? shared : &nowhere;
}

/* A pointer to data may not be cast to one to a function. */
static void find(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

int gnutls_x509_trust_list_verify_crt2(gnutls_x509_trust_list_t list, gnutls_x509_crt_t *certs,
                                       unsigned int count, gnutls_typed_vdata_st *data, unsigned int elements,
                                       unsigned int flags, unsigned int *status,
                                       gnutls_verify_output_function func)
{
    __typeof__(&gnutls_x509_trust_list_verify_crt2) next;
    find("gnutls_x509_trust_list_verify_crt2", &next);
    atomic_fetch_add(&counts->chains, 1);
    return next(list, certs, count, data, elements, flags, status, func);
}

int gnutls_x509_crt_verify(gnutls_x509_crt_t cert, const gnutls_x509_crt_t *issuers, unsigned count,
                           unsigned int flags, unsigned int *status)
{
    __typeof__(&gnutls_x509_crt_verify) next;
    find("gnutls_x509_crt_verify", &next);
    atomic_fetch_add(&counts->signatures, 1);
    return next(cert, issuers, count, flags, status);
}

int gnutls_x509_crt_import(gnutls_x509_crt_t cert, const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format)
{
    __typeof__(&gnutls_x509_crt_import) next;
    find("gnutls_x509_crt_import", &next);
    atomic_fetch_add(&counts->imports, 1);
    return next(cert, data, format);
}

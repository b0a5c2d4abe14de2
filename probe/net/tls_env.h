/* tls_env.h: the inside of the environment of tls.h; for the net room only. */
#ifndef NET_TLS_ENV_H
#define NET_TLS_ENV_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

#include "probe/net/period.h"

struct validity {
    int64_t not_before, not_after; /* seconds since 1970 */
};

struct tls_env {
    gnutls_certificate_credentials_t credentials; /* stays empty: chains are checked against `trust` alone */
    gnutls_priority_t priority;
    gnutls_x509_trust_list_t trust;
    gnutls_anon_client_credentials_t anonymous;
    size_t roots;
    atomic_uint references;

    /* What may be remembered of verdicts given with these roots. */
    bool surveyed;               /* false: nothing */
    unsigned char id[16];        /* like no other environment's */
    bool names_shared;           /* two roots have one name: which is taken depends on the time */
    struct validity *validities; /* of all roots */
    size_t validity_count;
};

/* trust.c: looks through the roots and fills in what stands last above. */
void trust_survey(struct tls_env *env);

/* The time around now in which no root begins or ceases to be valid. */
struct period trust_period(const struct tls_env *env, int64_t now);

#endif

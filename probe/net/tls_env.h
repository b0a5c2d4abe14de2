/* tls_env.h: the inside of the environment of tls.h; for the net room only. */
#ifndef NET_TLS_ENV_H
#define NET_TLS_ENV_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

struct tls_env {
    gnutls_certificate_credentials_t credentials; /* stays empty: chains are checked against `trust` alone */
    gnutls_priority_t priority;
    gnutls_x509_trust_list_t trust;
    gnutls_anon_client_credentials_t anonymous;
    size_t roots;
    atomic_uint references;
};

#endif

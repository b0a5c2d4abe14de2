/* tls.h: the client side of TLS over a byte channel that others move: GnuTLS sessions, stepwise and never
 * blocking. It judges nothing: a handshake is carried through whatever the certificate is worth. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/report/report.h"

/* Credentials, offered algorithms and trusted roots: built once, shared by all threads, never changed; new
 * roots are a new environment. Lives until its last holder has released it. */
struct tls_env;

struct chain_cache;

/* `trust_file`: PEM roots, NULL for the system's. NULL with a sentence in `why` where no root could be
 * loaded. */
struct tls_env *tls_env_create(const char *trust_file, char *why, size_t why_size);
struct tls_env *tls_env_hold(struct tls_env *env);
void tls_env_release(struct tls_env **env);
size_t tls_env_roots(const struct tls_env *env);

/* What two environments share exactly when they trust the same roots. False: the library failed. */
#define TLS_ROOTS_DIGEST_SIZE 32
bool tls_env_roots_digest(const struct tls_env *env, uint8_t digest[TLS_ROOTS_DIGEST_SIZE]);

/* How a session reaches the wire: as read(2) and sendmsg(2), errno set, EAGAIN where it would block. */
struct tls_transport {
    ssize_t (*pull)(void *owner, void *data, size_t len);
    ssize_t (*push)(void *owner, const void *iovecs, int count);
};

struct tls {
    void *session; /* NULL: none */
    void *owner;
    const struct tls_transport *transport;
    int io_errno; /* of the last read or write; 0: it went well */
};

enum tls_step { TLS_STEP_DONE, TLS_STEP_READ, TLS_STEP_WRITE, TLS_STEP_FAILED, TLS_STEP_NO_MEMORY };

/* `server_name`: a DNS name for SNI (RFC 6066 section 3), NULL for none. `alpn`: offer "imap". False: out of
 * memory. */
bool tls_open(struct tls *tls, const struct tls_env *env, const char *server_name, bool alpn,
              const struct tls_transport *transport, void *owner);
void tls_close(struct tls *tls);

/* Goes on with the handshake until it is over or would block in the direction named. */
enum tls_step tls_handshake(struct tls *tls, struct failure *failure);

/* Decrypted bytes; *len 0 with TLS_STEP_DONE is the peer's orderly end. */
enum tls_step tls_recv(struct tls *tls, void *data, size_t size, size_t *len, struct failure *failure);

/* Encrypts and sends; *len bytes were taken. */
enum tls_step tls_send(struct tls *tls, const void *data, size_t size, size_t *len, struct failure *failure);

/* Says close_notify, without waiting (RFC 8314 section 3.4). */
void tls_bye(struct tls *tls);

/* Decrypted bytes that wait inside the library, where the socket would not announce them. */
size_t tls_pending(const struct tls *tls);

/* Whether the server asked for a client certificate. */
bool tls_certificate_requested(const struct tls *tls);

/* What was negotiated. False: out of memory. */
bool tls_describe(const struct tls *tls, struct tls_facts *facts, struct arena *arena);

/* What the server's certificates say and what they are worth for `host` at `now` (seconds since 1970);
 * nothing where none came. `cache`: where that may be known from, NULL for none. `host_ip`: family 0 for a
 * name. False: out of memory. */
bool tls_describe_certificate(const struct tls *tls, const struct tls_env *env, struct chain_cache *cache,
                              const char *host, const struct ip *host_ip, int64_t now,
                              struct certificate *certificate, struct arena *arena);

#endif

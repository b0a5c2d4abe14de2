#include "probe/net/tls.h"

#include <ctype.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/memory.h"
#include "probe/net/cert.h"
#include "probe/net/tls_env.h"

/* Warning alerts and the like that a peer may put into one handshake before it counts as an attack. */
#define MAX_WARNINGS 16

static ssize_t on_pull(gnutls_transport_ptr_t p, void *data, size_t len)
{
    struct tls *tls = p;
    ssize_t n = tls->transport->pull(tls->owner, data, len);
    tls->io_errno = n < 0 ? errno : 0;
    if (n < 0) {
        gnutls_transport_set_errno(tls->session, errno);
    }
    return n;
}

static ssize_t on_push(gnutls_transport_ptr_t p, const giovec_t *iov, int count)
{
    struct tls *tls = p;
    ssize_t n = tls->transport->push(tls->owner, iov, count);
    tls->io_errno = n < 0 ? errno : 0;
    if (n < 0) {
        gnutls_transport_set_errno(tls->session, errno);
    }
    return n;
}

/* The server's key is looked at before the library calculates with it: in the proof that the server holds it,
 * or where that is ours to ask for by sending a secret (static RSA). */
static int on_message(gnutls_session_t session, unsigned type, unsigned post, unsigned incoming,
                      const gnutls_datum_t *message)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = NULL;
    (void)post, (void)message;
    if (incoming &&
        (type == GNUTLS_HANDSHAKE_CERTIFICATE_VERIFY || type == GNUTLS_HANDSHAKE_SERVER_KEY_EXCHANGE ||
         type == GNUTLS_HANDSHAKE_SERVER_HELLO_DONE)) {
        chain = gnutls_certificate_get_peers(session, &count);
    }
    return chain && count > 0 && cert_key_halts_handshake(&chain[0]) ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

static bool open_session(struct tls *tls, const struct tls_env *env, const char *server_name, bool alpn,
                         const struct tls_transport *transport, void *owner)
{
    static const gnutls_datum_t imap = {(unsigned char *)"imap", 4};
    gnutls_session_t s = NULL;

    /* One key share and no tickets: full handshakes always, as a mail client's first connection. */
    if (gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS |
                            GNUTLS_KEY_SHARE_TOP) < 0) {
        return false;
    }
    *tls = (struct tls){.session = s, .owner = owner, .transport = transport};
    if (gnutls_priority_set(s, env->priority) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, env->credentials) < 0 ||
        gnutls_credentials_set(s, GNUTLS_CRD_ANON, env->anonymous) < 0 ||
        (server_name && gnutls_server_name_set(s, GNUTLS_NAME_DNS, server_name, strlen(server_name)) < 0) ||
        (alpn && gnutls_alpn_set_protocols(s, &imap, 1, 0) < 0)) {
        return false;
    }
    gnutls_handshake_set_max_packet_length(s, LIMIT_HANDSHAKE_MESSAGE);
    gnutls_handshake_set_hook_function(s, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_PRE, on_message);
    gnutls_transport_set_ptr(s, tls);
    gnutls_transport_set_pull_function(s, on_pull);
    gnutls_transport_set_vec_push_function(s, on_push);
    return true;
}

bool tls_open(struct tls *tls, const struct tls_env *env, const char *server_name, bool alpn,
              const struct tls_transport *transport, void *owner)
{
    memory_guard_enter();
    bool open = open_session(tls, env, server_name, alpn, transport, owner);
    if (!memory_guard_leave() || !open) {
        tls_close(tls);
        return false;
    }
    return true;
}

void tls_close(struct tls *tls)
{
    memory_guard_enter();
    if (tls->session) {
        gnutls_deinit(tls->session);
    }
    tls->session = NULL;
    (void)memory_guard_leave();
}

/* Names of alerts as in RFC 8446 section 6, for those that a peer can send. */
static const char *alert_name(gnutls_alert_description_t alert)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {0, "close_notify"},
        {10, "unexpected_message"},
        {20, "bad_record_mac"},
        {21, "decryption_failed"},
        {22, "record_overflow"},
        {30, "decompression_failure"},
        {40, "handshake_failure"},
        {41, "no_certificate"},
        {42, "bad_certificate"},
        {43, "unsupported_certificate"},
        {44, "certificate_revoked"},
        {45, "certificate_expired"},
        {46, "certificate_unknown"},
        {47, "illegal_parameter"},
        {48, "unknown_ca"},
        {49, "access_denied"},
        {50, "decode_error"},
        {51, "decrypt_error"},
        {60, "export_restriction"},
        {70, "protocol_version"},
        {71, "insufficient_security"},
        {80, "internal_error"},
        {86, "inappropriate_fallback"},
        {90, "user_canceled"},
        {100, "no_renegotiation"},
        {109, "missing_extension"},
        {110, "unsupported_extension"},
        {111, "certificate_unobtainable"},
        {112, "unrecognized_name"},
        {113, "bad_certificate_status_response"},
        {114, "bad_certificate_hash_value"},
        {115, "unknown_psk_identity"},
        {116, "certificate_required"},
        {120, "no_application_protocol"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].code == (int)alert) {
            return names[i].name;
        }
    }
    return "unknown_alert";
}

/* What the channel below found is told by its own name. */
static bool channel_error(int err, struct failure *failure)
{
    static const struct {
        int err;
        enum error_code code;
        const char *raw;
    } map[] = {
        {ECONNRESET, ERROR_CONNECTION_RESET, "ECONNRESET"},
        {EPIPE, ERROR_CONNECTION_RESET, "EPIPE"},
        {ETIMEDOUT, ERROR_READ_TIMEOUT, "ETIMEDOUT"},
        {EHOSTUNREACH, ERROR_HOST_UNREACHABLE, "EHOSTUNREACH"},
        {ENETUNREACH, ERROR_NETWORK_UNREACHABLE, "ENETUNREACH"},
        {EMSGSIZE, ERROR_RESPONSE_TOO_LONG, NULL}, /* our bound on all bytes of a connection */
    };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        if (map[i].err == err) {
            failure->code = map[i].code;
            failure->raw = map[i].raw;
            return true;
        }
    }
    return false;
}

/* The library's code and errno become the contract's words; phase is the caller's matter. */
static enum tls_step fail(struct tls *tls, int code, struct failure *failure)
{
    *failure = (struct failure){.code = ERROR_TLS_HANDSHAKE_FAILED, .phase = PHASE_TLS};
    failure->raw = gnutls_strerror_name(code);
    switch (code) {
    case GNUTLS_E_MEMORY_ERROR:
        return TLS_STEP_NO_MEMORY;
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        failure->alert = alert_name(gnutls_alert_get(tls->session));
        break;
    case GNUTLS_E_PREMATURE_TERMINATION: /* also the library's word for some read errors */
    case GNUTLS_E_SESSION_EOF:
    case GNUTLS_E_PULL_ERROR:
    case GNUTLS_E_PUSH_ERROR:
        if (tls->io_errno == ENOMEM || tls->io_errno == ENOBUFS) {
            return TLS_STEP_NO_MEMORY;
        }
        if (channel_error(tls->io_errno, failure)) {
            break;
        }
        if (code == GNUTLS_E_PREMATURE_TERMINATION || code == GNUTLS_E_SESSION_EOF) {
            failure->code = ERROR_CONNECTION_CLOSED;
        }
        break;
    default:
        break;
    }
    return TLS_STEP_FAILED;
}

static enum tls_step waits(const struct tls *tls)
{
    return gnutls_record_get_direction(tls->session) ? TLS_STEP_WRITE : TLS_STEP_READ;
}

static enum tls_step handshake(struct tls *tls, struct failure *failure)
{
    for (int i = 0; i < MAX_WARNINGS; i++) {
        int r = gnutls_handshake(tls->session);
        if (r == GNUTLS_E_SUCCESS) {
            return TLS_STEP_DONE;
        }
        if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED) {
            return waits(tls);
        }
        if (gnutls_error_is_fatal(r)) {
            return fail(tls, r, failure);
        }
    }
    return fail(tls, GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS, failure);
}

/* The end of a call into the library: what it says for want of memory may be anything. */
static enum tls_step leave(enum tls_step step)
{
    return memory_guard_leave() ? step : TLS_STEP_NO_MEMORY;
}

enum tls_step tls_handshake(struct tls *tls, struct failure *failure)
{
    memory_guard_enter();
    return leave(handshake(tls, failure));
}

static enum tls_step receive(struct tls *tls, void *data, size_t size, size_t *len, struct failure *failure)
{
    *len = 0;
    for (int i = 0; i < MAX_WARNINGS; i++) {
        ssize_t n = gnutls_record_recv(tls->session, data, size);
        if (n >= 0) {
            *len = (size_t)n;
            return TLS_STEP_DONE;
        }
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
            /* A key update answered on the way may want to write; the next send carries it. */
            return TLS_STEP_READ;
        }
        if (gnutls_error_is_fatal((int)n)) {
            return fail(tls, (int)n, failure);
        }
    }
    return fail(tls, GNUTLS_E_TOO_MANY_EMPTY_PACKETS, failure);
}

enum tls_step tls_recv(struct tls *tls, void *data, size_t size, size_t *len, struct failure *failure)
{
    memory_guard_enter();
    return leave(receive(tls, data, size, len, failure));
}

static enum tls_step transmit(struct tls *tls, const void *data, size_t size, size_t *len,
                              struct failure *failure)
{
    ssize_t n = gnutls_record_send(tls->session, data, size);
    *len = n > 0 ? (size_t)n : 0;
    if (n >= 0) {
        return TLS_STEP_DONE;
    }
    if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
        return TLS_STEP_WRITE;
    }
    return fail(tls, (int)n, failure);
}

enum tls_step tls_send(struct tls *tls, const void *data, size_t size, size_t *len, struct failure *failure)
{
    memory_guard_enter();
    return leave(transmit(tls, data, size, len, failure));
}

void tls_bye(struct tls *tls)
{
    memory_guard_enter();
    /* The outcome is of no interest: the channel is closed next, whether or not it could take the alert. */
    (void)gnutls_bye(tls->session, GNUTLS_SHUT_WR);
    (void)memory_guard_leave();
}

size_t tls_pending(const struct tls *tls)
{
    return gnutls_record_check_pending(tls->session);
}

bool tls_certificate_requested(const struct tls *tls)
{
    return gnutls_certificate_client_get_request_status(tls->session) != 0;
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static enum cipher_class classify(const char *suite)
{
    static const char *const broken[] = {"_NULL_", "_anon_", "_ANON_", "EXPORT", "_RC4_", "ARCFOUR", "3DES"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        if (strstr(suite, broken[i])) {
            return CIPHER_BROKEN;
        }
    }
    return has_suffix(suite, "_CBC_SHA") ? CIPHER_CBC_SHA1 : CIPHER_STRONG;
}

/* IANA's name of the group in lower case; "dhe-1024" for a prime of the server's own, "rsa" for key
 * transport. */
static bool describe_key_exchange(gnutls_session_t s, struct tls_facts *f, struct arena *arena)
{
    gnutls_kx_algorithm_t kx = gnutls_kx_get(s);
    gnutls_group_t group = gnutls_group_get(s);
    const char *name = group ? gnutls_group_get_name(group) : NULL;
    char *out;

    f->forward_secrecy = kx != GNUTLS_KX_RSA;
    if (kx == GNUTLS_KX_DHE_RSA || kx == GNUTLS_KX_DHE_DSS || kx == GNUTLS_KX_ANON_DH) {
        int bits = gnutls_dh_get_prime_bits(s);
        f->dh_bits = bits > 0 ? (unsigned)bits : 0;
    }
    if (name) {
        out = arena_printf(arena, "%s", name);
        for (char *c = out; c && *c; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
    } else if (f->dh_bits > 0) {
        out = arena_printf(arena, "dhe-%u", f->dh_bits);
    } else {
        out = arena_printf(arena, "%s", kx == GNUTLS_KX_RSA ? "rsa" : "unknown");
    }
    f->key_exchange = out;
    return out != NULL;
}

bool tls_describe(const struct tls *tls, struct tls_facts *f, struct arena *arena)
{
    static const struct {
        gnutls_protocol_t id;
        const char *name;
        bool weak;
    } versions[] = {
        {GNUTLS_TLS1_3, "TLS 1.3", false},
        {GNUTLS_TLS1_2, "TLS 1.2", false},
        {GNUTLS_TLS1_1, "TLS 1.1", true},
        {GNUTLS_TLS1_0, "TLS 1.0", true},
    };
    gnutls_session_t s = tls->session;
    gnutls_protocol_t version = gnutls_protocol_get_version(s);
    gnutls_datum_t alpn;

    memory_guard_enter();
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        if (versions[i].id == version) {
            f->version = versions[i].name;
            f->version_weak = versions[i].weak;
        }
    }
    f->version_latest = version == GNUTLS_TLS1_3;
    const char *suite = gnutls_ciphersuite_get(s);
    f->cipher_suite = suite ? suite : "unknown";
    f->cipher_class = classify(f->cipher_suite);
    f->client_certificate_requested = tls_certificate_requested(tls);
    if (gnutls_alpn_get_selected_protocol(s, &alpn) == 0) {
        f->alpn = arena_text(arena, alpn.data, alpn.size);
    }
    f->completed = true;
    bool told = describe_key_exchange(s, f, arena);
    return memory_guard_leave() && told && !arena->failed;
}

bool tls_describe_certificate(const struct tls *tls, const struct tls_env *env, struct chain_cache *cache,
                              const char *host, const struct ip *host_ip, int64_t now,
                              struct certificate *certificate, struct arena *arena)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls->session, &count);
    gnutls_datum_t staple = {NULL, 0};

    if (!chain || count == 0) {
        return true;
    }
    memory_guard_enter();
    if (gnutls_ocsp_status_request_get(tls->session, &staple) < 0) {
        staple = (gnutls_datum_t){NULL, 0};
    }
    struct cert_input in = {
        .chain = chain, .count = count, .staple = staple, .host = host, .host_ip = host_ip};
    in.now = now;
    in.cache = cache;
    bool told = cert_describe(&in, env, certificate, arena);
    return memory_guard_leave() && told;
}

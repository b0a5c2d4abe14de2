/* attempt.h: one port of one host: connect to the first address that accepts, secure, talk, close. Moves the
 * bytes between a connection and a protocol, keeps the times and deadlines, and records every fact in the
 * port's report. */
#ifndef PROBE_ATTEMPT_H
#define PROBE_ATTEMPT_H

#include "probe/imap/imap.h"
#include "probe/net/conn.h"

struct probe_env;

struct candidate {
    struct ip ip;
    bool permitted; /* by the target policy */
    bool admitted;  /* by the limit on its tests, for all ports of this test */
};

enum admittance {
    ADMITTED,
    ADMITTED_LATER, /* attempt_admit() or attempt_abort() follows */
    ADMITTED_NEVER  /* the whole test ends without a report */
};

/* What both attempts of a probe share; outlives them. */
struct attempt_plan {
    const struct probe_env *env;
    struct tls_env *tls; /* held by the probe */
    const char *host;    /* for SNI and the certificate */
    struct ip host_ip;   /* family 0: `host` is a name */
    int64_t now;         /* seconds since 1970 */
    struct candidate candidates[LIMIT_ADDRESSES];
    size_t candidate_count; /* at least one is permitted */
    struct arena *arena;

    /* Asked before each connect to candidates[index]. */
    enum admittance (*admit)(void *owner, size_t index);
    void *owner;
};

enum attempt_state {
#define ATTEMPT_STATES(X) X(CONNECTING) X(WAITING) X(SECURING) X(TALKING) X(CLOSING) X(DONE)
#define X(name) ATTEMPT_##name,
    ATTEMPT_STATES(X)
#undef X
};

struct attempt {
    enum attempt_state state;
    const struct attempt_plan *plan;
    struct port_report *port;
    struct conn conn;
    struct buf out; /* lines of the dialogue on their way into the connection */
    const struct proto *proto;
    struct imap imap;
    size_t next;                      /* candidate to be tried next */
    bool alpn;                        /* offer it */
    bool reopen;                      /* the same address once more, without ALPN */
    bool proven;                      /* bytes came through TLS, so the server has accepted the handshake */
    bool ours;                        /* ended by a failure of this machine */
    uint64_t started, opened, marked; /* ns: of all, of this connect, of the current wait */
    void (*on_done)(void *owner);
    void *owner;
};

/* The first candidate that is permitted must be admitted. on_done comes once, from the event loop, when the
 * connection is closed; the memory is the owner's again then. */
void attempt_start(struct attempt *a, const struct attempt_plan *plan, struct port_report *port,
                   void (*on_done)(void *owner), void *owner);

/* The candidate that it waits for may be connected to; nothing where it does not wait. */
void attempt_admit(struct attempt *a);

/* Ends it now with what is known; `code` becomes the port's error. on_done follows, at once where it waited
 * to be admitted and nothing is open. */
void attempt_abort(struct attempt *a, enum error_code code);

#endif

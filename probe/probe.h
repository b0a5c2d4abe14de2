/* probe.h: the front door: one host under test, from its name to a judged report. Runs on one event loop;
 * thousands at a time. It knows no HTTP and no JSON, writes no log, and fetches nothing but DNS and the two
 * IMAP dialogues. */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

#include <limits.h>
#include <uv.h>

#include "probe/net/dns.h"
#include "probe/net/poller.h"
#include "probe/net/target.h"
#include "probe/net/tls.h"
#include "probe/report/report.h"
#include "probe/request.h"

struct probe_settings {
    uint16_t imap_port, imaps_port;
    unsigned connect_timeout_ms, io_timeout_ms;
};

/* A question whether an address may be tested now; lives in the probe. */
struct permit {
    struct ip ip;
    void (*on_answer)(struct permit *permit, unsigned wait_s); /* as permit() of struct probe_env answers */
    void *asker, *asked;                                       /* of whoever answers */
};

/* The answer comes later, by on_answer. */
#define PERMIT_LATER UINT_MAX

/* What all probes of a loop share. */
struct probe_env {
    uv_loop_t *loop;
    struct poller *poller; /* of this loop */
    struct dns *dns;
    struct tls_env *tls;        /* may be exchanged between two probe_start(): each probe holds its own */
    struct chain_cache *chains; /* of this loop alone; NULL: every chain is verified anew */
    struct probe_settings settings;

    /* Whether anything may connect to an address: asked for every address of a host, and once more by the
     * connection for the very socket address that goes to connect(). */
    struct target_guard guard;

    /* Asked once for each address of a test, just before the first connect to it. 0: go on; else the seconds
     * after which it may be asked again, and the test ends. PERMIT_LATER: on_answer follows from the loop,
     * never from inside this call, unless withdraw() comes first; that may be NULL where it never does. */
    unsigned (*permit)(void *context, struct permit *permit);
    void (*withdraw)(void *context, struct permit *permit);
    void *permit_context;
};

enum probe_outcome {
    PROBE_REPORTED,   /* the report is complete and judged */
    PROBE_BLOCKED,    /* every address of the host is forbidden; nothing was connected to */
    PROBE_LIMITED,    /* an address has been tested too often of late */
    PROBE_OVERLOADED, /* this machine ran out of memory, descriptors or ports: nothing is known of the host */
    PROBE_CANCELLED
};

/* How a test ended. */
struct probe_end {
    enum probe_outcome outcome;
    unsigned retry_after_s; /* PROBE_LIMITED */
};

struct probe;

/* Tests the host of the request and fills the report, which is lent until on_done. `now`: seconds since 1970.
 * on_done comes once, never from inside this call; the handle is void then. NULL: out of memory. */
struct probe *probe_start(const struct probe_env *env, const struct probe_request *request,
                          struct report *report, int64_t now,
                          void (*on_done)(void *owner, const struct probe_end *end), void *owner);

/* Gives up: on_done follows with PROBE_CANCELLED. */
void probe_cancel(struct probe *probe);

#endif

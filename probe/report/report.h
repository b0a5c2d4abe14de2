/* report.h: everything learnt about one host. Plain data: what was seen, when, and raw codes; no opinion but
 * those that judge.c writes. All memory hangs on `arena`. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/base/arena.h"
#include "probe/base/error.h"
#include "probe/base/ip.h"
#include "probe/base/limits.h"
#include "probe/report/caps.h"
#include "probe/report/certificate.h"
#include "probe/report/finding.h"
#include "probe/report/transcript.h"

enum verdict { VERDICT_OK, VERDICT_WARNINGS, VERDICT_PROBLEMS, VERDICT_INCONCLUSIVE, VERDICT_UNREACHABLE };

/* A time that was not reached. */
#define TIME_NONE (-1.0)

struct dns_facts {
    struct ip addresses[LIMIT_ADDRESSES];
    size_t address_count;
    struct text canonical_name; /* absent: the name is no alias */
    double duration_ms;
    bool truncated;
    struct failure error;
};

struct connect_try {
    struct ip address;
    double duration_ms;
    struct failure error;
};

enum greeting_status { GREETING_NONE, GREETING_OK, GREETING_PREAUTH, GREETING_BYE };

/* resp-text of RFC 9051 section 9: an optional code in brackets and human words. */
struct resp_text {
    struct text code;     /* first word inside the brackets, absent without brackets */
    struct text argument; /* the rest inside the brackets */
    struct text text;
};

enum reply_status { REPLY_NOT_ASKED, REPLY_AWAITED, REPLY_OK, REPLY_NO, REPLY_BAD };

struct reply {
    enum reply_status status;
    struct resp_text text; /* of the tagged line */
};

/* Departures from RFC 9051 that the dialogue survived. */
enum deviation {
    DEVIATION_BARE_LF,          /* a line ended without CR (section 2.2) */
    DEVIATION_FOREIGN_TAG,      /* a tagged line that answers no command of ours (section 2.2.1) */
    DEVIATION_UNPARSED_LINE,    /* a line that is neither untagged, tagged nor a continuation */
    DEVIATION_CONTINUATION,     /* "+" where nothing was to be continued */
    DEVIATION_UNEXPECTED_DATA,  /* mailbox data before authentication (section 11.3) */
    DEVIATION_NUL,              /* NUL outside a literal8 (section 9) */
    DEVIATION_NO_UNTAGGED_CAPS, /* CAPABILITY answered OK without a list (section 6.1.1) */
    DEVIATION_CAPS_SYNTAX,      /* a word of a list that is no atom, double or trailing spaces */
    DEVIATION_CAPS_DUPLICATE,   /* the same word twice in one list */
    DEVIATION_CAPS_LISTS,       /* several untagged lists in one answer */
    DEVIATION_COUNT
};

struct id_field {
    struct text name;
    struct text value; /* absent: NIL */
};

struct server_id {
    bool answered; /* a list or NIL came */
    struct id_field *fields;
    size_t count, room;
};

/* What the IMAP dialogue learnt on one connection. */
struct dialogue {
    enum greeting_status greeting;
    struct resp_text greeting_text;
    struct reply capability_plain; /* on the TLS port: not asked */
    struct reply starttls;
    struct reply capability_tls; /* on the TLS port: the first CAPABILITY command */
    struct reply id;
    struct reply logout;
    bool bye; /* an untagged BYE before LOGOUT was sent */
    struct resp_text bye_text;
    struct server_id server_id;
    unsigned deviations;                            /* mask of 1u << enum deviation */
    struct text deviation_example[DEVIATION_COUNT]; /* the first line that showed each */
};

enum cipher_class { CIPHER_STRONG, CIPHER_CBC_SHA1, CIPHER_BROKEN };

struct tls_facts {
    bool completed;
    const char *version; /* "TLS 1.3" */
    bool version_weak;   /* below 1.2 */
    bool version_latest; /* 1.3 */
    const char *cipher_suite;
    enum cipher_class cipher_class;
    const char *key_exchange;
    unsigned dh_bits; /* finite-field Diffie-Hellman only, else 0 */
    bool forward_secrecy;
    struct text alpn;
    bool client_certificate_requested;
};

/* What was cut by a bound, in the words of the contract; mask of 1u << enum cut. */
enum cut {
    CUT_CAPABILITIES,
    CUT_SANS,
    CUT_CHAIN,
    CUT_GREETING,
    CUT_SERVER_ID,
    CUT_TEXT,
    CUT_TRANSCRIPT,
    CUT_COUNT
};

struct timings {
    double connect, greeting, tls_handshake, total; /* ms; TIME_NONE: not reached */
    double slowest_reply; /* the longest wait for the greeting or a reply; 0: none */
};

struct port_report {
    uint16_t number;
    bool tls_port; /* implicit TLS is expected here: service "imaps" */
    bool reachable;
    bool starttls_supported;
    bool implicit_tls;
    struct ip address, source_address; /* family 0: none */
    size_t received;                   /* bytes of the last connection, TLS's own included */
    struct connect_try *tries; /* at most one for each address, and one more; mostly it is one */
    size_t try_count, try_room;
    struct failure error;
    struct dialogue dialogue;
    struct caps caps;
    struct tls_facts tls;
    struct certificate certificate;
    struct timings timings;
    struct transcript transcript;
    unsigned truncated;
    enum verdict verdict; /* judge.c */
};

#define REPORT_PORTS 2

struct report {
    struct arena arena;
    const char *host;         /* as it goes into DNS and TLS: A-labels, or an IP literal */
    const char *host_unicode; /* NULL: same as host */
    bool host_is_ip;
    int64_t tested_at; /* seconds since 1970, UTC */
    double duration_ms;
    bool deadline_exceeded;
    struct dns_facts dns;
    struct port_report ports[REPORT_PORTS];
    size_t port_count;

    /* Written by judge.c */
    enum verdict verdict;
    const char *summary;
    struct finding *findings;
    size_t finding_count, finding_room;
};

void report_init(struct report *r);
void report_deinit(struct report *r);

/* Records how a connection ended; the first cause stays. */
void port_fail(struct port_report *port, struct failure failure);

const char *verdict_name(enum verdict v);
const char *cut_name(enum cut c);

#endif

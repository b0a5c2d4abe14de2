/* imap.h: the IMAP dialogue of RFC 9051 as a client that never logs in: greeting, CAPABILITY, STARTTLS,
 * CAPABILITY inside TLS, ID where offered together with LOGOUT. Lines in, lines out; it knows no sockets, no
 * TLS and no clock, and no text of a caller ever stands in a line that it sends. */
#ifndef IMAP_IMAP_H
#define IMAP_IMAP_H

#include "probe/base/proto.h"
#include "probe/imap/parse.h"
#include "probe/report/report.h"

enum imap_state {
#define IMAP_STATES(X)                                                                                       \
    X(GREETING) X(CAPABILITY) X(STARTTLS) X(HANDSHAKE) X(CAPABILITY_TLS) X(ID) X(LOGOUT) X(FINISHED)
#define X(name) IMAP_##name,
    IMAP_STATES(X)
#undef X
};

#define IMAP_TAG_SIZE 16

struct imap {
    enum imap_state state;
    bool tls;                     /* inside TLS */
    struct port_report *port;     /* facts go here; lent */
    struct arena *arena;          /* their memory; lent */
    struct imap_framer framer;    /* how far the unread bytes have been looked at */
    size_t phase_bytes;           /* read in this phase, see LIMIT_PHASE_BYTES */
    size_t phase_lines;           /* the same, see LIMIT_PHASE_LINES */
    size_t lists;                 /* untagged CAPABILITY lists in the current answer */
    unsigned command;             /* number of the last command */
    char prefix[IMAP_TAG_SIZE];   /* of every tag on this connection */
    char tag[IMAP_TAG_SIZE + 12]; /* of the command that is awaited, empty: none */
    struct resp_text farewell;    /* a BYE before the answer to ID; `said_bye` */
    bool said_bye;
};

/* `seed` makes the tags of this connection differ from those of any other, so that an answer prepared by
 * someone who cannot see the command stands out. */
void imap_init(struct imap *imap, struct port_report *port, struct arena *arena, uint32_t seed);

/* Const function table; `self` of each function is a struct imap. */
extern const struct proto imap_proto;

const char *imap_state_name(enum imap_state state);

#endif

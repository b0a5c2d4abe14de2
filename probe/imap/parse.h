/* parse.h: bytes from a server into IMAP responses (RFC 9051 sections 2.2, 4 and 9).
 *
 * Pure functions on (data, length). They are strict about framing and generous about all else, and tell what
 * was not by the book; what that means is for imap.c to say. Texts in the results point into the given bytes,
 * but for those of an ID, which live in the arena. Everything is linear in what was received. */
#ifndef IMAP_PARSE_H
#define IMAP_PARSE_H

#include "probe/base/proto.h"
#include "probe/report/report.h"

/* Where the first response in the unread bytes may end, as far as it is known. */
struct imap_framer {
    size_t next;   /* first byte not looked at; beyond the unread ones while a literal is awaited */
    size_t line;   /* where the response's current line starts */
    bool literals; /* the response is of a kind that may carry literals; known after its first line */
};

void imap_framer_init(struct imap_framer *framer);

/* As proto.frame: a response is a line, with all literals announced at line ends (section 4.3). A bare LF
 * ends a line, a lone CR does not. FRAME_TOO_LONG as soon as it is certain that the response exceeds
 * LIMIT_LINE_BYTES. After FRAME_COMPLETE the framer is ready for the bytes behind the response. */
enum proto_frame imap_frame(struct imap_framer *framer, const unsigned char *data, size_t unread,
                            size_t *len);

enum imap_kind {
    RESPONSE_UNPARSABLE,   /* neither untagged, tagged nor a continuation */
    RESPONSE_STATUS,       /* untagged OK, NO, BAD, BYE, PREAUTH */
    RESPONSE_CAPABILITY,   /* untagged; the list is `rest` */
    RESPONSE_ID,           /* untagged; the parameters are `rest` */
    RESPONSE_OTHER,        /* any other untagged data; `word` is its name */
    RESPONSE_CONTINUATION, /* "+" */
    RESPONSE_TAGGED        /* starts as a tagged line does; without OK, NO or BAD the status is STATUS_NONE */
};

enum imap_status { STATUS_NONE, STATUS_OK, STATUS_NO, STATUS_BAD, STATUS_BYE, STATUS_PREAUTH };

struct imap_response {
    enum imap_kind kind;
    enum imap_status status;
    struct text line; /* all of it, literals included, without the last line end */
    struct text tag;
    struct text word;      /* of untagged data: its name, behind a message number if there is one */
    struct text rest;      /* what follows the word or the status */
    struct resp_text text; /* of every status */
    bool open_code;        /* "[" that started no well-formed code: it was taken as text */
    bool bare_lf;          /* a line end without CR */
    bool nul;              /* NUL outside a literal8 */
};

/* Takes apart one whole response as framed by imap_frame(). */
void imap_parse(struct imap_response *response, const unsigned char *data, size_t len);

/* Takes the next word off a capability list; false at its end. *odd is set, never cleared, where separators
 * are not single spaces or a word is no atom; words that cannot be printed are passed over. */
bool imap_next_word(struct text *list, struct text *word, bool *odd);

enum imap_id { ID_WELL_FORMED, ID_MALFORMED, ID_NO_MEMORY };

/* Parameters of an ID response (RFC 2971 section 3.2): NIL or a list of pairs. What was understood before an
 * error is kept. *cut is set, never cleared, where a bound was hit. */
enum imap_id imap_parse_id(struct text parameters, struct arena *arena, struct server_id *id, bool *cut);

#endif

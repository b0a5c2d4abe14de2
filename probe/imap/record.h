/* record.h: what the dialogue writes into the report: words, lists, identity, departures from the grammar.
 * For imap.c alone. A copy that fails shows in arena.failed. */
#ifndef IMAP_RECORD_H
#define IMAP_RECORD_H

#include "probe/imap/imap.h"

/* Copies of a server's words, bounded; what is too long is cut and noted as `what`. */
struct text imap_keep(struct imap *imap, struct text text, enum cut what);
struct resp_text imap_keep_resp_text(struct imap *imap, const struct resp_text *from, enum cut what);

/* A departure from the grammar, with the first line that showed it. */
void imap_note(struct imap *imap, enum deviation deviation, struct text line);

/* The capabilities of a CAPABILITY response code, where the response has one. */
void imap_take_code(struct imap *imap, enum caps_phase phase, const struct imap_response *response);

/* An untagged CAPABILITY list; counts only where a CAPABILITY command awaits its answer. */
void imap_take_list(struct imap *imap, const struct imap_response *response);

void imap_take_id(struct imap *imap, const struct imap_response *response);

/* Other untagged data: noted where it has no place before authentication (RFC 9051 section 11.3). */
void imap_take_other(struct imap *imap, const struct imap_response *response);

#endif

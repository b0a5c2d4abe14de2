/* answer.h: which command a line answers, if any, and the same of text in the place of TLS. For imap.c alone.
 */
#ifndef IMAP_ANSWER_H
#define IMAP_ANSWER_H

#include "probe/imap/imap.h"

/* Whether it answers the awaited command, or the last one that was sent. */
bool imap_answers_awaited(const struct imap *imap, const struct imap_response *response);
bool imap_answers_last(const struct imap *imap, const struct imap_response *response);

/* As proto.h says of `injected` and `withdrawn`; `self` is a struct imap. */
bool imap_injected(const void *self, const unsigned char *data, size_t len);
bool imap_withdrawn(const void *self, bool closed, const unsigned char *data, size_t len);

#endif

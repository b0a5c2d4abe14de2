/* http_head.h: whether the head of a request (its line and its headers) is one to be answered: the grammar of
 * RFC 9110 and RFC 9112, read strictly, and our bounds. Pure; knows nothing of the HTTP library but that it
 * may take the head apart where it lies in memory, which is how bytes that it passed over come to light. */
#ifndef SERVER_HTTP_HEAD_H
#define SERVER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "api/problem.h"
#include "probe/base/text.h"

/* What one head amounts to, fed from front to back. Starts zeroed. */
struct http_head {
    const char *fault; /* the first thing that is wrong with it, as a sentence; NULL: nothing yet */
    const char *start; /* of the bytes as received */
    const char *at;    /* end of what has been looked at */
    size_t target_len;
    size_t line_len; /* with its line end */
    unsigned hosts, lengths, encodings;
    bool copied;        /* set first: the parts do not lie where they were received */
    bool asterisk;      /* the target is "*" */
    bool host_optional; /* HTTP/1.0 */
    bool body_too_large;
};

/* `raw`: the target as sent; its bytes may be changed. Returns where path and query begin in it, whatever the
 * form (RFC 9112 section 3.2). */
char *http_head_target(struct http_head *head, char *raw);

/* After the target: the parts of the request line where they were received, and each header likewise. */
void http_head_line(struct http_head *head, const char *method, const char *target, const char *version);
void http_head_header(struct http_head *head, struct text name, struct text value);

/* At the end; `size` is that of the whole head. False: the request is not to be answered but by *problem, and
 * nothing behind it is to be taken for a request. */
bool http_head_check(struct http_head *head, size_t size, struct problem *problem);

#endif

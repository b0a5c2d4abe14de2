/* problem.h: why a request was refused, as application/problem+json (RFC 9457).
 *
 * Plain data plus one serialiser. It knows nothing of connections; `retry_after_s` and `allow` are headers,
 * which the HTTP side sends. */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include <stddef.h>

#define PROBLEM_MEDIA_TYPE "application/problem+json"
#define PROBLEM_DETAIL_SIZE 600
#define PROBLEM_QUOTE_SIZE 256

enum problem_code {
#define X(name, code, status, title) PROBLEM_##name,
#include "api/problem.def"
#undef X
    PROBLEM_COUNT
};

struct problem {
    enum problem_code code;
    char detail[PROBLEM_DETAIL_SIZE]; /* UTF-8: what is wrong with this very request and how to mend it */
    unsigned retry_after_s;           /* 0: no Retry-After */
    const char *allow;                /* value of Allow, NULL: none */
    const char *scope;                /* of rate_limited: "client" or "target"; else NULL */
};

/* Sets code and detail (formats as printf) and clears the rest. A detail that does not fit is cut with an
 * ellipsis. Foreign bytes may only be put in through problem_quote(). */
void problem_set(struct problem *problem, enum problem_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Foreign bytes made fit to be shown (see text_show) and short. buf holds PROBLEM_QUOTE_SIZE bytes; returns
 * buf. */
const char *problem_quote(char *buf, const char *bytes, size_t len);

unsigned problem_status(enum problem_code code);

/* The code as in the body, for logs and counters. */
const char *problem_name(enum problem_code code);

/* The body; the caller frees it. request_id is UTF-8 or NULL. NULL: no memory. */
char *problem_json(const struct problem *problem, const char *request_id);

#endif

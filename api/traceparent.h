/* traceparent.h: the header `traceparent` of W3C Trace Context level 1: which trace of a larger system a
 * request is part of. Pure. What it says is for the log alone; whoever sends it chooses it freely. */
#ifndef API_TRACEPARENT_H
#define API_TRACEPARENT_H

#include <stdbool.h>

#include "probe/base/text.h"

#define TRACE_ID_SIZE 33
#define PARENT_ID_SIZE 17

/* Starts zeroed. */
struct traceparent {
    char trace_id[TRACE_ID_SIZE];   /* 32 lower-case hexadecimal digits, not all zero; empty: none */
    char parent_id[PARENT_ID_SIZE]; /* 16 of them; empty with trace_id */
    bool seen;                      /* there was a header, valid or not */
};

/* Takes the value of each header of this name in turn (section 3.2): version 00 to the letter, of later ones
 * the first four fields. A malformed one is as good as none, and so are two, as it cannot be told whose word
 * counts. */
void traceparent_take(struct traceparent *trace, struct text value);

#endif

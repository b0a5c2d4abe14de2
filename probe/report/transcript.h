/* transcript.h: the lines of the dialogues with one port, as they came and went; bounded. */
#ifndef REPORT_TRANSCRIPT_H
#define REPORT_TRANSCRIPT_H

#include <stdbool.h>

#include "probe/base/arena.h"
#include "probe/base/limits.h"

struct transcript_line {
    unsigned connection; /* place of its connection among the tries, from 1 */
    double at_ms;        /* since the test of the port began */
    bool sent;           /* by us */
    bool tls;            /* inside TLS */
    bool complete;       /* its line end has come */
    struct text text;    /* without the line end */
};

struct transcript {
    bool wanted; /* nothing is kept otherwise */
    struct transcript_line *lines;
    size_t count, room;
    char *last;     /* text of the last line once the bound is hit, overwritten by each further one */
    bool truncated; /* lines are missing before the last one, or a text was cut */
};

/* Keeps a copy of the line. Of more than LIMIT_TRANSCRIPT_LINES the first ones and the last one remain, so
 * that the line which ended the dialogue is there. A failed copy shows in arena.failed. */
void transcript_add(struct transcript *t, struct arena *arena, struct transcript_line line);

#endif

#include "probe/report/transcript.h"

#include <string.h>

/* As much of a line as a report can ever show: LIMIT_TEXT_CHARS of four octets. */
#define LINE_BYTES (LIMIT_TEXT_CHARS * 4)

/* The slot of the last line, which later ones share. */
static void replace_last(struct transcript *t, struct arena *arena, const struct transcript_line *line)
{
    t->truncated = true;
    if (t->last == NULL) {
        t->last = arena_alloc(arena, LINE_BYTES);
    }
    if (t->last != NULL) {
        t->lines[t->count - 1] = *line;
        t->lines[t->count - 1].text.data = memcpy(t->last, line->text.data, line->text.len);
    }
}

void transcript_add(struct transcript *t, struct arena *arena, struct transcript_line line)
{
    if (!t->wanted) {
        return;
    }
    if (line.text.len > LINE_BYTES) {
        line.text.len = LINE_BYTES;
        t->truncated = true;
    }
    if (t->count == LIMIT_TRANSCRIPT_LINES) {
        replace_last(t, arena, &line);
        return;
    }
    struct transcript_line *lines =
        arena_grow(arena, t->lines, sizeof *lines, t->count, t->count + 1, &t->room);
    if (lines != NULL) {
        line.text = arena_text(arena, line.text.data, line.text.len);
        t->lines = lines;
        lines[t->count++] = line;
    }
}

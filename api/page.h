/* page.h: lays text out in lines of 80 characters. Pure; for the api room alone. Words are never parted, so
 * that a longer one stands over the edge; two calls without a space between them make one word. What is
 * foreign comes through page_show(). */
#ifndef API_PAGE_H
#define API_PAGE_H

#include "probe/base/arena.h"
#include "probe/base/buf.h"

struct page {
    struct buf out;
    struct buf word; /* the last one, still growing */
    struct arena scratch;
    size_t indent; /* where lines begin that a text has grown into; set at will */
    size_t column; /* characters in the last line, those of `word` not counted */
    size_t gap;    /* spaces before `word`; none are written where a line ends */
    bool failed;   /* memory ran out: the text is not whole */
};

void page_init(struct page *p);
void page_deinit(struct page *p);

/* Words of ours, in printable UTF-8. */
void page_say(struct page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes from outside, made fit by text_show(), max_chars at most. */
void page_show(struct page *p, struct text t, size_t max_chars);

/* The next word begins in this column, or behind a space where the line is there already. */
void page_go_to(struct page *p, size_t column);

void page_end_line(struct page *p);

/* All of it, NUL-terminated and malloc'd, the caller's. NULL where memory ran out, now or before. */
char *page_take(struct page *p);

#endif

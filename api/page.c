#include "api/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"

#define COLUMNS 80u

/* A byte of a report takes at most four when shown, so that no report reaches this. */
#define PAGE_BYTES (4 * LIMIT_REPORT_BYTES)

/* One string at a time, and what the arena itself takes. */
#define SCRATCH_MAX (256u * 1024)

void page_init(struct page *p)
{
    *p = (struct page){.failed = false};
    buf_init(&p->out, PAGE_BYTES);
    buf_init(&p->word, PAGE_BYTES);
    arena_init(&p->scratch, SCRATCH_MAX);
}

void page_deinit(struct page *p)
{
    buf_deinit(&p->out);
    buf_deinit(&p->word);
    arena_deinit(&p->scratch);
}

static void add(struct page *p, struct buf *b, const void *bytes, size_t len)
{
    if (buf_append(b, bytes, len) != BUF_OK) {
        p->failed = true;
    }
}

static size_t characters(const struct buf *b)
{
    size_t count = 0;
    for (size_t i = 0; i < b->len; i++) {
        count += (b->data[i] & 0xC0) != 0x80;
    }
    return count;
}

static void start_line(struct page *p)
{
    add(p, &p->out, "\n", 1);
    p->column = p->gap = 0;
}

static void end_word(struct page *p)
{
    size_t width = characters(&p->word);
    if (width == 0) {
        return;
    }
    if (p->column > p->indent && p->column + p->gap + width > COLUMNS) {
        start_line(p);
        p->gap = p->indent;
    }
    p->column += p->gap + width;
    for (; p->gap > 0; p->gap--) {
        add(p, &p->out, " ", 1);
    }
    add(p, &p->out, p->word.data, p->word.len);
    buf_consume(&p->word, p->word.len);
}

static void say(struct page *p, const char *s)
{
    while (*s != '\0') {
        size_t spaces = strspn(s, " "), len = strcspn(s + spaces, " ");
        if (spaces > 0) {
            end_word(p);
            p->gap += spaces;
        }
        add(p, &p->word, s + spaces, len);
        s += spaces + len;
    }
}

void page_say(struct page *p, const char *format, ...)
{
    char *s = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&s, format, args);
    va_end(args);
    if (len < 0) {
        p->failed = true;
        return;
    }
    say(p, s);
    free(s);
}

void page_show(struct page *p, struct text t, size_t max_chars)
{
    const char *s = text_show(&p->scratch, t, max_chars, NULL);
    if (s != NULL) {
        say(p, s);
    } else {
        p->failed = true;
    }
    arena_deinit(&p->scratch);
    arena_init(&p->scratch, SCRATCH_MAX);
}

void page_go_to(struct page *p, size_t column)
{
    end_word(p);
    p->gap = column > p->column ? column - p->column : 1;
}

void page_end_line(struct page *p)
{
    end_word(p);
    start_line(p);
}

char *page_take(struct page *p)
{
    end_word(p);
    add(p, &p->out, "", 1);
    char *text = p->failed ? NULL : malloc(p->out.len);
    if (text != NULL) {
        memcpy(text, p->out.data, p->out.len);
    }
    return text;
}

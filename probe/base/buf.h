/* buf.h: a byte buffer that cannot exist without a maximum. Filled at the end, emptied from the front. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

struct buf {
    unsigned char *data;   /* the bytes held; moves with every append and consume */
    size_t len;            /* how many */
    unsigned char *memory; /* what was allocated; data points into it */
    size_t room;           /* bytes allocated, never more than max */
    size_t max;            /* bytes that may ever be held at once */
};

enum buf_result { BUF_OK, BUF_FULL, BUF_NO_MEMORY };

void buf_init(struct buf *b, size_t max);
void buf_deinit(struct buf *b);

/* Appends all bytes or, on BUF_FULL and BUF_NO_MEMORY, none. The bytes must not be the buffer's own. */
enum buf_result buf_append(struct buf *b, const void *data, size_t len);
enum buf_result buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first n bytes (n <= len) without moving the others. An emptied buffer gives its memory back. */
void buf_consume(struct buf *b, size_t n);

#endif

#include "probe/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 256u

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_deinit(struct buf *b)
{
    free(b->memory);
    buf_init(b, b->max);
}

/* Makes room for n more bytes behind those held; len + n is within max. */
static enum buf_result reserve(struct buf *b, size_t n)
{
    size_t need = b->len + n;
    size_t consumed = b->memory != NULL ? (size_t)(b->data - b->memory) : 0;
    if (need <= b->room - consumed) {
        return BUF_OK;
    }
    /* Moving costs len bytes: paid for by at least as many consumed ones, or there is no other way. */
    if (need <= b->room && (consumed >= b->len || b->room == b->max)) {
        memmove(b->memory, b->data, b->len);
        b->data = b->memory;
        return BUF_OK;
    }
    size_t room = b->room > 0 ? b->room : FIRST_ROOM;
    room = room > b->max / 2 ? b->max : room * 2;
    if (room < need) {
        room = need;
    }
    unsigned char *memory = malloc(room);
    if (memory == NULL) {
        return BUF_NO_MEMORY;
    }
    if (b->len > 0) {
        memcpy(memory, b->data, b->len);
    }
    free(b->memory);
    b->memory = b->data = memory;
    b->room = room;
    return BUF_OK;
}

enum buf_result buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0) {
        return BUF_OK;
    }
    if (len > b->max - b->len) {
        return BUF_FULL;
    }
    enum buf_result result = reserve(b, len);
    if (result != BUF_OK) {
        return result;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return BUF_OK;
}

enum buf_result buf_printf(struct buf *b, const char *format, ...)
{
    char *s = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&s, format, args);
    va_end(args);
    if (len < 0) {
        return BUF_NO_MEMORY;
    }
    enum buf_result result = buf_append(b, s, (size_t)len);
    free(s);
    return result;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0) {
        return;
    }
    b->data += n;
    b->len -= n;
    if (b->len == 0) {
        buf_deinit(b);
    }
}

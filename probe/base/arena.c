#include "probe/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first block is small: a report about a silent server needs hardly more. */
#define FIRST_BLOCK 1024u
#define LARGEST_BLOCK (64u * 1024)

/* The block that is being filled comes first in the list. */
struct arena_block {
    struct arena_block *next;
    size_t used, size; /* of data */
    max_align_t data[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max = max_bytes, .next = FIRST_BLOCK};
}

void arena_deinit(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        free(block);
    }
    arena_init(a, a->max);
}

/* A zeroed block with room for `size` bytes of data, counted; NULL: cap or memory exhausted. */
static struct arena_block *new_block(struct arena *a, size_t size)
{
    size_t left = a->max - a->used;
    if (left < sizeof(struct arena_block) || size > left - sizeof(struct arena_block)) {
        return NULL;
    }
    struct arena_block *block = calloc(1, sizeof *block + size);
    if (block == NULL) {
        return NULL;
    }
    block->size = size;
    a->used += sizeof *block + size;
    return block;
}

/* A block for one request alone, which leaves the one being filled in its place. */
static void *take_alone(struct arena *a, size_t size)
{
    struct arena_block *block = new_block(a, size);
    if (block == NULL) {
        return NULL;
    }
    block->used = size;
    if (a->blocks == NULL) {
        a->blocks = block;
    } else {
        block->next = a->blocks->next;
        a->blocks->next = block;
    }
    return block->data;
}

static void *take(struct arena *a, size_t size, size_t align)
{
    struct arena_block *block = a->blocks;
    if (block != NULL) {
        size_t start = (block->used + align - 1) / align * align;
        if (start <= block->size && size <= block->size - start) {
            block->used = start + size;
            return (unsigned char *)block->data + start;
        }
    }
    size_t room = a->next - sizeof *block;
    if (size > room / 2) {
        return take_alone(a, size);
    }
    block = new_block(a, room);
    if (block == NULL) { /* near the cap only what is asked for may still fit */
        return take_alone(a, size);
    }
    if (a->next < LARGEST_BLOCK) {
        a->next *= 2;
    }
    block->next = a->blocks;
    a->blocks = block;
    block->used = size;
    return block->data;
}

static void *take_or_fail(struct arena *a, size_t size, size_t align)
{
    void *p = take(a, size > 0 ? size : 1, align);
    if (p == NULL) {
        a->failed = true;
    }
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    return take_or_fail(a, size, alignof(max_align_t));
}

void *arena_grow(struct arena *a, void *old, size_t size, size_t used, size_t count, size_t *room)
{
    if (old != NULL && count <= *room) {
        return old;
    }
    size_t wanted = *room > SIZE_MAX / 2 ? SIZE_MAX : *room * 2;
    if (wanted < count) {
        wanted = count;
    }
    if (size != 0 && wanted > SIZE_MAX / size) {
        a->failed = true;
        return NULL;
    }
    void *array = arena_alloc(a, wanted * size);
    if (array == NULL) {
        return NULL;
    }
    if (old != NULL && used > 0) {
        memcpy(array, old, used * size);
    }
    *room = wanted;
    return array;
}

struct text arena_text(struct arena *a, const void *data, size_t len)
{
    if (data == NULL) {
        return (struct text){0};
    }
    if (len == SIZE_MAX) {
        a->failed = true;
        return (struct text){0};
    }
    char *copy = take_or_fail(a, len + 1, 1);
    if (copy == NULL) {
        return (struct text){0};
    }
    memcpy(copy, data, len);
    return (struct text){.data = copy, .len = len};
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *s = NULL;
    if (len < 0) {
        a->failed = true;
    } else {
        s = take_or_fail(a, (size_t)len + 1, 1);
    }
    if (s != NULL) {
        vsnprintf(s, (size_t)len + 1, format, again);
    }
    va_end(again);
    return s;
}

#include "server/reserve.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>

#include "probe/base/limits.h"

/* Blocks follow one another through the whole of it. */
struct block {
    alignas(
        max_align_t) size_t size; /* of what follows this header; 0 in the first: nothing was ever taken */
    bool used;
};

static alignas(max_align_t) unsigned char memory[LIMIT_RESERVE_BYTES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct block *block_at(size_t at)
{
    return (struct block *)(void *)(memory + at);
}

static size_t end_of(size_t at)
{
    return at + sizeof(struct block) + block_at(at)->size;
}

/* The first free block of at least this size, neighbours that are free joined on the way. */
static struct block *find_free(size_t size)
{
    for (size_t at = 0; at < sizeof memory; at = end_of(at)) {
        struct block *b = block_at(at);
        while (!b->used && end_of(at) < sizeof memory && !block_at(end_of(at))->used) {
            b->size += sizeof *b + block_at(end_of(at))->size;
        }
        if (!b->used && b->size >= size) {
            return b;
        }
    }
    return NULL;
}

void *reserve_take(size_t size)
{
    if (size > sizeof memory) {
        return NULL;
    }
    size = size > 0 ? (size + sizeof(struct block) - 1) / sizeof(struct block) * sizeof(struct block)
                    : sizeof(struct block);
    pthread_mutex_lock(&lock);
    struct block *b = block_at(0);
    if (b->size == 0) {
        b->size = sizeof memory - sizeof *b;
    }
    b = find_free(size);
    if (b) {
        if (b->size > size) {
            size_t rest = b->size - size - sizeof *b;
            b->size = size;
            b[1 + size / sizeof *b] = (struct block){.size = rest, .used = false};
        }
        b->used = true;
    }
    pthread_mutex_unlock(&lock);
    return b ? b + 1 : NULL;
}

bool reserve_owns(const void *p)
{
    uintptr_t at = (uintptr_t)p, start = (uintptr_t)memory;
    return at >= start && at < start + sizeof memory;
}

size_t reserve_size(const void *p)
{
    return ((const struct block *)p - 1)->size;
}

void reserve_give(void *p)
{
    pthread_mutex_lock(&lock);
    ((struct block *)p - 1)->used = false;
    pthread_mutex_unlock(&lock);
}

/* malloc.c: the allocator of the whole process, libraries included: the C library's (or whatever else comes
 * next in the order of linking), and the reserve behind it for threads that memory.h says are guarded. Linked
 * into the program alone, and not where a sanitizer has an allocator of its own. Aligned memory is not asked
 * for by the libraries in question and stays the C library's. */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/memory.h"
#include "server/reserve.h"

static struct {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *old, size_t size);
    void (*free)(void *p);
    bool searching; /* the search itself may allocate; there is one thread yet */
} next;

static void find(void *function, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (!symbol) {
        abort();
    }
    memcpy(function, &symbol, sizeof symbol);
}

/* The first allocation is made by the constructors of the libraries, before there are threads. */
static bool ready(void)
{
    if (!next.malloc && !next.searching) {
        next.searching = true;
        find(&next.free, "free");
        find(&next.realloc, "realloc");
        find(&next.calloc, "calloc");
        find(&next.malloc, "malloc");
    }
    return next.malloc;
}

/* Nothing was to be had; what is told to a thread that cannot bear it is another matter. */
static void *failed(size_t size)
{
    return memory_note_failure() ? reserve_take(size) : NULL;
}

void *malloc(size_t size)
{
    if (!ready()) {
        return reserve_take(size);
    }
    void *p = next.malloc(size);
    return p ? p : failed(size);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    bool fits = !__builtin_mul_overflow(count, size, &bytes);
    void *p = ready() ? next.calloc(count, size) : NULL;
    if (!p && fits) {
        p = next.malloc ? failed(bytes) : reserve_take(bytes);
        if (p) {
            memset(p, 0, bytes);
        }
    }
    return p;
}

static void *move_out_of_reserve(void *old, size_t size)
{
    void *p = malloc(size);
    if (p) {
        size_t held = reserve_size(old);
        memcpy(p, old, held < size ? held : size);
        reserve_give(old);
    }
    return p;
}

/* The old block is not the reserve's, and the allocator could not make it larger. */
static void *move_into_reserve(void *old, size_t size, size_t held)
{
    void *p = failed(size);
    if (p && old) {
        memcpy(p, old, held < size ? held : size);
        free(old);
    }
    return p;
}

void *realloc(void *old, size_t size)
{
    if (old && reserve_owns(old)) {
        return move_out_of_reserve(old, size);
    }
    void *p = ready() ? next.realloc(old, size) : NULL;
    return p || size == 0 ? p : move_into_reserve(old, size, old ? malloc_usable_size(old) : 0);
}

void free(void *p)
{
    if (p && reserve_owns(p)) {
        reserve_give(p);
    } else if (p && ready()) {
        next.free(p);
    }
}

/* failmalloc.c: preloaded into the service, makes one chosen allocation of the whole process fail, or all
 * from there on, and counts what is alive. The file named in FAILMALLOC is shared with the test, which arms
 * it while the service runs. */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* As tests/lib/failmalloc.py reads and writes it. */
struct control {
    atomic_llong armed;     /* 0: nothing fails, 1: one allocation will, 2: all from there on */
    atomic_llong countdown; /* allocations until then, that one included */
    atomic_llong failed;    /* how many were made to fail */
    atomic_llong blocks;    /* alive now */
    atomic_llong bytes;     /* alive now, as the allocator rounds them */
};

#define FRAMES 48

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

static struct control *control;
static _Thread_local int inside;

static void __attribute__((constructor)) prepare(void)
{
    void *frames[2];
    const char *path = getenv("FAILMALLOC");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared =
        fd >= 0 ? mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    (void)backtrace(frames, 2); /* loads the unwinder, which allocates */
    if (fd >= 0) {
        close(fd);
    }
    control = shared != MAP_FAILED ? shared : NULL;
}

/* Says on standard error who asked for the allocation that fails first. */
static void tell(void)
{
    static const char head[] = "failmalloc: this allocation fails\n";
    void *frames[FRAMES];
    inside = 1;
    (void)!write(STDERR_FILENO, head, sizeof head - 1);
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES), STDERR_FILENO);
    inside = 0;
}

/* Whether this allocation is one to fail. */
static int fails(void)
{
    long long armed = control && !inside ? atomic_load(&control->armed) : 0;
    long long left = armed ? atomic_fetch_sub(&control->countdown, 1) : 0;
    if (!armed || left > 1 || (left < 1 && armed == 1)) {
        return 0;
    }
    if (left == 1) {
        tell();
    }
    atomic_fetch_add(&control->failed, 1);
    errno = ENOMEM;
    return 1;
}

static void *born(void *p)
{
    if (p && control) {
        atomic_fetch_add(&control->blocks, 1);
        atomic_fetch_add(&control->bytes, (long long)malloc_usable_size(p));
    }
    return p;
}

static void dead(void *p)
{
    if (p && control) {
        atomic_fetch_sub(&control->blocks, 1);
        atomic_fetch_sub(&control->bytes, (long long)malloc_usable_size(p));
    }
}

void *malloc(size_t size)
{
    return fails() ? NULL : born(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : born(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size)
{
    if (size > 0 && fails()) {
        return NULL;
    }
    dead(old);
    void *p = __libc_realloc(old, size);
    if (!p && size > 0) {
        born(old);
    }
    return born(p);
}

void *memalign(size_t align, size_t size)
{
    return fails() ? NULL : born(__libc_memalign(align, size));
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
    void *made = memalign(align, size);
    if (!made) {
        return ENOMEM;
    }
    *p = made;
    return 0;
}

void free(void *p)
{
    dead(p);
    __libc_free(p);
}

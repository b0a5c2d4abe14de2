#include "server/shared.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct shared {
    atomic_size_t holders;
    size_t len;
    char text[];
};

static atomic_size_t total;

struct shared *shared_create(const char *text, size_t len)
{
    struct shared *s = malloc(sizeof *s + len + 1);
    if (s) {
        atomic_init(&s->holders, 1);
        s->len = len;
        memcpy(s->text, text, len);
        s->text[len] = '\0';
        atomic_fetch_add(&total, len);
    }
    return s;
}

struct shared *shared_hold(struct shared *s)
{
    atomic_fetch_add(&s->holders, 1);
    return s;
}

void shared_release(struct shared *s)
{
    if (s && atomic_fetch_sub(&s->holders, 1) == 1) {
        atomic_fetch_sub(&total, s->len);
        free(s);
    }
}

size_t shared_total(void)
{
    return atomic_load(&total);
}

const char *shared_text(const struct shared *s)
{
    return s->text;
}

size_t shared_len(const struct shared *s)
{
    return s->len;
}

#include "probe/net/dns_aliases.h"

#include <ares.h>
#include <stdio.h>

#define HEADER_SIZE 12
#define QUESTION_TAIL 4 /* type and class */
#define RECORD_TAIL 10  /* type, class, TTL and length */

#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28

/* What is left of the message; nothing is read but through take() and take_name(). */
struct reader {
    const unsigned char *start;
    size_t len, at;
    bool *no_memory;
};

static const unsigned char *take(struct reader *r, size_t size)
{
    if (size > r->len - r->at) {
        return NULL;
    }
    const unsigned char *p = r->start + r->at;
    r->at += size;
    return p;
}

/* Takes a name; `name` (DNS_NAME_SIZE bytes) may be NULL. */
static bool take_name(struct reader *r, char *name)
{
    char *text = NULL;
    long used = 0;
    int status = r->at < r->len ? ares_expand_name(r->start + r->at, r->start, (int)r->len, &text, &used)
                                : ARES_EBADRESP;
    *r->no_memory |= status == ARES_ENOMEM;
    if (status != ARES_SUCCESS) {
        return false;
    }
    if (name) {
        snprintf(name, DNS_NAME_SIZE, "%s", text);
    }
    ares_free_string(text);
    return take(r, (size_t)used) != NULL;
}

static unsigned u16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

bool dns_aliases_read(struct dns_aliases *out, const unsigned char *reply, size_t len)
{
    struct reader r = {reply, len, 0, &out->no_memory};
    char owner[DNS_NAME_SIZE];

    out->count = 0;
    out->no_memory = false;
    out->canonical_name[0] = '\0';
    const unsigned char *header = take(&r, HEADER_SIZE);
    if (!header) {
        return false;
    }
    for (unsigned i = u16(header + 4); i > 0; i--) {
        if (!take_name(&r, NULL) || !take(&r, QUESTION_TAIL)) {
            return false;
        }
    }
    for (unsigned i = u16(header + 6); i > 0; i--) {
        const unsigned char *tail = take_name(&r, owner) ? take(&r, RECORD_TAIL) : NULL;
        if (!tail) {
            return false;
        }
        struct reader target = r;
        if (!take(&r, u16(tail + 8))) {
            return false;
        }
        unsigned type = u16(tail);
        if (type == TYPE_A || type == TYPE_AAAA) {
            snprintf(out->canonical_name, sizeof out->canonical_name, "%s", owner);
            return true; /* addresses come last */
        }
        if (type == TYPE_CNAME) {
            out->count++;
            if (!take_name(&target, out->canonical_name)) {
                return false;
            }
        }
    }
    return true;
}

/* period.h: the time around now in which a verdict stays what it is, in seconds since 1970. */
#ifndef NET_PERIOD_H
#define NET_PERIOD_H

#include <stdbool.h>
#include <stdint.h>

struct period {
    int64_t from, until; /* `until` is no part of it */
};

static inline struct period period_always(void)
{
    return (struct period){INT64_MIN, INT64_MAX};
}

/* At this moment something changes: the period ends there, or begins. */
static inline void period_split(struct period *p, int64_t at, int64_t now)
{
    if (at <= now) {
        p->from = at > p->from ? at : p->from;
    } else {
        p->until = at < p->until ? at : p->until;
    }
}

/* Splits at the ends of a certificate's validity, whether the last second is taken for part of it or not. */
static inline void period_split_validity(struct period *p, int64_t not_before, int64_t not_after, int64_t now)
{
    period_split(p, not_before, now);
    period_split(p, not_after, now);
    period_split(p, not_after < INT64_MAX ? not_after + 1 : INT64_MAX, now);
}

static inline bool period_holds(const struct period *p, int64_t at)
{
    return p->from <= at && at < p->until;
}

#endif

/* scrape.h: what /metrics answers: the figures counted so far, and a look at all that is counted nowhere. */
#ifndef SERVER_SCRAPE_H
#define SERVER_SCRAPE_H

struct admission;
struct callers;
struct metrics;
struct shared_cache;

struct scrape {
    struct metrics *metrics;
    struct admission *admission;
    struct callers *callers;           /* of the public port */
    const struct shared_cache *shared; /* NULL: none */
};

/* In the Prometheus text format, malloc'd, the caller's. NULL: out of memory. Any thread. */
char *scrape_text(const struct scrape *scrape);

#endif

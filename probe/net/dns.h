/* dns.h: A and AAAA look-ups by c-ares on an event loop. The answer always comes asynchronously, also an
 * error, and once; after dns_cancel() it never comes. Knows no policy: what was answered is handed on as it
 * came. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <uv.h>

#include "probe/base/error.h"
#include "probe/base/ip.h"
#include "probe/base/limits.h"
#include "probe/net/dns_aliases.h"

/* One resolver for each loop. */
struct dns;
struct dns_lookup;

struct dns_answer {
    struct ip addresses[2 * LIMIT_ADDRESSES]; /* IPv6 first, each family in the answer's order */
    size_t count;
    bool truncated;                     /* there were more */
    char canonical_name[DNS_NAME_SIZE]; /* empty: the name is no alias */
    bool ours;                          /* this machine ran out of something: nothing was learnt */
    struct failure failure;             /* ERROR_NONE where there is at least one address */
};

/* Once in the process, before and after all threads. False: out of memory. */
bool dns_library_init(void);
void dns_library_cleanup(void);

/* `servers`: ADDR[:PORT],… with IPv6 in brackets where a port follows; NULL for the system's. A look-up that
 * takes longer than `timeout_ms` gives ERROR_DNS_TIMEOUT, or what is known by then. NULL with a sentence in
 * `why`. */
struct dns *dns_create(uv_loop_t *loop, const char *servers, unsigned timeout_ms, char *why, size_t why_size);

/* Gives up all look-ups (no answers come) and frees; the loop must run once more before it is closed. */
void dns_free(struct dns **dns);

/* NULL: out of memory. The handle is void once the answer came. */
struct dns_lookup *dns_lookup(struct dns *dns, const char *name,
                              void (*on_answer)(void *owner, const struct dns_answer *answer), void *owner);
void dns_cancel(struct dns_lookup **lookup);

#endif

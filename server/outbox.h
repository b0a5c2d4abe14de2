/* outbox.h: the jobs of one worker that are done and not yet back with their owners. The HTTP library goes
 * through all requests that wait whenever some are to be answered, so answers in quick succession go
 * together. */
#ifndef SERVER_OUTBOX_H
#define SERVER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job;

struct outbox {
    struct job *first, **end; /* by job.next, as they came */
    uint64_t sent_ms;         /* when some were taken last, on the loop's clock */
};

void outbox_init(struct outbox *outbox);

bool outbox_is_empty(const struct outbox *outbox);

void outbox_add(struct outbox *outbox, struct job *job);

/* How long those inside are to wait for others, with so many tests under way: none where few are, or where
 * the last ones left long enough ago; at most a millisecond for each 32 tests. */
uint64_t outbox_wait_ms(const struct outbox *outbox, uint64_t now_ms, size_t under_way);

/* All that are inside, a list by job.next, as they came; NULL: none. */
struct job *outbox_take(struct outbox *outbox, uint64_t now_ms);

#endif

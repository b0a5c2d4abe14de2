#include "server/outbox.h"

#include "server/job.h"

#define TESTS_PER_MS 32

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){.end = &outbox->first};
}

bool outbox_is_empty(const struct outbox *outbox)
{
    return !outbox->first;
}

void outbox_add(struct outbox *outbox, struct job *job)
{
    job->next = NULL;
    *outbox->end = job;
    outbox->end = &job->next;
}

uint64_t outbox_wait_ms(const struct outbox *outbox, uint64_t now_ms, size_t under_way)
{
    uint64_t patience = under_way / TESTS_PER_MS;
    uint64_t passed = now_ms - outbox->sent_ms;
    return passed < patience ? patience - passed : 0;
}

struct job *outbox_take(struct outbox *outbox, uint64_t now_ms)
{
    struct job *jobs = outbox->first;
    if (jobs) {
        outbox->sent_ms = now_ms;
        outbox->first = NULL;
        outbox->end = &outbox->first;
    }
    return jobs;
}

/* job.h: one test asked for, on its way: query in, body out. It belongs to exactly one room at a time: its
 * creator (http or check), then the pool's worker, then its creator again. */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include "api/query.h"
#include "probe/report/report.h"

enum job_result {
    JOB_REPORTED,   /* body holds the report */
    JOB_BLOCKED,    /* every address is forbidden */
    JOB_OVERLOADED, /* this machine is out of something */
    JOB_CANCELLED   /* the service stops */
};

struct job {
    struct job *next, **link; /* in the worker's inbox or among its running jobs */
    struct query query;
    struct report report;
    struct probe *probe; /* while it runs */
    struct worker *worker;

    char *(*render)(const struct report *report); /* makes the body, in the worker's thread */
    enum job_result result;
    char *body; /* malloc'd; the taker sets it to NULL */
    enum verdict verdict;
    double dns_ms, test_ms; /* for Server-Timing */

    void (*on_done)(struct job *job); /* from the worker's thread; the job is the owner's again */
    void *owner;
};

/* Renders as JSON unless `render` is changed before it is submitted. NULL: out of memory. */
struct job *job_create(const struct query *query, void (*on_done)(struct job *job), void *owner);
void job_free(struct job **job);

#endif

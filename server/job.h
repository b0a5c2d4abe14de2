/* job.h: one test asked for over HTTP, on its way: query in, body out. It belongs to exactly one room at a
 * time: http, then the pool's worker, then http again. */
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

    enum job_result result;
    char *body; /* malloc'd; the taker sets it to NULL */
    enum verdict verdict;
    double dns_ms, test_ms; /* for Server-Timing */

    void (*on_done)(struct job *job); /* from the worker's thread; the job is the owner's again */
    void *owner;
};

/* NULL: out of memory. */
struct job *job_create(const struct query *query, void (*on_done)(struct job *job), void *owner);
void job_free(struct job **job);

#endif

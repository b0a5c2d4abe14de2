/* job.h: one test asked for, on its way: query in, body out. It belongs to exactly one room at a time: its
 * creator (http or check), then the pool's worker, then its creator again. */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include <stdatomic.h>

#include "api/piece_cache.h"
#include "api/query.h"
#include "probe/report/report.h"
#include "server/origin.h"
#include "server/shared_key.h"
#include "server/timing.h"
#include "server/turns.h"

enum job_result {
    JOB_REPORTED,   /* body holds the report */
    JOB_BLOCKED,    /* every address is forbidden */
    JOB_LIMITED,    /* an address has been tested too often of late */
    JOB_OVERLOADED, /* this machine is out of something */
    JOB_CANCELLED   /* the service stops, or nobody waits for it any more */
};

struct job {
    struct job *next, **link; /* among those of its client that wait, or of its worker that run */
    struct query query;
    struct report report;
    struct probe *probe;             /* while it runs */
    _Atomic(struct worker *) worker; /* NULL: waits for one */
    atomic_bool unwanted;            /* see worker_drop() */

    /* Makes the body, in the worker's thread, out of pieces that the worker has kept where it can. */
    char *(*render)(const struct report *report, struct piece_cache *pieces);
    enum job_result result;
    unsigned retry_after_s; /* JOB_LIMITED */
    char *body;             /* malloc'd; the taker sets it to NULL */
    enum verdict verdict;
    bool shared; /* another replica has tested it, age_ms ago */
    uint64_t age_ms;
    struct ip address; /* that was connected to, or was tried last; family 0: none */
    bool deadline_exceeded;
    double dns_ms, test_ms; /* these and the phases for Server-Timing */
    struct port_phases phases;
    struct origin origin; /* for the log */

    /* While and after a store that replicas share is asked for its result; see shared_cache.h. */
    struct shared_link *shared_link;
    struct redis_ask *asking; /* NULL: not, or no more */
    void (*on_looked_up)(struct job *job, bool found);
    unsigned shared_generation;         /* of the roots that its name was made with */
    char shared_name[SHARED_NAME_SIZE]; /* under which its result is kept; empty: it is not */

    void (*on_done)(struct job *job); /* from the worker's thread; the job is the owner's again */
    void *owner;
};

/* Renders in the form that the query asks for unless `render` is changed before it is submitted. NULL: out of
 * memory. */
struct job *job_create(const struct query *query, void (*on_done)(struct job *job), void *owner);
void job_free(struct job **job);

#endif

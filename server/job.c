#include "server/job.h"

#include <stdlib.h>

#include "api/probe_metrics.h"
#include "api/report_json.h"

struct job *job_create(const struct query *query, void (*on_done)(struct job *job), void *owner)
{
    struct job *job = calloc(1, sizeof *job);
    if (job) {
        job->query = *query;
        job->render = query->form == QUERY_METRICS ? probe_metrics : report_json;
        job->on_done = on_done;
        job->owner = owner;
        report_init(&job->report);
    }
    return job;
}

void job_free(struct job **job)
{
    struct job *j = *job;
    *job = NULL;
    if (j) {
        report_deinit(&j->report);
        free(j->body);
        free(j);
    }
}

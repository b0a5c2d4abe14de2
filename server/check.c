#include "server/check.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/host.h"
#include "api/report_table.h"
#include "server/job.h"

/* A table is made once and keeps no pieces. */
static char *render_table(const struct report *report, struct piece_cache *pieces)
{
    (void)pieces;
    return report_table(report);
}

static void on_done(struct job *job)
{
    sem_post(job->owner);
}

static enum check_status complain(const char *what)
{
    fprintf(stderr, "imap-testd: %s\n", what);
    return CHECK_UNKNOWN;
}

static enum check_status status_of(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_OK:
        return CHECK_OK;
    case VERDICT_WARNINGS:
    case VERDICT_PROBLEMS:
        return CHECK_FAULTY;
    case VERDICT_INCONCLUSIVE:
    case VERDICT_UNREACHABLE:
        break;
    }
    return CHECK_UNKNOWN;
}

static enum check_status print(const struct job *job)
{
    size_t len = strlen(job->body);
    bool ended = len > 0 && job->body[len - 1] == '\n';
    if (fputs(job->body, stdout) == EOF || (!ended && putchar('\n') == EOF) || fflush(stdout) != 0) {
        return complain("the report cannot be written to standard output");
    }
    return status_of(job->verdict);
}

static enum check_status finish(const struct job *job)
{
    switch (job->result) {
    case JOB_REPORTED:
        return print(job);
    case JOB_BLOCKED:
        fprintf(stderr,
                "imap-testd: %s was not tested: its addresses are private, reserved, this machine's own or "
                "excluded by --deny-target; --allow-target CIDR permits a network that you may test\n",
                job->query.probe.host);
        return CHECK_UNKNOWN;
    case JOB_LIMITED:
    case JOB_OVERLOADED:
    case JOB_CANCELLED:
        break;
    }
    return complain(
        "this machine is out of memory, descriptors or ports; nothing was found out about the host");
}

enum check_status check_run(const struct config *config, struct pool *pool)
{
    struct query query = {.probe = {.imap = true, .imaps = true, .timeout_ms = config->deadline_ms}};
    char why[HOST_WHY_SIZE] = "out of memory";
    struct lane lane = {NULL};
    sem_t done;

    if (host_parse(config->check, strlen(config->check), &query.probe, why) != HOST_OK) {
        return complain(why);
    }
    query.probe.address = config->address;
    query.probe.transcript = config->transcript;
    struct job *job = job_create(&query, on_done, &done);
    if (!job) {
        return complain("out of memory");
    }
    if (isatty(STDOUT_FILENO) && !config->json) {
        job->render = render_table;
    }
    sem_init(&done, 0, 0);
    pool_submit(pool, &lane, job);
    while (sem_wait(&done) != 0 && errno == EINTR) {
    }
    enum check_status status = finish(job);
    sem_destroy(&done);
    job_free(&job);
    return status;
}

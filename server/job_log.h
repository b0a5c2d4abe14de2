/* job_log.h: the line of the log for a test that was run. */
#ifndef SERVER_JOB_LOG_H
#define SERVER_JOB_LOG_H

struct job;

/* Writes the line of a job whose test has ended, while its report is there. */
void job_log(const struct job *job);

#endif

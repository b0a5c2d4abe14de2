/* check.h: one test for whoever sits at the terminal, without HTTP. */
#ifndef SERVER_CHECK_H
#define SERVER_CHECK_H

#include "server/config.h"
#include "server/pool.h"

/* The exit status of the program; usage errors (2) never come this far. */
enum check_status {
    CHECK_OK = 0,
    CHECK_FAULTY = 1, /* warnings or problems */
    CHECK_UNKNOWN = 3 /* unreachable or inconclusive, or the test could not be made */
};

/* Tests config->check on the pool and waits for it. The report goes to standard output, as a table on a
 * terminal and else as JSON; without a report, a line on standard error says why. SIGPIPE must be ignored. */
enum check_status check_run(const struct config *config, struct pool *pool);

#endif

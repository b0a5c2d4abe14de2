/* stop.h: the end of the service in order: nobody who was let in goes without an answer.
 *
 *  1. Not ready: /readyz says so, and each answer is the last of its connection, so that callers and what
 *     balances them look elsewhere. For --drain-ms everything else goes on, new connections included.
 *  2. No further connections. Who waits at a socket that the service manager holds as well is for the next
 *     process. Requests on connections that are open already are done like any other.
 *  3. Connections on which nothing is asked for some time are ended, by no longer reading from them.
 *  4. Running tests end, or are cut after --grace-ms and answered with what is known by then.
 *  5. Answers are taken, and all connections are gone.
 *
 * A second SIGTERM or SIGINT ends the waiting of 1 to 4 at once. SIGHUP comes too late for anything. */
#ifndef SERVER_STOP_H
#define SERVER_STOP_H

#include <signal.h>
#include <stdbool.h>

struct admission;
struct callers;
struct http;
struct pool;

struct stop {
    struct admission *admission;
    struct callers *callers;
    struct pool *pool;
    struct http *http;
    const sigset_t *signals; /* blocked in all threads */
    bool shared_sockets;     /* as http_quiesce() */
    unsigned drain_ms, grace_ms;
};

/* Returns when nothing is in flight any more or soon will be, so that the parts may be freed, the pool first.
 */
void stop_in_order(const struct stop *stop);

#endif

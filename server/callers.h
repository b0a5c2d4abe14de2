/* callers.h: the connections of callers, as far as the HTTP library does not watch them: how many a client
 * has, how long a request or an answer may take on the wire, and whether a caller that waits for its test is
 * still there. One thread of its own; any thread may call. */
#ifndef SERVER_CALLERS_H
#define SERVER_CALLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "server/client.h"

struct callers;
struct caller; /* one connection */

struct callers_limits {
    unsigned per_client;  /* connections of one client; 0: any number */
    size_t tests;         /* callers that may wait and are no crowd: one for each test there may be */
    size_t crowded;       /* connections beyond which others are cut off, the slowest first */
    unsigned patience_ms; /* for asking and answering in a crowd, which may be a burst and soon be over */
    unsigned transfer_ms; /* for a whole request to arrive, and for a whole answer to be taken */
};

/* Who waits with a connection. */
struct caller_watch {
    void *owner;
    /* From the thread of the callers: the caller has closed its connection. True: nobody else looks after the
     * request any more, and on_released comes; false: an answer is on the way already. */
    bool (*on_gone)(void *owner);
    void (*on_released)(void *owner);
};

/* Starts the thread. `trusted`: proxies, whose connections are those of many; outlives it. NULL with a
 * sentence in `why`. */
struct callers *callers_create(const struct callers_limits *limits, const struct client_proxies *trusted,
                               char *why, size_t why_size);

/* Ends the thread; all connections must have been removed. */
void callers_free(struct callers **callers);

struct callers_state {
    size_t connections; /* but for those that were cut */
    size_t waiting;     /* of them those that wait for a test */
};

struct callers_state callers_state(struct callers *callers);

/* Whether one more connection from this address is taken. */
bool callers_welcome(struct callers *callers, const struct sockaddr *address);

/* A connection was opened, and its time to ask begins. The socket must stay open until it is removed. NULL:
 * out of memory; the connection is then not watched. The other calls take NULL for that. */
struct caller *callers_add(struct callers *callers, int fd, const struct sockaddr *address);
void callers_remove(struct callers *callers, struct caller *caller);

/* The request has come in whole, and its test is under way: no time runs, but the caller may leave. The watch
 * must stay until caller_answering() has returned or on_released was called. */
void caller_waiting(struct callers *callers, struct caller *caller, const struct caller_watch *watch);

/* The answer goes out: the time to take it begins. */
void caller_answering(struct callers *callers, struct caller *caller);

/* Whether somebody has not asked yet, or not to the end; and whether any connection is left at all. */
bool callers_asking(struct callers *callers);
bool callers_left(struct callers *callers);

/* From now on no more is read from those who have nothing under way, but for what has come in already: it is
 * answered, and their connections end. The same goes for the others once they have their answers. */
void callers_end(struct callers *callers);

/* The answer has gone out: the time to ask again begins. */
void caller_asking(struct callers *callers, struct caller *caller);

#endif

/* http_log.h: the line of the log for a request, and the warning of a proxy that nobody has named. Any
 * thread. */
#ifndef SERVER_HTTP_LOG_H
#define SERVER_HTTP_LOG_H

#include <stdbool.h>

#include "server/client.h"
#include "server/origin.h"

/* What is told of a request; whatever is not there is NULL, empty or of family 0. */
struct http_record {
    const char *id, *method, *path;
    const struct client *client;
    const struct traceparent *trace;
    unsigned status; /* 0: no answer was sent */
    const char *host, *verdict, *problem;
    struct ip tested;
    bool cached, aborted;
    double duration_ms;
};

/* Writes the line. `all` false: only where the service failed, with a status of 5xx. */
void http_log_request(const struct http_record *record, bool all);

/* Warns, once from the start or http_log_rearm() on, where the peer says for whom it speaks and is no proxy
 * that is trusted: all its callers count as one. */
void http_log_proxy(const struct client *client);
void http_log_rearm(void);

#endif

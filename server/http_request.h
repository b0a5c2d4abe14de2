/* http_request.h: one HTTP request from its first line to the end of its answer. For http.c alone. */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include <microhttpd.h>

#include "server/http.h"

struct caller;
struct request;

/* The request target has come, raw; NULL where no memory was left for it. NULL: out of memory. */
struct request *request_create(const struct http_env *env, struct MHD_Connection *connection,
                               struct caller *caller, const char *target);

/* The head is there; called once, before all else. `target` is where the library has left it. */
enum MHD_Result request_headers(struct request *request, const char *method, const char *target,
                                const char *version);
bool request_has_headers(const struct request *request);

/* `size` bytes of the body have come. */
enum MHD_Result request_body(struct request *request, size_t size);

/* All has come: answers, or suspends the connection until the answer is there. */
enum MHD_Result request_complete(struct request *request);

/* The library has done with it: logs and frees. */
void request_end(struct request **request, bool sent);

#endif

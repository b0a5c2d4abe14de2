/* http_answer.h: how an answer leaves: the headers that all of them have, refusals, and what becomes of an
 * answer that there is no memory for. For http.c, and with it the only place that knows the HTTP library. */
#ifndef SERVER_HTTP_ANSWER_H
#define SERVER_HTTP_ANSWER_H

#include <microhttpd.h>

#include "api/problem.h"
#include "api/route.h"
#include "server/admission.h"
#include "server/cors.h"
#include "server/http_rules.h"
#include "server/shared.h"

struct http_answer {
    struct MHD_Connection *connection;
    struct admission *admission; /* tells whether the service stops */
    struct cors cors;
    unsigned max_age_s;     /* how long the caller may keep it; 0: not at all */
    bool last;              /* the connection is closed behind it */
    unsigned status;        /* of what was sent, 0: nothing yet */
    const char *problem;    /* its code, NULL: none */
    enum problem_code code; /* where there is a problem; with the next one for what is counted */
    bool by_target;         /* rate_limited, for the sake of the target */
    char id[HTTP_ID_SIZE];  /* of the request */
};

/* A response that owns the malloc'd body (NULL: no memory was left for it), and one that borrows a body which
 * stays for ever. NULL: no memory. */
struct MHD_Response *http_answer_take(char *body);
struct MHD_Response *http_answer_lend(const void *body, size_t len);

/* A response that takes over one hold on a body. NULL: no memory, and the hold is given up. */
struct MHD_Response *http_answer_share(struct shared *body);

/* Adds a header whose value is ours or checked. What fails is memory: the response is given up, NULL from
 * then on. */
void http_answer_header(struct MHD_Response **response, const char *name, const char *value);

/* Sends a response of a media type (NULL: none) and gives it up. NULL: no memory was left for it, and 503
 * goes out in its place. MHD_NO where not even that can be: the connection is to be closed. */
enum MHD_Result http_answer_send(struct http_answer *a, unsigned status, struct MHD_Response *response,
                                 const char *type);

/* Sends a problem instead. */
enum MHD_Result http_answer_refuse(struct http_answer *a, const struct problem *problem);
enum MHD_Result http_answer_overloaded(struct http_answer *a);

/* Answers OPTIONS, where origins are configured; a browser asks it without any key. `routes` as route_find()
 * takes them; *route is set where the path names one. */
enum MHD_Result http_answer_options(struct http_answer *a, const struct config_list *origins, unsigned routes,
                                    const char *method, const char *path, enum route *route);

#endif

#include "server/http_answer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds a header. Values are ours or checked, so what fails is memory: the response is given up, NULL from
 * then on. */
void http_answer_header(struct MHD_Response **response, const char *name, const char *value)
{
    if (*response && MHD_add_response_header(*response, name, value) != MHD_YES) {
        MHD_destroy_response(*response);
        *response = NULL;
    }
}

/* Queues an answer and gives the response up. NULL: no memory was left for it. */
static enum MHD_Result queue(struct http_answer *a, unsigned status, struct MHD_Response *response,
                             const char *type)
{
    http_answer_header(&response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    http_answer_header(&response, "X-Request-Id", a->id);
    http_answer_header(&response, "X-Content-Type-Options", "nosniff");
    http_answer_header(&response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (admission_stopping(a->admission)) {
        http_answer_header(&response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    if (!response) {
        return MHD_NO; /* closes the connection */
    }
    a->status = status;
    enum MHD_Result result = MHD_queue_response(a->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

struct MHD_Response *http_answer_take(char *body)
{
    struct MHD_Response *response =
        body ? MHD_create_response_from_buffer_with_free_callback(strlen(body), body, free) : NULL;
    if (body && !response) {
        free(body);
    }
    return response;
}

struct MHD_Response *http_answer_lend(const void *body, size_t len)
{
    return MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result try_to_refuse(struct http_answer *a, const struct problem *problem)
{
    struct MHD_Response *response = http_answer_take(problem_json(problem, a->id));
    char seconds[16];
    a->problem = problem_name(problem->code);
    if (response && problem->retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%u", problem->retry_after_s);
        http_answer_header(&response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (response && problem->allow) {
        http_answer_header(&response, MHD_HTTP_HEADER_ALLOW, problem->allow);
    }
    if (response && problem->code == PROBLEM_UNAUTHORIZED) {
        http_answer_header(&response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    return queue(a, problem_status(problem->code), response, PROBLEM_MEDIA_TYPE);
}

enum MHD_Result http_answer_overloaded(struct http_answer *a)
{
    struct problem problem;
    http_rules_overloaded(&problem);
    return try_to_refuse(a, &problem);
}

/* Where there was no memory for an answer there may be some by now: better a caller that hears of it than one
 * whose connection is closed. */
enum MHD_Result http_answer_refuse(struct http_answer *a, const struct problem *problem)
{
    return try_to_refuse(a, problem) == MHD_YES ? MHD_YES : http_answer_overloaded(a);
}

enum MHD_Result http_answer_send(struct http_answer *a, unsigned status, struct MHD_Response *response,
                                 const char *type)
{
    return queue(a, status, response, type) == MHD_YES ? MHD_YES : http_answer_overloaded(a);
}

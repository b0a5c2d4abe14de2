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

static void add_if(struct MHD_Response **response, const char *name, const char *value)
{
    if (value) {
        http_answer_header(response, name, value);
    }
}

/* An answer is data, whatever a browser is made to do with it. */
static void add_security(struct MHD_Response **response)
{
    http_answer_header(response, "X-Content-Type-Options", "nosniff");
    http_answer_header(response, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    http_answer_header(response, "Referrer-Policy", "no-referrer");
    http_answer_header(response, "Cross-Origin-Resource-Policy", "same-origin");
}

static void add_cors(struct MHD_Response **response, const struct cors *cors)
{
    add_if(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, cors->allow_origin);
    add_if(response, MHD_HTTP_HEADER_VARY, cors->vary);
    add_if(response, MHD_HTTP_HEADER_ACCESS_CONTROL_EXPOSE_HEADERS, cors->expose_headers);
    add_if(response, "Access-Control-Allow-Methods", cors->allow_methods);
    add_if(response, "Access-Control-Allow-Headers", cors->allow_headers);
    add_if(response, "Access-Control-Max-Age", cors->max_age);
}

/* Queues an answer and gives the response up. NULL: no memory was left for it. */
static enum MHD_Result queue(struct http_answer *a, unsigned status, struct MHD_Response *response,
                             const char *type)
{
    char kept[32];
    snprintf(kept, sizeof kept, "max-age=%u", a->max_age_s);
    add_if(&response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    http_answer_header(&response, "X-Request-Id", a->id);
    http_answer_header(&response, MHD_HTTP_HEADER_CACHE_CONTROL, a->max_age_s > 0 ? kept : "no-store");
    add_security(&response);
    add_cors(&response, &a->cors);
    if (a->last || admission_retiring(a->admission)) {
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

static void release_body(void *shared)
{
    shared_release(shared);
}

struct MHD_Response *http_answer_share(struct shared *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        shared_len(body), (void *)(uintptr_t)shared_text(body), release_body, body);
    if (!response) {
        shared_release(body);
    }
    return response;
}

static enum MHD_Result try_to_refuse(struct http_answer *a, const struct problem *problem)
{
    struct MHD_Response *response = http_answer_take(problem_json(problem, a->id));
    char seconds[16];
    a->max_age_s = 0;
    a->problem = problem_name(problem->code);
    a->code = problem->code;
    a->by_target = problem->scope && strcmp(problem->scope, "target") == 0;
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

enum MHD_Result http_answer_options(struct http_answer *a, const struct config_list *origins, unsigned routes,
                                    const char *method, const char *path, enum route *route)
{
    struct problem problem;
    const char *origin = MHD_lookup_connection_value(a->connection, MHD_HEADER_KIND, "Origin");
    const char *wanted =
        MHD_lookup_connection_value(a->connection, MHD_HEADER_KIND, "Access-Control-Request-Method");

    if (!route_find(routes, "GET", path, route, &problem)) {
        return http_answer_refuse(a, &problem);
    }
    if (cors_is_preflight(method, origin, wanted)) {
        a->cors = cors_preflight(origins, origin, route_allow(*route));
    }
    struct MHD_Response *response = http_answer_lend("", 0);
    http_answer_header(&response, MHD_HTTP_HEADER_ALLOW, route_allow(*route));
    return http_answer_send(a, MHD_HTTP_NO_CONTENT, response, NULL);
}

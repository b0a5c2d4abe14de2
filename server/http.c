#include "server/http.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "api/openapi.h"
#include "api/report_json.h"
#include "api/route.h"
#include "server/admission.h"
#include "server/http_answer.h"
#include "server/http_head.h"
#include "server/http_rules.h"
#include "server/job.h"
#include "server/keys.h"
#include "server/log.h"
#include "server/pool.h"

/* Room for a request line and headers that are a little over our own bounds, so that the refusal is ours. */
#define CONNECTION_MEMORY (24u * 1024u)
#define IDLE_TIMEOUT_S 15u

/* Of a body whose length was not announced; a caller that sends more is not listening. */
#define MOST_BODY_READ (16u * LIMIT_REQUEST_BODY_BYTES)

struct http {
    struct http_env env;
    size_t count;
    struct MHD_Daemon **daemons;
    int *sockets;         /* -1 until quiesced: given back by the library */
    atomic_size_t active; /* requests between their first line and the end of their answer */
};

/* One HTTP request; lives until the library has done with it. */
struct request {
    struct http *http;
    struct request **current; /* of its connection; NULL: no memory was left for it */
    struct http_answer answer;
    struct http_head head;
    char *uri;  /* the target as sent; NULL: no memory was left for it */
    char *path; /* in it, with "?" and query */
    const char *method;
    bool seen; /* the headers have been looked at */
    size_t body_bytes;
    struct job *job; /* ours but between pool_submit() and on_job_done() */
    struct timespec started;
};

static double ms_between(const struct timespec *a, const struct timespec *b)
{
    return (double)(b->tv_sec - a->tv_sec) * 1e3 + (double)(b->tv_nsec - a->tv_nsec) / 1e6;
}

static enum MHD_Result answer_report(struct request *r)
{
    struct job *job = r->job;
    struct MHD_Response *response = http_answer_take(job->body);
    char timing[64];
    job->body = NULL;
    if (response) {
        snprintf(timing, sizeof timing, "dns;dur=%.1f, test;dur=%.1f", job->dns_ms, job->test_ms);
        http_answer_header(&response, "Server-Timing", timing);
    }
    return http_answer_send(&r->answer, MHD_HTTP_OK, response, "application/json");
}

/* From a worker's thread: queues the answer of a suspended request and lets the library go on with it. */
static void on_job_done(struct job *job)
{
    struct request *r = job->owner;
    struct MHD_Connection *connection = r->answer.connection;
    struct admission *admission = r->http->env.admission;
    struct problem problem;
    enum MHD_Result ok;

    if (job->result == JOB_REPORTED) {
        ok = answer_report(r);
    } else {
        http_rules_unreported(job->result, &problem);
        ok = http_answer_refuse(&r->answer, &problem);
    }
    if (ok != MHD_YES) {
        r->answer.status = 0;
    }
    MHD_resume_connection(connection); /* the request may be gone from here on */
    admission_leave(admission);
}

static enum MHD_Result start_test(struct request *r, const char *query)
{
    const struct http_env *env = &r->http->env;
    struct problem problem;
    struct query q;

    if (!query_parse(query, strlen(query), &env->limits, &q, &problem)) {
        return http_answer_refuse(&r->answer, &problem);
    }
    switch (admission_enter(env->admission)) {
    case ADMISSION_STOPPING:
        http_rules_stopping(&problem);
        return http_answer_refuse(&r->answer, &problem);
    case ADMISSION_FULL:
        http_rules_overloaded(&problem);
        return http_answer_refuse(&r->answer, &problem);
    case ADMISSION_OK:
        break;
    }
    r->job = job_create(&q, on_job_done, r);
    if (!r->job) {
        admission_leave(env->admission);
        http_rules_overloaded(&problem);
        return http_answer_refuse(&r->answer, &problem);
    }
    MHD_suspend_connection(r->answer.connection); /* before the worker could resume it */
    pool_submit(env->pool, r->job);
    return MHD_YES;
}

static enum MHD_Result answer_ready(struct request *r)
{
    static const char ready[] = "{\"status\":\"ready\"}";
    struct problem problem;
    return http_rules_ready(r->http->env.admission, &problem)
               ? http_answer_send(&r->answer, MHD_HTTP_OK, http_answer_lend(ready, sizeof ready - 1),
                                  "application/json")
               : http_answer_refuse(&r->answer, &problem);
}

static enum MHD_Result dispatch(struct request *r)
{
    static const char alive[] = "{\"status\":\"ok\"}";
    const struct keys *keys = r->http->env.keys;
    struct problem problem;
    enum route route = ROUTE_HEALTHZ;
    char *query = strchr(r->path, '?');

    if (query) {
        *query++ = '\0';
    }
    if (!route_find(r->method, r->path, &route, &problem)) {
        return http_answer_refuse(&r->answer, &problem);
    }
    bool open = route == ROUTE_HEALTHZ || route == ROUTE_READYZ || route == ROUTE_OPENAPI;
    if (keys && !open &&
        !keys_accept(keys,
                     MHD_lookup_connection_value(r->answer.connection, MHD_HEADER_KIND, "Authorization"))) {
        problem_set(&problem, PROBLEM_UNAUTHORIZED,
                    "This service asks for an API key: send the header \"Authorization: Bearer KEY\".");
        return http_answer_refuse(&r->answer, &problem);
    }
    switch (route) {
    case ROUTE_IMAP_TEST:
        return start_test(r, query ? query : "");
    case ROUTE_CAPABILITIES:
        return http_answer_send(&r->answer, MHD_HTTP_OK, http_answer_take(capabilities_json()),
                                "application/json");
    case ROUTE_HEALTHZ:
        return http_answer_send(&r->answer, MHD_HTTP_OK, http_answer_lend(alive, sizeof alive - 1),
                                "application/json");
    case ROUTE_READYZ:
        return answer_ready(r);
    case ROUTE_OPENAPI:
        return http_answer_send(&r->answer, MHD_HTTP_OK, http_answer_lend(openapi_yaml, openapi_yaml_len),
                                "application/yaml");
    case ROUTE_COUNT:
        break;
    }
    return MHD_NO;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len,
                                 const char *value, size_t value_len)
{
    (void)kind;
    http_head_header(cls, (struct text){key, key_len}, (struct text){value, value_len});
    return MHD_YES;
}

/* What the library lets through but nobody should answer. False: *problem says why. */
static bool head_fits(struct request *r, const char *target, const char *version, struct problem *problem)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->answer.connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    http_head_line(&r->head, r->method, target, version);
    (void)MHD_get_connection_values_n(r->answer.connection, MHD_HEADER_KIND, on_header, &r->head);
    return http_head_check(&r->head, info ? info->header_size : 0, problem);
}

static struct request *request_create(struct http *http, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct request **current = info ? info->socket_context : NULL;
    struct request *r = calloc(1, sizeof *r);
    if (r) {
        r->http = http;
        r->current = current;
        r->answer.connection = connection;
        r->answer.admission = http->env.admission;
        clock_gettime(CLOCK_MONOTONIC, &r->started);
        atomic_fetch_add(&http->active, 1);
        if (current) {
            *current = r;
        }
    }
    return r;
}

static void request_free(struct request *r)
{
    if (r->current) {
        *r->current = NULL;
    }
    job_free(&r->job);
    free(r->uri);
    atomic_fetch_sub(&r->http->active, 1);
    free(r);
}

/* A connection knows its request, since the library closes one without a word about the request where it
 * finds that to be wrong in two ways. */
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct request **current = *context;
    (void)cls;
    (void)connection;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = calloc(1, sizeof *current);
        return;
    }
    if (current && *current) {
        request_free(*current);
    }
    free(current);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    struct request *r = *context;
    struct problem problem;
    (void)upload;
    if (!r) {
        r = *context = request_create(cls, connection); /* no memory was left when the target came */
    }
    if (!r || r->job) {
        return MHD_NO; /* no memory for the request, or for the answer to it */
    }
    if (!r->seen) {
        r->seen = true;
        r->answer.connection = connection;
        r->method = method;
        http_rules_id(r->answer.id, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Request-Id"));
        if (!r->uri) {
            return http_answer_overloaded(&r->answer);
        }
        return head_fits(r, url, version, &problem) ? MHD_YES : http_answer_refuse(&r->answer, &problem);
    }
    if (*upload_size > 0) {
        /* No resource takes a body; it is read and forgotten, so that the caller gets its answer. */
        r->body_bytes += *upload_size;
        *upload_size = 0;
        return r->body_bytes <= MOST_BODY_READ ? MHD_YES : MHD_NO;
    }
    if (r->body_bytes > LIMIT_REQUEST_BODY_BYTES) {
        http_rules_body_too_large(&problem);
        return http_answer_refuse(&r->answer, &problem);
    }
    return dispatch(r);
}

/* Called with the raw request target, before anything is taken apart. The library is kept from taking the
 * query apart: nobody asks it for arguments, and where there are more than it has memory for, it never
 * answers. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct request *r = request_create(cls, connection);
    char *query = strchr(uri, '?');
    if (r) {
        r->uri = strdup(uri);
        r->path = r->uri ? http_head_target(&r->head, r->uri) : NULL;
    }
    if (query && query[1] != '\0') {
        query[1] = '\0';
    }
    return r;
}

static void log_request(const struct request *r, enum MHD_RequestTerminationCode how)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->answer.connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char client[IP_TEXT_SIZE] = "";
    struct timespec now;
    struct ip ip;
    bool sent = how == MHD_REQUEST_TERMINATED_COMPLETED_OK;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (info && ip_from_sockaddr(&ip, info->client_addr)) {
        ip_format(&ip, client);
    }
    struct log_field fields[] = {
        log_text("id", r->answer.id),
        log_text("client", client),
        log_text("method", r->method ? r->method : ""),
        log_text("path", r->path ? r->path : ""),
        log_int("status", (int64_t)r->answer.status),
        log_text("host", r->job ? r->job->query.probe.host : NULL),
        log_text("verdict", r->job && r->answer.status == MHD_HTTP_OK ? verdict_name(r->job->verdict) : NULL),
        log_text("problem", r->answer.problem),
        log_text("aborted", sent ? NULL : "client"),
        log_ms("duration_ms", ms_between(&r->started, &now)),
    };
    log_event(LOG_LEVEL_INFO, "request", fields, sizeof fields / sizeof fields[0]);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct request *r = *context;
    (void)cls;
    (void)connection;
    *context = NULL;
    if (!r) {
        return;
    }
    if (r->seen) {
        log_request(r, how);
    }
    request_free(r);
}

/* Percent-decoding is ours: the library would cut at %00. */
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *s)
{
    (void)cls;
    (void)connection;
    return strlen(s);
}

static void on_library_log(void *cls, const char *format, va_list args)
{
    char line[512];
    (void)cls;
    vsnprintf(line, sizeof line, format, args);
    struct log_field field = log_text("message", line);
    log_event(LOG_LEVEL_DEBUG, "http_library", &field, 1);
}

struct http *http_create(const struct http_env *env, const int *sockets, size_t count, unsigned connections,
                         char *why, size_t why_size)
{
    struct http *http = calloc(1, sizeof *http);
    if (http) {
        http->env = *env;
        http->daemons = calloc(count, sizeof(struct MHD_Daemon *));
        http->sockets = calloc(count, sizeof(int));
    }
    size_t room = http && http->daemons && http->sockets ? count : 0;
    snprintf(why, why_size, "out of memory");
    for (; room > 0 && http->count < count; http->count++) {
        http->sockets[http->count] = -1;
        http->daemons[http->count] = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
            on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET,
            sockets[http->count], MHD_OPTION_URI_LOG_CALLBACK, on_uri, http, MHD_OPTION_NOTIFY_COMPLETED,
            on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
            MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 0,
            MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
        if (!http->daemons[http->count]) {
            snprintf(why, why_size, "the HTTP server cannot be started");
            break;
        }
    }
    size_t taken = room > 0 ? http->count : 0;
    if (room == 0 || taken < count) {
        http_free(&http);
        for (size_t i = taken; i < count; i++) {
            close(sockets[i]);
        }
    }
    return http;
}

void http_quiesce(struct http *http)
{
    for (size_t i = 0; i < http->count; i++) {
        http->sockets[i] = MHD_quiesce_daemon(http->daemons[i]);
    }
}

bool http_drain(struct http *http, unsigned ms)
{
    static const struct timespec step = {0, 5000000};
    for (unsigned waited = 0; atomic_load(&http->active) > 0; waited += 5) {
        if (waited >= ms) {
            return false;
        }
        nanosleep(&step, NULL);
    }
    return true;
}

void http_free(struct http **http)
{
    struct http *h = *http;
    *http = NULL;
    if (!h) {
        return;
    }
    for (size_t i = 0; h->daemons && h->sockets && i < h->count; i++) {
        MHD_stop_daemon(h->daemons[i]);
        if (h->sockets[i] >= 0) {
            close(h->sockets[i]);
        }
    }
    free(h->daemons);
    free(h->sockets);
    free(h);
}

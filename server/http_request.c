#include "server/http_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/exposition.h"
#include "api/route.h"
#include "server/admission.h"
#include "server/callers.h"
#include "server/client.h"
#include "server/cors.h"
#include "server/http_answer.h"
#include "server/http_head.h"
#include "server/http_log.h"
#include "server/http_resource.h"
#include "server/http_rules.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/timing.h"

/* Of a body whose length was not announced; a caller that sends more is not listening. */
#define MOST_BODY_READ (16u * LIMIT_REQUEST_BODY_BYTES)

/* From this version on the library refuses by itself what it passed over before. */
#define HEADS_ARE_COPIED (MHD_VERSION >= 0x01000000)

#define NS_PER_S 1000000000u

/* Lives until the library has done with it. */
struct request {
    const struct http_env *env;
    struct http_answer answer;
    struct caller *caller; /* NULL: not watched */
    struct client client;  /* who asks */
    struct origin origin;  /* the same for the log of the test */
    struct http_head head;
    char *uri;  /* the target as sent; NULL: no memory was left for it */
    char *path; /* in it, without the query, which no log shows: callers put keys there as well */
    const char *target_query; /* behind the "?" */
    const char *method;
    enum route route; /* ROUTE_COUNT: none found yet */
    bool seen;        /* the headers have been looked at */
    bool waits;       /* the connection is suspended, or was */
    bool forsaken;    /* the caller left while it waited */
    size_t body_bytes;
    struct query query;
    struct waiter waiter;
    const char *verdict; /* of the report sent; this and the next two for the log */
    struct ip tested;    /* family 0: no address was tried */
    bool cached;
    struct timespec started;
};

static double ms_between(const struct timespec *a, const struct timespec *b)
{
    return (double)(b->tv_sec - a->tv_sec) * 1e3 + (double)(b->tv_nsec - a->tv_nsec) / 1e6;
}

static const char *header_of(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->answer.connection, MHD_HEADER_KIND, name);
}

static struct request *request_of(struct waiter *waiter)
{
    return (struct request *)(void *)((char *)waiter - offsetof(struct request, waiter));
}

struct request *request_create(const struct http_env *env, struct MHD_Connection *connection,
                               struct caller *caller, const char *target)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct request *r = calloc(1, sizeof *r);
    struct ip peer = {.family = 0};

    if (!r) {
        return NULL;
    }
    r->env = env;
    r->route = ROUTE_COUNT;
    r->answer.connection = connection;
    r->answer.admission = env->admission;
    r->caller = caller;
    clock_gettime(CLOCK_MONOTONIC, &r->started);
    if (info) {
        (void)ip_from_sockaddr(&peer, info->client_addr);
    }
    client_init(&r->client, env->proxies, &peer);
    r->uri = target ? strdup(target) : NULL;
    r->path = r->uri ? http_head_target(&r->head, r->uri) : NULL;
    r->target_query = "";
    char *mark = r->path ? strchr(r->path, '?') : NULL;
    if (mark) {
        *mark = '\0';
        r->target_query = mark + 1;
    }
    return r;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len,
                                 const char *value, size_t value_len)
{
    struct request *r = cls;
    struct text name = {key, key_len}, text = {value, value_len};
    (void)kind;
    http_head_header(&r->head, name, text);
    client_header(&r->client, name, text);
    if (text_is(name, "traceparent")) {
        traceparent_take(&r->origin.trace, text);
    }
    return MHD_YES;
}

bool request_has_headers(const struct request *r)
{
    return r->seen;
}

enum MHD_Result request_headers(struct request *r, const char *method, const char *target,
                                const char *version)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(r->answer.connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct problem problem;

    r->seen = true;
    r->method = method;
    http_rules_id(r->answer.id, header_of(r, "X-Request-Id"));
    r->answer.cors = cors_answer(r->env->cors_origins, header_of(r, "Origin"));
    if (!r->uri) {
        return http_answer_overloaded(&r->answer);
    }
    r->head.copied = HEADS_ARE_COPIED;
    http_head_line(&r->head, method, target, version);
    (void)MHD_get_connection_values_n(r->answer.connection, MHD_HEADER_KIND, on_header, r);
    /* The library ends the line before a chunk with a bare LF too: where a proxy sees it end elsewhere, what
     * is in the chunks for it would be further requests for us. */
    r->answer.last = r->head.encodings > 0;
    return http_head_check(&r->head, size ? size->header_size : 0, &problem)
               ? MHD_YES
               : http_answer_refuse(&r->answer, &problem);
}

enum MHD_Result request_body(struct request *r, size_t size)
{
    /* No resource takes a body; it is read and forgotten, so that the caller gets its answer. */
    r->body_bytes += size;
    return r->body_bytes <= MOST_BODY_READ ? MHD_YES : MHD_NO;
}

/* Takes the body over. */
static enum MHD_Result answer_report(struct request *r, const struct answer *answer)
{
    const struct cached *report = &answer->report;
    struct MHD_Response *response = http_answer_share(report->body);
    char text[TIMING_SIZE];

    r->verdict = verdict_name(report->verdict);
    r->tested = report->address;
    r->cached = answer->cached;
    timing_header(text, report->dns_ms, report->test_ms, &report->phases, answer->cached);
    http_answer_header(&response, "Server-Timing", text);
    if (answer->cached) {
        snprintf(text, sizeof text, "%u", answer->age_s);
        http_answer_header(&response, MHD_HTTP_HEADER_AGE, text);
    }
    /* Whoever wants a fresh result wants it the next time too. */
    r->answer.max_age_s = r->query.fresh ? 0 : answer->max_age_s;
    return http_answer_send(&r->answer, MHD_HTTP_OK, response,
                            r->query.form == QUERY_METRICS ? EXPOSITION_TYPE : "application/json");
}

static enum MHD_Result answer_result(struct request *r, const struct answer *answer)
{
    struct problem problem;
    if (answer->result == JOB_REPORTED) {
        return answer_report(r, answer);
    }
    if (answer->result == JOB_LIMITED) {
        http_rules_target_limited(r->env->target_rate, answer->retry_after_s, &problem);
    } else {
        http_rules_unreported(answer->result, &problem);
    }
    return http_answer_refuse(&r->answer, &problem);
}

/* From a worker's thread: queues the answer of a suspended request and lets the library go on with it. */
static void on_answer(struct waiter *waiter, const struct answer *answer)
{
    struct request *r = request_of(waiter);
    struct MHD_Connection *connection = r->answer.connection;

    caller_answering(r->env->callers, r->caller);
    if (answer_result(r, answer) != MHD_YES) {
        r->answer.status = 0;
    }
    MHD_resume_connection(connection); /* the request may be gone from here on */
}

static bool on_gone(void *owner)
{
    struct request *r = owner;
    return admission_forsake(r->env->admission, &r->waiter);
}

static void on_released(void *owner)
{
    struct request *r = owner;
    r->forsaken = true;
    MHD_resume_connection(r->answer.connection); /* closes it: see request_complete() */
}

static void on_wait(struct waiter *waiter)
{
    struct request *r = request_of(waiter);
    r->waits = true;
    MHD_suspend_connection(r->answer.connection);
    caller_waiting(r->env->callers, r->caller, &(struct caller_watch){r, on_gone, on_released});
}

static bool parse_query(struct request *r, struct problem *problem)
{
    const char *raw = r->target_query;
    return r->route == ROUTE_PROBE ? query_parse_probe(raw, strlen(raw), &r->env->limits,
                                                       header_of(r, QUERY_SCRAPE_TIMEOUT), &r->query, problem)
                                   : query_parse(raw, strlen(raw), &r->env->limits, &r->query, problem);
}

static enum MHD_Result start_test(struct request *r, uint64_t key)
{
    const struct http_env *env = r->env;
    struct problem problem;
    struct answer answer;
    struct ip ip = client_ip(&r->client);
    struct timespec now;
    uint8_t client[CLIENT_KEY_SIZE];

    if (!parse_query(r, &problem)) {
        return http_answer_refuse(&r->answer, &problem);
    }
    client_key(&ip, client);
    if (key) {
        client[0] = 0; /* no family */
        memcpy(client + 1, &key, sizeof key);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    memcpy(r->origin.id, r->answer.id, sizeof r->origin.id);
    r->origin.client = ip;
    r->waiter = (struct waiter){.on_wait = on_wait, .on_answer = on_answer, .origin = &r->origin};
    switch (admission_ask(env->admission, &r->query, client,
                          (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec, &r->waiter, &answer)) {
    case ADMISSION_WAITING:
        return MHD_YES;
    case ADMISSION_ANSWERED:
        return answer_result(r, &answer);
    case ADMISSION_LIMITED:
        http_rules_client_limited(env->client_rate, key != 0, answer.retry_after_s, &problem);
        break;
    case ADMISSION_STOPPING:
        http_rules_stopping(&problem);
        break;
    case ADMISSION_FULL:
    case ADMISSION_NO_MEMORY:
        http_rules_overloaded(&problem);
        break;
    }
    return http_answer_refuse(&r->answer, &problem);
}

/* False: the answer has been sent already, *result tells how. *key stands for the caller's API key, 0: none.
 */
static bool authorized(struct request *r, uint64_t *key, enum MHD_Result *result)
{
    struct problem problem;
    bool open = r->route == ROUTE_HEALTHZ || r->route == ROUTE_READYZ || r->route == ROUTE_OPENAPI;
    *key = 0;
    if (!r->env->keys || open) {
        return true;
    }
    *key = keys_accept(r->env->keys, header_of(r, "Authorization"));
    if (*key == 0) {
        http_rules_unauthorized(&problem);
        *result = http_answer_refuse(&r->answer, &problem);
    }
    return *key != 0;
}

static enum MHD_Result dispatch(struct request *r)
{
    struct problem problem;
    enum MHD_Result result = MHD_NO;
    uint64_t key;

    if (!route_find(r->env->routes, r->method, r->path, &r->route, &problem)) {
        return http_answer_refuse(&r->answer, &problem);
    }
    if (!authorized(r, &key, &result)) {
        return result;
    }
    return r->route == ROUTE_IMAP_TEST || r->route == ROUTE_PROBE
               ? start_test(r, key)
               : http_resource_send(&r->answer, r->env, r->route);
}

enum MHD_Result request_complete(struct request *r)
{
    struct problem problem;

    if (r->waits) {
        return MHD_NO; /* nobody is there, or no memory was left for the answer */
    }
    caller_answering(r->env->callers, r->caller);
    if (r->body_bytes > LIMIT_REQUEST_BODY_BYTES) {
        http_rules_body_too_large(&problem);
        return http_answer_refuse(&r->answer, &problem);
    }
    return strcmp(r->method, "OPTIONS") == 0 && r->env->cors_origins->count > 0
               ? http_answer_options(&r->answer, r->env->cors_origins, r->env->routes, r->method, r->path,
                                     &r->route)
               : dispatch(r);
}

/* The library answers some requests by itself, most of them before their headers are seen. */
static void take_library_status(struct request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->answer.connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    if (r->answer.status == 0 && !r->forsaken && info) {
        r->answer.status = info->http_status;
    }
    if (r->answer.id[0] == '\0') {
        http_rules_id(r->answer.id, NULL);
    }
}

static void tell(const struct request *r, bool sent, double duration_ms)
{
    struct http_record record = {.id = r->answer.id, .method = r->method, .path = r->path};

    record.client = &r->client;
    record.trace = &r->origin.trace;
    record.status = r->answer.status;
    record.host = r->waiter.on_wait ? r->query.probe.host : NULL;
    record.verdict = r->answer.status == MHD_HTTP_OK ? r->verdict : NULL;
    record.problem = r->answer.problem;
    record.tested = r->tested;
    record.cached = r->cached;
    record.aborted = !sent;
    record.duration_ms = duration_ms;
    http_log_proxy(&r->client);
    http_log_request(&record, r->env->access_log);
}

static void count(const struct request *r, double duration_ms)
{
    const struct metrics_request done = {
        .route = r->route,
        .status = r->answer.status,
        .refused = r->answer.problem && r->answer.status != 0,
        .problem = r->answer.code,
        .by_target = r->answer.by_target,
        .seconds = duration_ms / 1e3,
    };
    metrics_request(r->env->metrics, &done);
}

void request_end(struct request **request, bool sent)
{
    struct request *r = *request;
    struct timespec now;
    *request = NULL;
    caller_asking(r->env->callers, r->caller);
    take_library_status(r);
    clock_gettime(CLOCK_MONOTONIC, &now);
    tell(r, sent, ms_between(&r->started, &now));
    count(r, ms_between(&r->started, &now));
    free(r->uri);
    free(r);
}

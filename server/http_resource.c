#include "server/http_resource.h"

#include "api/exposition.h"
#include "api/openapi.h"
#include "api/report_json.h"
#include "server/scrape.h"

static const char json[] = "application/json";

static enum MHD_Result send_ready(struct http_answer *a, struct admission *admission)
{
    static const char ready[] = "{\"status\":\"ready\"}";
    struct problem problem;
    return http_rules_ready(admission, &problem)
               ? http_answer_send(a, MHD_HTTP_OK, http_answer_lend(ready, sizeof ready - 1), json)
               : http_answer_refuse(a, &problem);
}

enum MHD_Result http_resource_send(struct http_answer *a, const struct http_env *env, enum route route)
{
    static const char alive[] = "{\"status\":\"ok\"}";

    switch (route) {
    case ROUTE_CAPABILITIES:
        return http_answer_send(a, MHD_HTTP_OK, http_answer_take(capabilities_json()), json);
    case ROUTE_HEALTHZ:
        return http_answer_send(a, MHD_HTTP_OK, http_answer_lend(alive, sizeof alive - 1), json);
    case ROUTE_READYZ:
        return send_ready(a, env->admission);
    case ROUTE_METRICS:
        return http_answer_send(a, MHD_HTTP_OK, http_answer_take(scrape_text(env->scrape)), EXPOSITION_TYPE);
    case ROUTE_OPENAPI:
        return http_answer_send(a, MHD_HTTP_OK, http_answer_lend(openapi_yaml, openapi_yaml_len),
                                "application/yaml");
    case ROUTE_IMAP_TEST:
    case ROUTE_PROBE:
    case ROUTE_COUNT:
        break;
    }
    return MHD_NO;
}

#include "probe/report/report.h"

static const char *const verdicts[] = {
    [VERDICT_OK] = "ok",
    [VERDICT_WARNINGS] = "warnings",
    [VERDICT_PROBLEMS] = "problems",
    [VERDICT_INCONCLUSIVE] = "inconclusive",
    [VERDICT_UNREACHABLE] = "unreachable",
};

static const char *const cuts[CUT_COUNT] = {
    [CUT_CAPABILITIES] = "capabilities", [CUT_SANS] = "sans",           [CUT_CHAIN] = "chain",
    [CUT_GREETING] = "greeting",         [CUT_SERVER_ID] = "server_id", [CUT_TEXT] = "text",
    [CUT_TRANSCRIPT] = "transcript",
};

void report_init(struct report *r)
{
    *r = (struct report){0};
    arena_init(&r->arena, LIMIT_REPORT_BYTES);
    for (size_t i = 0; i < REPORT_PORTS; i++) {
        r->ports[i].timings = (struct timings){
            .connect = TIME_NONE, .greeting = TIME_NONE, .tls_handshake = TIME_NONE, .total = TIME_NONE};
    }
}

void report_deinit(struct report *r)
{
    arena_deinit(&r->arena);
    *r = (struct report){0};
}

void port_fail(struct port_report *port, struct failure failure)
{
    if (port->error.code == ERROR_NONE) {
        port->error = failure;
    }
}

const char *verdict_name(enum verdict v)
{
    return verdicts[v];
}

const char *cut_name(enum cut c)
{
    return cuts[c];
}

#include "server/job_log.h"

#include "server/job.h"
#include "server/log.h"

#define HEAD_FIELDS 12u

/* The names of a port's fields. */
static const struct keys {
    const char *port, *verdict, *error, *phase, *text, *connect, *greeting, *tls, *total;
} keys[] = {
#define KEYS(service)                                                                                        \
    {                                                                                                        \
        service "_port", service "_verdict", service "_error", service "_error_phase",                       \
            service "_error_text", service "_connect_ms", service "_greeting_ms",                            \
            service "_tls_handshake_ms", service "_total_ms"                                                 \
    }
    KEYS("imap"),
    KEYS("imaps"),
#undef KEYS
};

#define PORT_FIELDS (sizeof keys[0] / sizeof keys[0].port)

static const char *outcome_name(enum job_result result)
{
    static const char *const names[] = {
        [JOB_REPORTED] = "reported",     [JOB_BLOCKED] = "blocked",     [JOB_LIMITED] = "limited",
        [JOB_OVERLOADED] = "overloaded", [JOB_CANCELLED] = "cancelled",
    };
    return names[result];
}

/* What was seen of the cause: the server's own words, else the name of the alert or of the error. */
static struct text error_text(const struct failure *failure)
{
    if (failure->said.data && failure->said.len > 0) {
        return failure->said;
    }
    return text_of(failure->alert ? failure->alert : failure->raw);
}

/* Without a report nobody has judged, and what ended the connections was ourselves. */
static void add_port(struct log_field *fields, const struct port_report *port, bool judged)
{
    static const struct failure none = {.code = ERROR_NONE};
    const struct failure *error = judged ? &port->error : &none;
    const struct keys *k = &keys[port->tls_port];
    const struct timings *t = &port->timings;
    fields[0] = log_int(k->port, port->number);
    fields[1] = log_text(k->verdict, judged ? verdict_name(port->verdict) : NULL);
    fields[2] = log_text(k->error, error_name(error->code));
    fields[3] = log_text(k->phase, error->code != ERROR_NONE ? phase_name(error->phase) : NULL);
    fields[4] = log_bytes(k->text, error_text(error));
    fields[5] = log_ms(k->connect, t->connect);
    fields[6] = log_ms(k->greeting, t->greeting);
    fields[7] = log_ms(k->tls, t->tls_handshake);
    fields[8] = log_ms(k->total, t->total);
}

void job_log(const struct job *job)
{
    const struct report *r = &job->report;
    const struct origin *origin = &job->origin;
    bool judged = job->result == JOB_REPORTED;
    char client[IP_TEXT_SIZE], address[IP_TEXT_SIZE];
    struct log_field fields[HEAD_FIELDS + REPORT_PORTS * PORT_FIELDS];
    size_t count = HEAD_FIELDS;

    if (!log_wants(LOG_LEVEL_INFO)) {
        return;
    }
    fields[0] = log_text("id", origin->id[0] != '\0' ? origin->id : NULL);
    fields[1] = log_text("client", origin->client.family != 0 ? ip_format(&origin->client, client) : NULL);
    fields[2] = log_text("host", job->query.probe.host);
    fields[3] = log_text("address", job->address.family != 0 ? ip_format(&job->address, address) : NULL);
    fields[4] = log_text("outcome", outcome_name(job->result));
    fields[5] = log_text("verdict", judged ? verdict_name(r->verdict) : NULL);
    fields[6] = log_bool("deadline_exceeded", r->deadline_exceeded);
    fields[7] = log_ms("duration_ms", r->duration_ms);
    fields[8] = log_ms("dns_ms", r->dns.duration_ms);
    fields[9] = log_text("dns_error", error_name(r->dns.error.code));
    fields[10] = log_text("trace_id", origin->trace.trace_id[0] != '\0' ? origin->trace.trace_id : NULL);
    fields[11] = log_text("parent_id", origin->trace.parent_id[0] != '\0' ? origin->trace.parent_id : NULL);
    for (size_t i = 0; i < r->port_count; i++, count += PORT_FIELDS) {
        add_port(&fields[count], &r->ports[i], judged);
    }
    log_event(LOG_LEVEL_INFO, "test", fields, count);
}

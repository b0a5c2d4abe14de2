#include "server/http_log.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "server/log.h"

static atomic_bool warned;

/* NULL for an empty text, which JSON shows as null. */
static const char *unless_empty(const char *s)
{
    return s[0] != '\0' ? s : NULL;
}

void http_log_request(const struct http_record *r, bool all)
{
    char client[IP_TEXT_SIZE] = "", peer[IP_TEXT_SIZE] = "", tested[IP_TEXT_SIZE];
    struct ip ip = client_ip(r->client);

    if (!log_wants(LOG_LEVEL_INFO) || (!all && r->status < 500)) {
        return;
    }
    if (ip.family != 0) {
        ip_format(&ip, client);
        ip_format(&r->client->peer, peer);
    }
    struct log_field fields[] = {
        log_text("id", r->id),
        log_text("client", client),
        log_text("proxy", r->client->proxied ? peer : NULL),
        log_text("method", r->method ? r->method : ""),
        log_text("path", r->path ? r->path : ""),
        log_int("status", (int64_t)r->status),
        log_text("host", r->host),
        log_text("address", r->tested.family != 0 ? ip_format(&r->tested, tested) : NULL),
        log_text("verdict", r->verdict),
        log_bool("cached", r->cached),
        log_text("problem", r->problem),
        log_text("aborted", r->aborted ? "client" : NULL),
        log_ms("duration_ms", r->duration_ms),
        log_text("trace_id", unless_empty(r->trace->trace_id)),
        log_text("parent_id", unless_empty(r->trace->parent_id)),
    };
    log_event(LOG_LEVEL_INFO, "request", fields, sizeof fields / sizeof fields[0]);
}

void http_log_proxy(const struct client *client)
{
    if (!client->ignored || client->peer.family == 0 || atomic_exchange(&warned, true)) {
        return;
    }
    char peer[IP_TEXT_SIZE], option[sizeof "--trusted-proxy /128" + IP_TEXT_SIZE];
    ip_format(&client->peer, peer);
    snprintf(option, sizeof option, "--trusted-proxy %s/%d", peer, client->peer.family == 4 ? 32 : 128);
    struct log_field fields[] = {
        log_text("address", peer),
        log_text("message",
                 "X-Forwarded-For or Forwarded from an address that is no trusted proxy is ignored, and "
                 "all its callers count as one client. Where it is your proxy, name it."),
        log_text("option", option),
    };
    log_event(LOG_LEVEL_WARN, "proxy_not_trusted", fields, sizeof fields / sizeof fields[0]);
}

void http_log_rearm(void)
{
    atomic_store(&warned, false);
}

#include <string.h>

#include "probe/report/judge_internal.h"

#define SLOW_MS 3000.0

/* "A list": what was there and one more, with a separator between. */
static const char *join(struct report *r, const char *list, const char *separator, const char *more)
{
    const char *joined = arena_printf(&r->arena, "%s%s%s", list, list[0] != '\0' ? separator : "", more);
    return joined != NULL ? joined : "";
}

static bool blocked(const struct connect_try *t)
{
    return t->error.code == ERROR_ADDRESS_BLOCKED;
}

/* connect() gives ENETUNREACH where this machine has no route of its own. */
static bool no_route_here(const struct connect_try *t)
{
    return t->error.code == ERROR_NETWORK_UNREACHABLE && t->error.raw != NULL &&
           strcmp(t->error.raw, "ENETUNREACH") == 0;
}

/* The connection itself did not come about, and not for want of a route or an address on this machine. */
static bool peer_unreachable(const struct connect_try *t)
{
    switch (t->error.code) {
    case ERROR_CONNECTION_REFUSED:
    case ERROR_CONNECTION_TIMEOUT:
    case ERROR_HOST_UNREACHABLE:
        return true;
    case ERROR_CONNECTION_RESET:
        return t->error.phase == PHASE_CONNECT;
    case ERROR_NETWORK_UNREACHABLE:
        return !no_route_here(t);
    default:
        return false;
    }
}

/* A try that came as far as a connection, whatever became of it then. */
static bool connected(const struct connect_try *t)
{
    return t->error.code == ERROR_NONE || (t->error.phase != PHASE_CONNECT && t->error.phase != PHASE_DNS);
}

static void host_not_resolved(struct report *r)
{
    const struct failure *error = &r->dns.error;
    if (r->dns.address_count > 0) {
        return;
    }
    for (size_t i = 0; error->code == ERROR_NONE && i < r->port_count; i++) {
        if (judge_outcome(&r->ports[i]) == OUTCOME_UNRESOLVED) {
            error = &r->ports[i].error;
        }
    }
    if (error->code != ERROR_NONE) {
        judge_add(
            r, NULL, FINDING_HOST_NOT_RESOLVED,
            arena_printf(&r->arena, "%s: %s", judge_quote(r, text_of(r->host)), judge_explain(r, error)));
    }
}

/* Every address that could be tried from here said no; none was silent or out of reach. */
static bool refused(const struct port_report *p)
{
    bool any = false;
    for (size_t i = 0; i < p->try_count; i++) {
        const struct connect_try *t = &p->tries[i];
        if (t->error.code == ERROR_CONNECTION_REFUSED) {
            any = true;
        } else if (!no_route_here(t) && !blocked(t)) {
            return false;
        }
    }
    return any || (p->try_count == 0 && p->error.code == ERROR_CONNECTION_REFUSED);
}

/* RFC 8314 section 3 advises to offer port 993 and not to rely on 143. */
static enum severity weight_of_unreachable(const struct report *r, const struct port_report *p)
{
    bool other_reachable = false, other_works = false;
    for (size_t i = 0; i < r->port_count; i++) {
        other_reachable = other_reachable || r->ports[i].reachable;
        other_works = other_works || r->ports[i].implicit_tls;
    }
    if (!other_reachable) {
        return SEVERITY_CRITICAL;
    }
    return !p->tls_port && other_works && refused(p) ? SEVERITY_NOTICE : SEVERITY_WARNING;
}

static void port_unreachable(struct report *r, const struct port_report *p)
{
    if (judge_outcome(p) != OUTCOME_UNREACHABLE) {
        return;
    }
    const char *list = "";
    for (size_t i = 0; i < p->try_count; i++) {
        char address[IP_TEXT_SIZE];
        ip_format(&p->tries[i].address, address);
        const char *one = arena_printf(&r->arena, "%s: %s", address, judge_explain(r, &p->tries[i].error));
        list = join(r, list, " – ", one != NULL ? one : "");
    }
    if (p->try_count == 0) {
        list = judge_explain(r, &p->error);
    }
    judge_add_as(r, p, FINDING_PORT_UNREACHABLE, weight_of_unreachable(r, p),
                 arena_printf(&r->arena, "Port %u cannot be reached", (unsigned)p->number), NULL, list);
}

static void address_family_unreachable(struct report *r, const struct port_report *p)
{
    static const unsigned char families[] = {6, 4};
    for (size_t f = 0; f < sizeof families; f++) {
        const struct connect_try *failed = NULL, *other = NULL;
        bool works = false;
        for (size_t i = 0; i < p->try_count; i++) {
            const struct connect_try *t = &p->tries[i];
            if (connected(t) && t->address.family == families[f]) {
                works = true;
            } else if (connected(t)) {
                other = t;
            } else if (t->address.family == families[f] && failed == NULL && peer_unreachable(t)) {
                failed = t;
            }
        }
        if (works || failed == NULL || other == NULL) {
            continue;
        }
        char bad[IP_TEXT_SIZE], good[IP_TEXT_SIZE];
        judge_add_as(r, p, FINDING_ADDRESS_FAMILY_UNREACHABLE, SEVERITY_WARNING,
                     families[f] == 6 ? "IPv6 does not work while IPv4 does"
                                      : "IPv4 does not work while IPv6 does",
                     &failed->address,
                     arena_printf(&r->arena, "Port %u accepted a connection at %s, but at %s: %s",
                                  (unsigned)p->number, ip_format(&other->address, good),
                                  ip_format(&failed->address, bad), judge_explain(r, &failed->error)));
    }
}

static void address_not_allowed(struct report *r, const struct port_report *p)
{
    const char *list = "";
    const struct ip *first = NULL;
    size_t count = 0;
    for (size_t i = 0; i < p->try_count; i++) {
        if (!blocked(&p->tries[i])) {
            continue;
        }
        char address[IP_TEXT_SIZE];
        list = join(r, list, ", ", ip_format(&p->tries[i].address, address));
        first = first != NULL ? first : &p->tries[i].address;
        count++;
    }
    if (count > 0 && count < p->try_count) {
        judge_add_as(r, p, FINDING_ADDRESS_NOT_ALLOWED, SEVERITY_INFO, NULL, first,
                     arena_printf(&r->arena, "This service may not connect to %s.", list));
    }
}

static void slow_response(struct report *r, const struct port_report *p)
{
    if (p->timings.slowest_reply > SLOW_MS) {
        judge_add(r, p, FINDING_SLOW_RESPONSE,
                  arena_printf(&r->arena,
                               "The longest wait for the greeting or a reply on port %u was %.1f s.",
                               (unsigned)p->number, p->timings.slowest_reply / 1000));
    }
}

static void (*const rules[])(struct report *, const struct port_report *) = {
    port_unreachable,
    address_family_unreachable,
    address_not_allowed,
    slow_response,
};

void judge_reach(struct report *r)
{
    host_not_resolved(r);
    for (size_t i = 0; i < r->port_count; i++) {
        for (size_t k = 0; k < sizeof rules / sizeof rules[0]; k++) {
            rules[k](r, &r->ports[i]);
        }
    }
}

#include "server/timing.h"

#include <string.h>

#include "api/time_text.h"

struct port_phases timing_of(const struct report *report)
{
    struct port_phases phases = {.imap = {.tested = false}};
    for (size_t i = 0; i < report->port_count; i++) {
        const struct port_report *port = &report->ports[i];
        const struct timings *t = &port->timings;
        *(port->tls_port ? &phases.imaps : &phases.imap) =
            (struct port_times){true, t->connect, t->greeting, t->tls_handshake, t->total};
    }
    return phases;
}

/* Appends ", NAME;dur=MS" and returns the new end. */
static char *add(char *end, const char *name, double ms)
{
    if (ms >= 0) {
        end = stpcpy(stpcpy(stpcpy(end, ", "), name), ";dur=");
        end += ms_text(ms, end);
    }
    return end;
}

void timing_header(char out[TIMING_SIZE], double dns_ms, double test_ms, const struct port_phases *phases,
                   bool cached)
{
    static const struct port_times none = {false, TIME_NONE, TIME_NONE, TIME_NONE, TIME_NONE};
    const struct port_times *imap = phases->imap.tested ? &phases->imap : &none;
    const struct port_times *imaps = phases->imaps.tested ? &phases->imaps : &none;
    const struct {
        const char *name;
        double ms;
    } rows[] = {
        {"imap-connect", imap->connect},
        {"imap-greeting", imap->greeting},
        {"imap-tls", imap->tls},
        {"imap", imap->total},
        {"imaps-connect", imaps->connect},
        {"imaps-tls", imaps->tls},
        {"imaps-greeting", imaps->greeting},
        {"imaps", imaps->total},
    };
    char *end = stpcpy(out, cached ? "cache;desc=hit, dns;dur=" : "dns;dur=");
    end += ms_text(dns_ms, end);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        end = add(end, rows[i].name, rows[i].ms);
    }
    (void)add(end, "test", test_ms > 0 ? test_ms : 0);
}

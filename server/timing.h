/* timing.h: where the time of a test went, for the header Server-Timing of its report. Plain data, pure. */
#ifndef SERVER_TIMING_H
#define SERVER_TIMING_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/report/report.h"

/* In ms; below zero: not reached. */
struct port_times {
    bool tested;
    double connect, greeting, tls, total;
};

struct port_phases {
    struct port_times imap, imaps;
};

struct port_phases timing_of(const struct report *report);

/* All metrics there may be, each with the longest number. */
#define TIMING_SIZE 640

/* The value of the header: names are fixed, phases that were not reached are left out. `cached`: the test was
 * another request's. */
void timing_header(char out[TIMING_SIZE], double dns_ms, double test_ms, const struct port_phases *phases,
                   bool cached);

#endif

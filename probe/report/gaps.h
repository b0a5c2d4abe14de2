/* gaps.h: what a host offers before login, all its ports taken together, and what of the catalogue it lacks.
 * Pure. It knows what was advertised, not what the server can do once a user has logged in. */
#ifndef REPORT_GAPS_H
#define REPORT_GAPS_H

#include <stdbool.h>

#include "probe/report/catalogue.h"
#include "probe/report/report.h"

/* The phases of this port that lie inside TLS, as a mask of CAPS_IN(). */
unsigned gaps_tls_phases(const struct port_report *port);

/* The phases of this port that count: those inside TLS where any port has a list from there, else the plain
 * ones. */
unsigned gaps_phases(const struct report *r, const struct port_report *port);

/* Whether a list of capabilities was seen on any port at all. */
bool gaps_list_seen(const struct report *r);

/* Whether the word stands in a list that counts. */
bool gaps_offered(const struct report *r, const char *word);

/* Whether this row of the catalogue is marked as a gap and neither it nor what implies it is offered. False
 * where no list was seen. */
bool gaps_missing(const struct report *r, const struct catalogue_row *row);

#endif

/* imap_metrics.h: those metrics of a report that no other exporter has; their names begin with imap_test_.
 * Pure. */
#ifndef API_IMAP_METRICS_H
#define API_IMAP_METRICS_H

#include "api/samples.h"
#include "probe/report/report.h"

void imap_metrics(struct samples *s, const struct report *r);

/* Whether a verdict counts as success. */
bool imap_metrics_success(enum verdict v);

/* Whether the chain was found to be good, whatever its order and name. */
bool imap_metrics_chain_valid(const struct certificate *c);

/* The server's certificate; NULL where none came, or none that can be read. */
const struct chain_link *imap_metrics_leaf(const struct port_report *p);

#endif

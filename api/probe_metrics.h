/* probe_metrics.h: the report as Prometheus metrics: blackbox_exporter's where it has them, with its units
 * and meanings, and beside them ours, which begin with imap_test_. Pure. */
#ifndef API_PROBE_METRICS_H
#define API_PROBE_METRICS_H

#include "api/piece_cache.h"
#include "probe/report/report.h"

/* The body of GET /probe for a judged report: text format 0.0.4, NUL-terminated, malloc'd, the caller's.
 * NULL: no memory. `pieces` is not used: this is written as fast as it would be found. */
char *probe_metrics(const struct report *r, struct piece_cache *pieces);

#endif

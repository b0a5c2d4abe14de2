/* metrics_text.h: the figures in the Prometheus text format. Pure: what is shown is what stands there. */
#ifndef SERVER_METRICS_TEXT_H
#define SERVER_METRICS_TEXT_H

#include "server/metrics.h"

/* NUL-terminated and malloc'd, the caller's. NULL: out of memory. The figures may change meanwhile; each
 * histogram is consistent in itself. */
char *metrics_text(const struct metrics *metrics);

#endif

/* query.h: what GET /v1/imap-test and GET /probe are asked, from the raw query string to a checked request.
 * Pure. */
#ifndef API_QUERY_H
#define API_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/problem.h"
#include "probe/request.h"

/* What the operator set: the two ports that may be asked for, and the longest time (and default) of a test.
 */
struct query_limits {
    uint16_t imap_port, imaps_port;
    unsigned deadline_ms; /* at least QUERY_TIMEOUT_MIN_MS */
};

#define QUERY_TIMEOUT_MIN_MS 1000u

/* The shortest test that a scrape's own time limit leads to. */
#define QUERY_SCRAPE_MIN_MS 100u

/* What Prometheus sends with each scrape: after how many seconds it gives up. */
#define QUERY_SCRAPE_TIMEOUT "X-Prometheus-Scrape-Timeout-Seconds"

/* What the answer is: the report as JSON, or metrics for Prometheus. */
enum query_form { QUERY_REPORT, QUERY_METRICS };

struct query {
    struct probe_request probe;
    bool fresh; /* not from the result cache */
    enum query_form form;
};

/* raw: what follows the "?", still percent-encoded, `len` bytes of anything. False: *problem tells which
 * parameter is wrong and how to mend it, and *query means nothing. */
bool query_parse(const char *raw, size_t len, const struct query_limits *limits, struct query *query,
                 struct problem *problem);

/* The same for GET /probe, with the value of the header above (NULL: none), which makes the test so much
 * shorter that its answer is there in time. */
bool query_parse_probe(const char *raw, size_t len, const struct query_limits *limits,
                       const char *scrape_timeout, struct query *query, struct problem *problem);

/* Room for a key: host, address, form, ports, time. */
#define QUERY_KEY_SIZE (LIMIT_HOST_BYTES + IP_TEXT_SIZE + 32)

/* A text that two queries share exactly when one answer serves both; `fresh` says nothing of it. Returns buf.
 */
const char *query_key(const struct query *query, char buf[QUERY_KEY_SIZE]);

#endif

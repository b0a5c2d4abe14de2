/* query.h: what GET /v1/imap-test is asked, from the raw query string to a checked request. Pure. */
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

struct query {
    struct probe_request probe;
    bool fresh; /* not from the result cache */
};

/* raw: what follows the "?", still percent-encoded, `len` bytes of anything. False: *problem tells which
 * parameter is wrong and how to mend it, and *query means nothing. */
bool query_parse(const char *raw, size_t len, const struct query_limits *limits, struct query *query,
                 struct problem *problem);

/* Room for a key: host, address, ports, time. */
#define QUERY_KEY_SIZE (LIMIT_HOST_BYTES + IP_TEXT_SIZE + 32)

/* A text that two queries share exactly when one test answers both; `fresh` says nothing of the test. Returns
 * buf. */
const char *query_key(const struct query *query, char buf[QUERY_KEY_SIZE]);

#endif

/* Any bytes as the header (up to the first line end) and the query of GET /probe: nothing is read or written
 * out of bounds, and what is accepted is a test of a bounded time, of a port at least. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever stands in front of it: a query is taken or not by itself. */
static void check(const char *header, const char *raw, size_t len)
{
    static const struct query_limits limits = {.imap_port = 143, .imaps_port = 993, .deadline_ms = 20000};
    struct query query, plain;
    struct problem problem = {.code = PROBLEM_COUNT};
    char key[QUERY_KEY_SIZE];
    bool taken = query_parse_probe(raw, len, &limits, NULL, &plain, &problem);
    bool both = query_parse_probe(raw, len, &limits, header, &query, &problem);
    assert(taken || !both);
    if (both) {
        const struct probe_request *r = &query.probe;
        assert(query.form == QUERY_METRICS && (r->imap || r->imaps) && !r->transcript);
        assert(r->timeout_ms >= QUERY_SCRAPE_MIN_MS && r->timeout_ms <= plain.probe.timeout_ms);
        assert(strcmp(r->host, plain.probe.host) == 0 && r->host[0] != '\0');
        assert(strlen(query_key(&query, key)) < sizeof key - 1);
        return;
    }
    assert(problem.code < PROBLEM_COUNT && problem.detail[0] != '\0');
    for (const char *c = problem.detail; *c != '\0'; c++) {
        assert((unsigned char)*c >= 0x20 && *c != 0x7F);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t header_len = end != NULL ? (size_t)(end - data) : 0;
    size_t skipped = end != NULL ? header_len + 1 : 0;
    char *header = malloc(header_len + 1);
    assert(header != NULL);
    memcpy(header, data, header_len);
    header[header_len] = '\0';
    check(header, (const char *)data + skipped, size - skipped);
    free(header);
    return 0;
}

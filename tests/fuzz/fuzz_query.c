/* Any bytes as the query: nothing is read or written out of bounds, and what is accepted is fit to be used as
 * it stands: in DNS, as TLS server name, in a report. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/host.h"
#include "api/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_host(const struct probe_request *r)
{
    size_t len = strlen(r->host);
    assert(len > 0 && len <= LIMIT_HOST_BYTES);
    const char *allowed =
        r->host_ip.family == 6 ? "0123456789abcdef:." : "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    assert(strspn(r->host, allowed) == len);
    assert(r->host[0] != '.' && r->host[len - 1] != '.' && strstr(r->host, "..") == NULL);
    for (const char *c = r->host_unicode; *c != '\0'; c++) {
        assert((unsigned char)*c > 0x20 && *c != 0x7F && strchr("/@:%\\?#[]\"<>&", *c) == NULL);
    }
    /* An address is taken for one by us if it is by anybody: by the C library's lenient readers, too. */
    struct ip ip;
    assert(ip_parse(&ip, r->host) == (r->host_ip.family != 0));
    assert(!ip_parse(&ip, r->host) || ip_equal(&ip, &r->host_ip));
    /* Both forms of a name mean the same host, and parsing is stable. */
    struct probe_request again;
    char why[HOST_WHY_SIZE];
    assert(host_parse(r->host, len, &again, why) == HOST_OK);
    assert(strcmp(again.host, r->host) == 0 && strcmp(again.host_unicode, r->host_unicode) == 0);
    if (r->host_unicode[0] != '\0') {
        assert(host_parse(r->host_unicode, strlen(r->host_unicode), &again, why) == HOST_OK);
        assert(strcmp(again.host, r->host) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct query_limits limits = {.imap_port = 143, .imaps_port = 993, .deadline_ms = 20000};
    struct query query;
    struct problem problem = {.code = PROBLEM_COUNT};
    if (query_parse((const char *)data, size, &limits, &query, &problem)) {
        check_host(&query.probe);
        assert(query.probe.imap || query.probe.imaps);
        assert(query.probe.timeout_ms >= QUERY_TIMEOUT_MIN_MS &&
               query.probe.timeout_ms <= limits.deadline_ms);
        return 0;
    }
    assert(problem.code < PROBLEM_COUNT && problem.detail[0] != '\0');
    for (const char *c = problem.detail; *c != '\0'; c++) {
        assert((unsigned char)*c >= 0x20 && *c != 0x7F);
    }
    char *body = problem_json(&problem, "id");
    assert(body != NULL);
    free(body);
    return 0;
}

#include "api/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/host.h"
#include "api/query_split.h"
#include "probe/base/limits.h"
#include "probe/base/text.h"

/* Between the end of a test and the time at which the scraper gives up. */
#define SCRAPE_RESERVE_MS 500u

/* All that the checkers need, so that adding a parameter is adding a row. */
struct context {
    const struct query_limits *limits;
    struct query *query;
    struct problem *problem;
};

struct parameter {
    const char *name;
    bool (*check)(const struct context *c, const struct parameter *self, struct text value);
    const char *instead; /* what to give while the wanted value is not available */
};

static bool is(struct text text, const char *s)
{
    return text.data != NULL && text.len == strlen(s) && memcmp(text.data, s, text.len) == 0;
}

static bool refuse(const struct context *c, const struct parameter *self, struct text value,
                   const char *expected)
{
    char quote[PROBLEM_QUOTE_SIZE];
    problem_set(c->problem, PROBLEM_INVALID_PARAMETER, "`%s` cannot be \"%s\"; %s.", self->name,
                problem_quote(quote, value.data, value.len), expected);
    return false;
}

static bool refuse_unavailable(const struct context *c, const struct parameter *self, struct text value)
{
    problem_set(c->problem, PROBLEM_INVALID_PARAMETER,
                "`%s=%s` is not available yet in this version; leave `%s` out or give %s.", self->name,
                value.data, self->name, self->instead);
    return false;
}

/* Decimal digits only; false also beyond max. */
static bool parse_number(struct text value, unsigned max, unsigned *number)
{
    unsigned long long n = 0;
    if (value.len == 0) {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        n = n * 10 + (unsigned)(value.data[i] - '0');
        if (n > max) {
            return false;
        }
    }
    *number = (unsigned)n;
    return true;
}

static bool parse_port(struct text value, unsigned *port)
{
    return parse_number(value, UINT16_MAX, port) && value.data[0] != '0';
}

static bool check_host(const struct context *c, const struct parameter *self, struct text value)
{
    (void)self;
    char why[HOST_WHY_SIZE];
    switch (host_parse(value.data, value.len, &c->query->probe, why)) {
    case HOST_OK:
        return true;
    case HOST_INVALID:
        problem_set(c->problem, PROBLEM_INVALID_HOST, "%s", why);
        return false;
    case HOST_NO_MEMORY:
        break;
    }
    problem_set(c->problem, PROBLEM_INTERNAL_ERROR, "The service is out of memory; try again later.");
    return false;
}

static bool check_ports(const struct context *c, const struct parameter *self, struct text value)
{
    struct probe_request *probe = &c->query->probe;
    unsigned imap = c->limits->imap_port, imaps = c->limits->imaps_port;
    char expected[96];
    snprintf(expected, sizeof expected, "give %u, %u or %u,%u, each port once", imap, imaps, imap, imaps);
    probe->imap = probe->imaps = false;
    for (size_t at = 0; at <= value.len;) {
        struct text item = {.data = value.data + at, .len = value.len - at};
        const char *comma = memchr(item.data, ',', item.len);
        if (comma != NULL) {
            item.len = (size_t)(comma - item.data);
        }
        unsigned port;
        if (!parse_port(item, &port)) {
            return refuse(c, self, value, expected);
        }
        bool *asked = port == imap ? &probe->imap : port == imaps ? &probe->imaps : NULL;
        if (asked == NULL || *asked) {
            return refuse(c, self, value, expected);
        }
        *asked = true;
        at += item.len + 1;
    }
    return true;
}

static bool check_address(const struct context *c, const struct parameter *self, struct text value)
{
    if (host_parse_ip(value.data, value.len, &c->query->probe.address)) {
        return true;
    }
    return refuse(c, self, value, "give an IPv4 or IPv6 address without port or zone id, such as 192.0.2.10");
}

static bool check_addresses(const struct context *c, const struct parameter *self, struct text value)
{
    if (is(value, "first")) {
        return true;
    }
    if (is(value, "all")) {
        return refuse_unavailable(c, self, value);
    }
    return refuse(c, self, value, "give first");
}

static bool check_timeout(const struct context *c, const struct parameter *self, struct text value)
{
    unsigned *timeout = &c->query->probe.timeout_ms;
    if (parse_number(value, c->limits->deadline_ms, timeout) && *timeout >= QUERY_TIMEOUT_MIN_MS) {
        return true;
    }
    char expected[96];
    snprintf(expected, sizeof expected, "give whole milliseconds from %u to %u, in digits",
             QUERY_TIMEOUT_MIN_MS, c->limits->deadline_ms);
    return refuse(c, self, value, expected);
}

static bool check_switch(const struct context *c, const struct parameter *self, struct text value, bool *on)
{
    *on = is(value, "true");
    return *on || is(value, "false") || refuse(c, self, value, "give true or false");
}

static bool check_fresh(const struct context *c, const struct parameter *self, struct text value)
{
    return check_switch(c, self, value, &c->query->fresh);
}

static bool check_transcript(const struct context *c, const struct parameter *self, struct text value)
{
    return check_switch(c, self, value, &c->query->probe.transcript);
}

static bool check_not_yet(const struct context *c, const struct parameter *self, struct text value)
{
    if (is(value, "true")) {
        return refuse_unavailable(c, self, value);
    }
    return is(value, "false") || refuse(c, self, value, "give false");
}

/* Keeps one of the two ports. False: it has been ruled out before. */
static bool keep_port(struct probe_request *probe, bool imaps)
{
    bool wanted = imaps ? probe->imaps : probe->imap;
    probe->imap = wanted && !imaps;
    probe->imaps = wanted && imaps;
    return wanted;
}

/* Cuts ":port" off a name, an IPv4 address or an IPv6 address in brackets. In one without brackets a colon is
 * part of it. Absent: there is none. */
static struct text cut_port(struct text *host)
{
    const char *end = host->data + host->len;
    const char *bracket = host->data[0] == '[' ? memchr(host->data, ']', host->len) : NULL;
    const char *from = bracket != NULL ? bracket : host->data;
    const char *colon = memchr(from, ':', (size_t)(end - from));
    if (colon == NULL || (bracket == NULL && memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL)) {
        return (struct text){.data = NULL};
    }
    host->len = (size_t)(colon - host->data);
    return (struct text){.data = colon + 1, .len = (size_t)(end - colon - 1)};
}

static bool check_target(const struct context *c, const struct parameter *self, struct text value)
{
    unsigned imap = c->limits->imap_port, imaps = c->limits->imaps_port, number = 0;
    struct text host = value, port = cut_port(&host);
    if (port.data != NULL && (!parse_port(port, &number) || (number != imap && number != imaps))) {
        char expected[PROBLEM_DETAIL_SIZE / 2];
        snprintf(
            expected, sizeof expected,
            "give the host alone, or with one of the ports %u and %u behind it, such as imap.example.com:%u",
            imap, imaps, imaps);
        return refuse(c, self, value, expected);
    }
    if (port.data != NULL) {
        (void)keep_port(&c->query->probe, number != imap);
    }
    return check_host(c, self, host);
}

static bool check_module(const struct context *c, const struct parameter *self, struct text value)
{
    bool imaps = is(value, "imaps");
    if (!imaps && !is(value, "imap_starttls")) {
        return refuse(c, self, value, "give imap_starttls, imaps, or leave it out to test both ports");
    }
    return keep_port(&c->query->probe, imaps) ||
           refuse(c, self, value,
                  "the port in `target` is not the one of this module: leave one of them out");
}

/* What a resource can be asked. The host comes first: where several are wrong, the caller hears of it. */
struct resource {
    const char *example;
    size_t count;
    struct parameter parameters[8];
};

static const struct resource imap_test = {
    "/v1/imap-test?host=imap.example.com",
    8,
    {{"host", check_host, NULL},
     {"ports", check_ports, NULL},
     {"address", check_address, NULL},
     {"addresses", check_addresses, "first"},
     {"timeout_ms", check_timeout, NULL},
     {"fresh", check_fresh, NULL},
     {"deep", check_not_yet, "false"},
     {"transcript", check_transcript, NULL}},
};

static const struct resource probe = {
    "/probe?target=imap.example.com",
    5,
    {{"target", check_target, NULL},
     {"module", check_module, NULL},
     {"address", check_address, NULL},
     {"timeout_ms", check_timeout, NULL},
     {"fresh", check_fresh, NULL}},
};

#define MOST_PARAMETERS (sizeof imap_test.parameters / sizeof imap_test.parameters[0])

static bool check(const struct context *c, const struct resource *resource, size_t i,
                  const struct query_given *given)
{
    const struct parameter *self = &resource->parameters[i];
    bool is_host = i == 0;
    if (is_host && (!given->present || (given->value.len == 0 && !given->broken_escape))) {
        problem_set(c->problem, PROBLEM_MISSING_HOST, "Say which host is to be tested, as in %s.",
                    resource->example);
        return false;
    }
    if (!given->present) {
        return true;
    }
    if (given->broken_escape) {
        problem_set(c->problem, is_host ? PROBLEM_INVALID_HOST : PROBLEM_INVALID_PARAMETER,
                    "The value of `%s` holds a \"%%\" without two hexadecimal digits behind it; "
                    "a percent sign itself is written %%25.",
                    self->name);
        return false;
    }
    if (given->value.len == 0) {
        problem_set(c->problem, PROBLEM_INVALID_PARAMETER,
                    "`%s` has no value; write `%s=` with a value behind it, or leave it out.", self->name,
                    self->name);
        return false;
    }
    return self->check(c, self, given->value);
}

static bool parse(const struct resource *resource, const char *raw, size_t len, const struct context *c)
{
    const char *names[MOST_PARAMETERS];
    struct query_scratch scratch;
    struct query_given given[MOST_PARAMETERS] = {{.present = false}};
    scratch.used = 0;
    for (size_t i = 0; i < resource->count; i++) {
        names[i] = resource->parameters[i].name;
    }
    *c->query = (struct query){.probe = {.imap = true, .imaps = true, .timeout_ms = c->limits->deadline_ms}};
    bool ok = query_split(raw, len, names, resource->count, &scratch, given, c->problem);
    for (size_t i = 0; ok && i < resource->count; i++) {
        ok = check(c, resource, i, &given[i]);
    }
    return ok;
}

bool query_parse(const char *raw, size_t len, const struct query_limits *limits, struct query *query,
                 struct problem *problem)
{
    return parse(&imap_test, raw, len, &(struct context){limits, query, problem});
}

/* Decimal digits, with a fraction or without, as Prometheus writes them; in ms, `max` where it is more. White
 * space around is none of the value (RFC 9110 section 5.5), but the HTTP library leaves it there. */
static bool parse_seconds(const char *s, unsigned max, unsigned *ms)
{
    static const char digits[] = "0123456789", space[] = " \t";
    s += strspn(s, space);
    size_t len = strspn(s, digits), fraction = s[len] == '.' ? strspn(s + len + 1, digits) : 0;
    if (len == 0) {
        return false;
    }
    double exact = strtod(s, NULL) * 1e3;
    *ms = exact < max ? (unsigned)exact : max;
    len += fraction > 0 ? fraction + 1 : 0;
    return s[len + strspn(s + len, space)] == '\0';
}

/* The answer is to arrive before the scraper gives up. */
static bool take_scrape_timeout(const struct context *c, const char *value)
{
    unsigned *timeout = &c->query->probe.timeout_ms, ms;
    if (!parse_seconds(value, *timeout + SCRAPE_RESERVE_MS, &ms)) {
        char quote[PROBLEM_QUOTE_SIZE];
        problem_set(
            c->problem, PROBLEM_INVALID_PARAMETER,
            "The header %s cannot be \"%s\"; send seconds in digits, such as 10 or 9.5, or leave it out.",
            QUERY_SCRAPE_TIMEOUT, problem_quote(quote, value, strlen(value)));
        return false;
    }
    *timeout = ms > SCRAPE_RESERVE_MS + QUERY_SCRAPE_MIN_MS ? ms - SCRAPE_RESERVE_MS : QUERY_SCRAPE_MIN_MS;
    return true;
}

bool query_parse_probe(const char *raw, size_t len, const struct query_limits *limits,
                       const char *scrape_timeout, struct query *query, struct problem *problem)
{
    const struct context c = {limits, query, problem};
    if (!parse(&probe, raw, len, &c) ||
        (scrape_timeout != NULL && !take_scrape_timeout(&c, scrape_timeout))) {
        return false;
    }
    query->form = QUERY_METRICS;
    return true;
}

const char *query_key(const struct query *query, char buf[QUERY_KEY_SIZE])
{
    const struct probe_request *q = &query->probe;
    char address[IP_TEXT_SIZE] = "";
    if (q->address.family != 0) {
        ip_format(&q->address, address);
    }
    snprintf(buf, QUERY_KEY_SIZE, "%s %s %d%d%d%d %u", q->host, address, (int)query->form, q->imap, q->imaps,
             q->transcript, q->timeout_ms);
    return buf;
}

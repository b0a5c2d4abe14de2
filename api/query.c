#include "api/query.h"

#include <stdio.h>
#include <string.h>

#include "api/host.h"
#include "probe/base/limits.h"
#include "probe/base/text.h"

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

/* One parameter of this request. */
struct given {
    bool present;
    bool broken_escape;
    struct text value; /* decoded; data NULL: there was no "=" */
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
        if (!parse_number(item, UINT16_MAX, &port) || item.data[0] == '0') {
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

/* `host` first: where several are wrong, the caller hears of the host. */
static const struct parameter parameters[] = {
    {"host", check_host, NULL},          {"ports", check_ports, NULL},
    {"address", check_address, NULL},    {"addresses", check_addresses, "first"},
    {"timeout_ms", check_timeout, NULL}, {"fresh", check_fresh, NULL},
    {"deep", check_not_yet, "false"},    {"transcript", check_transcript, NULL},
};

#define HOST_INDEX 0
#define PARAMETERS (sizeof parameters / sizeof parameters[0])

/* Decoded bytes of the whole query. Decoding never grows, and the NUL behind each name and value takes the
 * place of its "=" or "&"; only the last has none. */
struct scratch {
    size_t used;
    char bytes[LIMIT_REQUEST_LINE_BYTES + 1]; /* last, so that the sanitizer sees a write past it */
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* application/x-www-form-urlencoded, strictly: "+" is a space, "%" wants two hexadecimal digits. Takes as
 * much scratch as the encoded bytes and a NUL; false: a broken escape. */
static bool decode(struct scratch *scratch, const char *raw, size_t len, struct text *out)
{
    char *to = scratch->bytes + scratch->used;
    *out = (struct text){.data = to};
    scratch->used += len + 1;
    for (size_t i = 0; i < len; i++) {
        char c = raw[i] == '+' ? ' ' : raw[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(raw[i + 1]) : -1;
            int low = i + 2 < len ? hex_digit(raw[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        }
        to[out->len++] = c;
    }
    to[out->len] = '\0';
    return true;
}

static bool refuse_unknown(struct text name, struct problem *problem)
{
    char known[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < PARAMETERS && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ",
                                 parameters[i].name);
    }
    char quote[PROBLEM_QUOTE_SIZE];
    problem_set(problem, PROBLEM_UNKNOWN_PARAMETER, "There is no parameter \"%s\". There are: %s.",
                problem_quote(quote, name.data, name.len), known);
    return false;
}

/* One part between "&", not empty. */
static bool take_item(const char *item, size_t len, struct scratch *scratch, struct given *given,
                      struct problem *problem)
{
    const char *equals = memchr(item, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - item) : len;
    struct text name;
    if (!decode(scratch, item, name_len, &name)) {
        problem_set(problem, PROBLEM_INVALID_PARAMETER,
                    "The name of a parameter holds a \"%%\" without two hexadecimal digits behind it.");
        return false;
    }
    size_t i = 0;
    while (i < PARAMETERS && !is(name, parameters[i].name)) {
        i++;
    }
    if (i == PARAMETERS) {
        return refuse_unknown(name, problem);
    }
    if (given[i].present) {
        problem_set(problem, PROBLEM_REPEATED_PARAMETER, "`%s` is given more than once; give it once.",
                    parameters[i].name);
        return false;
    }
    given[i].present = true;
    if (equals != NULL) {
        given[i].broken_escape = !decode(scratch, equals + 1, len - name_len - 1, &given[i].value);
    }
    return true;
}

/* Tells which parameters are there and what they hold; no value is looked at yet. */
static bool split(const char *raw, size_t len, struct scratch *scratch, struct given *given,
                  struct problem *problem)
{
    for (size_t at = 0; at < len;) {
        const char *end = memchr(raw + at, '&', len - at);
        size_t item_len = end != NULL ? (size_t)(end - raw) - at : len - at;
        if (item_len > 0 && !take_item(raw + at, item_len, scratch, given, problem)) {
            return false;
        }
        at += item_len + 1;
    }
    return true;
}

static bool check(const struct context *c, const struct parameter *self, const struct given *given)
{
    bool is_host = self == &parameters[HOST_INDEX];
    if (is_host && (!given->present || (given->value.len == 0 && !given->broken_escape))) {
        problem_set(c->problem, PROBLEM_MISSING_HOST,
                    "Say which host is to be tested, as in /v1/imap-test?host=imap.example.com.");
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

bool query_parse(const char *raw, size_t len, const struct query_limits *limits, struct query *query,
                 struct problem *problem)
{
    *query = (struct query){.probe = {.imap = true, .imaps = true, .timeout_ms = limits->deadline_ms}};
    if (len > LIMIT_REQUEST_LINE_BYTES) {
        problem_set(problem, PROBLEM_URI_TOO_LONG, "The query is longer than %u bytes.",
                    LIMIT_REQUEST_LINE_BYTES);
        return false;
    }
    struct scratch scratch;
    scratch.used = 0;
    struct given given[PARAMETERS] = {{.present = false}};
    struct context context = {.limits = limits, .query = query, .problem = problem};
    bool ok = split(raw, len, &scratch, given, problem);
    for (size_t i = 0; ok && i < PARAMETERS; i++) {
        ok = check(&context, &parameters[i], &given[i]);
    }
    return ok;
}

const char *query_key(const struct query *query, char buf[QUERY_KEY_SIZE])
{
    const struct probe_request *q = &query->probe;
    char address[IP_TEXT_SIZE] = "";
    if (q->address.family != 0) {
        ip_format(&q->address, address);
    }
    snprintf(buf, QUERY_KEY_SIZE, "%s %s %d%d%d %u", q->host, address, q->imap, q->imaps, q->transcript,
             q->timeout_ms);
    return buf;
}

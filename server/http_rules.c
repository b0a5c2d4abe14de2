#include "server/http_rules.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "probe/base/limits.h"

#define RETRY_AFTER_S 5u

/* ": " and the line end */
#define HEADER_OVERHEAD 4u

/* Digits only (RFC 9110 section 8.6); anything else cannot be a length and counts as too much. */
static bool length_fits(struct text value)
{
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        length = length * 10 + (uint64_t)(value.data[i] - '0');
        if (length > LIMIT_REQUEST_BODY_BYTES) {
            return false;
        }
    }
    return true;
}

void http_rules_header(struct http_headers *h, struct text name, struct text value)
{
    h->bytes += name.len + value.len + HEADER_OVERHEAD;
    if (text_is(name, "Host")) {
        h->hosts++;
    } else if (text_is(name, "Transfer-Encoding")) {
        h->chunked = true;
    } else if (text_is(name, "Content-Length")) {
        h->lengths++;
        h->body_too_large |= !length_fits(value);
    }
}

bool http_rules_check(const struct http_headers *h, size_t line, struct problem *problem)
{
    if (line > LIMIT_REQUEST_LINE_BYTES) {
        problem_set(problem, PROBLEM_URI_TOO_LONG, "The request line is over %u bytes. Shorten the query.",
                    LIMIT_REQUEST_LINE_BYTES);
    } else if (h->bytes > LIMIT_REQUEST_HEADER_BYTES) {
        problem_set(problem, PROBLEM_HEADERS_TOO_LARGE,
                    "The headers are over %u bytes. Send fewer or shorter ones.", LIMIT_REQUEST_HEADER_BYTES);
    } else if (h->hosts > 1) {
        problem_set(problem, PROBLEM_BAD_REQUEST, "The request has %u Host headers. Send one.", h->hosts);
    } else if (h->lengths > 1 || (h->lengths > 0 && h->chunked)) {
        problem_set(
            problem, PROBLEM_BAD_REQUEST,
            "The length of the body is given twice. Send either one Content-Length or Transfer-Encoding.");
    } else if (h->body_too_large) {
        http_rules_body_too_large(problem);
    } else {
        return true;
    }
    return false;
}

static bool sane(const char *id)
{
    size_t n = strlen(id);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)id[i]) && !strchr("-_.:", id[i])) {
            return false;
        }
    }
    return n > 0 && n < HTTP_ID_SIZE;
}

void http_rules_id(char id[HTTP_ID_SIZE], const char *given)
{
    unsigned char random[12];
    if (given && sane(given)) {
        snprintf(id, HTTP_ID_SIZE, "%s", given);
        return;
    }
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        struct timespec now; /* so early after boot that unique will do */
        clock_gettime(CLOCK_MONOTONIC, &now);
        memcpy(random, &now, sizeof random);
    }
    for (size_t i = 0; i < sizeof random; i++) {
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    }
}

void http_rules_body_too_large(struct problem *problem)
{
    problem_set(problem, PROBLEM_BODY_TOO_LARGE, "The body is over %u bytes; this resource needs none.",
                LIMIT_REQUEST_BODY_BYTES);
}

void http_rules_stopping(struct problem *problem)
{
    problem_set(problem, PROBLEM_SHUTTING_DOWN, "This instance is being stopped. Ask again in some seconds.");
    problem->retry_after_s = RETRY_AFTER_S;
}

void http_rules_overloaded(struct problem *problem)
{
    problem_set(
        problem, PROBLEM_OVERLOADED,
        "This service has as many tests under way as it can bear. Nothing was found out about the host; ask "
        "again in some seconds.");
    problem->retry_after_s = RETRY_AFTER_S;
}

void http_rules_unreported(enum job_result result, struct problem *problem)
{
    switch (result) {
    case JOB_BLOCKED:
        problem_set(
            problem, PROBLEM_TARGET_NOT_ALLOWED,
            "This service does not connect to the addresses of this host: they are private, reserved or "
            "excluded by its operator. Name a host with a public address.");
        break;
    case JOB_CANCELLED:
        http_rules_stopping(problem);
        break;
    case JOB_REPORTED:
    case JOB_OVERLOADED:
        http_rules_overloaded(problem);
        break;
    }
}

bool http_rules_ready(struct admission *admission, struct problem *problem)
{
    if (admission_stopping(admission)) {
        http_rules_stopping(problem);
        return false;
    }
    if (admission_full(admission)) {
        http_rules_overloaded(problem);
        return false;
    }
    return true;
}

#include "server/http_rules.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "probe/base/limits.h"

#define RETRY_AFTER_S 5u

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

void http_rules_unauthorized(struct problem *problem)
{
    problem_set(
        problem, PROBLEM_UNAUTHORIZED,
        "This service asks for an API key, and this request has none, or one that is not valid: send the "
        "header \"Authorization: Bearer KEY\".");
}

static const char *tests(unsigned count)
{
    return count == 1 ? "test" : "tests";
}

static const char *seconds(unsigned count)
{
    return count == 1 ? "second" : "seconds";
}

void http_rules_client_limited(struct rate rate, bool by_key, unsigned retry_after_s, struct problem *problem)
{
    problem_set(
        problem, PROBLEM_RATE_LIMITED,
        "%s has asked for more than its %u %s in %u %s. Ask again in %u %s; results that were asked for "
        "before and still stand are given without a test.",
        by_key ? "This API key" : "This client address", rate.count, tests(rate.count), rate.seconds,
        seconds(rate.seconds), retry_after_s, seconds(retry_after_s));
    problem->retry_after_s = retry_after_s;
    problem->scope = "client";
}

void http_rules_target_limited(struct rate rate, unsigned retry_after_s, struct problem *problem)
{
    problem_set(
        problem, PROBLEM_RATE_LIMITED,
        "An address of this host has had its %u %s in %u %s, whoever asked for them and by whatever name. "
        "Nothing is wrong with the host. Ask again in %u %s.",
        rate.count, tests(rate.count), rate.seconds, seconds(rate.seconds), retry_after_s,
        seconds(retry_after_s));
    problem->retry_after_s = retry_after_s;
    problem->scope = "target";
}

void http_rules_unreported(enum job_result result, struct problem *problem)
{
    switch (result) {
    case JOB_BLOCKED:
        problem_set(problem, PROBLEM_TARGET_NOT_ALLOWED,
                    "This service does not connect to the addresses of this host, or to the one given: they "
                    "are private, "
                    "reserved or excluded by its operator. Name a host with a public address.");
        break;
    case JOB_CANCELLED:
        http_rules_stopping(problem);
        break;
    case JOB_REPORTED:
    case JOB_LIMITED:
    case JOB_OVERLOADED:
        http_rules_overloaded(problem);
        break;
    }
}

bool http_rules_ready(struct admission *admission, struct problem *problem)
{
    if (admission_retiring(admission)) {
        http_rules_stopping(problem);
        return false;
    }
    if (admission_full(admission)) {
        http_rules_overloaded(problem);
        return false;
    }
    return true;
}

/* health.h: whether the service of this configuration is alive, asked from beside it as a container's health
 * check does. It asks /healthz, not /readyz: one that is full, or stopping, would not get better by being
 * killed. */
#ifndef SERVER_HEALTH_H
#define SERVER_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/base/ip.h"
#include "server/config.h"

/* The exit status of the program. */
enum health_status {
    HEALTH_ALIVE = 0,
    HEALTH_FAILED = 1, /* no answer, or another one than 200 */
    HEALTH_USAGE = 2   /* nothing that can be asked */
};

/* Where to ask a service that listens on this config_endpoint() with port: there, or on loopback of the
 * family where it is a wildcard. False for port 0, which any free one takes the place of. */
bool health_target(const char *endpoint, struct ip *ip, uint16_t *port);

/* Whether an answer begins with a status line of HTTP/1 that says 200 (RFC 9112 section 4). */
bool health_answer_good(const char *answer, size_t len);

/* Asks at the first --listen address, for LIMIT_HEALTH_MS at most. One line says how it went, on standard
 * output where it is alive, else on standard error. SIGPIPE does not matter. */
enum health_status health_check(const struct config *config);

#endif

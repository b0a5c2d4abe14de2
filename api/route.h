/* route.h: which resource a request names. Pure; it looks at neither the query nor the headers. */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include <stdbool.h>

#include "api/problem.h"

enum route {
    ROUTE_IMAP_TEST,
    ROUTE_CAPABILITIES,
    ROUTE_PROBE,
    ROUTE_HEALTHZ,
    ROUTE_READYZ,
    ROUTE_METRICS,
    ROUTE_OPENAPI,
    ROUTE_COUNT
};

/* Sets of routes: a port may serve some alone. */
#define ROUTE_BIT(route) (1u << (route))
#define ROUTES_ALL ((1u << ROUTE_COUNT) - 1)

/* Of the routes `served`, a set. Paths match exactly, methods by case (RFC 9110 section 9.1). False: *problem
 * is not_found or method_not_allowed (with `allow`), and *route is left alone. */
bool route_find(unsigned served, const char *method, const char *path, enum route *route,
                struct problem *problem);

/* The methods of a route as in the header Allow. */
const char *route_allow(enum route route);

/* The path of a route, for logs and counters. */
const char *route_path(enum route route);

#endif

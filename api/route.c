#include "api/route.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char get_head[] = "GET, HEAD";

static const struct row {
    const char *path;
    const char *allow; /* as in the header Allow (RFC 9110 section 10.2.1) */
} rows[ROUTE_COUNT] = {
    [ROUTE_IMAP_TEST] = {"/v1/imap-test", get_head},
    [ROUTE_CAPABILITIES] = {"/v1/capabilities", get_head},
    [ROUTE_PROBE] = {"/probe", get_head},
    [ROUTE_HEALTHZ] = {"/healthz", get_head},
    [ROUTE_READYZ] = {"/readyz", get_head},
    [ROUTE_METRICS] = {"/metrics", get_head},
    [ROUTE_OPENAPI] = {"/openapi.yaml", get_head},
};

/* Whether the comma-separated list names the method. */
static bool allows(const char *list, const char *method)
{
    size_t len = strlen(method);
    if (len == 0 || strpbrk(method, ", ") != NULL) {
        return false;
    }
    for (const char *item = list; item[0] != '\0'; item += strspn(item, ", ")) {
        size_t item_len = strcspn(item, ", ");
        if (item_len == len && memcmp(item, method, len) == 0) {
            return true;
        }
        item += item_len;
    }
    return false;
}

static void say_not_found(unsigned served, const char *path, struct problem *problem)
{
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < ROUTE_COUNT && used < sizeof list; i++) {
        if ((served & ROUTE_BIT(i)) != 0) {
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ", ",
                                     rows[i].path);
        }
    }
    char quote[PROBLEM_QUOTE_SIZE];
    problem_set(problem, PROBLEM_NOT_FOUND, "There is nothing at \"%s\". There is: %s.",
                problem_quote(quote, path, strlen(path)), list);
}

bool route_find(unsigned served, const char *method, const char *path, enum route *route,
                struct problem *problem)
{
    size_t i = 0;
    while (i < ROUTE_COUNT && ((served & ROUTE_BIT(i)) == 0 || strcmp(rows[i].path, path) != 0)) {
        i++;
    }
    if (i == ROUTE_COUNT) {
        say_not_found(served, path, problem);
        return false;
    }
    if (!allows(rows[i].allow, method)) {
        char quote[PROBLEM_QUOTE_SIZE];
        problem_set(problem, PROBLEM_METHOD_NOT_ALLOWED, "%s cannot be asked with %s; use one of %s.",
                    rows[i].path, problem_quote(quote, method, strlen(method)), rows[i].allow);
        problem->allow = rows[i].allow;
        return false;
    }
    *route = (enum route)i;
    return true;
}

const char *route_path(enum route route)
{
    return rows[route].path;
}

const char *route_allow(enum route route)
{
    return rows[route].allow;
}

/* query_split.h: a query string taken apart into the values of the parameters that a resource knows:
 * application/x-www-form-urlencoded, strictly. Pure; no value is looked at. */
#ifndef API_QUERY_SPLIT_H
#define API_QUERY_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "api/problem.h"
#include "probe/base/limits.h"
#include "probe/base/text.h"

/* Decoded bytes of the whole query. Decoding never grows, and the NUL behind each name and value takes the
 * place of its "=" or "&"; only the last has none. */
struct query_scratch {
    size_t used;
    char bytes[LIMIT_REQUEST_LINE_BYTES + 1]; /* last, so that the sanitizer sees a write past it */
};

/* One parameter of a request. */
struct query_given {
    bool present;
    bool broken_escape;
    struct text value; /* decoded, in the scratch; data NULL: there was no "=" */
};

/* given[i] belongs to names[i] and is zeroed by the caller, as is scratch->used. False: *problem says that
 * the query is too long, or that a name is broken, unknown or repeated. */
bool query_split(const char *raw, size_t len, const char *const names[], size_t count,
                 struct query_scratch *scratch, struct query_given given[], struct problem *problem);

#endif

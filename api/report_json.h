/* report_json.h: the report and the catalogue as the JSON of the HTTP contract. Pure. What came from the
 * tested server, its DNS or its certificate is shown through text_show(), never as it came. */
#ifndef API_REPORT_JSON_H
#define API_REPORT_JSON_H

#include "api/piece_cache.h"
#include "probe/report/report.h"

/* The body of GET /v1/imap-test for a judged report: UTF-8, NUL-terminated, malloc'd, the caller's. NULL: no
 * memory. What `pieces` has of it need not be written again; NULL: nothing is kept, the body is the same. */
char *report_json(const struct report *r, struct piece_cache *pieces);

/* The body of GET /v1/capabilities, in the same way. */
char *capabilities_json(void);

/* Says in a body of report_json() that the test was not made for the caller it goes to. Length stays. */
void report_json_mark_cached(char *body);

#endif

/* port_json.h: what was learnt on one port, as an element of `ports`; for report_json.c. */
#ifndef API_PORT_JSON_H
#define API_PORT_JSON_H

#include "api/json_out.h"
#include "probe/report/report.h"

/* Adds it to the text; `now` is the time of the test. */
void port_json(struct json_out *o, const struct port_report *p, int64_t now);

/* `error`: null where there was none. What the server said is cut so that the message as a whole keeps the
 * bound. */
json_t *failure_json(struct json_out *o, const struct failure *f);

#endif

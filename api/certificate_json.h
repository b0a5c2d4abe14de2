/* certificate_json.h: the `tls` and `certificate` objects of a port; for report_json.c. */
#ifndef API_CERTIFICATE_JSON_H
#define API_CERTIFICATE_JSON_H

#include "api/json_out.h"
#include "probe/report/report.h"

/* null unless the handshake completed */
json_t *tls_json(struct json_out *o, const struct tls_facts *tls);

/* null unless the certificate message came; `now` is the time of the test. Where the leaf could not be read,
 * what would stand in it is null. */
json_t *certificate_json(struct json_out *o, const struct certificate *c, int64_t now);

#endif

/* certificate_json.h: the `tls` and `certificate` members of a port; for report_json.c. */
#ifndef API_CERTIFICATE_JSON_H
#define API_CERTIFICATE_JSON_H

#include "api/json_out.h"
#include "probe/report/report.h"

/* `tls`: null unless the handshake completed */
void tls_piece(struct json_out *o, const struct tls_facts *tls);

/* `certificate`: null unless the certificate message came; `now` is the time of the test. Where the leaf
 * could not be read, what would stand in it is null. */
void certificate_piece(struct json_out *o, const struct certificate *c, int64_t now);

#endif

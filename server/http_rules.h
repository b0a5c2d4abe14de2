/* http_rules.h: what the HTTP side demands of a request and says of itself, without knowing the HTTP library.
 */
#ifndef SERVER_HTTP_RULES_H
#define SERVER_HTTP_RULES_H

#include <stdbool.h>

#include "api/problem.h"
#include "server/admission.h"
#include "server/config.h"
#include "server/job.h"
#include "server/origin.h"

/* The caller's request id where it can do no harm in a header or a log, else a random one. NULL: none given.
 */
void http_rules_id(char id[HTTP_ID_SIZE], const char *given);

/* Why a test ended without a report. */
void http_rules_unreported(enum job_result result, struct problem *problem);

/* False, with *problem: no tests are taken now. */
bool http_rules_ready(struct admission *admission, struct problem *problem);

/* A limit on tests was reached; `rate` is the one that counts. */
void http_rules_client_limited(struct rate rate, bool by_key, unsigned retry_after_s,
                               struct problem *problem);
void http_rules_target_limited(struct rate rate, unsigned retry_after_s, struct problem *problem);

void http_rules_unauthorized(struct problem *problem);
void http_rules_body_too_large(struct problem *problem);
void http_rules_stopping(struct problem *problem);
void http_rules_overloaded(struct problem *problem);

#endif

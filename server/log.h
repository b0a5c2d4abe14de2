/* log.h: the log of this process, on standard error. Any thread may log at any time.
 *
 * A reader that does not keep up costs lines, not time: a line waits shortly for room and is dropped then,
 * and the number of those dropped is told as soon as one gets through. SIGPIPE must be ignored by the
 * process. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "api/log_line.h"

/* Before this call: text, level info. Call it before other threads log. */
void log_open(enum log_format format, enum log_level level);

/* Whether a line of this level is written at all, where collecting the fields is work. */
bool log_wants(enum log_level level);

/* Writes one line. Errors are nobody's business. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t count);

#endif

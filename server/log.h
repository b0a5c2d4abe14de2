/* log.h: the log of this process, on standard error or in a file. Any thread may log at any time.
 *
 * Nothing that is wrong with the log stops or delays the service for long. A reader that does not keep up, a
 * disk that is full and a pipe that is closed cost lines: one waits shortly for room now and then, the others
 * are dropped, and their number is told as soon as one gets through. Of a line that was written in part the
 * rest goes out before all others. SIGPIPE and SIGXFSZ must be ignored by the process. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "api/log_line.h"

/* Before this call: to standard error, text, level info. Call it before other threads log. `path`: the file
 * that lines are appended to, borrowed for good; NULL: standard error. False with a sentence in `why`: the
 * file cannot be opened, and standard error is logged to. */
bool log_open(const char *path, enum log_format format, enum log_level level, char *why, size_t why_size);

/* Opens the file by its name anew, after somebody has renamed it: lines before go to the old one, lines
 * behind to the new one. False with a sentence in `why`: the old one stays in use. */
bool log_reopen(char *why, size_t why_size);

/* One step more talkative, and back to the level given to log_open(). Both tell so, whatever the level. */
void log_more(void);
void log_as_configured(void);

/* Whether a line of this level is written at all, where collecting the fields is work. */
bool log_wants(enum log_level level);

/* Writes one line. Errors are nobody's business. */
void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t count);

#endif

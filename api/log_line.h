/* log_line.h: one log line from fields, as JSON or as text. Pure: the time is passed in, nothing is written.
 *
 * Whatever a value holds, it stays inside its own field of its own line. */
#ifndef API_LOG_LINE_H
#define API_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "probe/base/text.h"

/* Longest line, line end included. One write of this size to a pipe is never mixed with another's (POSIX
 * PIPE_BUF, at least 4096 on Linux). */
#define LOG_LINE_BYTES 4096u
#define LOG_LINE_SIZE (LOG_LINE_BYTES + 1u)
#define LOG_LINE_FIELDS 64u

enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_COUNT };

enum log_type { LOG_TEXT, LOG_INT, LOG_MS, LOG_BOOL };

/* Key and event names are ours: letters, digits, underscores. */
struct log_field {
    const char *key;
    enum log_type type;
    struct text text; /* LOG_TEXT; absent: null in JSON, left out of a text line */
    int64_t number;   /* LOG_INT; LOG_BOOL: 0 or 1 */
    double ms;        /* LOG_MS, shown to 0.1; below zero (a time not reached): as an absent text */
};

/* A NUL-terminated string, which must outlive the field. */
struct log_field log_text(const char *key, const char *value);
struct log_field log_bytes(const char *key, struct text value);
struct log_field log_int(const char *key, int64_t value);
struct log_field log_bool(const char *key, bool value);
struct log_field log_ms(const char *key, double value);

/* "error", "warn", "info", "debug". */
const char *log_level_name(enum log_level level);

/* Writes the line with its line end and a NUL to `out`; returns its length without the latter. Takes no
 * memory, so that what is wrong when there is none can be told. Long values are cut with an ellipsis; fields
 * over LOG_LINE_FIELDS, or that do not fit into LOG_LINE_BYTES, are left off at the end, and "cut" says so.
 */
size_t log_line(char out[LOG_LINE_SIZE], enum log_format format, time_t now, enum log_level level,
                const char *event, const struct log_field *fields, size_t count);

#endif

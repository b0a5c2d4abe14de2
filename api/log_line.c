#include "api/log_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/time_text.h"
#include "probe/base/limits.h"

/* How a line ends, kept free for it. */
#define JSON_CUT ",\"cut\":true"
#define JSON_END "}\n"
#define TEXT_CUT " cut=true"
#define TEXT_END "\n"
#define ROOM (LOG_LINE_BYTES - sizeof JSON_CUT JSON_END)

struct log_field log_text(const char *key, const char *value)
{
    return log_bytes(key, text_of(value));
}

struct log_field log_bytes(const char *key, struct text value)
{
    return (struct log_field){.key = key, .type = LOG_TEXT, .text = value};
}

struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .type = LOG_INT, .number = value};
}

struct log_field log_bool(const char *key, bool value)
{
    return (struct log_field){.key = key, .type = LOG_BOOL, .number = value};
}

struct log_field log_ms(const char *key, double value)
{
    return (struct log_field){.key = key, .type = LOG_MS, .ms = isfinite(value) ? value : 0};
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[LOG_LEVEL_COUNT] = {"error", "warn", "info", "debug"};
    return names[level];
}

/* A line as far as it is there. It is written straight, without a library's tree of values: what goes in is
 * keys of ours and what text_show_in() let through, and each test that is run costs a line. */
struct line {
    char *bytes;
    size_t len;
    bool full; /* something did not fit, and is missing */
};

static void add(struct line *l, const char *bytes, size_t len)
{
    if (len > ROOM - l->len) {
        l->full = true;
    } else {
        memcpy(l->bytes + l->len, bytes, len);
        l->len += len;
    }
}

static void add_string(struct line *l, const char *s)
{
    add(l, s, strlen(s));
}

/* In quotation marks, with a backslash in front of those inside and of backslashes: all that JSON (RFC 8259
 * section 7) asks for where control characters are gone already. */
static void add_quoted(struct line *l, const char *s, size_t len)
{
    size_t start = 0;
    add(l, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '"' || s[i] == '\\') {
            add(l, s + start, i - start);
            add(l, "\\", 1);
            start = i;
        }
    }
    add(l, s + start, len - start);
    add(l, "\"", 1);
}

/* Characters that a value of a text line may hold without quotation marks. */
static bool is_plain(const char *s)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:@+,%?&*[]";
    return s[0] != '\0' && s[strspn(s, plain)] == '\0';
}

static void add_value(struct line *l, enum log_format format, const struct log_field *field)
{
    char text[TEXT_SHOWN_SIZE(LIMIT_QUOTED_CHARS)];
    size_t len;
    switch (field->type) {
    case LOG_INT:
        snprintf(text, sizeof text, "%" PRId64, field->number);
        add_string(l, text);
        break;
    case LOG_MS:
        add(l, text, ms_text(field->ms, text));
        break;
    case LOG_BOOL:
        add_string(l, field->number ? "true" : "false");
        break;
    case LOG_TEXT:
        len = text_show_in(text, field->text, LIMIT_QUOTED_CHARS);
        if (format == LOG_FORMAT_TEXT && is_plain(text)) {
            add(l, text, len);
        } else {
            add_quoted(l, text, len);
        }
        break;
    }
}

static bool is_absent(const struct log_field *field)
{
    return (field->type == LOG_TEXT && field->text.data == NULL) || (field->type == LOG_MS && field->ms < 0);
}

static void add_field(struct line *l, enum log_format format, const struct log_field *field)
{
    bool json = format == LOG_FORMAT_JSON, absent = is_absent(field);
    if (absent && !json) {
        return;
    }
    add_string(l, json ? ",\"" : " ");
    add_string(l, field->key);
    add_string(l, json ? "\":" : "=");
    if (absent) {
        add_string(l, "null");
    } else {
        add_value(l, format, field);
    }
}

/* A time beyond the calendar becomes the epoch. */
static void add_head(struct line *l, enum log_format format, time_t now, enum log_level level,
                     const char *event)
{
    bool json = format == LOG_FORMAT_JSON;
    const char *name = log_level_name(level);
    char time[TIME_TEXT_SIZE];
    if (!time_text(now, time)) {
        (void)time_text(0, time);
    }
    add_string(l, json ? "{\"time\":\"" : "");
    add_string(l, time);
    add_string(l, json ? "\",\"level\":\"" : " ");
    add_string(l, name);
    add_string(l, json ? "\",\"event\":\"" : strlen(name) < strlen("error") ? "  " : " ");
    add_string(l, event);
    add_string(l, json ? "\"" : "");
}

size_t log_line(char out[LOG_LINE_SIZE], enum log_format format, time_t now, enum log_level level,
                const char *event, const struct log_field *fields, size_t count)
{
    bool json = format == LOG_FORMAT_JSON, cut = count > LOG_LINE_FIELDS;
    struct line l = {.bytes = out};
    add_head(&l, format, now, level, event);
    /* Fields are ordered by weight: a line that is too long loses its last ones. */
    for (size_t i = 0; i < count && i < LOG_LINE_FIELDS && !l.full; i++) {
        size_t before = l.len;
        add_field(&l, format, &fields[i]);
        if (l.full) {
            l.len = before;
            cut = true;
        }
    }
    const char *end = json ? (cut ? JSON_CUT JSON_END : JSON_END) : (cut ? TEXT_CUT TEXT_END : TEXT_END);
    size_t end_len = strlen(end);
    memcpy(out + l.len, end, end_len + 1);
    return l.len + end_len;
}

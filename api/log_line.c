#include "api/log_line.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_out.h"
#include "api/time_text.h"
#include "probe/base/arena.h"
#include "probe/base/buf.h"
#include "probe/base/limits.h"

/* Enough for all fields of a line, each character of four bytes or doubled by an escape. */
#define BUILD_BYTES ((size_t)128 * 1024)

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
    return (struct log_field){.key = key, .type = LOG_MS, .ms = isfinite(value) ? round(value * 10) / 10 : 0};
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[LOG_LEVEL_COUNT] = {"error", "warn", "info", "debug"};
    return names[level];
}

/* A time beyond the calendar becomes the epoch. */
static void format_time(time_t now, char out[TIME_TEXT_SIZE])
{
    if (!time_text(now, out)) {
        (void)time_text(0, out);
    }
}

/* The new JSON value of a field, NULL: no memory. */
static json_t *json_value(struct arena *arena, const struct log_field *field)
{
    switch (field->type) {
    case LOG_INT:
        return json_integer(field->number);
    case LOG_MS:
        return json_real(field->ms);
    case LOG_BOOL:
        return json_boolean(field->number);
    case LOG_TEXT:
        break;
    }
    if (field->text.data == NULL) {
        return json_null();
    }
    const char *shown = text_show(arena, field->text, LIMIT_QUOTED_CHARS, NULL);
    return shown != NULL ? json_string_nocheck(shown) : NULL;
}

/* line[key] = value. Keys are ours and values went through text_show(): Jansson need not look again whether
 * they are UTF-8. */
static bool put(json_t *line, const char *key, json_t *value)
{
    return json_object_set_new_nocheck(line, key, value) == 0;
}

static bool build_json(struct buf *b, struct arena *arena, const char *head[3],
                       const struct log_field *fields, size_t count, bool cut)
{
    static const char *const head_keys[3] = {"time", "level", "event"};
    json_t *line = json_object();
    bool ok = line != NULL;
    for (size_t i = 0; ok && i < 3; i++) {
        ok = put(line, head_keys[i], json_string_nocheck(head[i]));
    }
    for (size_t i = 0; ok && i < count; i++) {
        ok = put(line, fields[i].key, json_value(arena, &fields[i]));
    }
    if (ok && cut) {
        ok = put(line, "cut", json_true());
    }
    char *text = ok ? json_out_string(line, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(line);
    ok = text != NULL && buf_append(b, text, strlen(text)) == BUF_OK;
    free(text);
    return ok;
}

/* Characters that a value may hold without quotation marks. */
static bool is_plain(const char *s)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:@+,%?&*[]";
    return s[0] != '\0' && s[strspn(s, plain)] == '\0';
}

static bool append_quoted(struct buf *b, const char *s)
{
    if (is_plain(s)) {
        return buf_append(b, s, strlen(s)) == BUF_OK;
    }
    bool ok = buf_append(b, "\"", 1) == BUF_OK;
    while (ok && s[0] != '\0') {
        size_t run = strcspn(s, "\"\\");
        ok = buf_append(b, s, run) == BUF_OK;
        s += run;
        if (ok && s[0] != '\0') {
            ok = buf_append(b, "\\", 1) == BUF_OK && buf_append(b, s, 1) == BUF_OK;
            s++;
        }
    }
    return ok && buf_append(b, "\"", 1) == BUF_OK;
}

static bool append_field(struct buf *b, struct arena *arena, const struct log_field *field)
{
    switch (field->type) {
    case LOG_INT:
        return buf_printf(b, " %s=%" PRId64, field->key, field->number) == BUF_OK;
    case LOG_MS:
        return buf_printf(b, " %s=%.1f", field->key, field->ms) == BUF_OK;
    case LOG_BOOL:
        return buf_printf(b, " %s=%s", field->key, field->number ? "true" : "false") == BUF_OK;
    case LOG_TEXT:
        break;
    }
    if (field->text.data == NULL) {
        return true;
    }
    const char *shown = text_show(arena, field->text, LIMIT_QUOTED_CHARS, NULL);
    return shown != NULL && buf_printf(b, " %s=", field->key) == BUF_OK && append_quoted(b, shown);
}

static bool build_text(struct buf *b, struct arena *arena, const char *head[3],
                       const struct log_field *fields, size_t count, bool cut)
{
    bool ok = buf_printf(b, "%s %-5s %s", head[0], head[1], head[2]) == BUF_OK;
    for (size_t i = 0; ok && i < count; i++) {
        ok = append_field(b, arena, &fields[i]);
    }
    return ok && (!cut || buf_append(b, " cut=true", strlen(" cut=true")) == BUF_OK);
}

char *log_line(enum log_format format, time_t now, enum log_level level, const char *event,
               const struct log_field *fields, size_t count, size_t *len)
{
    char time[TIME_TEXT_SIZE];
    format_time(now, time);
    const char *head[3] = {time, log_level_name(level), event};
    struct buf b;
    buf_init(&b, BUILD_BYTES);
    bool ok = true;
    /* Fields are ordered by weight, so a line that is too long loses its last ones. */
    for (size_t keep = count < LOG_LINE_FIELDS ? count : LOG_LINE_FIELDS; ok; keep--) {
        struct arena arena;
        arena_init(&arena, BUILD_BYTES);
        buf_consume(&b, b.len);
        ok = (format == LOG_FORMAT_JSON ? build_json : build_text)(&b, &arena, head, fields, keep,
                                                                   keep < count);
        arena_deinit(&arena);
        if (keep == 0 || b.len + 1 <= LOG_LINE_BYTES) {
            break;
        }
    }
    char *line = ok ? malloc(b.len + 2) : NULL;
    if (line != NULL) {
        memcpy(line, b.data, b.len);
        memcpy(line + b.len, "\n", 2);
        *len = b.len + 1;
    }
    buf_deinit(&b);
    return line;
}

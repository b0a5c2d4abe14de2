#include "api/json_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/base/limits.h"

/* When the scratch memory is given back. */
#define SCRATCH_KEPT (64u * 1024)

/* A string shown takes up to four bytes a character; the rest is for the arena itself. */
#define SCRATCH_MAX (SCRATCH_KEPT * 4)

/* What most texts need at first: a report takes several times as much. */
#define TEXT_ROOM 2048u

#define HEX_BYTES_MAX 64u

/* Significant digits: durations with one place, and no 182.40000000000001. */
#define PRECISION 12

void json_out_init(struct json_out *o)
{
    *o = (struct json_out){.failed = false};
    arena_init(&o->scratch, SCRATCH_MAX);
}

void json_out_deinit(struct json_out *o)
{
    arena_deinit(&o->scratch);
}

static json_t *made(struct json_out *o, json_t *value)
{
    if (value == NULL) {
        o->failed = true;
    }
    return value;
}

/* Whatever is put in is UTF-8 by now, keys and texts of ours as well as what text_show() let through: Jansson
 * need not look again. */

json_t *json_out_object(struct json_out *o)
{
    return made(o, json_object());
}

json_t *json_out_array(struct json_out *o)
{
    return made(o, json_array());
}

void json_out_put(struct json_out *o, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new_nocheck(object, key, value) != 0) {
        o->failed = true;
    }
}

void json_out_append(struct json_out *o, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) {
        o->failed = true;
    }
}

json_t *json_out_own(struct json_out *o, const char *s)
{
    return s != NULL ? made(o, json_string_nocheck(s)) : json_null();
}

const char *json_out_shown(struct json_out *o, struct text t, size_t max_chars)
{
    if (o->scratch.used > SCRATCH_KEPT) {
        arena_deinit(&o->scratch);
        arena_init(&o->scratch, SCRATCH_MAX);
    }
    const char *shown = text_show(&o->scratch, t, max_chars, &o->cut);
    if (shown == NULL) {
        o->failed = true;
    }
    return shown;
}

json_t *json_out_text(struct json_out *o, struct text t)
{
    if (t.data == NULL) {
        return json_null();
    }
    const char *shown = json_out_shown(o, t, LIMIT_TEXT_CHARS);
    return shown != NULL ? made(o, json_string_nocheck(shown)) : NULL;
}

json_t *json_out_bool(bool b)
{
    return json_boolean(b);
}

json_t *json_out_integer(struct json_out *o, int64_t n)
{
    return made(o, json_integer(n));
}

json_t *json_out_ms(struct json_out *o, double ms)
{
    return ms >= 0 && isfinite(ms) ? made(o, json_real(round(ms * 10) / 10)) : json_null();
}

json_t *json_out_time(struct json_out *o, int64_t seconds)
{
    struct tm tm;
    time_t t = (time_t)seconds;
    char s[64];
    if (gmtime_r(&t, &tm) == NULL || tm.tm_year + 1900 < 0 || tm.tm_year + 1900 > 9999) {
        return json_null();
    }
    snprintf(s, sizeof s, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
    return made(o, json_string_nocheck(s));
}

json_t *json_out_ip(struct json_out *o, const struct ip *ip)
{
    char s[IP_TEXT_SIZE];
    return ip->family != 0 ? made(o, json_string_nocheck(ip_format(ip, s))) : json_null();
}

json_t *json_out_hex(struct json_out *o, const uint8_t *bytes, size_t len, char separator)
{
    static const char digits[] = "0123456789abcdef";
    char s[HEX_BYTES_MAX * 3 + 1];
    size_t at = 0;
    for (size_t i = 0; i < len && i < HEX_BYTES_MAX; i++) {
        if (i > 0 && separator != '\0') {
            s[at++] = separator;
        }
        s[at++] = digits[bytes[i] >> 4];
        s[at++] = digits[bytes[i] & 15];
    }
    s[at] = '\0';
    return at > 0 ? made(o, json_string_nocheck(s)) : json_null();
}

/* A text that grows as it is written, so that the tree is walked once. */
struct growing {
    char *s;
    size_t len, room;
    bool failed; /* the library does not pass every failure on */
};

static int on_dumped(const char *bytes, size_t len, void *data)
{
    struct growing *g = data;
    if (g->room - g->len <= len) {
        size_t room = g->room * 2 > g->len + len + 1 ? g->room * 2 : g->len + len + 1;
        char *larger = realloc(g->s, room);
        if (larger == NULL) {
            g->failed = true;
            return -1;
        }
        g->s = larger;
        g->room = room;
    }
    memcpy(g->s + g->len, bytes, len);
    g->len += len;
    return 0;
}

char *json_out_string(const json_t *value, size_t flags)
{
    struct growing g = {malloc(TEXT_ROOM), 0, TEXT_ROOM, false};
    if (g.s == NULL || json_dump_callback(value, on_dumped, &g, flags) != 0 || g.failed) {
        free(g.s);
        return NULL;
    }
    g.s[g.len] = '\0';
    return g.s;
}

char *json_out_dump(struct json_out *o, json_t *value)
{
    char *s = o->failed ? NULL : json_out_string(value, JSON_COMPACT | JSON_REAL_PRECISION(PRECISION));
    json_decref(value);
    return s;
}

#include "api/json_out.h"

#include <math.h>

#include "api/time_text.h"
#include "probe/base/limits.h"

/* When the scratch memory is given back. */
#define SCRATCH_KEPT (64u * 1024)

/* A string shown takes up to four bytes a character; the rest is for the arena itself. */
#define SCRATCH_MAX (SCRATCH_KEPT * 4)

/* What most reports, and most lines of the log, have room in. */
#define REPORT_ROOM (8u * 1024)
#define LINE_ROOM 1024u

#define HEX_BYTES_MAX 64u

/* 12 significant digits: durations with one place, and no 182.40000000000001. */
#define FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(12))

void json_out_init(struct json_out *o, struct piece_cache *pieces)
{
    *o = (struct json_out){.pieces = pieces};
    json_text_init(&o->text, REPORT_ROOM);
    arena_init(&o->scratch, SCRATCH_MAX);
}

void json_out_deinit(struct json_out *o)
{
    json_text_deinit(&o->text);
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
    char s[TIME_TEXT_SIZE];
    return time_text(seconds, s) ? made(o, json_stringn_nocheck(s, sizeof s - 1)) : json_null();
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

void json_out_inside(struct json_out *o, json_t *value)
{
    (void)json_text_add_inside(&o->text, value, FLAGS);
    json_decref(value);
}

bool json_out_recall(struct json_out *o)
{
    struct piece piece;
    if (o->pieces != NULL && piece_cache_find(o->pieces, &piece)) {
        json_text_add(&o->text, piece.text, piece.len);
        o->cut = o->cut || piece.cut;
        return true;
    }
    o->cut_before = o->cut;
    o->cut = false;
    return false;
}

void json_out_inside_kept(struct json_out *o, json_t *value)
{
    size_t start = json_text_add_inside(&o->text, value, FLAGS);
    json_decref(value);
    if (o->pieces != NULL && !o->failed && !o->text.failed) {
        const struct piece piece = {o->text.s + start, o->text.len - start, o->cut};
        piece_cache_keep(o->pieces, &piece);
    }
    o->cut = o->cut || o->cut_before;
}

char *json_out_take(struct json_out *o)
{
    return o->failed ? NULL : json_text_take(&o->text);
}

char *json_out_string(const json_t *value, size_t flags)
{
    struct json_text text;
    json_text_init(&text, LINE_ROOM);
    json_text_add_value(&text, value, flags);
    return json_text_take(&text);
}

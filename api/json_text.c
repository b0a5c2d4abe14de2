#include "api/json_text.h"

#include <stdlib.h>
#include <string.h>

void json_text_init(struct json_text *t, size_t room)
{
    *t = (struct json_text){.first_room = room};
}

void json_text_deinit(struct json_text *t)
{
    free(t->s);
    json_text_init(t, t->first_room);
}

static bool grow(struct json_text *t, size_t more)
{
    size_t need = t->len + more, room = t->room > 0 ? t->room * 2 : t->first_room;
    if (room < need) {
        room = need;
    }
    char *larger = realloc(t->s, room);
    if (larger == NULL) {
        t->failed = true;
        return false;
    }
    t->s = larger;
    t->room = room;
    return true;
}

static bool append(struct json_text *t, const char *bytes, size_t len)
{
    if (t->room - t->len < len && !grow(t, len)) {
        return false;
    }
    if (len == 1) { /* most of what Jansson hands over: quotation marks, colons, commas */
        t->s[t->len] = bytes[0];
    } else {
        memcpy(t->s + t->len, bytes, len);
    }
    t->len += len;
    return true;
}

/* The library does not pass every failure on, so it is kept here. */
static int on_written(const char *bytes, size_t len, void *data)
{
    return append(data, bytes, len) ? 0 : -1;
}

static void separate(struct json_text *t)
{
    char last = t->len > 0 ? t->s[t->len - 1] : '{';
    if (last != '{' && last != '[') {
        append(t, ",", 1);
    }
}

void json_text_open(struct json_text *t, const char *opening)
{
    json_text_add(t, opening, strlen(opening));
}

void json_text_close(struct json_text *t, char bracket)
{
    append(t, &bracket, 1);
}

void json_text_add(struct json_text *t, const char *piece, size_t len)
{
    if (len > 0) {
        separate(t);
        append(t, piece, len);
    }
}

static void write_value(struct json_text *t, const json_t *value, size_t flags)
{
    if (json_dump_callback(value, on_written, t, flags) != 0) {
        t->failed = true;
    }
}

void json_text_add_value(struct json_text *t, const json_t *value, size_t flags)
{
    separate(t);
    write_value(t, value, flags);
}

size_t json_text_add_inside(struct json_text *t, const json_t *value, size_t flags)
{
    if (json_object_size(value) > 0 || json_array_size(value) > 0) {
        separate(t);
    }
    size_t start = t->len;
    write_value(t, value, flags | JSON_EMBED);
    return start;
}

char *json_text_take(struct json_text *t)
{
    char *text = NULL;
    if (!t->failed && append(t, "", 1)) {
        text = t->s;
        t->s = NULL;
    }
    json_text_deinit(t);
    return text;
}

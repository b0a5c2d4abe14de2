/* json_out.h: builds JSON in which nothing can be left out unnoticed. Each function takes the new value over;
 * a value that could not be made marks the whole as failed. Knows nothing of reports; for the api room alone.
 */
#ifndef API_JSON_OUT_H
#define API_JSON_OUT_H

#include <jansson.h>
#include <stdint.h>

#include "api/json_text.h"
#include "api/piece_cache.h"
#include "probe/base/arena.h"
#include "probe/base/ip.h"

/* What there is that can be kept; the kinds of its keys. */
enum piece_kind {
    PIECE_PLACE,
    PIECE_GREETING,
    PIECE_SERVER_ID,
    PIECE_LISTS,
    PIECE_TLS,
    PIECE_CERTIFICATE,
    PIECE_FINDINGS,
    PIECE_GAP
};

struct json_out {
    struct json_text text;      /* what has been written */
    struct piece_cache *pieces; /* what was written for others; NULL: nothing is kept */
    struct arena scratch;       /* strings on their way into Jansson */
    bool failed;                /* memory ran out: the text would not be whole */
    bool cut;                   /* a string was longer than LIMIT_TEXT_CHARS; set, never cleared here */
    bool cut_before;            /* the same, before the piece that is being made */
};

void json_out_init(struct json_out *o, struct piece_cache *pieces);
void json_out_deinit(struct json_out *o);

json_t *json_out_object(struct json_out *o);
json_t *json_out_array(struct json_out *o);

/* object[key] = value, in the order of the calls */
void json_out_put(struct json_out *o, json_t *object, const char *key, json_t *value);
void json_out_append(struct json_out *o, json_t *array, json_t *value);

/* A string of ours, which is valid UTF-8. NULL: null. */
json_t *json_out_own(struct json_out *o, const char *s);

/* Bytes from outside, shown and cut. The absent text: null. */
json_t *json_out_text(struct json_out *o, struct text t);

/* The same as a NUL-terminated string, lent until the next call; NULL: failed. */
const char *json_out_shown(struct json_out *o, struct text t, size_t max_chars);

json_t *json_out_bool(bool b);
json_t *json_out_integer(struct json_out *o, int64_t n);

/* Milliseconds, rounded to 0.1. Negative (not reached): null. */
json_t *json_out_ms(struct json_out *o, double ms);

/* RFC 3339 in UTC; null where the year does not have four digits. */
json_t *json_out_time(struct json_out *o, int64_t seconds);

/* null for family 0 */
json_t *json_out_ip(struct json_out *o, const struct ip *ip);

/* Lower-case hexadecimal, with the separator between the bytes (NUL: none); null for no bytes. At most 64
 * bytes. */
json_t *json_out_hex(struct json_out *o, const uint8_t *bytes, size_t len, char separator);

/* Adds to the text what an object or array has in it, without its brackets, and takes it over. */
void json_out_inside(struct json_out *o, json_t *value);

/* Adds the piece whose key was made in o->pieces; false: it is not known. Then it is built, without anything
 * from beyond the key, and given to json_out_inside_kept(). */
bool json_out_recall(struct json_out *o);
void json_out_inside_kept(struct json_out *o, json_t *value);

/* All of the text, malloc'd; NULL where anything has failed. */
char *json_out_take(struct json_out *o);

/* The text of a value, malloc'd; NULL: no memory. For json_dumps(), which while its buffer grows passes over
 * a failed allocation at the name of a member (Jansson 2.14) and gives a text without it. */
char *json_out_string(const json_t *value, size_t flags);

#endif

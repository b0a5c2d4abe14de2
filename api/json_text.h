/* json_text.h: a JSON text that is put together from pieces, so that one that has been written before need
 * not be written again. Each piece is a run of an object's members or an array's elements, written by
 * Jansson; only the brackets around them and the commas between them are set here. For the api room alone.
 */
#ifndef API_JSON_TEXT_H
#define API_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

struct json_text {
    char *s; /* not terminated */
    size_t len, room, first_room;
    bool failed; /* memory ran out: the text is not whole */
};

/* `room`: the bytes it is thought to need; it takes as many at first. */
void json_text_init(struct json_text *t, size_t room);
void json_text_deinit(struct json_text *t);

/* Begins an object or an array: a bracket, or a name with it, `"ports":[`. A comma comes first where one is
 * due, as before all that follows. */
void json_text_open(struct json_text *t, const char *opening);
void json_text_close(struct json_text *t, char bracket);

/* A piece that is text already; an empty one is nothing. */
void json_text_add(struct json_text *t, const char *piece, size_t len);

/* What the object or array has in it, without its own brackets. Returns where that begins in the text. */
size_t json_text_add_inside(struct json_text *t, const json_t *value, size_t flags);

/* A whole value. */
void json_text_add_value(struct json_text *t, const json_t *value, size_t flags);

/* The text with a NUL behind it, malloc'd, the caller's; NULL where memory ran out. */
char *json_text_take(struct json_text *t);

#endif

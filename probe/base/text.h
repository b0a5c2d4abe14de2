/* text.h: bytes from outside, and how they are made fit to be shown.
 *
 * A struct text has an explicit length and may hold anything, NUL and invalid UTF-8 included. It never owns
 * its bytes. Nothing from a server reaches a report's reader but through text_show(). */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct text {
    const char *data; /* NULL: there is nothing (as opposed to an empty string) */
    size_t len;
};

/* A struct text over a NUL-terminated string, which must outlive it. NULL gives the absent text. */
struct text text_of(const char *s);

/* Equal without regard to ASCII letter case. */
bool text_is(struct text a, const char *b);
bool text_equal_nocase(struct text a, struct text b);

/* The same for texts that are equal in this sense. Collisions can be made at will, so bound what they cost.
 */
uint32_t text_hash_nocase(struct text t);

/* Valid UTF-8 for people: bad bytes become U+FFFD, C0 controls and DEL `\xNN`, C1 controls, line and bidi
 * controls and U+FEFF `\u{NNNN}`. Of more than max_chars characters (an escape counts by its length) the
 * first max_chars - 1 and an ellipsis remain, and *cut (may be NULL) is set, never cleared. Returns an arena
 * string, an empty one for the absent text; NULL when memory has run out. O(max_chars). */
const char *text_show(struct arena *arena, struct text in, size_t max_chars, bool *cut);

/* The same into out[TEXT_SHOWN_SIZE(max_chars)], for those who must not want for memory. Returns its length.
 */
#define TEXT_SHOWN_SIZE(max_chars) ((size_t)(max_chars)*4u + 1u)
size_t text_show_in(char *out, struct text in, size_t max_chars);

#endif

/* keys.h: the API keys of --api-key-file: one a line, blank lines and lines that start with "#" aside. */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct keys;

/* NULL with a sentence in `why`, also where the file holds no key. */
struct keys *keys_load(const char *file, char *why, size_t why_size);
void keys_free(struct keys **keys);

/* Whether the value of an Authorization header is "Bearer KEY" (RFC 6750 section 2.1) with one of the keys.
 * The time taken tells nothing of the keys but their number and lengths. NULL is no match. */
bool keys_accept(const struct keys *keys, const char *authorization);

#endif

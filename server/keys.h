/* keys.h: the API keys of --api-key-file: one a line, blank lines and lines that start with "#" aside.
 *
 * Only hashes under a key drawn at random are kept; what was read of the file is wiped. No key is ever shown.
 */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keys;

/* NULL with a sentence in `why`: the file cannot be read, is too large, holds no key, or a line in it is
 * none. */
struct keys *keys_load(const char *file, char *why, size_t why_size);
void keys_free(struct keys **keys);

/* How many there are, those that stand twice counted twice. Any thread. */
size_t keys_count(const struct keys *keys);

/* Reads the same file anew. Where keys_load() would refuse it the keys stay as they were, and `why` tells.
 * Other threads may be in keys_accept(). */
bool keys_reload(struct keys *keys, char *why, size_t why_size);

/* Whether the value of an Authorization header is "Bearer KEY" (RFC 6750 section 2.1) with one of the keys: 0
 * for no, else what stands for this key as long as the process lives, over reloads too. The time taken tells
 * nothing of the keys but their number. NULL is no match. Any thread. */
uint64_t keys_accept(const struct keys *keys, const char *authorization);

#endif

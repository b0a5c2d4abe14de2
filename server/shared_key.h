/* shared_key.h: the names under which replicas keep things in a store that they share, and the keys with
 * which they are made: who has other options finds nothing of ours. With a key file who only sees the store
 * cannot tell a host or an address by its name; without one it can be guessed, as the options can. */
#ifndef SERVER_SHARED_KEY_H
#define SERVER_SHARED_KEY_H

#include "probe/base/text.h"
#include "probe/net/tls.h"
#include "server/config.h"

#define SHARED_KEY_SIZE 32

struct shared_keys {
    uint8_t options[SHARED_KEY_SIZE]; /* of what shapes a report, but for the roots */
    uint8_t limits[SHARED_KEY_SIZE];  /* of the target limit */
};

/* From the options, and from the key file where there is one. False with a sentence in `why`. */
bool shared_keys_init(struct shared_keys *keys, const struct config *config, char *why, size_t why_size);
void shared_keys_wipe(struct shared_keys *keys);

/* What names and seals results that were tested with these roots. */
void shared_keys_of_results(const struct shared_keys *keys, const struct tls_env *tls,
                            uint8_t key[SHARED_KEY_SIZE]);

/* imap-testd: and 32 hexadecimal digits. */
#define SHARED_NAME_LEN 43
#define SHARED_NAME_SIZE (SHARED_NAME_LEN + 1)
void shared_key_name(const uint8_t key[SHARED_KEY_SIZE], struct text of, char name[SHARED_NAME_SIZE]);

#endif

#include "server/shared_key.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "imap-testd:"
#define DIGEST_SIZE 16
#define LEAST_SECRET 16u
#define MOST_SECRET 4096u

_Static_assert(sizeof PREFIX - 1 + 2 * DIGEST_SIZE == SHARED_NAME_LEN, "a name has the length that is told");

/* Each with its length, so that no two lists of words are the same bytes. */
static void add_word(crypto_generichash_state *state, const char *word)
{
    size_t len = strlen(word);
    uint8_t size[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    crypto_generichash_update(state, size, sizeof size);
    crypto_generichash_update(state, (const uint8_t *)word, len);
}

static void add_number(crypto_generichash_state *state, unsigned number)
{
    char word[16];
    snprintf(word, sizeof word, "%u", number);
    add_word(state, word);
}

static void add_list(crypto_generichash_state *state, const struct config_list *list)
{
    add_number(state, (unsigned)list->count);
    for (size_t i = 0; i < list->count; i++) {
        add_word(state, list->items[i]);
    }
}

/* The file but for white space at its end. */
static bool read_secret(const char *path, uint8_t secret[SHARED_KEY_SIZE], char *why, size_t why_size)
{
    uint8_t bytes[MOST_SECRET + 1];
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    int err = errno;
    bool read = file && !ferror(file);

    if (file) {
        fclose(file);
    }
    size_t all = len;
    while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r' || bytes[len - 1] == ' ')) {
        len--;
    }
    if (!read) {
        snprintf(why, why_size, "--shared-cache-key: %s cannot be read: %s", path, strerror(err));
    } else if (len < LEAST_SECRET || all > MOST_SECRET) {
        snprintf(why, why_size,
                 "--shared-cache-key: %s: a key of %u to %u bytes is needed; try openssl rand -hex 32", path,
                 LEAST_SECRET, MOST_SECRET);
    } else {
        crypto_generichash(secret, SHARED_KEY_SIZE, bytes, len, NULL, 0);
    }
    sodium_memzero(bytes, sizeof bytes);
    return read && len >= LEAST_SECRET && all <= MOST_SECRET;
}

bool shared_keys_init(struct shared_keys *keys, const struct config *c, char *why, size_t why_size)
{
    uint8_t secret[SHARED_KEY_SIZE] = {0};
    crypto_generichash_state state;

    if (sodium_init() < 0) {
        snprintf(why, why_size, "libsodium cannot be set up");
        return false;
    }
    if (c->shared_cache_key && !read_secret(c->shared_cache_key, secret, why, why_size)) {
        return false;
    }
    crypto_generichash_init(&state, secret, sizeof secret, SHARED_KEY_SIZE);
    add_word(&state, "results");
    add_word(&state, IMAP_TESTD_VERSION);
    add_number(&state, c->imap_port);
    add_number(&state, c->imaps_port);
    add_number(&state, c->dns_timeout_ms);
    add_number(&state, c->connect_timeout_ms);
    add_number(&state, c->io_timeout_ms);
    add_list(&state, &c->allow_target);
    add_list(&state, &c->deny_target);
    add_list(&state, &c->nat64_prefix);
    crypto_generichash_final(&state, keys->options, SHARED_KEY_SIZE);

    crypto_generichash_init(&state, secret, sizeof secret, SHARED_KEY_SIZE);
    add_word(&state, "limits");
    add_number(&state, c->target_rate.count);
    add_number(&state, c->target_rate.seconds);
    crypto_generichash_final(&state, keys->limits, SHARED_KEY_SIZE);
    sodium_memzero(secret, sizeof secret);
    return true;
}

void shared_keys_wipe(struct shared_keys *keys)
{
    sodium_memzero(keys, sizeof *keys);
}

/* Roots that cannot be told apart from others share with nobody. */
void shared_keys_of_results(const struct shared_keys *keys, const struct tls_env *tls,
                            uint8_t key[SHARED_KEY_SIZE])
{
    uint8_t roots[TLS_ROOTS_DIGEST_SIZE];
    if (!tls_env_roots_digest(tls, roots)) {
        randombytes_buf(roots, sizeof roots);
    }
    crypto_generichash(key, SHARED_KEY_SIZE, roots, sizeof roots, keys->options, sizeof keys->options);
}

void shared_key_name(const uint8_t key[SHARED_KEY_SIZE], struct text of, char name[SHARED_NAME_SIZE])
{
    uint8_t digest[DIGEST_SIZE];
    crypto_generichash(digest, sizeof digest, (const uint8_t *)of.data, of.len, key, SHARED_KEY_SIZE);
    memcpy(name, PREFIX, sizeof PREFIX);
    sodium_bin2hex(name + sizeof PREFIX - 1, 2 * DIGEST_SIZE + 1, digest, sizeof digest);
}

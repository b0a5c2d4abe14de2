#include "server/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/base/limits.h"

struct hash {
    unsigned char bytes[crypto_verify_32_BYTES];
};

struct hashes {
    size_t count;
    struct hash items[LIMIT_API_KEYS];
};

struct keys {
    pthread_mutex_t lock; /* guards the hashes */
    struct hashes *hashes;
    char *path;
    unsigned char secret[crypto_generichash_KEYBYTES];
};

/* All of the file at once, into memory of our own: a stream would leave copies behind. */
struct text {
    char *bytes;
    size_t len;
};

static bool say_unreadable(const char *path, int code, char *why, size_t why_size)
{
    char words[128];
    snprintf(why, why_size, "%s cannot be read: %s", path, strerror_r(code, words, sizeof words));
    return false;
}

static bool read_all(int fd, struct text *text, const char *path, char *why, size_t why_size)
{
    struct stat st;
    ssize_t n = 1;
    if (fstat(fd, &st) != 0) {
        return say_unreadable(path, errno, why, why_size);
    }
    if (!S_ISREG(st.st_mode)) {
        snprintf(why, why_size, "%s is not a regular file: write the keys into one, one a line", path);
        return false;
    }
    text->bytes = malloc(LIMIT_API_KEY_FILE_BYTES + 1);
    if (!text->bytes) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    while (n > 0 && text->len <= LIMIT_API_KEY_FILE_BYTES) {
        n = read(fd, text->bytes + text->len, LIMIT_API_KEY_FILE_BYTES + 1 - text->len);
        text->len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        return say_unreadable(path, errno, why, why_size);
    }
    if (text->len > LIMIT_API_KEY_FILE_BYTES) {
        snprintf(why, why_size, "%s is larger than %u bytes: it should hold API keys only, one a line", path,
                 LIMIT_API_KEY_FILE_BYTES);
        return false;
    }
    return true;
}

/* Not blocking: a named pipe would wait for a writer. */
static bool read_file(struct text *text, const char *path, char *why, size_t why_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return say_unreadable(path, errno, why, why_size);
    }
    bool ok = read_all(fd, text, path, why, why_size);
    close(fd);
    return ok;
}

static void wipe(struct text *text)
{
    if (text->bytes) {
        sodium_memzero(text->bytes, text->len);
    }
    free(text->bytes);
}

/* b64token of RFC 6750 section 2.1; nothing else can come in the header. */
static bool is_token(const char *s, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    while (len > 0 && s[len - 1] == '=') {
        len--;
    }
    bool ok = len > 0;
    for (size_t i = 0; i < len; i++) {
        ok = ok && memchr(letters, s[i], sizeof letters - 1);
    }
    return ok;
}

static struct hash hash_key(const struct keys *keys, const char *key, size_t len)
{
    struct hash hash;
    crypto_generichash(hash.bytes, sizeof hash.bytes, (const unsigned char *)key, len, keys->secret,
                       sizeof keys->secret);
    return hash;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* NULL, or what is wrong with the line. */
static const char *add_line(const struct keys *keys, struct hashes *hashes, const char *line, size_t len)
{
    while (len > 0 && is_blank(line[len - 1])) {
        len--;
    }
    while (len > 0 && is_blank(line[0])) {
        line++;
        len--;
    }
    if (len == 0 || line[0] == '#') {
        return NULL;
    }
    if (len > LIMIT_API_KEY_BYTES) {
        return "a key has at most " LIMIT_AS_TEXT(LIMIT_API_KEY_BYTES) " characters";
    }
    if (!is_token(line, len)) {
        return "a key consists of letters, digits and -._~+/ with = only at its end";
    }
    if (hashes->count == LIMIT_API_KEYS) {
        return "there may be at most " LIMIT_AS_TEXT(LIMIT_API_KEYS) " keys";
    }
    hashes->items[hashes->count++] = hash_key(keys, line, len);
    return NULL;
}

static bool hash_lines(const struct keys *keys, struct hashes *hashes, const struct text *text, char *why,
                       size_t why_size)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin UTF-8 with it */
    const char *at = text->bytes, *end = at + text->len;
    if (text->len >= sizeof mark - 1 && memcmp(at, mark, sizeof mark - 1) == 0) {
        at += sizeof mark - 1;
    }
    for (size_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *wrong = add_line(keys, hashes, at, (size_t)(stop - at));
        if (wrong) {
            snprintf(why, why_size, "%s, line %zu: %s", keys->path, number, wrong);
            return false;
        }
        at = stop < end ? stop + 1 : end;
    }
    if (hashes->count == 0) {
        snprintf(why, why_size, "%s holds no key: write one a line", keys->path);
    }
    return hashes->count > 0;
}

bool keys_reload(struct keys *keys, char *why, size_t why_size)
{
    struct text text = {NULL, 0};
    struct hashes *hashes = calloc(1, sizeof *hashes);
    snprintf(why, why_size, "out of memory");
    bool ok = hashes && read_file(&text, keys->path, why, why_size) &&
              hash_lines(keys, hashes, &text, why, why_size);
    wipe(&text);
    if (ok) {
        pthread_mutex_lock(&keys->lock);
        struct hashes *old = keys->hashes;
        keys->hashes = hashes;
        pthread_mutex_unlock(&keys->lock);
        hashes = old;
    }
    free(hashes);
    return ok;
}

struct keys *keys_load(const char *file, char *why, size_t why_size)
{
    struct keys *keys = sodium_init() >= 0 ? calloc(1, sizeof *keys) : NULL;
    char *path = strdup(file);
    if (!keys || !path) {
        snprintf(why, why_size, "out of memory");
        free(path);
        free(keys);
        return NULL;
    }
    keys->path = path;
    pthread_mutex_init(&keys->lock, NULL);
    randombytes_buf(keys->secret, sizeof keys->secret);
    if (!keys_reload(keys, why, why_size)) {
        keys_free(&keys);
    }
    return keys;
}

void keys_free(struct keys **keys)
{
    struct keys *k = *keys;
    *keys = NULL;
    if (k) {
        pthread_mutex_destroy(&k->lock);
        free(k->hashes);
        free(k->path);
        sodium_memzero(k->secret, sizeof k->secret);
        free(k);
    }
}

uint64_t keys_accept(const struct keys *keys, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    unsigned found = 0;
    uint64_t identity;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) {
        return 0;
    }
    const char *key = authorization + sizeof scheme - 1;
    key += strspn(key, " ");
    size_t len = strlen(key);
    while (len > 0 && is_blank(key[len - 1])) { /* no part of the value (RFC 9110 section 5.5) */
        len--;
    }
    struct hash hash = hash_key(keys, key, len);
    /* The lock is no part of what the keys are. */
    pthread_mutex_t *lock = (pthread_mutex_t *)&keys->lock;
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < keys->hashes->count; i++) {
        found |= crypto_verify_32(hash.bytes, keys->hashes->items[i].bytes) == 0;
    }
    pthread_mutex_unlock(lock);
    memcpy(&identity, hash.bytes, sizeof identity);
    return found ? identity | (identity == 0) : 0;
}

size_t keys_count(const struct keys *keys)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&keys->lock;
    pthread_mutex_lock(lock);
    size_t count = keys->hashes->count;
    pthread_mutex_unlock(lock);
    return count;
}

/* What an operator may give as a store, and what a store may give as a result: first octet even, the rest is
 * a URL; odd, it is an entry, which is sealed so that all of it is looked at. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"
#include "server/cache_entry.h"
#include "server/redis_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_url(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), why[512] = "";
    struct redis_url url;
    assert(text);
    memcpy(text, data, size);
    text[size] = '\0';
    if (redis_url_parse(&url, text, why, sizeof why)) {
        assert((url.host[0] != '\0') != (url.path[0] != '\0'));
        assert(url.host[0] == '\0' || url.port > 0);
        assert(url.has_password || (!url.user[0] && !url.password[0]));
    } else {
        assert(why[0] != '\0');
    }
    redis_url_hide(text);
    free(text);
}

static void read_entry(const uint8_t *data, size_t size)
{
    static const uint8_t key[CACHE_ENTRY_KEY_SIZE];
    static const struct text name = {"imap-testd:0", 12};
    struct cache_entry entry;
    uint8_t *bytes = malloc(size + (size == 0));
    assert(bytes);
    memcpy(bytes, data, size);
    if (size >= CACHE_ENTRY_HEAD_SIZE) {
        cache_entry_seal(key, name, bytes, size);
    }
    if (cache_entry_decode(key, name, (struct text){(char *)bytes, size}, &entry)) {
        size_t len = 0;
        assert(entry.body.len >= 2 && entry.body.len <= LIMIT_SHARED_BODY_BYTES);
        assert(memchr(entry.body.data, '\0', entry.body.len) == NULL);
        entry.report.body = shared_create(entry.body.data, entry.body.len);
        assert(entry.report.body);
        char *again = cache_entry_encode(key, name, &entry.report, entry.lifetime_s, &len);
        struct cache_entry second;
        assert(again && len == size);
        assert(cache_entry_decode(key, name, (struct text){again, len}, &second));
        assert(second.report.verdict == entry.report.verdict);
        assert(memcmp(second.body.data, entry.body.data, entry.body.len) == 0);
        shared_release(entry.report.body);
        free(again);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        (data[0] % 2 == 0 ? read_url : read_entry)(data + 1, size - 1);
    }
    return 0;
}

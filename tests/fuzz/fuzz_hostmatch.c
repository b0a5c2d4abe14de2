/* fuzz_hostmatch.c: any presented name against any host, compared with a second matcher that is written
 * differently: label by label from the right (RFC 9525 section 6.3). Input: the host, a NUL, the presented
 * name. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "probe/net/hostmatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct labels {
    const char *at[256];
    size_t len[256], count;
};

static bool split(const char *s, size_t len, struct labels *out)
{
    out->count = 0;
    for (size_t from = 0, i = 0; i <= len; i++) {
        if (i == len || s[i] == '.') {
            if (i == from || out->count == 256) {
                return false;
            }
            out->at[out->count] = s + from;
            out->len[out->count++] = i - from;
            from = i + 1;
        }
    }
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same_label(const char *a, size_t a_len, const char *b, size_t b_len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    if (a_len != b_len) {
        return false;
    }
    for (size_t i = 0; i < a_len; i++) {
        if (lower(a[i]) != lower(b[i]) || !memchr(allowed, lower(a[i]), sizeof allowed - 1)) {
            return false;
        }
    }
    return true;
}

static bool second_opinion(const char *name, size_t len, const char *host)
{
    struct labels n, h;
    if (!split(name, len, &n) || !split(host, strlen(host), &h) || n.count != h.count) {
        return false;
    }
    for (size_t i = n.count; i-- > 0;) {
        bool star = i == 0 && n.count > 1 && n.len[0] == 1 && n.at[0][0] == '*';
        if (!star && !same_label(n.at[i], n.len[i], h.at[i], h.len[i])) {
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char host[256];
    const uint8_t *end = memchr(data, 0, size);
    size_t len = end ? (size_t)(end - data) : 0;
    struct labels labels;
    if (!end || len >= sizeof host) {
        return 0;
    }
    memcpy(host, data, len + 1);
    /* What host_parse() lets through: non-empty labels of lower-case host name bytes. */
    if (!split(host, len, &labels) || strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != len) {
        return 0;
    }
    const char *name = (const char *)end + 1;
    size_t name_len = size - len - 1;
    assert(hostmatch_dns((struct text){name, name_len}, host) == second_opinion(name, name_len, host));
    return 0;
}

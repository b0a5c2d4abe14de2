#include "probe/base/text.h"

#include <stdio.h>
#include <string.h>

#include "probe/base/arena.h"

#define REPLACEMENT 0xFFFDu
#define ELLIPSIS "\xE2\x80\xA6"

struct text text_of(const char *s)
{
    return (struct text){.data = s, .len = s != NULL ? strlen(s) : 0};
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool text_equal_nocase(struct text a, struct text b)
{
    if (a.data == NULL || b.data == NULL) {
        return a.data == b.data;
    }
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool text_is(struct text a, const char *b)
{
    return text_equal_nocase(a, text_of(b));
}

uint32_t text_hash_nocase(struct text t)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < t.len; i++) {
        hash = (hash ^ lower(t.data[i])) * 16777619u;
    }
    return hash;
}

/* How many bytes may follow this lead byte, and the range of the first of them (RFC 3629 section 4). */
static unsigned followers(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 1;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (lead == 0xE0) { /* below: overlong */
            *low = 0xA0;
        }
        if (lead == 0xED) { /* above: surrogates */
            *high = 0x9F;
        }
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (lead == 0xF0) {
            *low = 0x90;
        }
        if (lead == 0xF4) { /* above: beyond U+10FFFF */
            *high = 0x8F;
        }
        return 3;
    }
    return 0;
}

/* Takes one character off the front; returns the bytes it has. What is no character is REPLACEMENT and spans
 * the longest start of a well-formed one, at least a byte (The Unicode Standard section 3.9, "maximal
 * subparts"). */
static size_t decode(const unsigned char *s, size_t len, uint32_t *c)
{
    *c = s[0];
    if (s[0] < 0x80) {
        return 1;
    }
    unsigned char low, high;
    unsigned more = followers(s[0], &low, &high);
    uint32_t value = s[0] & (0x3Fu >> more);
    *c = REPLACEMENT;
    if (more == 0) {
        return 1;
    }
    for (size_t i = 1; i <= more; i++) {
        if (i == len || s[i] < low || s[i] > high) {
            return i;
        }
        value = value << 6 | (s[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *c = value;
    return more + 1;
}

/* Characters that would act on the reader's screen instead of standing on it: lines, directions, and the BOM.
 */
static bool acts(uint32_t c)
{
    return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

/* Longest form: \u{NNNN} and NUL. */
#define SHOWN_SIZE 9

/* How one character is shown, at s[0..bytes): its bytes and its characters. */
static size_t show(const unsigned char *s, size_t bytes, uint32_t c, char *out, size_t *chars)
{
    int len = 0;
    if (c < 0x20 || c == 0x7F) {
        len = snprintf(out, SHOWN_SIZE, "\\x%02x", (unsigned)c);
    } else if ((c >= 0x80 && c <= 0x9F) || acts(c)) {
        len = snprintf(out, SHOWN_SIZE, "\\u{%04x}", (unsigned)c);
    }
    if (len > 0) {
        *chars = (size_t)len;
        return (size_t)len;
    }
    *chars = 1;
    if (c == REPLACEMENT) {
        s = (const unsigned char *)"\xEF\xBF\xBD";
        bytes = 3;
    }
    memcpy(out, s, bytes);
    return bytes;
}

/* Writes at most `max` characters to out, or only counts where out is NULL. Returns their bytes; *whole tells
 * whether nothing was left over. Only escapes, which are ASCII, can be cut inside. */
static size_t show_up_to(struct text in, size_t max, char *out, bool *whole)
{
    const unsigned char *s = (const unsigned char *)in.data;
    size_t at = 0, total = 0, left = max;
    *whole = true;
    while (at < in.len) {
        uint32_t c;
        size_t bytes = decode(s + at, in.len - at, &c), chars;
        char shown[SHOWN_SIZE];
        size_t len = show(s + at, bytes, c, shown, &chars);
        if (chars > left) {
            *whole = false;
            len = left;
            chars = left;
        }
        if (out != NULL) {
            memcpy(out + total, shown, len);
        }
        total += len;
        left -= chars;
        at += bytes;
        if (!*whole) {
            break;
        }
    }
    return total;
}

/* Whether each byte is a character that is shown as it is. */
static bool is_plain(struct text in)
{
    for (size_t i = 0; i < in.len; i++) {
        if (in.data[i] < 0x20 || in.data[i] > 0x7E) {
            return false;
        }
    }
    return true;
}

const char *text_show(struct arena *arena, struct text in, size_t max_chars, bool *cut)
{
    if (in.data != NULL && in.len <= max_chars && is_plain(in)) { /* nearly all are */
        return arena_text(arena, in.data, in.len).data;
    }
    bool whole;
    size_t len = show_up_to(in, max_chars, NULL, &whole);
    size_t tail = 0;
    if (!whole) {
        if (cut != NULL) {
            *cut = true;
        }
        if (max_chars > 0) {
            max_chars--;
            tail = strlen(ELLIPSIS);
        }
        len = show_up_to(in, max_chars, NULL, &whole);
    }
    char *out = arena_alloc(arena, len + tail + 1);
    if (out == NULL) {
        return NULL;
    }
    show_up_to(in, max_chars, out, &whole);
    memcpy(out + len, ELLIPSIS, tail);
    return out;
}

size_t text_show_in(char *out, struct text in, size_t max_chars)
{
    bool whole = true;
    size_t len = in.len;
    if (in.data == NULL || (in.len <= max_chars && is_plain(in))) {
        memcpy(out, len > 0 ? in.data : "", len);
    } else {
        len = show_up_to(in, max_chars, out, &whole);
    }
    if (!whole && max_chars > 0) {
        len = show_up_to(in, max_chars - 1, out, &whole);
        memcpy(out + len, ELLIPSIS, strlen(ELLIPSIS));
        len += strlen(ELLIPSIS);
    }
    out[len] = '\0';
    return len;
}

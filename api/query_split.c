#include "api/query_split.h"

#include <stdio.h>
#include <string.h>

/* What is known, and where it goes. */
struct split {
    const char *const *names;
    size_t count;
    struct query_scratch *scratch;
    struct query_given *given;
    struct problem *problem;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* "+" is a space, "%" wants two hexadecimal digits. Takes as much scratch as the encoded bytes and a NUL;
 * false: a broken escape. */
static bool decode(struct query_scratch *scratch, const char *raw, size_t len, struct text *out)
{
    char *to = scratch->bytes + scratch->used;
    *out = (struct text){.data = to};
    scratch->used += len + 1;
    for (size_t i = 0; i < len; i++) {
        char c = raw[i] == '+' ? ' ' : raw[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(raw[i + 1]) : -1;
            int low = i + 2 < len ? hex_digit(raw[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        }
        to[out->len++] = c;
    }
    to[out->len] = '\0';
    return true;
}

static bool refuse_unknown(const struct split *s, struct text name)
{
    char known[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < s->count && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", s->names[i]);
    }
    char quote[PROBLEM_QUOTE_SIZE];
    problem_set(s->problem, PROBLEM_UNKNOWN_PARAMETER, "There is no parameter \"%s\". There are: %s.",
                problem_quote(quote, name.data, name.len), known);
    return false;
}

/* One part between "&", not empty. */
static bool take_item(const struct split *s, const char *item, size_t len)
{
    const char *equals = memchr(item, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - item) : len;
    struct text name;
    if (!decode(s->scratch, item, name_len, &name)) {
        problem_set(s->problem, PROBLEM_INVALID_PARAMETER,
                    "The name of a parameter holds a \"%%\" without two hexadecimal digits behind it.");
        return false;
    }
    size_t i = 0;
    while (i < s->count &&
           !(name.len == strlen(s->names[i]) && memcmp(name.data, s->names[i], name.len) == 0)) {
        i++;
    }
    if (i == s->count) {
        return refuse_unknown(s, name);
    }
    if (s->given[i].present) {
        problem_set(s->problem, PROBLEM_REPEATED_PARAMETER, "`%s` is given more than once; give it once.",
                    s->names[i]);
        return false;
    }
    s->given[i].present = true;
    if (equals != NULL) {
        s->given[i].broken_escape = !decode(s->scratch, equals + 1, len - name_len - 1, &s->given[i].value);
    }
    return true;
}

bool query_split(const char *raw, size_t len, const char *const names[], size_t count,
                 struct query_scratch *scratch, struct query_given given[], struct problem *problem)
{
    const struct split s = {names, count, scratch, given, problem};
    if (len > LIMIT_REQUEST_LINE_BYTES) {
        problem_set(problem, PROBLEM_URI_TOO_LONG, "The query is longer than %u bytes.",
                    LIMIT_REQUEST_LINE_BYTES);
        return false;
    }
    for (size_t at = 0; at < len;) {
        const char *end = memchr(raw + at, '&', len - at);
        size_t item_len = end != NULL ? (size_t)(end - raw) - at : len - at;
        if (item_len > 0 && !take_item(&s, raw + at, item_len)) {
            return false;
        }
        at += item_len + 1;
    }
    return true;
}

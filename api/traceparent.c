#include "api/traceparent.h"

#include <stddef.h>
#include <string.h>

/* version "-" trace-id "-" parent-id "-" trace-flags (section 3.2.2.1) */
#define VERSION_LEN 2u
#define TRACE_ID_AT 3u
#define PARENT_ID_AT 36u
#define FLAGS_AT 53u
#define WHOLE_LEN 55u

static bool is_hex(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

/* Hexadecimal and not all zero. */
static bool is_id(const char *s, size_t len)
{
    bool zero = true;
    for (size_t i = 0; i < len; i++) {
        zero = zero && s[i] == '0';
    }
    return !zero && is_hex(s, len);
}

/* Without the white space around it, which is not part of a value (RFC 9110 section 5.5). */
static struct text trimmed(struct text t)
{
    while (t.len > 0 && (t.data[0] == ' ' || t.data[0] == '\t')) {
        t = (struct text){t.data + 1, t.len - 1};
    }
    while (t.len > 0 && (t.data[t.len - 1] == ' ' || t.data[t.len - 1] == '\t')) {
        t.len--;
    }
    return t;
}

static bool is_valid(struct text t)
{
    const char *s = t.data;
    if (t.len < WHOLE_LEN || !is_hex(s, VERSION_LEN) || memcmp(s, "ff", VERSION_LEN) == 0) {
        return false;
    }
    bool first_version = memcmp(s, "00", VERSION_LEN) == 0;
    if (t.len > WHOLE_LEN && (first_version || s[WHOLE_LEN] != '-')) {
        return false;
    }
    return s[TRACE_ID_AT - 1] == '-' && is_id(s + TRACE_ID_AT, TRACE_ID_SIZE - 1) &&
           s[PARENT_ID_AT - 1] == '-' && is_id(s + PARENT_ID_AT, PARENT_ID_SIZE - 1) &&
           s[FLAGS_AT - 1] == '-' && is_hex(s + FLAGS_AT, WHOLE_LEN - FLAGS_AT);
}

void traceparent_take(struct traceparent *trace, struct text value)
{
    bool first = !trace->seen;
    value = trimmed(value);
    *trace = (struct traceparent){.seen = true};
    if (first && is_valid(value)) {
        memcpy(trace->trace_id, value.data + TRACE_ID_AT, TRACE_ID_SIZE - 1);
        memcpy(trace->parent_id, value.data + PARENT_ID_AT, PARENT_ID_SIZE - 1);
    }
}

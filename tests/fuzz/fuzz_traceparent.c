/* Any bytes as the values of traceparent, one a line: what is taken is fit to stand in a log as it is, is one
 * of the first value's four fields, and there is none where there are two values. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "api/traceparent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_id(const char *id, size_t size, struct text value)
{
    assert(strlen(id) == size - 1);
    assert(strspn(id, "0123456789abcdef") == size - 1 && strspn(id, "0") < size - 1);
    assert(memmem(value.data, value.len, id, size - 1) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct traceparent trace = {.seen = false};
    const char *rest = (const char *)data;
    size_t values = 0;
    struct text first = {NULL, 0};
    for (;;) {
        const char *end = size > 0 ? memchr(rest, '\n', size) : NULL;
        struct text value = {rest, end ? (size_t)(end - rest) : size};
        traceparent_take(&trace, value);
        assert(trace.seen);
        first = values++ == 0 ? value : first;
        if (!end) {
            break;
        }
        size -= value.len + 1;
        rest = end + 1;
    }
    if (trace.trace_id[0] == '\0') {
        assert(trace.parent_id[0] == '\0');
        return 0;
    }
    assert(values == 1 && first.len >= 55 && strncmp(first.data, "ff", 2) != 0);
    check_id(trace.trace_id, sizeof trace.trace_id, first);
    check_id(trace.parent_id, sizeof trace.parent_id, first);
    return 0;
}

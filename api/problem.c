#include "api/problem.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/json_out.h"
#include "probe/base/arena.h"
#include "probe/base/text.h"

#define ELLIPSIS "\xE2\x80\xA6"
#define QUOTED_CHARS 60u /* at most 4 bytes each, so that a quotation always fits its buffer */
#define UTF8_BYTES 4u

_Static_assert(QUOTED_CHARS *UTF8_BYTES < PROBLEM_QUOTE_SIZE, "a quotation fits its buffer");

static const struct row {
    const char *code;
    const char *title;
    unsigned status;
} rows[PROBLEM_COUNT] = {
#define X(name, code_, status_, title_)                                                                      \
    [PROBLEM_##name] = {.code = (code_), .title = (title_), .status = (status_)},
#include "api/problem.def"
#undef X
};

static const struct row *row_of(enum problem_code code)
{
    return &rows[(unsigned)code < PROBLEM_COUNT ? code : PROBLEM_INTERNAL_ERROR];
}

/* Puts an ellipsis at the end of a full buffer, never inside a character. */
static void mark_cut(char *s, size_t size)
{
    size_t end = size - sizeof ELLIPSIS;
    while (end > 0 && ((unsigned char)s[end] & 0xC0u) == 0x80u) {
        end--;
    }
    memcpy(s + end, ELLIPSIS, sizeof ELLIPSIS);
}

void problem_set(struct problem *problem, enum problem_code code, const char *format, ...)
{
    *problem = (struct problem){.code = code};
    va_list args;
    va_start(args, format);
    int len = vsnprintf(problem->detail, sizeof problem->detail, format, args);
    va_end(args);
    if (len >= (int)sizeof problem->detail) {
        mark_cut(problem->detail, sizeof problem->detail);
    }
}

const char *problem_quote(char *buf, const char *bytes, size_t len)
{
    /* One character more than is shown suffices to tell that something was cut. */
    const size_t enough = (QUOTED_CHARS + 1) * UTF8_BYTES;
    struct text in = {.data = bytes, .len = len < enough ? len : enough};
    struct arena arena;
    arena_init(&arena, (size_t)16 * 1024);
    const char *shown = text_show(&arena, in, QUOTED_CHARS, NULL);
    snprintf(buf, PROBLEM_QUOTE_SIZE, "%s", shown != NULL ? shown : ELLIPSIS);
    arena_deinit(&arena);
    return buf;
}

unsigned problem_status(enum problem_code code)
{
    return row_of(code)->status;
}

const char *problem_name(enum problem_code code)
{
    return row_of(code)->code;
}

char *problem_json(const struct problem *problem, const char *request_id)
{
    const struct row *row = row_of(problem->code);
    char type[96];
    snprintf(type, sizeof type, "urn:imap-test:problem:%s", row->code);
    json_t *body =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s?}", "type", type, "title", row->title, "status",
                  (int)row->status, "detail", problem->detail, "code", row->code, "request_id", request_id);
    char *text = NULL;
    if (body == NULL) {
        return NULL;
    }
    if (problem->scope == NULL || json_object_set_new(body, "scope", json_string(problem->scope)) == 0) {
        text = json_out_string(body, JSON_COMPACT);
    }
    json_decref(body);
    return text;
}

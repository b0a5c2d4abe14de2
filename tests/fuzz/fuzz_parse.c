/* Framing and parsing of anything: the same responses come out however the bytes come in, every text lies
 * inside the response, and an ID stays inside its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "probe/base/limits.h"
#include "probe/imap/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void inside(struct text text, const struct imap_response *response)
{
    if (!text.data) {
        return;
    }
    const char *start = response->line.data;
    require(text.data >= start && text.data + text.len <= start + response->line.len);
}

static void take_words(struct text list)
{
    size_t left = list.len + 1, words = 0;
    bool odd = false;
    struct text word;
    while (imap_next_word(&list, &word, &odd)) {
        require(word.len > 0 && list.len < left);
        left = list.len;
        for (size_t i = 0; i < word.len; i++) {
            require(word.data[i] > ' ' && word.data[i] < 0x7f);
        }
        words++;
    }
    require(list.len == 0 && (words > 0 || odd || left > 0));
}

static void take_id(struct text parameters)
{
    struct arena arena;
    arena_init(&arena, parameters.len % 2 ? LIMIT_REPORT_BYTES : 1024);
    struct server_id id = {0};
    bool cut = false;
    enum imap_id result = imap_parse_id(parameters, &arena, &id, &cut);
    require((result == ID_NO_MEMORY) == arena.failed);
    require(id.count <= LIMIT_ID_FIELDS && (id.count == 0 || id.answered));
    size_t total = 0;
    for (size_t i = 0; i < id.count; i++) {
        require(id.fields[i].name.data != NULL);
        total += id.fields[i].name.len + id.fields[i].value.len;
    }
    require(total <= parameters.len);
    arena_deinit(&arena);
}

static void take(const unsigned char *data, size_t len)
{
    struct imap_response r;
    imap_parse(&r, data, len);
    const struct text texts[] = {r.line, r.tag, r.word, r.rest, r.text.code, r.text.argument, r.text.text};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        inside(texts[i], &r);
    }
    require((r.tag.len > 0) == (r.kind == RESPONSE_TAGGED));
    require((r.text.text.data != NULL) == (r.status != STATUS_NONE));
    require(r.kind != RESPONSE_STATUS || r.status != STATUS_NONE);
    take_words(r.rest);
    if (r.text.argument.data) {
        take_words(r.text.argument);
    }
    take_id(r.rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct imap_framer whole, single;
    imap_framer_init(&whole);
    size_t start = 0;
    for (;;) {
        size_t len = 0, same = 0;
        enum proto_frame frame = imap_frame(&whole, data + start, size - start, &len), again = FRAME_PARTIAL;
        imap_framer_init(&single);
        size_t known = 0;
        while (again == FRAME_PARTIAL && known < size - start) {
            again = imap_frame(&single, data + start, ++known, &same);
        }
        require(frame == again);
        if (frame != FRAME_COMPLETE) {
            return 0;
        }
        require(len == same && len == known && len <= LIMIT_LINE_BYTES && data[start + len - 1] == '\n');
        /* A copy of exactly this size, so that reading past its end is seen. */
        unsigned char *copy = malloc(len);
        require(copy != NULL);
        memcpy(copy, data + start, len);
        take(copy, len);
        free(copy);
        start += len;
    }
}

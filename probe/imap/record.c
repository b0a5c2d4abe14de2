#include "probe/imap/record.h"

#include "probe/base/limits.h"

/* As much of a server's words as a report can ever show: LIMIT_TEXT_CHARS of four octets. */
#define TEXT_BYTES (LIMIT_TEXT_CHARS * 4)
#define EXAMPLE_BYTES 200u

static void cut(struct imap *imap, enum cut what)
{
    imap->port->truncated |= 1u << what;
}

/* A failed copy shows in arena.failed, which on_reply() looks at. */
struct text imap_keep(struct imap *imap, struct text text, enum cut what)
{
    if (text.len > TEXT_BYTES) {
        text.len = TEXT_BYTES;
        cut(imap, what);
    }
    return arena_text(imap->arena, text.data, text.len);
}

struct resp_text imap_keep_resp_text(struct imap *imap, const struct resp_text *from, enum cut what)
{
    /* A capability list is kept word by word instead. */
    bool list = text_is(from->code, "CAPABILITY");
    return (struct resp_text){
        .code = imap_keep(imap, from->code, what),
        .argument = list ? (struct text){0} : imap_keep(imap, from->argument, what),
        .text = imap_keep(imap, from->text, what),
    };
}

void imap_note(struct imap *imap, enum deviation deviation, struct text line)
{
    struct dialogue *dialogue = &imap->port->dialogue;
    if (dialogue->deviations & 1u << deviation) {
        return;
    }
    dialogue->deviations |= 1u << deviation;
    size_t len = line.len < EXAMPLE_BYTES ? line.len : EXAMPLE_BYTES;
    dialogue->deviation_example[deviation] = arena_text(imap->arena, line.data, len);
}

static void take_list(struct imap *imap, enum caps_phase phase, struct text list, struct text line)
{
    struct caps *caps = &imap->port->caps;
    const struct caps_list *known = &caps->phase[phase];
    /* In a later list of the same answer a word known already need not be one that stands there twice. */
    bool first_list = known->count == 0;
    bool odd = false, empty = true;
    struct text word, twice = {0};
    while (imap_next_word(&list, &word, &odd)) {
        size_t before = known->count;
        if (!caps_add(caps, imap->arena, phase, word)) {
            return;
        }
        if (first_list && known->count == before && !caps->truncated && twice.len == 0) {
            twice = word;
        }
        empty = false;
    }
    if (odd || empty) {
        imap_note(imap, DEVIATION_CAPS_SYNTAX, line);
    }
    if (twice.len > 0) {
        imap_note(imap, DEVIATION_CAPS_DUPLICATE, twice);
    }
    if (caps->truncated) {
        cut(imap, CUT_CAPABILITIES);
    }
}

void imap_take_code(struct imap *imap, enum caps_phase phase, const struct imap_response *response)
{
    if (text_is(response->text.code, "CAPABILITY")) {
        take_list(imap, phase, response->text.argument, response->line);
    }
}

/* Untagged lists count where a CAPABILITY command awaits its answer; elsewhere nobody asked, and before the
 * handshake nobody may be believed (RFC 9051 section 6.2.1). */
void imap_take_list(struct imap *imap, const struct imap_response *response)
{
    if (imap->state != IMAP_CAPABILITY && imap->state != IMAP_CAPABILITY_TLS) {
        return;
    }
    if (++imap->lists > 1) {
        imap_note(imap, DEVIATION_CAPS_LISTS, response->line);
    }
    take_list(imap, imap->state == IMAP_CAPABILITY ? CAPS_COMMAND : CAPS_STARTTLS, response->rest,
              response->line);
}

void imap_take_id(struct imap *imap, const struct imap_response *response)
{
    struct server_id *id = &imap->port->dialogue.server_id;
    if (imap->state != IMAP_ID || id->answered) {
        return;
    }
    bool bounded = false;
    if (imap_parse_id(response->rest, imap->arena, id, &bounded) == ID_MALFORMED) {
        imap_note(imap, DEVIATION_UNPARSED_LINE, response->line);
    }
    if (bounded) {
        cut(imap, CUT_SERVER_ID);
    }
}

/* What has no place before authentication (RFC 9051 section 11.3); other untagged data is passed over. */
void imap_take_other(struct imap *imap, const struct imap_response *response)
{
    static const char *const mailbox_data[] = {
        "FETCH", "LIST", "EXISTS", "FLAGS",  "RECENT",  "EXPUNGE",
        "LSUB",  "SORT", "SEARCH", "STATUS", "ESEARCH", "VANISHED",
    };
    for (size_t i = 0; i < sizeof mailbox_data / sizeof *mailbox_data; i++) {
        if (text_is(response->word, mailbox_data[i])) {
            imap_note(imap, DEVIATION_UNEXPECTED_DATA, response->line);
        }
    }
}

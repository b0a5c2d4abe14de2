#include "probe/imap/answer.h"

#include <stdio.h>
#include <string.h>

static bool has_tag(const struct imap_response *response, const char *tag)
{
    struct text own = text_of(tag);
    return response->tag.len == own.len && memcmp(response->tag.data, own.data, own.len) == 0;
}

bool imap_answers_awaited(const struct imap *imap, const struct imap_response *response)
{
    return has_tag(response, imap->tag);
}

bool imap_answers_last(const struct imap *imap, const struct imap_response *response)
{
    char tag[sizeof imap->tag];
    snprintf(tag, sizeof tag, "%s%u", imap->prefix, imap->command);
    return has_tag(response, tag);
}

/* Returns how long that line is. */
static size_t parse_first_line(struct imap_response *response, const unsigned char *data, size_t len)
{
    const unsigned char *end = memchr(data, '\n', len);
    size_t first = end ? (size_t)(end - data) + 1 : len;
    imap_parse(response, data, first);
    return first;
}

/* A server that takes our hello for a command answers BAD or BYE, or not in IMAP at all; anything else was
 * there already, whatever segment it came in (RFC 9051 section 6.2.1). */
bool imap_injected(const void *self, const unsigned char *data, size_t len)
{
    struct imap_response response;
    (void)self;
    parse_first_line(&response, data, len);
    switch (response.kind) {
    case RESPONSE_STATUS:
    case RESPONSE_TAGGED:
        return response.status == STATUS_OK || response.status == STATUS_NO ||
               response.status == STATUS_PREAUTH;
    case RESPONSE_CAPABILITY:
    case RESPONSE_ID:
    case RESPONSE_OTHER:
        return true;
    case RESPONSE_UNPARSABLE:
    case RESPONSE_CONTINUATION:
        break;
    }
    return false;
}

/* Courier says OK first and NO, under the same tag, when its TLS program does not start; Dovecot says BYE and
 * closes. Nobody who cannot see the command knows the tag; a BYE that the server does not act upon is none of
 * its own. */
bool imap_withdrawn(const void *self, bool closed, const unsigned char *data, size_t len)
{
    struct imap_response response;
    size_t first = parse_first_line(&response, data, len);
    if (response.kind == RESPONSE_STATUS && response.status == STATUS_BYE) {
        return closed && first == len;
    }
    /* Nobody awaits an answer to STARTTLS any more, but it was the last command. */
    return response.kind == RESPONSE_TAGGED && imap_answers_last(self, &response) &&
           (response.status == STATUS_NO || response.status == STATUS_BAD);
}

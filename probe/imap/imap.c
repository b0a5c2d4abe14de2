#include "probe/imap/answer.h"
#include "probe/imap/record.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "probe/base/limits.h"
#include "probe/report/banner.h"

/* All that this program ever says. Bytes matter: one space, none at the end (RFC 9051 section 2.2.1). */
static const char *const commands[] = {
    [IMAP_CAPABILITY] = "CAPABILITY",
    [IMAP_STARTTLS] = "STARTTLS",
    [IMAP_CAPABILITY_TLS] = "CAPABILITY",
    [IMAP_ID] = "ID (\"name\" \"imap-testd\")",
    [IMAP_LOGOUT] = "LOGOUT",
};

/* In which phase of the report an error falls; inside TLS all talk counts as that about capabilities. */
static const enum phase phases[] = {
    [IMAP_GREETING] = PHASE_GREETING,         [IMAP_CAPABILITY] = PHASE_CAPABILITY,
    [IMAP_STARTTLS] = PHASE_STARTTLS,         [IMAP_HANDSHAKE] = PHASE_TLS,
    [IMAP_CAPABILITY_TLS] = PHASE_CAPABILITY, [IMAP_ID] = PHASE_CAPABILITY,
    [IMAP_LOGOUT] = PHASE_CAPABILITY,         [IMAP_FINISHED] = PHASE_CAPABILITY,
};

const char *imap_state_name(enum imap_state state)
{
    static const char *const names[] = {
#define X(name) [IMAP_##name] = #name,
        IMAP_STATES(X)
#undef X
    };
    return names[state];
}

void imap_init(struct imap *imap, struct port_report *port, struct arena *arena, uint32_t seed)
{
    *imap = (struct imap){.state = IMAP_GREETING, .port = port, .arena = arena};
    /* Seven letters hold 32 bits. */
    for (size_t i = 0; i < 7; i++, seed /= 26) {
        imap->prefix[i] = (char)('a' + seed % 26);
    }
}

static void set_state(struct imap *imap, enum imap_state state)
{
    imap->state = state;
    imap->phase_bytes = imap->phase_lines = 0;
    imap->lists = 0;
    imap->tag[0] = '\0';
}

static void record_error(struct imap *imap, enum error_code code, struct text said)
{
    struct text words = said.len > 0 ? imap_keep(imap, said, CUT_TEXT) : (struct text){0};
    port_fail(imap->port, (struct failure){.code = code, .phase = phases[imap->state], .said = words});
}

static enum proto_verdict fail(struct imap *imap, enum error_code code, struct text said)
{
    record_error(imap, code, said);
    set_state(imap, IMAP_FINISHED);
    return PROTO_FAIL;
}

/* Where the answer to a state's command goes; NULL: it has none. */
static struct reply *reply_in(struct imap *imap, enum imap_state state)
{
    struct dialogue *dialogue = &imap->port->dialogue;
    switch (state) {
    case IMAP_CAPABILITY:
        return imap->tls ? &dialogue->capability_tls : &dialogue->capability_plain;
    case IMAP_STARTTLS:
        return &dialogue->starttls;
    case IMAP_CAPABILITY_TLS:
        return &dialogue->capability_tls;
    case IMAP_ID:
        return &dialogue->id;
    case IMAP_LOGOUT:
        return &dialogue->logout;
    case IMAP_GREETING:
    case IMAP_HANDSHAKE:
    case IMAP_FINISHED:
        break;
    }
    return NULL;
}

/* The answer to the last command sent is awaited now. */
static void await_last(struct imap *imap, enum imap_state state)
{
    set_state(imap, state);
    snprintf(imap->tag, sizeof imap->tag, "%s%u", imap->prefix, imap->command);
}

/* Under a tag not used before (RFC 9051 section 2.2.1). */
static enum proto_verdict say(struct imap *imap, enum imap_state state, struct buf *out)
{
    struct reply *reply = reply_in(imap, state);
    assert(reply && commands[state]);
    reply->status = REPLY_AWAITED;
    enum buf_result result = buf_printf(out, "%s%u %s\r\n", imap->prefix, ++imap->command, commands[state]);
    return result == BUF_OK ? PROTO_MORE : PROTO_NO_MEMORY;
}

/* Enters a state that starts with a command. */
static enum proto_verdict command(struct imap *imap, enum imap_state state, struct buf *out)
{
    enum proto_verdict verdict = say(imap, state, out);
    await_last(imap, state);
    return verdict;
}

/* ID names the tester to its fellow; plain text is no place for that. LOGOUT goes out with it, as neither
 * answer depends on the other command (RFC 9051 section 5.5). */
static enum proto_verdict identify_or_leave(struct imap *imap, unsigned tls_phases, struct buf *out)
{
    if (!caps_has(&imap->port->caps, tls_phases, "ID")) {
        return command(imap, IMAP_LOGOUT, out);
    }
    enum proto_verdict verdict = command(imap, IMAP_ID, out);
    return verdict == PROTO_MORE ? say(imap, IMAP_LOGOUT, out) : verdict;
}

/* greeting = "*" SP (resp-cond-auth / resp-cond-bye) CRLF (RFC 9051 section 9) */
static enum greeting_status greeting_of(const struct imap_response *response)
{
    if (response->kind != RESPONSE_STATUS) {
        return GREETING_NONE;
    }
    switch (response->status) {
    case STATUS_OK:
        return GREETING_OK;
    case STATUS_PREAUTH:
        return GREETING_PREAUTH;
    case STATUS_BYE:
        return GREETING_BYE;
    default:
        return GREETING_NONE;
    }
}

static enum proto_verdict take_greeting(struct imap *imap, const struct imap_response *response,
                                        struct buf *out)
{
    struct dialogue *dialogue = &imap->port->dialogue;
    dialogue->greeting = greeting_of(response);
    dialogue->greeting_text = imap_keep_resp_text(imap, &response->text, CUT_GREETING);
    if (dialogue->greeting == GREETING_BYE) {
        return fail(imap, ERROR_SERVER_BYE, response->text.text);
    }
    imap_take_code(imap, CAPS_GREETING, response);
    return command(imap, IMAP_CAPABILITY, out);
}

static enum proto_verdict fail_by_bye(struct imap *imap, struct resp_text words)
{
    imap->port->dialogue.bye = true;
    imap->port->dialogue.bye_text = words;
    return fail(imap, ERROR_SERVER_BYE, words.text);
}

static enum proto_verdict take_bye(struct imap *imap, const struct imap_response *response)
{
    /* The answer to LOGOUT; the tagged line still follows (RFC 9051 section 6.1.3). */
    if (imap->state == IMAP_LOGOUT) {
        return PROTO_MORE;
    }
    struct resp_text words = imap_keep_resp_text(imap, &response->text, CUT_TEXT);
    /* To ID, or to the LOGOUT behind it: the tagged line of that will tell. */
    if (imap->state == IMAP_ID) {
        enum proto_verdict verdict = imap->said_bye ? PROTO_MORE : PROTO_NEXT;
        imap->farewell = imap->said_bye ? imap->farewell : words;
        imap->said_bye = true;
        return verdict;
    }
    return fail_by_bye(imap, words);
}

static enum proto_verdict after_starttls(struct imap *imap, const struct imap_response *response,
                                         struct buf *out)
{
    if (response->status == STATUS_OK) {
        set_state(imap, IMAP_HANDSHAKE);
        return PROTO_STARTTLS;
    }
    bool offered = caps_has(&imap->port->caps, CAPS_IN(CAPS_GREETING) | CAPS_IN(CAPS_COMMAND), "STARTTLS");
    record_error(imap, offered ? ERROR_STARTTLS_REFUSED : ERROR_STARTTLS_NOT_OFFERED, response->text.text);
    return command(imap, IMAP_LOGOUT, out);
}

static enum proto_verdict after_capability(struct imap *imap, const struct imap_response *response,
                                           struct buf *out)
{
    bool first = imap->state == IMAP_CAPABILITY;
    if (response->status == STATUS_OK) {
        imap_take_code(imap, first ? CAPS_COMMAND : CAPS_STARTTLS, response);
        if (imap->lists == 0) {
            imap_note(imap, DEVIATION_NO_UNTAGGED_CAPS, response->line);
        }
    }
    if (!first) {
        return identify_or_leave(imap, CAPS_IN(CAPS_STARTTLS), out);
    }
    if (imap->tls) {
        return identify_or_leave(imap, CAPS_IN(CAPS_GREETING) | CAPS_IN(CAPS_COMMAND), out);
    }
    /* Once authenticated there is no STARTTLS any more (RFC 9051 section 6.2.1). */
    bool authenticated = imap->port->dialogue.greeting == GREETING_PREAUTH;
    return command(imap, authenticated ? IMAP_LOGOUT : IMAP_STARTTLS, out);
}

static enum proto_verdict take_tagged(struct imap *imap, const struct imap_response *response,
                                      struct buf *out)
{
    if (imap->state == IMAP_ID && imap_answers_last(imap, response)) {
        await_last(imap, IMAP_LOGOUT); /* and ID remains unanswered */
    }
    if (!imap_answers_awaited(imap, response)) {
        bool answer = response->status != STATUS_NONE;
        imap_note(imap, answer ? DEVIATION_FOREIGN_TAG : DEVIATION_UNPARSED_LINE, response->line);
        return PROTO_MORE;
    }
    if (response->status == STATUS_NONE && imap->state != IMAP_LOGOUT) {
        return fail(imap, ERROR_MALFORMED_RESPONSE, response->line);
    }
    static const enum reply_status replies[] = {
        [STATUS_NONE] = REPLY_AWAITED,
        [STATUS_OK] = REPLY_OK,
        [STATUS_NO] = REPLY_NO,
        [STATUS_BAD] = REPLY_BAD,
    };
    struct reply *reply = reply_in(imap, imap->state);
    assert(reply);
    *reply = (struct reply){replies[response->status], imap_keep_resp_text(imap, &response->text, CUT_TEXT)};
    switch (imap->state) {
    case IMAP_CAPABILITY:
    case IMAP_CAPABILITY_TLS:
        return after_capability(imap, response, out);
    case IMAP_STARTTLS:
        return after_starttls(imap, response, out);
    case IMAP_ID:
        await_last(imap, IMAP_LOGOUT);
        return PROTO_NEXT;
    default:
        set_state(imap, IMAP_FINISHED);
        return PROTO_DONE;
    }
}

static enum proto_verdict take(struct imap *imap, const struct imap_response *response, struct buf *out)
{
    /* What is no IMAP at all does not depart from it either. */
    if (imap->state == IMAP_GREETING && greeting_of(response) == GREETING_NONE) {
        return fail(imap, ERROR_NOT_IMAP, response->line);
    }
    if (response->bare_lf) {
        imap_note(imap, DEVIATION_BARE_LF, response->line);
    }
    if (response->nul) {
        imap_note(imap, DEVIATION_NUL, response->line);
    }
    if (response->open_code) {
        imap_note(imap, DEVIATION_UNPARSED_LINE, response->line);
    }
    if (imap->state == IMAP_GREETING) {
        return take_greeting(imap, response, out);
    }
    switch (response->kind) {
    case RESPONSE_UNPARSABLE:
        imap_note(imap, DEVIATION_UNPARSED_LINE, response->line);
        break;
    case RESPONSE_STATUS:
        if (response->status == STATUS_BYE) {
            return take_bye(imap, response);
        }
        /* Only the greeting may say PREAUTH (RFC 9051 section 9: response-data has resp-cond-state alone);
         * the others are but information (section 7.1). */
        if (response->status == STATUS_PREAUTH) {
            imap_note(imap, DEVIATION_UNPARSED_LINE, response->line);
        }
        break;
    case RESPONSE_CAPABILITY:
        imap_take_list(imap, response);
        break;
    case RESPONSE_ID:
        imap_take_id(imap, response);
        break;
    case RESPONSE_OTHER:
        imap_take_other(imap, response);
        break;
    case RESPONSE_CONTINUATION:
        imap_note(imap, DEVIATION_CONTINUATION, response->line);
        break;
    case RESPONSE_TAGGED:
        return take_tagged(imap, response, out);
    }
    return PROTO_MORE;
}

static enum proto_verdict on_begin(void *self, bool tls, struct buf *out)
{
    struct imap *imap = self;
    (void)out; /* the server speaks first (RFC 9051 section 3) */
    imap->tls = tls;
    imap_framer_init(&imap->framer);
    set_state(imap, IMAP_GREETING);
    return PROTO_MORE;
}

static enum proto_frame on_frame(void *self, const unsigned char *data, size_t unread, size_t *len)
{
    struct imap *imap = self;
    return imap_frame(&imap->framer, data, unread, len);
}

static enum proto_verdict on_reply(void *self, const unsigned char *data, size_t len, struct buf *out)
{
    struct imap *imap = self;
    assert(imap->state != IMAP_HANDSHAKE && imap->state != IMAP_FINISHED);
    imap->phase_bytes += len;
    imap->phase_lines++;
    bool too_much = imap->phase_bytes > LIMIT_PHASE_BYTES || imap->phase_lines > LIMIT_PHASE_LINES;
    enum proto_verdict verdict;
    if (too_much && imap->state == IMAP_LOGOUT) {
        set_state(imap, IMAP_FINISHED);
        verdict = PROTO_DONE;
    } else if (too_much) {
        verdict = fail(imap, ERROR_RESPONSE_TOO_LONG, (struct text){0});
    } else {
        struct imap_response response;
        imap_parse(&response, data, len);
        verdict = take(imap, &response, out);
    }
    return imap->arena->failed ? PROTO_NO_MEMORY : verdict;
}

static enum proto_verdict on_secured(void *self, struct buf *out)
{
    struct imap *imap = self;
    assert(imap->state == IMAP_HANDSHAKE);
    imap->tls = true;
    imap_framer_init(&imap->framer);
    return command(imap, IMAP_CAPABILITY_TLS, out);
}

/* Whether these bytes could still have become a greeting (RFC 9051 section 9). */
static bool starts_greeting(struct text bytes)
{
    static const char *const greetings[] = {"* OK", "* PREAUTH", "* BYE"};
    for (size_t i = 0; i < sizeof greetings / sizeof *greetings; i++) {
        struct text whole = text_of(greetings[i]), part = bytes;
        part.len = part.len < whole.len ? part.len : whole.len;
        whole.len = part.len;
        if (text_equal_nocase(part, whole)) {
            return true;
        }
    }
    return false;
}

/* Protocols without lines never end one; what else has no line end may get it as long as the connection is
 * open. */
static bool is_foreign(struct text bytes, bool closed)
{
    return bytes.len > 0 && !starts_greeting(bytes) && (closed || banner_protocol(bytes) != NULL);
}

static enum proto_verdict on_ended(void *self, bool closed, const unsigned char *unread, size_t len)
{
    struct imap *imap = self;
    if (imap->state == IMAP_LOGOUT || imap->state == IMAP_FINISHED) {
        set_state(imap, IMAP_FINISHED);
        return PROTO_DONE;
    }
    if (imap->state == IMAP_ID && imap->said_bye) {
        return fail_by_bye(imap, imap->farewell);
    }
    struct text rest = {(const char *)unread, len};
    if (imap->state == IMAP_GREETING && is_foreign(rest, closed)) {
        enum proto_verdict verdict = fail(imap, ERROR_NOT_IMAP, rest);
        return imap->arena->failed ? PROTO_NO_MEMORY : verdict;
    }
    return PROTO_MORE;
}

static enum phase on_phase(const void *self)
{
    const struct imap *imap = self;
    return phases[imap->state];
}

static unsigned on_wait_ms(const void *self)
{
    const struct imap *imap = self;
    return imap->state == IMAP_LOGOUT || imap->said_bye ? LIMIT_LOGOUT_MS : 0;
}

const struct proto imap_proto = {
    .begin = on_begin,
    .frame = on_frame,
    .reply = on_reply,
    .secured = on_secured,
    .ended = on_ended,
    .injected = imap_injected,
    .withdrawn = imap_withdrawn,
    .phase = on_phase,
    .wait_ms = on_wait_ms,
};

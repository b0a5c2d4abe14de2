#include "probe/imap/parse.h"

#include <string.h>

#include "probe/base/limits.h"

/* As much of a field as a report can ever show: LIMIT_TEXT_CHARS of four octets. */
#define ID_TEXT_BYTES (LIMIT_TEXT_CHARS * 4)

struct literal {
    size_t size;
    bool binary; /* literal8 (RFC 9051 section 4.3.1): may hold NUL */
};

static struct text skip(struct text t, size_t n)
{
    return (struct text){t.data + n, t.len - n};
}

static struct text head(struct text t, size_t n)
{
    return (struct text){t.data, n};
}

/* Takes what stands before the first space, and that space. */
static struct text take_word(struct text *rest)
{
    const char *space = rest->len > 0 ? memchr(rest->data, ' ', rest->len) : NULL;
    size_t len = space ? (size_t)(space - rest->data) : rest->len;
    struct text word = head(*rest, len);
    *rest = skip(*rest, space ? len + 1 : len);
    return word;
}

static enum imap_status status_of(struct text word)
{
    static const char *const names[] = {
        [STATUS_OK] = "OK",   [STATUS_NO] = "NO",           [STATUS_BAD] = "BAD",
        [STATUS_BYE] = "BYE", [STATUS_PREAUTH] = "PREAUTH",
    };
    for (unsigned i = STATUS_OK; i <= STATUS_PREAUTH; i++) {
        if (text_is(word, names[i])) {
            return (enum imap_status)i;
        }
    }
    return STATUS_NONE;
}

/* ATOM-CHAR (RFC 9051 section 9). */
static bool is_atom_char(char c)
{
    return c > ' ' && c < 0x7f && !strchr("(){%*\"\\]", c);
}

/* Literals do not occur in status texts, capability lists, tagged lines and continuations: "{3}" at the end
 * of those is plain text (RFC 9051 section 9: resp-text, capability-data). */
static bool may_carry_literals(struct text line)
{
    if (line.len < 2 || memcmp(line.data, "* ", 2) != 0) {
        return false;
    }
    line = skip(line, 2);
    struct text word = take_word(&line);
    return word.len > 0 && status_of(word) == STATUS_NONE && !text_is(word, "CAPABILITY");
}

/* Whether the line, given without its end, stops inside a quoted string. */
static bool ends_quoted(struct text line)
{
    bool quoted = false;
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] == '"') {
            quoted = !quoted;
        } else if (quoted && line.data[i] == '\\') {
            i++;
        }
    }
    return quoted;
}

static struct text without_line_end(const unsigned char *data, size_t len)
{
    struct text line = {(const char *)data, len};
    if (line.len > 0 && line.data[line.len - 1] == '\n') {
        line.len--;
    }
    if (line.len > 0 && line.data[line.len - 1] == '\r') {
        line.len--;
    }
    return line;
}

/* Whether the line ends with "{n}"; "{n+}" is not for servers (RFC 9051 section 4.3), but its octets come all
 * the same. A size beyond LIMIT_LITERAL_BYTES, however long its number, is given as one more than that. */
static bool announces_literal(struct text line, struct literal *literal)
{
    size_t at = line.len;
    if (at == 0 || line.data[--at] != '}') {
        return false;
    }
    if (at > 0 && line.data[at - 1] == '+') {
        at--;
    }
    size_t end = at;
    while (at > 0 && line.data[at - 1] >= '0' && line.data[at - 1] <= '9') {
        at--;
    }
    if (at == end || at == 0 || line.data[at - 1] != '{' || ends_quoted(head(line, at - 1))) {
        return false;
    }
    literal->binary = at > 1 && line.data[at - 2] == '~';
    literal->size = 0;
    for (; at < end && literal->size <= LIMIT_LITERAL_BYTES; at++) {
        literal->size = literal->size * 10 + (size_t)(line.data[at] - '0');
    }
    if (literal->size > LIMIT_LITERAL_BYTES) {
        literal->size = LIMIT_LITERAL_BYTES + 1;
    }
    return true;
}

void imap_framer_init(struct imap_framer *framer)
{
    *framer = (struct imap_framer){0};
}

enum proto_frame imap_frame(struct imap_framer *framer, const unsigned char *data, size_t unread, size_t *len)
{
    size_t known = unread < LIMIT_LINE_BYTES ? unread : LIMIT_LINE_BYTES;
    while (framer->next < known) {
        const unsigned char *lf = memchr(data + framer->next, '\n', known - framer->next);
        if (!lf) {
            framer->next = known;
            break;
        }
        size_t end = (size_t)(lf - data) + 1;
        struct text line = without_line_end(data + framer->line, end - framer->line);
        if (framer->line == 0) {
            framer->literals = may_carry_literals(line);
        }
        struct literal literal;
        if (!framer->literals || !announces_literal(line, &literal)) {
            imap_framer_init(framer);
            *len = end;
            return FRAME_COMPLETE;
        }
        framer->line = framer->next = end + literal.size;
    }
    /* At least one more byte, a line end, is to come. */
    return framer->next >= LIMIT_LINE_BYTES ? FRAME_TOO_LONG : FRAME_PARTIAL;
}

/* Looks for what no line may contain, literal by literal as the framer went. */
static void survey(struct imap_response *response, const unsigned char *data, size_t len)
{
    bool literals = may_carry_literals(response->line);
    size_t at = 0;
    while (at < len) {
        const unsigned char *lf = memchr(data + at, '\n', len - at);
        size_t end = lf ? (size_t)(lf - data) + 1 : len;
        response->nul |= memchr(data + at, '\0', end - at) != NULL;
        response->bare_lf |= lf && (end - at < 2 || data[end - 2] != '\r');
        struct literal literal;
        if (!literals || !announces_literal(without_line_end(data + at, end - at), &literal)) {
            return;
        }
        size_t size = literal.size < len - end ? literal.size : len - end;
        response->nul |= !literal.binary && size > 0 && memchr(data + end, '\0', size) != NULL;
        at = end + size;
    }
}

/* resp-text of RFC 9051 section 9; the text may be empty (appendix E, 23). */
static void parse_resp_text(struct imap_response *response)
{
    struct text rest = response->rest;
    response->text.text = rest;
    if (rest.len == 0 || rest.data[0] != '[') {
        return;
    }
    const char *close = memchr(rest.data, ']', rest.len);
    struct text inside = close ? head(skip(rest, 1), (size_t)(close - rest.data) - 1) : head(rest, 0);
    bool argued = memchr(inside.data, ' ', inside.len) != NULL;
    struct text code = take_word(&inside);
    response->open_code = code.len == 0;
    if (response->open_code) {
        return;
    }
    response->text.code = code;
    if (argued) {
        response->text.argument = inside;
    }
    rest = skip(rest, (size_t)(close - rest.data) + 1);
    response->text.text = rest.len > 0 && rest.data[0] == ' ' ? skip(rest, 1) : rest;
}

static bool is_number(struct text word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] < '0' || word.data[i] > '9') {
            return false;
        }
    }
    return word.len > 0;
}

static enum imap_kind parse_untagged(struct imap_response *response)
{
    response->word = take_word(&response->rest);
    if (response->word.len == 0) {
        return RESPONSE_UNPARSABLE;
    }
    response->status = status_of(response->word);
    if (response->status != STATUS_NONE) {
        parse_resp_text(response);
        return RESPONSE_STATUS;
    }
    if (text_is(response->word, "CAPABILITY")) {
        return RESPONSE_CAPABILITY;
    }
    if (text_is(response->word, "ID")) {
        return RESPONSE_ID;
    }
    if (is_number(response->word)) {
        response->word = take_word(&response->rest);
    }
    return RESPONSE_OTHER;
}

/* tag = 1*<any ASTRING-CHAR except "+"> (RFC 9051 section 9) */
static bool is_tag(struct text word)
{
    for (size_t i = 0; i < word.len; i++) {
        if ((!is_atom_char(word.data[i]) && word.data[i] != ']') || word.data[i] == '+') {
            return false;
        }
    }
    return word.len > 0;
}

static enum imap_kind parse_kind(struct imap_response *response)
{
    response->rest = response->line;
    struct text first = take_word(&response->rest);
    if (text_is(first, "*")) {
        return parse_untagged(response);
    }
    if (text_is(first, "+")) {
        return RESPONSE_CONTINUATION;
    }
    if (!is_tag(first)) {
        return RESPONSE_UNPARSABLE;
    }
    response->tag = first;
    struct text rest = response->rest;
    enum imap_status status = status_of(take_word(&rest));
    if (status == STATUS_OK || status == STATUS_NO || status == STATUS_BAD) {
        response->status = status;
        response->rest = rest;
        parse_resp_text(response);
    }
    return RESPONSE_TAGGED;
}

void imap_parse(struct imap_response *response, const unsigned char *data, size_t len)
{
    *response = (struct imap_response){.line = without_line_end(data, len)};
    survey(response, data, len);
    /* CR CR LF is seen in the wild; a CR never means anything by itself. */
    while (response->line.len > 0 && response->line.data[response->line.len - 1] == '\r') {
        response->line.len--;
    }
    response->kind = parse_kind(response);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

bool imap_next_word(struct text *list, struct text *word, bool *odd)
{
    while (list->len > 0) {
        size_t len = 0;
        bool printable = true;
        for (; len < list->len && !is_blank(list->data[len]); len++) {
            char c = list->data[len];
            printable &= c > ' ' && c < 0x7f;
            *odd |= !is_atom_char(c);
        }
        *word = head(*list, len);
        /* Behind a word comes one space, and behind that another word. */
        bool last = len == list->len;
        *odd |= len == 0 || (!last && (list->data[len] != ' ' || len + 1 == list->len));
        *list = skip(*list, last ? len : len + 1);
        if (len > 0 && printable) {
            return true;
        }
    }
    return false;
}

enum item { ITEM_NONE, ITEM_NIL, ITEM_TEXT, ITEM_BARE, ITEM_NO_MEMORY };

/* Copies at most ID_TEXT_BYTES; `escaped`: a backslash stands before an octet that it makes literal. */
static enum item keep(struct arena *arena, struct text raw, bool escaped, struct text *out, bool *cut)
{
    char *copy = arena_alloc(arena, (raw.len < ID_TEXT_BYTES ? raw.len : ID_TEXT_BYTES) + 1);
    if (!copy) {
        return ITEM_NO_MEMORY;
    }
    *out = (struct text){copy, 0};
    for (size_t i = 0; i < raw.len; i++) {
        if (escaped && raw.data[i] == '\\' && i + 1 < raw.len) {
            i++;
        }
        if (out->len == ID_TEXT_BYTES) {
            *cut = true;
            break;
        }
        copy[out->len++] = raw.data[i];
    }
    return ITEM_TEXT;
}

static enum item take_quoted(struct text *rest, struct arena *arena, struct text *out, bool *cut)
{
    size_t end = 1;
    while (end < rest->len && rest->data[end] != '"') {
        end += rest->data[end] == '\\' ? 2 : 1;
    }
    if (end >= rest->len) {
        return ITEM_NONE;
    }
    struct text raw = head(skip(*rest, 1), end - 1);
    *rest = skip(*rest, end + 1);
    return keep(arena, raw, true, out, cut);
}

static enum item take_literal(struct text *rest, struct arena *arena, struct text *out, bool *cut)
{
    const char *lf = memchr(rest->data, '\n', rest->len);
    if (!lf) {
        return ITEM_NONE;
    }
    size_t end = (size_t)(lf - rest->data) + 1;
    struct literal literal;
    struct text line = without_line_end((const unsigned char *)rest->data, end);
    const char *brace = memchr(line.data, '}', line.len);
    if (!brace || brace + 1 != line.data + line.len || !announces_literal(line, &literal) ||
        literal.size > rest->len - end) {
        return ITEM_NONE;
    }
    struct text raw = head(skip(*rest, end), literal.size);
    *rest = skip(*rest, end + literal.size);
    return keep(arena, raw, false, out, cut);
}

/* string, NIL, or a bare atom, which the grammar does not allow here but which is clear enough. */
static enum item take_item(struct text *rest, struct arena *arena, struct text *out, bool *cut)
{
    while (rest->len > 0 && is_blank(rest->data[0])) {
        *rest = skip(*rest, 1);
    }
    *out = (struct text){0};
    if (rest->len == 0) {
        return ITEM_NONE;
    }
    if (rest->data[0] == '"') {
        return take_quoted(rest, arena, out, cut);
    }
    if (rest->data[0] == '{' || rest->data[0] == '~') {
        return take_literal(rest, arena, out, cut);
    }
    size_t len = 0;
    while (len < rest->len && is_atom_char(rest->data[len])) {
        len++;
    }
    struct text atom = head(*rest, len);
    *rest = skip(*rest, len);
    if (len == 0 || text_is(atom, "NIL")) {
        return len == 0 ? ITEM_NONE : ITEM_NIL;
    }
    return keep(arena, atom, false, out, cut) == ITEM_TEXT ? ITEM_BARE : ITEM_NO_MEMORY;
}

static bool add_field(struct server_id *id, struct arena *arena, struct text name, struct text value)
{
    struct id_field *fields =
        arena_grow(arena, id->fields, sizeof *fields, id->count, id->count + 1, &id->room);
    if (!fields) {
        return false;
    }
    id->fields = fields;
    id->fields[id->count++] = (struct id_field){name, value};
    return true;
}

enum imap_id imap_parse_id(struct text parameters, struct arena *arena, struct server_id *id, bool *cut)
{
    struct text words = parameters;
    while (words.len > 0 && is_blank(words.data[words.len - 1])) {
        words.len--;
    }
    if (text_is(words, "NIL")) {
        id->answered = true;
        return words.len == parameters.len ? ID_WELL_FORMED : ID_MALFORMED;
    }
    if (parameters.len == 0 || parameters.data[0] != '(') {
        return ID_MALFORMED;
    }
    id->answered = true;
    struct text rest = skip(parameters, 1);
    enum imap_id result = ID_WELL_FORMED;
    for (;;) {
        struct text name, value;
        enum item first = take_item(&rest, arena, &name, cut);
        if (first == ITEM_NONE) {
            break;
        }
        enum item second = take_item(&rest, arena, &value, cut);
        if (first == ITEM_NO_MEMORY || second == ITEM_NO_MEMORY) {
            return ID_NO_MEMORY;
        }
        if (first != ITEM_TEXT || second == ITEM_NONE || second == ITEM_BARE) {
            result = ID_MALFORMED;
        }
        if (second == ITEM_NONE) {
            break;
        }
        if (first == ITEM_NIL) {
            continue;
        }
        if (id->count == LIMIT_ID_FIELDS) {
            *cut = true;
            return result;
        }
        if (!add_field(id, arena, name, value)) {
            return ID_NO_MEMORY;
        }
    }
    return rest.len == 1 && rest.data[0] == ')' ? result : ID_MALFORMED;
}

#include "api/report_json.h"

#include <string.h>

#include "api/certificate_json.h"
#include "api/json_out.h"
#include "probe/report/gaps.h"

/* `error`: null where there was none. What the server said is cut so that the message as a whole keeps the
 * bound. */
static json_t *failure(struct json_out *o, const struct failure *f)
{
    static const char before[] = " The server said: \"", after[] = "\"";
    if (f->code == ERROR_NONE) {
        return json_null();
    }
    const char *sentence = error_sentence(f->code);
    json_t *message;
    if (f->said.len > 0) {
        size_t room = LIMIT_TEXT_CHARS - 1 - strlen(sentence) - strlen(before) - strlen(after);
        const char *said = json_out_shown(o, f->said, room);
        message = json_sprintf("%s%s%s%s", sentence, before, said != NULL ? said : "", after);
    } else {
        message = json_string(sentence);
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "code", json_out_own(o, error_name(f->code)));
    json_out_put(o, t, "phase", json_out_own(o, phase_name(f->phase)));
    json_out_put(o, t, "message", message);
    json_out_put(o, t, "alert", json_out_own(o, f->alert));
    json_out_put(o, t, "raw", json_out_own(o, f->raw));
    return t;
}

static json_t *dns(struct json_out *o, const struct dns_facts *d)
{
    json_t *t = json_out_object(o), *addresses = json_out_array(o);
    for (size_t i = 0; i < d->address_count; i++) {
        json_out_append(o, addresses, json_out_ip(o, &d->addresses[i]));
    }
    json_out_put(o, t, "addresses", addresses);
    json_out_put(o, t, "canonical_name", json_out_text(o, d->canonical_name));
    json_out_put(o, t, "duration_ms", json_out_ms(o, d->duration_ms));
    json_out_put(o, t, "truncated", json_out_bool(d->truncated));
    json_out_put(o, t, "error", failure(o, &d->error));
    return t;
}

static json_t *attempts(struct json_out *o, const struct port_report *p)
{
    json_t *array = json_out_array(o);
    for (size_t i = 0; i < p->try_count; i++) {
        json_t *t = json_out_object(o);
        json_out_put(o, t, "address", json_out_ip(o, &p->tries[i].address));
        json_out_put(o, t, "duration_ms", json_out_ms(o, p->tries[i].duration_ms));
        json_out_put(o, t, "error", failure(o, &p->tries[i].error));
        json_out_append(o, array, t);
    }
    return array;
}

static json_t *greeting(struct json_out *o, const struct dialogue *d)
{
    static const char *const statuses[] = {
        [GREETING_NONE] = NULL, [GREETING_OK] = "ok", [GREETING_PREAUTH] = "preauth", [GREETING_BYE] = "bye"};
    if (d->greeting == GREETING_NONE) {
        return json_null();
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "status", json_out_own(o, statuses[d->greeting]));
    json_out_put(o, t, "code", json_out_text(o, d->greeting_text.code));
    json_out_put(o, t, "text", json_out_text(o, d->greeting_text.text));
    return t;
}

/* RFC 2971 section 3.3 forbids to send a field twice; the first one stays. */
static json_t *server_id(struct json_out *o, const struct server_id *id)
{
    if (!id->answered) {
        return json_null();
    }
    json_t *t = json_out_object(o);
    for (size_t i = 0; i < id->count; i++) {
        json_t *value = json_out_text(o, id->fields[i].value);
        const char *name = json_out_shown(o, id->fields[i].name, LIMIT_TEXT_CHARS);
        if (name != NULL && json_object_get(t, name) == NULL) {
            json_out_put(o, t, name, value);
        } else {
            json_decref(value);
        }
    }
    return t;
}

static json_t *words(struct json_out *o, const struct caps_list *list)
{
    json_t *array = json_out_array(o);
    for (size_t i = 0; i < list->count; i++) {
        json_out_append(o, array, json_out_text(o, list->names[i]));
    }
    return array;
}

static json_t *phases(struct json_out *o, const struct caps *caps)
{
    json_t *t = json_out_object(o);
    json_out_put(o, t, "greeting", words(o, &caps->phase[CAPS_GREETING]));
    json_out_put(o, t, "command", words(o, &caps->phase[CAPS_COMMAND]));
    json_out_put(o, t, "starttls", words(o, &caps->phase[CAPS_STARTTLS]));
    return t;
}

static json_t *timings(struct json_out *o, const struct timings *timings)
{
    json_t *t = json_out_object(o);
    json_out_put(o, t, "connect", json_out_ms(o, timings->connect));
    json_out_put(o, t, "greeting", json_out_ms(o, timings->greeting));
    json_out_put(o, t, "tls_handshake", json_out_ms(o, timings->tls_handshake));
    json_out_put(o, t, "total", json_out_ms(o, timings->total));
    return t;
}

/* Strings cut since the last call belong to `what`. */
static void note_cuts(struct json_out *o, unsigned *cuts, enum cut what)
{
    if (o->cut) {
        *cuts |= 1u << what | 1u << CUT_TEXT;
    }
    o->cut = false;
}

/* What was cut while the facts were gathered, or just now. */
static json_t *truncated(struct json_out *o, const struct port_report *p, unsigned cuts)
{
    cuts |= p->truncated;
    if (p->caps.truncated) {
        cuts |= 1u << CUT_CAPABILITIES;
    }
    if (p->transcript.truncated) {
        cuts |= 1u << CUT_TRANSCRIPT;
    }
    if (p->certificate.san_total > p->certificate.san_count) {
        cuts |= 1u << CUT_SANS;
    }
    if (p->certificate.name_cut) {
        cuts |= 1u << CUT_TEXT;
    }
    if (p->certificate.chain_sent > p->certificate.chain_count) {
        cuts |= 1u << CUT_CHAIN;
    }
    json_t *array = json_out_array(o);
    for (unsigned c = 0; c < CUT_COUNT; c++) {
        if (cuts & 1u << c) {
            json_out_append(o, array, json_out_own(o, cut_name((enum cut)c)));
        }
    }
    return array;
}

static json_t *transcript(struct json_out *o, const struct transcript *transcript)
{
    json_t *array = json_out_array(o);
    for (size_t i = 0; i < transcript->count; i++) {
        const struct transcript_line *line = &transcript->lines[i];
        json_t *t = json_out_object(o);
        json_out_put(o, t, "connection", json_out_integer(o, line->connection));
        json_out_put(o, t, "at_ms", json_out_ms(o, line->at_ms));
        json_out_put(o, t, "direction", json_out_own(o, line->sent ? "sent" : "received"));
        json_out_put(o, t, "tls", json_out_bool(line->tls));
        json_out_put(o, t, "complete", json_out_bool(line->complete));
        json_out_put(o, t, "text", json_out_text(o, line->text));
        json_out_append(o, array, t);
    }
    return array;
}

static void lists_key(struct piece_cache *c, const struct caps *caps)
{
    const struct caps_list *lists[] = {&caps->all, &caps->phase[CAPS_GREETING], &caps->phase[CAPS_COMMAND],
                                       &caps->phase[CAPS_STARTTLS]};
    piece_cache_key(c, 'l');
    for (size_t list = 0; list < sizeof lists / sizeof lists[0]; list++) {
        piece_cache_number(c, (int64_t)lists[list]->count);
        for (size_t i = 0; i < lists[list]->count; i++) {
            piece_cache_text(c, lists[list]->names[i]);
        }
    }
}

static void lists(struct json_out *o, const struct caps *caps)
{
    if (o->pieces != NULL) {
        lists_key(o->pieces, caps);
    }
    if (json_out_recall(o)) {
        return;
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "capabilities", words(o, &caps->all));
    json_out_put(o, t, "capability_phases", phases(o, caps));
    json_out_inside_kept(o, t);
}

static void port_head(struct json_out *o, const struct port_report *p, unsigned *cuts)
{
    json_t *t = json_out_object(o);
    json_out_put(o, t, "port", json_out_integer(o, p->number));
    json_out_put(o, t, "service", json_out_own(o, p->tls_port ? "imaps" : "imap"));
    json_out_put(o, t, "verdict", json_out_own(o, verdict_name(p->verdict)));
    json_out_put(o, t, "implicit_tls", json_out_bool(p->implicit_tls));
    json_out_put(o, t, "starttls_supported", json_out_bool(p->starttls_supported));
    json_out_put(o, t, "reachable", json_out_bool(p->reachable));
    json_out_put(o, t, "address", json_out_ip(o, &p->address));
    json_out_put(o, t, "source_address", json_out_ip(o, &p->source_address));
    json_out_put(o, t, "attempts", attempts(o, p));
    json_out_put(o, t, "error", failure(o, &p->error));
    note_cuts(o, cuts, CUT_TEXT);
    json_out_put(o, t, "greeting", greeting(o, &p->dialogue));
    note_cuts(o, cuts, CUT_GREETING);
    json_out_put(o, t, "server_id", server_id(o, &p->dialogue.server_id));
    note_cuts(o, cuts, CUT_SERVER_ID);
    json_out_inside(o, t);
}

static void port(struct json_out *o, const struct report *r, const struct port_report *p)
{
    unsigned cuts = 0;
    o->cut = false;
    json_text_open(&o->text, "{");
    port_head(o, p, &cuts);
    lists(o, &p->caps);
    tls_piece(o, &p->tls);
    certificate_piece(o, &p->certificate, r->tested_at);
    json_t *t = json_out_object(o);
    json_out_put(o, t, "timings_ms", timings(o, &p->timings));
    note_cuts(o, &cuts, CUT_TEXT);
    json_t *lines = transcript(o, &p->transcript);
    note_cuts(o, &cuts, CUT_TRANSCRIPT);
    json_out_put(o, t, "truncated", truncated(o, p, cuts));
    json_out_put(o, t, "transcript", lines);
    json_out_inside(o, t);
    json_text_close(&o->text, '}');
}

static json_t *finding_rows(struct json_out *o, const struct report *r)
{
    json_t *array = json_out_array(o);
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct finding *f = &r->findings[i];
        json_t *t = json_out_object(o);
        json_out_put(o, t, "id", json_out_own(o, finding_row(f->id)->id));
        json_out_put(o, t, "severity", json_out_own(o, severity_name(f->severity)));
        json_out_put(o, t, "port", f->port != 0 ? json_out_integer(o, f->port) : json_null());
        json_out_put(o, t, "address", json_out_ip(o, &f->address));
        json_out_put(o, t, "title", json_out_own(o, f->title));
        json_out_put(o, t, "detail", json_out_own(o, f->detail));
        json_out_put(o, t, "remedy", json_out_own(o, f->remedy));
        json_out_put(o, t, "reference", json_out_own(o, f->reference));
        json_out_append(o, array, t);
    }
    return array;
}

static void findings_key(struct piece_cache *c, const struct report *r)
{
    piece_cache_key(c, 'f');
    for (size_t i = 0; i < r->finding_count; i++) {
        const struct finding *f = &r->findings[i];
        piece_cache_number(c, (int64_t)f->id << 32 | (int64_t)f->severity << 16 | f->port);
        piece_cache_number(c, f->address.family);
        piece_cache_bytes(c, f->address.bytes, sizeof f->address.bytes);
        piece_cache_own(c, f->title);
        piece_cache_own(c, f->detail);
        piece_cache_own(c, f->remedy);
        piece_cache_own(c, f->reference);
    }
}

static void findings(struct json_out *o, const struct report *r)
{
    if (o->pieces != NULL) {
        findings_key(o->pieces, r);
    }
    if (json_out_recall(o)) {
        return;
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "endpoints", json_out_array(o));
    json_out_put(o, t, "findings", finding_rows(o, r));
    json_out_inside_kept(o, t);
}

/* Many servers show a short list before login, so the words say no more than that. */
static json_t *gap(struct json_out *o, const struct catalogue_row *row)
{
    json_t *t = json_out_object(o);
    json_out_put(o, t, "capability", json_out_own(o, row->name));
    json_out_put(o, t, "impact",
                 json_sprintf("Not advertised before login.%s%s", row->absence != NULL ? " " : "",
                              row->absence != NULL ? row->absence : ""));
    return t;
}

static void feature_gaps(struct json_out *o, const struct report *r)
{
    size_t count;
    const struct catalogue_row *rows = catalogue_rows(&count);
    json_text_open(&o->text, "\"feature_gaps\":[");
    for (size_t i = 0; i < count; i++) {
        if (!gaps_missing(r, &rows[i])) {
            continue;
        }
        if (o->pieces != NULL) {
            piece_cache_key(o->pieces, 'g');
            piece_cache_number(o->pieces, (int64_t)i);
        }
        if (!json_out_recall(o)) {
            json_t *one = json_out_array(o);
            json_out_append(o, one, gap(o, &rows[i]));
            json_out_inside_kept(o, one);
        }
    }
    json_text_close(&o->text, ']');
}

static json_t *tester(struct json_out *o)
{
    json_t *t = json_out_object(o);
    json_out_put(o, t, "name", json_out_own(o, "imap-testd"));
    json_out_put(o, t, "version", json_out_own(o, IMAP_TESTD_VERSION));
    return t;
}

static void report_head(struct json_out *o, const struct report *r)
{
    json_t *t = json_out_object(o);
    json_out_put(o, t, "host", json_out_text(o, text_of(r->host)));
    json_out_put(o, t, "host_unicode", json_out_text(o, text_of(r->host_unicode)));
    json_out_put(o, t, "tested_at", json_out_time(o, r->tested_at));
    json_out_put(o, t, "duration_ms", json_out_ms(o, r->duration_ms));
    json_out_put(o, t, "cached", json_out_bool(false));
    json_out_put(o, t, "tester", tester(o));
    json_out_put(o, t, "verdict", json_out_own(o, verdict_name(r->verdict)));
    json_out_put(o, t, "summary", json_out_own(o, r->summary));
    json_out_put(o, t, "dns", dns(o, &r->dns));
    json_out_inside(o, t);
}

char *report_json(const struct report *r, struct piece_cache *pieces)
{
    struct json_out o;
    json_out_init(&o, pieces);
    json_text_open(&o.text, "{");
    report_head(&o, r);
    json_text_open(&o.text, "\"ports\":[");
    for (size_t i = 0; i < r->port_count; i++) {
        port(&o, r, &r->ports[i]);
    }
    json_text_close(&o.text, ']');
    findings(&o, r);
    feature_gaps(&o, r);
    json_text_close(&o.text, '}');
    char *text = json_out_take(&o);
    json_out_deinit(&o);
    return text;
}

void report_json_mark_cached(char *body)
{
    /* Inside a string the quotation marks would stand behind backslashes; white space is free (RFC 8259
     * section 2). */
    static const char no[] = "\"cached\":false", yes[] = "\"cached\":true ";
    _Static_assert(sizeof no == sizeof yes, "the length stays");
    char *at = strstr(body, no);
    if (at != NULL) {
        memcpy(at, yes, sizeof yes - 1);
    }
}

char *capabilities_json(void)
{
    struct json_out o;
    json_out_init(&o, NULL);
    json_t *array = json_out_array(&o), *t = json_out_object(&o);
    size_t count;
    const struct catalogue_row *rows = catalogue_rows(&count);
    for (size_t i = 0; i < count; i++) {
        json_t *row = json_out_object(&o);
        json_out_put(&o, row, "name", json_out_own(&o, rows[i].name));
        json_out_put(&o, row, "category", json_out_own(&o, rows[i].category));
        json_out_put(&o, row, "meaning", json_out_own(&o, rows[i].meaning));
        json_out_put(&o, row, "absence", json_out_own(&o, rows[i].absence));
        json_out_put(&o, row, "reference", json_out_own(&o, rows[i].reference));
        json_out_append(&o, array, row);
    }
    json_out_put(&o, t, "capabilities", array);
    json_text_open(&o.text, "{");
    json_out_inside(&o, t);
    json_text_close(&o.text, '}');
    char *text = json_out_take(&o);
    json_out_deinit(&o);
    return text;
}

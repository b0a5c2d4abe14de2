#include "api/port_json.h"

#include <string.h>

#include "api/certificate_json.h"

json_t *failure_json(struct json_out *o, const struct failure *f)
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

static void ip_key(struct piece_cache *c, const struct ip *ip)
{
    piece_cache_number(c, ip->family);
    piece_cache_bytes(c, ip->bytes, sizeof ip->bytes);
}

static void place_piece(struct json_out *o, const struct port_report *p)
{
    if (o->pieces != NULL) {
        piece_cache_key(o->pieces, PIECE_PLACE);
        piece_cache_number(o->pieces, (int64_t)p->verdict << 32 | (int64_t)p->number << 4 | p->tls_port << 3 |
                                          p->implicit_tls << 2 | p->starttls_supported << 1 | p->reachable);
        ip_key(o->pieces, &p->address);
        ip_key(o->pieces, &p->source_address);
    }
    if (json_out_recall(o)) {
        return;
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "port", json_out_integer(o, p->number));
    json_out_put(o, t, "service", json_out_own(o, p->tls_port ? "imaps" : "imap"));
    json_out_put(o, t, "verdict", json_out_own(o, verdict_name(p->verdict)));
    json_out_put(o, t, "implicit_tls", json_out_bool(p->implicit_tls));
    json_out_put(o, t, "starttls_supported", json_out_bool(p->starttls_supported));
    json_out_put(o, t, "reachable", json_out_bool(p->reachable));
    json_out_put(o, t, "address", json_out_ip(o, &p->address));
    json_out_put(o, t, "source_address", json_out_ip(o, &p->source_address));
    json_out_inside_kept(o, t);
}

static json_t *attempts(struct json_out *o, const struct port_report *p)
{
    json_t *array = json_out_array(o);
    for (size_t i = 0; i < p->try_count; i++) {
        json_t *t = json_out_object(o);
        json_out_put(o, t, "address", json_out_ip(o, &p->tries[i].address));
        json_out_put(o, t, "duration_ms", json_out_ms(o, p->tries[i].duration_ms));
        json_out_put(o, t, "error", failure_json(o, &p->tries[i].error));
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

static void greeting_piece(struct json_out *o, const struct dialogue *d)
{
    if (o->pieces != NULL) {
        piece_cache_key(o->pieces, PIECE_GREETING);
        piece_cache_number(o->pieces, d->greeting);
        piece_cache_text(o->pieces, d->greeting_text.code);
        piece_cache_text(o->pieces, d->greeting_text.text);
    }
    if (json_out_recall(o)) {
        return;
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "greeting", greeting(o, d));
    json_out_inside_kept(o, t);
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

static void server_id_piece(struct json_out *o, const struct server_id *id)
{
    if (o->pieces != NULL) {
        piece_cache_key(o->pieces, PIECE_SERVER_ID);
        piece_cache_number(o->pieces, id->answered);
        for (size_t i = 0; i < id->count; i++) {
            piece_cache_text(o->pieces, id->fields[i].name);
            piece_cache_text(o->pieces, id->fields[i].value);
        }
    }
    if (json_out_recall(o)) {
        return;
    }
    json_t *t = json_out_object(o);
    json_out_put(o, t, "server_id", server_id(o, id));
    json_out_inside_kept(o, t);
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
    piece_cache_key(c, PIECE_LISTS);
    for (size_t list = 0; list < sizeof lists / sizeof lists[0]; list++) {
        piece_cache_number(c, (int64_t)lists[list]->count);
        for (size_t i = 0; i < lists[list]->count; i++) {
            piece_cache_text(c, lists[list]->names[i]);
        }
    }
}

static void lists_piece(struct json_out *o, const struct caps *caps)
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

/* What is new in every test. */
static void course(struct json_out *o, const struct port_report *p)
{
    json_t *t = json_out_object(o);
    json_out_put(o, t, "attempts", attempts(o, p));
    json_out_put(o, t, "error", failure_json(o, &p->error));
    json_out_inside(o, t);
}

void port_json(struct json_out *o, const struct port_report *p, int64_t now)
{
    unsigned cuts = 0;
    o->cut = false;
    json_text_open(&o->text, "{");
    place_piece(o, p);
    course(o, p);
    note_cuts(o, &cuts, CUT_TEXT);
    greeting_piece(o, &p->dialogue);
    note_cuts(o, &cuts, CUT_GREETING);
    server_id_piece(o, &p->dialogue.server_id);
    note_cuts(o, &cuts, CUT_SERVER_ID);
    lists_piece(o, &p->caps);
    tls_piece(o, &p->tls);
    certificate_piece(o, &p->certificate, now);
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

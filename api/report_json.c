#include "api/report_json.h"

#include <string.h>

#include "api/json_out.h"
#include "api/port_json.h"
#include "probe/report/gaps.h"

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
    json_out_put(o, t, "error", failure_json(o, &d->error));
    return t;
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
    piece_cache_key(c, PIECE_FINDINGS);
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
            piece_cache_key(o->pieces, PIECE_GREETING);
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
        port_json(&o, &r->ports[i], r->tested_at);
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

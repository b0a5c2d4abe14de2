#include "api/report_table.h"

#include <string.h>
#include <time.h>

#include "api/page.h"
#include "probe/report/gaps.h"

#define NAMES_SHOWN 10u

/* Where things begin in their line. */
#define INDENT 2u
#define FINDING_COLUMN 4u
#define LIST_COLUMN 9u
#define FACT_COLUMN 11u
#define LINE_COLUMN 17u
#define SERVICE_COLUMN 7u
#define VERDICT_COLUMN 16u
#define ADDRESS_COLUMN 30u

static void show(struct page *p, const char *s)
{
    page_show(p, text_of(s), LIMIT_TEXT_CHARS);
}

/* A line of its own behind an empty one, which the caller ends. */
static void heading(struct page *p, const char *s)
{
    page_end_line(p);
    p->indent = INDENT;
    page_say(p, "%s", s);
}

static void head(struct page *p, const struct report *r)
{
    if (r->host_unicode != NULL) {
        show(p, r->host_unicode);
        page_say(p, " (");
        show(p, r->host);
        page_say(p, ")");
    } else {
        show(p, r->host);
    }
    page_say(p, ": %s", verdict_name(r->verdict));
    page_end_line(p);
    show(p, r->summary);
    page_end_line(p);
}

static void failure(struct page *p, const struct failure *f)
{
    page_go_to(p, ADDRESS_COLUMN);
    page_say(p, "%s", error_sentence(f->code));
    if (f->said.len > 0) {
        page_say(p, " The server said: \"");
        page_show(p, f->said, LIMIT_QUOTED_CHARS);
        page_say(p, "\"");
    }
    if (f->alert != NULL) {
        page_say(p, " (TLS alert ");
        show(p, f->alert);
        page_say(p, ")");
    }
    if (f->raw != NULL) {
        page_say(p, " (");
        show(p, f->raw);
        page_say(p, ")");
    }
    page_end_line(p);
}

static const char *address(const struct ip *ip, char *s)
{
    return ip->family != 0 ? ip_format(ip, s) : "-";
}

/* What does not fit behind the address goes below it. */
static void port(struct page *p, const struct port_report *port, size_t tls_column)
{
    char s[IP_TEXT_SIZE];
    page_say(p, "%u", (unsigned)port->number);
    page_go_to(p, SERVICE_COLUMN);
    page_say(p, "%s", port->tls_port ? "imaps" : "imap");
    page_go_to(p, VERDICT_COLUMN);
    page_say(p, "%s", verdict_name(port->verdict));
    page_go_to(p, ADDRESS_COLUMN);
    page_say(p, "%s", address(&port->address, s));
    page_go_to(p, tls_column);
    if (port->tls.completed) {
        page_say(p, "%s", port->tls.version != NULL ? port->tls.version : "TLS");
        page_say(p, " %s", port->tls.cipher_suite != NULL ? port->tls.cipher_suite : "");
    } else {
        page_say(p, "%s", port->reachable ? "none" : "-");
    }
    page_end_line(p);
    if (port->error.code != ERROR_NONE) {
        failure(p, &port->error);
    }
}

static void ports(struct page *p, const struct report *r)
{
    size_t widest = strlen("Address");
    char s[IP_TEXT_SIZE];
    for (size_t i = 0; i < r->port_count; i++) {
        size_t width = strlen(address(&r->ports[i].address, s));
        widest = width > widest ? width : widest;
    }
    size_t tls_column = ADDRESS_COLUMN + widest + 2;
    heading(p, "Port");
    page_go_to(p, SERVICE_COLUMN);
    page_say(p, "Service");
    page_go_to(p, VERDICT_COLUMN);
    page_say(p, "Verdict");
    page_go_to(p, ADDRESS_COLUMN);
    page_say(p, "Address");
    page_go_to(p, tls_column);
    page_say(p, "TLS");
    page_end_line(p);
    p->indent = ADDRESS_COLUMN;
    for (size_t i = 0; i < r->port_count; i++) {
        port(p, &r->ports[i], tls_column);
    }
}

static void say_time(struct page *p, int64_t seconds)
{
    struct tm tm;
    time_t t = (time_t)seconds;
    char s[32];
    if (gmtime_r(&t, &tm) == NULL || strftime(s, sizeof s, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        page_say(p, "?");
        return;
    }
    page_say(p, "%s", s);
}

/* Ends the line before. */
static void fact(struct page *p, const char *name)
{
    page_end_line(p);
    p->indent = FACT_COLUMN;
    page_go_to(p, INDENT);
    page_say(p, "%s", name);
    page_go_to(p, FACT_COLUMN);
}

static void names(struct page *p, const struct certificate *c)
{
    size_t shown = c->san_count < NAMES_SHOWN ? c->san_count : NAMES_SHOWN;
    fact(p, "Names");
    for (size_t i = 0; i < shown; i++) {
        page_say(p, "%s", i > 0 ? ", " : "");
        page_show(p, c->sans[i].value, LIMIT_TEXT_CHARS);
    }
    if (c->san_total == 0) {
        page_say(p, "none");
    } else if (c->san_total > shown) {
        page_say(p, " and %zu more", c->san_total - shown);
    }
}

static void trust(struct page *p, const struct certificate *c)
{
    const char *before = " (";
    bool sound = (c->chain_errors & ~(1u << CHAIN_WRONG_ORDER)) == 0;
    fact(p, "Trust");
    page_say(p, "%s", sound ? "trusted" : "not trusted");
    for (unsigned e = 0; e < CHAIN_ERROR_COUNT; e++) {
        if (c->chain_errors & 1u << e) {
            page_say(p, "%s%s", before, chain_error_name((enum chain_error)e));
            before = ", ";
        }
    }
    page_say(p, "%s", c->chain_errors != 0 ? ")" : "");
    page_say(p, ", %s the host", c->hostname_match ? "matches" : "does not match");
}

static void certificate(struct page *p, const struct certificate *c)
{
    if (!c->parsed || c->chain_count == 0) {
        fact(p, "Trust");
        page_say(p, "not trusted, as it cannot be read");
        page_end_line(p);
        return;
    }
    fact(p, "Subject");
    page_show(p, c->chain[0].subject, LIMIT_TEXT_CHARS);
    fact(p, "Issuer");
    page_show(p, c->chain[0].issuer, LIMIT_TEXT_CHARS);
    names(p, c);
    fact(p, "Valid");
    say_time(p, c->chain[0].not_before);
    page_say(p, " to ");
    say_time(p, c->chain[0].not_after);
    page_say(p, " UTC");
    fact(p, "Key");
    page_say(p, "%s, %u bits", c->key_algorithm != NULL ? c->key_algorithm : "unknown", c->key_bits);
    if (c->signature_algorithm != NULL) {
        page_say(p, ", signed with %s", c->signature_algorithm);
    }
    trust(p, c);
    page_end_line(p);
}

static bool same_certificate(const struct certificate *a, const struct certificate *b)
{
    return a->parsed && b->parsed && a->chain_count > 0 && b->chain_count > 0 &&
           memcmp(a->chain[0].sha256, b->chain[0].sha256, sizeof a->chain[0].sha256) == 0 &&
           a->chain_errors == b->chain_errors;
}

/* Once for all ports of which the same is to be said. */
static void certificates(struct page *p, const struct report *r)
{
    bool done[REPORT_PORTS] = {false};
    for (size_t i = 0; i < r->port_count; i++) {
        const struct certificate *c = &r->ports[i].certificate;
        if (!c->seen || done[i]) {
            continue;
        }
        heading(p, "Certificate of port");
        page_say(p, " %u", (unsigned)r->ports[i].number);
        for (size_t k = i + 1; k < r->port_count; k++) {
            if (same_certificate(c, &r->ports[k].certificate)) {
                done[k] = true;
                page_say(p, " and of port %u", (unsigned)r->ports[k].number);
            }
        }
        certificate(p, c);
    }
}

static bool same_finding(const struct finding *a, const struct finding *b)
{
    return a->id == b->id && a->severity == b->severity && (a->port == 0) == (b->port == 0) &&
           strcmp(a->title, b->title) == 0 && strcmp(a->detail, b->detail) == 0 &&
           strcmp(a->remedy, b->remedy) == 0;
}

/* Once for all ports, with the first of them. */
static void finding(struct page *p, const struct report *r, size_t index)
{
    const struct finding *f = &r->findings[index];
    const char *before = " (port ";
    for (size_t i = 0; i < index; i++) {
        if (same_finding(&r->findings[i], f)) {
            return;
        }
    }
    page_go_to(p, INDENT);
    page_say(p, "%s: ", severity_name(f->severity));
    show(p, f->title);
    for (size_t i = index; f->port != 0 && i < r->finding_count; i++) {
        if (same_finding(&r->findings[i], f)) {
            page_say(p, "%s%u", before, (unsigned)r->findings[i].port);
            before = ", port ";
        }
    }
    page_say(p, "%s", f->port != 0 ? ")" : "");
    page_end_line(p);
    page_go_to(p, FINDING_COLUMN);
    show(p, f->detail);
    page_end_line(p);
    page_go_to(p, FINDING_COLUMN);
    page_say(p, "Remedy: ");
    show(p, f->remedy);
    page_end_line(p);
}

static void findings(struct page *p, const struct report *r)
{
    if (r->finding_count == 0) {
        return;
    }
    heading(p, "Findings");
    page_end_line(p);
    p->indent = FINDING_COLUMN;
    for (size_t i = 0; i < r->finding_count; i++) {
        finding(p, r, i);
    }
}

static void capabilities(struct page *p, const struct report *r)
{
    if (!gaps_list_seen(r)) {
        return;
    }
    heading(p, "Capabilities");
    page_end_line(p);
    p->indent = LIST_COLUMN;
    for (size_t i = 0; i < r->port_count; i++) {
        const struct caps_list *all = &r->ports[i].caps.all;
        page_go_to(p, INDENT);
        page_say(p, "%u", (unsigned)r->ports[i].number);
        page_go_to(p, LIST_COLUMN);
        page_say(p, "%s", all->count == 0 ? "-" : "");
        for (size_t k = 0; k < all->count; k++) {
            page_say(p, "%s", k > 0 ? " " : "");
            page_show(p, all->names[k], LIMIT_TEXT_CHARS);
        }
        page_end_line(p);
    }
}

static void feature_gaps(struct page *p, const struct report *r)
{
    size_t count, found = 0;
    const struct catalogue_row *rows = catalogue_rows(&count);
    for (size_t i = 0; i < count; i++) {
        if (!gaps_missing(r, &rows[i])) {
            continue;
        }
        if (found++ == 0) {
            heading(p, "Not advertised before login (the JSON report says what clients lose)");
            page_end_line(p);
            page_go_to(p, INDENT);
        } else {
            page_say(p, " ");
        }
        page_say(p, "%s", rows[i].name);
    }
    if (found > 0) {
        page_end_line(p);
    }
}

/* "S:" and "C:" as in the RFCs; a line of its own tells where another connection or TLS begins. */
static void transcript(struct page *p, const struct port_report *port)
{
    const struct transcript *t = &port->transcript;
    for (size_t i = 0; i < t->count; i++) {
        const struct transcript_line *line = &t->lines[i], *before = i > 0 ? line - 1 : NULL;
        if (i == 0) {
            heading(p, "Dialogue with port");
            page_say(p, " %u", (unsigned)port->number);
            page_end_line(p);
            p->indent = LINE_COLUMN;
        }
        if (before != NULL && before->connection != line->connection) {
            page_go_to(p, INDENT);
            page_say(p, "--- another connection");
            page_end_line(p);
        }
        if (line->tls && (before == NULL || !before->tls)) {
            page_go_to(p, INDENT);
            page_say(p, "--- inside TLS");
            page_end_line(p);
        }
        page_go_to(p, INDENT);
        page_say(p, "%8.1f ms %s ", line->at_ms, line->sent ? "C:" : "S:");
        page_show(p, line->text, LIMIT_TEXT_CHARS);
        page_say(p, "%s", line->complete ? "" : " (no line end)");
        page_end_line(p);
    }
}

char *report_table(const struct report *r)
{
    struct page p;
    page_init(&p);
    head(&p, r);
    ports(&p, r);
    certificates(&p, r);
    findings(&p, r);
    capabilities(&p, r);
    feature_gaps(&p, r);
    for (size_t i = 0; i < r->port_count; i++) {
        transcript(&p, &r->ports[i]);
    }
    char *text = page_take(&p);
    page_deinit(&p);
    return text;
}

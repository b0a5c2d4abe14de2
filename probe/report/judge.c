#include "probe/report/judge.h"

#include <string.h>

#include "probe/report/banner.h"
#include "probe/report/judge_internal.h"

void judge_add_as(struct report *r, const struct port_report *p, enum finding_id id, enum severity severity,
                  const char *title, const struct ip *address, const char *detail)
{
    if (detail != NULL && strlen(detail) > LIMIT_TEXT_CHARS) {
        detail = text_show(&r->arena, text_of(detail), LIMIT_TEXT_CHARS, NULL);
    }
    if (detail == NULL) {
        return;
    }
    struct finding *all = arena_grow(&r->arena, r->findings, sizeof *all, r->finding_count,
                                     r->finding_count + 1, &r->finding_room);
    if (all == NULL) {
        return;
    }
    const struct finding_row *row = finding_row(id);
    if (address == NULL && p != NULL) {
        address = &p->address;
    }
    r->findings = all;
    all[r->finding_count++] = (struct finding){
        .id = id,
        .severity = severity,
        .port = p != NULL ? p->number : 0,
        .address = address != NULL ? *address : (struct ip){0},
        .title = title != NULL ? title : row->title,
        .detail = detail,
        .remedy = row->remedy,
        .reference = row->reference,
    };
}

void judge_add(struct report *r, const struct port_report *p, enum finding_id id, const char *detail)
{
    judge_add_as(r, p, id, finding_row(id)->severity, NULL, NULL, detail);
}

const struct finding *judge_found(const struct report *r, const struct port_report *p, enum finding_id id)
{
    for (size_t i = 0; i < r->finding_count; i++) {
        if (r->findings[i].id == id && r->findings[i].port == (p != NULL ? p->number : 0)) {
            return &r->findings[i];
        }
    }
    return NULL;
}

const char *judge_quote(struct report *r, struct text t)
{
    const char *shown = text_show(&r->arena, t, LIMIT_QUOTED_CHARS, NULL);
    return shown != NULL ? shown : "";
}

const char *judge_quote_answer(struct report *r, const struct resp_text *t)
{
    const char *shown;
    if (t->code.data == NULL) {
        return judge_quote(r, t->text);
    }
    shown = arena_printf(&r->arena, "[%s%s%s]%s%s", judge_quote(r, t->code), t->argument.len > 0 ? " " : "",
                         judge_quote(r, t->argument), t->text.len > 0 ? " " : "", judge_quote(r, t->text));
    return shown != NULL ? shown : "";
}

const char *judge_explain(struct report *r, const struct failure *f)
{
    if (f->code == ERROR_NONE) {
        return "It was not tested to the end.";
    }
    const char *sentence = error_sentence(f->code); /* its full stop goes behind the cause */
    const char *cause = f->alert != NULL ? f->alert : f->raw;
    const char *said = f->said.len > 0 ? judge_quote(r, f->said) : NULL;
    const char *protocol = judge_foreign(f);
    const char *shown = arena_printf(
        &r->arena, "%.*s%s%s%s%s%s%s%s%s%s", (int)strlen(sentence) - 1, sentence, cause != NULL ? " (" : "",
        cause != NULL ? cause : "", cause != NULL ? ")." : ".", said != NULL ? " The server said: \"" : "",
        said != NULL ? said : "", said != NULL ? "\"" : "", protocol != NULL ? " That is how " : "",
        protocol != NULL ? protocol : "", protocol != NULL ? " begins." : "");
    return shown != NULL ? shown : "";
}

const char *judge_foreign(const struct failure *f)
{
    bool foreign = f->code == ERROR_NOT_IMAP || f->code == ERROR_TLS_NOT_SPOKEN;
    return foreign ? banner_protocol(f->said) : NULL;
}

const char *judge_silence(const struct port_report *p)
{
    if (p->error.said.len > 0 || (!p->tls.completed && p->received > 0)) {
        return "";
    }
    switch (p->error.code) {
    case ERROR_READ_TIMEOUT:
    case ERROR_DEADLINE_EXCEEDED:
        return p->tls.completed
                   ? " TLS works, but not a single byte came inside it: a service in which the client speaks "
                     "first, "
                     "such as HTTPS, is silent like this, and so is a proxy whose server does not answer."
               : p->tls_port ? " Not a single byte came: a proxy or firewall that accepts connections for a "
                               "server that does "
                               "not answer is silent like this."
                             : " Not a single byte came: a service in which the client speaks first, such as "
                               "TLS from the "
                               "first byte or HTTP, is silent like this, and so is a proxy whose server does "
                               "not answer.";
    case ERROR_CONNECTION_CLOSED:
    case ERROR_CONNECTION_RESET:
        return p->tls.completed
                   ? " TLS works, but not a single byte came inside it: a proxy that ends TLS does this when "
                     "the "
                     "server behind it does not answer."
                   : " Not a single byte came before that: a load balancer or proxy does this when the "
                     "server behind "
                     "it does not answer, and so does a filter that turns this tester's address away.";
    default:
        return "";
    }
}

/* By severity, port and id; what is equal keeps its order. There are few findings, bounded by the rules. */
static bool before(const struct finding *a, const struct finding *b)
{
    if (a->severity != b->severity) {
        return a->severity < b->severity;
    }
    if (a->port != b->port) {
        return a->port < b->port;
    }
    return strcmp(finding_row(a->id)->id, finding_row(b->id)->id) < 0;
}

static void sort(struct finding *findings, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct finding moved = findings[i];
        size_t at = i;
        for (; at > 0 && before(&moved, &findings[at - 1]); at--) {
            findings[at] = findings[at - 1];
        }
        findings[at] = moved;
    }
}

/* What the findings that concern `port` come to; 0: all of them. */
static enum verdict worst(const struct report *r, uint16_t port)
{
    enum verdict verdict = VERDICT_OK;
    for (size_t i = 0; i < r->finding_count; i++) {
        if (port != 0 && r->findings[i].port != port) {
            continue;
        }
        if (r->findings[i].severity == SEVERITY_CRITICAL) {
            return VERDICT_PROBLEMS;
        }
        if (r->findings[i].severity == SEVERITY_WARNING) {
            verdict = VERDICT_WARNINGS;
        }
    }
    return verdict;
}

/* Turned away for now, or never greeted, before anything could be learnt of the port's TLS. */
static bool inconclusive(const struct port_report *p)
{
    enum outcome outcome = judge_outcome(p);
    return !p->tls.completed && (outcome == OUTCOME_REFUSED_FOR_NOW || outcome == OUTCOME_NO_GREETING);
}

static enum verdict judge_port(const struct report *r, const struct port_report *p)
{
    if (!p->reachable) {
        return VERDICT_UNREACHABLE;
    }
    return inconclusive(p) ? VERDICT_INCONCLUSIVE : worst(r, p->number);
}

static enum verdict judge_host(const struct report *r)
{
    size_t unreachable = 0, silent = 0;
    for (size_t i = 0; i < r->port_count; i++) {
        unreachable += r->ports[i].verdict == VERDICT_UNREACHABLE;
        silent += r->ports[i].verdict == VERDICT_INCONCLUSIVE;
    }
    if (unreachable == r->port_count) {
        return VERDICT_UNREACHABLE;
    }
    return silent + unreachable == r->port_count ? VERDICT_INCONCLUSIVE : worst(r, 0);
}

bool judge(struct report *r)
{
    r->finding_count = 0;
    judge_reach(r);
    judge_dialogue(r);
    judge_capability(r);
    judge_tls(r);
    judge_certificate(r);
    sort(r->findings, r->finding_count);
    for (size_t i = 0; i < r->port_count; i++) {
        r->ports[i].verdict = judge_port(r, &r->ports[i]);
    }
    r->verdict = judge_host(r);
    r->summary = judge_summary(r);
    return r->summary != NULL && !r->arena.failed;
}

#include <string.h>

#include "probe/report/gaps.h"
#include "probe/report/judge_internal.h"

/* How many words of a list are spelled out in a sentence. */
#define WORDS_SHOWN 8u

static void capability_refused(struct report *r, const struct port_report *p)
{
    const struct reply *replies[] = {&p->dialogue.capability_plain, &p->dialogue.capability_tls};
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        if (replies[i]->status != REPLY_NO && replies[i]->status != REPLY_BAD) {
            continue;
        }
        judge_add(r, p, FINDING_CAPABILITY_REFUSED,
                  arena_printf(&r->arena, "CAPABILITY %s TLS was answered with %s: \"%s\".",
                               i == 0 ? "before" : "inside", replies[i]->status == REPLY_NO ? "NO" : "BAD",
                               judge_quote_answer(r, &replies[i]->text)));
        return;
    }
}

/* RFC 9051 section 7.2.2: one of the two has to be listed. The port is named where one alone gave the lists.
 */
static void imap_revision_missing(struct report *r)
{
    const struct port_report *only = NULL;
    size_t listing = 0;
    bool inside = false;
    for (size_t i = 0; i < r->port_count; i++) {
        inside |= caps_seen(&r->ports[i].caps, gaps_tls_phases(&r->ports[i]));
        if (caps_seen(&r->ports[i].caps, gaps_phases(r, &r->ports[i]))) {
            only = &r->ports[i];
            listing++;
        }
    }
    if (listing > 0 && !gaps_offered(r, "IMAP4rev1") && !gaps_offered(r, "IMAP4rev2")) {
        judge_add(r, listing == 1 ? only : NULL, FINDING_IMAP_REVISION_MISSING,
                  inside ? "No list of capabilities inside TLS names IMAP4rev1 or IMAP4rev2."
                         : "No list of capabilities names IMAP4rev1 or IMAP4rev2.");
    }
}

static bool has(const struct port_report *p, struct text word)
{
    char name[LIMIT_CAPABILITY_BYTES + 1];
    if (word.len > LIMIT_CAPABILITY_BYTES) {
        return false;
    }
    memcpy(name, word.data, word.len);
    name[word.len] = '\0';
    return caps_has(&p->caps, gaps_tls_phases(p), name);
}

/* The words that only the first port has; NULL: none. STARTTLS and LOGINDISABLED differ by their nature. */
static const char *surplus(struct report *r, const struct port_report *p, const struct port_report *other)
{
    const char *list = NULL;
    size_t shown = 0, left = 0;
    for (size_t i = 0; i < p->caps.all.count; i++) {
        struct text word = p->caps.all.names[i];
        bool counts = (p->caps.phases[i] & gaps_tls_phases(p)) != 0;
        if (!counts || text_is(word, "STARTTLS") || text_is(word, "LOGINDISABLED") || has(other, word)) {
            continue;
        }
        if (shown == WORDS_SHOWN) {
            left++;
            continue;
        }
        list = arena_printf(&r->arena, "%s%s%s", list != NULL ? list : "", shown++ > 0 ? ", " : "",
                            judge_quote(r, word));
    }
    return left == 0 ? list : arena_printf(&r->arena, "%s and %zu more", list != NULL ? list : "", left);
}

static void capabilities_differ(struct report *r)
{
    for (size_t i = 1; i < r->port_count; i++) {
        const struct port_report *a = &r->ports[0], *b = &r->ports[i];
        if (!caps_seen(&a->caps, gaps_tls_phases(a)) || !caps_seen(&b->caps, gaps_tls_phases(b))) {
            continue;
        }
        const char *only_a = surplus(r, a, b), *only_b = surplus(r, b, a);
        if (only_a != NULL || only_b != NULL) {
            judge_add(r, NULL, FINDING_CAPABILITIES_DIFFER_BETWEEN_PORTS,
                      arena_printf(&r->arena, "Only port %u lists: %s. Only port %u lists: %s.",
                                   (unsigned)a->number, only_a != NULL ? only_a : "nothing",
                                   (unsigned)b->number, only_b != NULL ? only_b : "nothing"));
        }
    }
}

void judge_capability(struct report *r)
{
    for (size_t i = 0; i < r->port_count; i++) {
        capability_refused(r, &r->ports[i]);
    }
    imap_revision_missing(r);
    capabilities_differ(r);
}

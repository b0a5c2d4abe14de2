#include "probe/report/gaps.h"

#include <string.h>

/* What is offered along with another word: RFC 7162 section 3.2, RFC 7888 section 5 and, for what IMAP4rev2
 * took in, RFC 9051 appendix E. */
static const struct {
    const char *name, *implied_by;
} implications[] = {
    {"CONDSTORE", "QRESYNC"},   {"LITERAL+", "LITERAL-"},  {"LITERAL-", "LITERAL+"},
    {"LITERAL+", "IMAP4rev2"},  {"LITERAL-", "IMAP4rev2"}, {"IDLE", "IMAP4rev2"},
    {"MOVE", "IMAP4rev2"},      {"UIDPLUS", "IMAP4rev2"},  {"SASL-IR", "IMAP4rev2"},
    {"NAMESPACE", "IMAP4rev2"}, {"ENABLE", "IMAP4rev2"},   {"SPECIAL-USE", "IMAP4rev2"},
};

unsigned gaps_tls_phases(const struct port_report *port)
{
    return port->tls_port ? CAPS_IN(CAPS_GREETING) | CAPS_IN(CAPS_COMMAND) : CAPS_IN(CAPS_STARTTLS);
}

unsigned gaps_phases(const struct report *r, const struct port_report *port)
{
    for (size_t i = 0; i < r->port_count; i++) {
        if (caps_seen(&r->ports[i].caps, gaps_tls_phases(&r->ports[i]))) {
            return gaps_tls_phases(port);
        }
    }
    return CAPS_IN(CAPS_GREETING) | CAPS_IN(CAPS_COMMAND);
}

bool gaps_list_seen(const struct report *r)
{
    for (size_t i = 0; i < r->port_count; i++) {
        if (caps_seen(&r->ports[i].caps, gaps_phases(r, &r->ports[i]))) {
            return true;
        }
    }
    return false;
}

bool gaps_offered(const struct report *r, const char *word)
{
    for (size_t i = 0; i < r->port_count; i++) {
        if (caps_has(&r->ports[i].caps, gaps_phases(r, &r->ports[i]), word)) {
            return true;
        }
    }
    return false;
}

/* THREAD is only ever listed as THREAD=REFERENCES and the like (RFC 5256 section 1). */
static bool offered_with_value(const struct report *r, const char *word)
{
    char prefix[LIMIT_CAPABILITY_BYTES + 2];
    size_t len = strlen(word);
    if (len > LIMIT_CAPABILITY_BYTES) {
        return false;
    }
    memcpy(prefix, word, len);
    memcpy(prefix + len, "=", sizeof "=");
    for (size_t i = 0; i < r->port_count; i++) {
        if (caps_has_prefix(&r->ports[i].caps, gaps_phases(r, &r->ports[i]), prefix)) {
            return true;
        }
    }
    return false;
}

bool gaps_missing(const struct report *r, const struct catalogue_row *row)
{
    if (!row->gap || !gaps_list_seen(r) || gaps_offered(r, row->name) || offered_with_value(r, row->name)) {
        return false;
    }
    for (size_t i = 0; i < sizeof implications / sizeof implications[0]; i++) {
        if (strcmp(implications[i].name, row->name) == 0 && gaps_offered(r, implications[i].implied_by)) {
            return false;
        }
    }
    return true;
}

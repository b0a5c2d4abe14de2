/* judge_internal.h: what the files of the judge share; for judge*.c alone. A rule looks at one port or, where
 * its port is NULL, at the whole report, and adds the finding whose facts it sees. It changes nothing else.
 */
#ifndef REPORT_JUDGE_INTERNAL_H
#define REPORT_JUDGE_INTERNAL_H

#include "probe/report/report.h"

#define SECONDS_PER_DAY 86400

/* How the test of a port ended. */
enum outcome {
    OUTCOME_UNRESOLVED,
    OUTCOME_UNREACHABLE,
    OUTCOME_NO_GREETING,
    OUTCOME_NOT_IMAP,
    OUTCOME_REFUSED,
    OUTCOME_REFUSED_FOR_NOW,
    OUTCOME_STARTTLS_MISSING,
    OUTCOME_STARTTLS_FAILED,
    OUTCOME_STARTTLS_INJECTED,
    OUTCOME_TLS_FAILED, /* from the first byte */
    OUTCOME_CUT_OFF,
    OUTCOME_COMPLETE
};

enum outcome judge_outcome(const struct port_report *p);

/* Whether a password may be sent on the plain port, as far as its lists tell. */
bool judge_plaintext_login(const struct port_report *p);

/* Adds a finding with the usual severity and title of its row. Port NULL: of the whole host. The detail is a
 * string of the arena; NULL (memory has run out, which the arena remembers) adds nothing. */
void judge_add(struct report *r, const struct port_report *p, enum finding_id id, const char *detail);

/* The same where severity, title or address are others; title NULL: that of the row; address NULL: the
 * port's. */
void judge_add_as(struct report *r, const struct port_report *p, enum finding_id id, enum severity severity,
                  const char *title, const struct ip *address, const char *detail);

/* The finding of this id on this port (NULL: of the whole host), NULL: none. */
const struct finding *judge_found(const struct report *r, const struct port_report *p, enum finding_id id);

/* Bytes from outside, fit to stand inside a sentence; never NULL. */
const char *judge_quote(struct report *r, struct text t);

/* What a tagged or untagged answer said: "[CODE argument] text"; never NULL. */
const char *judge_quote_answer(struct report *r, const struct resp_text *t);

/* The sentence of the failure with its raw name or alert, the server's words, and what speaks like this;
 * never NULL.
 */
const char *judge_explain(struct report *r, const struct failure *f);

/* The protocol that the port speaks in the place of the one expected, where its words tell; else NULL. */
const char *judge_foreign(const struct failure *f);

/* What a port may be that ended or was silent without having said anything, to be put behind judge_explain();
 * empty where something came. */
const char *judge_silence(const struct port_report *p);

/* Whole days until the leaf expires, rounded down; negative afterwards. */
int64_t judge_days_remaining(const struct report *r, const struct certificate *c);

/* The families of rules. */
void judge_reach(struct report *r);
void judge_dialogue(struct report *r);
void judge_capability(struct report *r);
void judge_tls(struct report *r);
void judge_certificate(struct report *r);

/* One or two sentences about everything that was judged before. */
const char *judge_summary(struct report *r);

#endif

/* sample.h: a report about a host with nothing to complain of, as tests take it before they break one thing.
 */
#ifndef TESTS_REPORT_SAMPLE_H
#define TESTS_REPORT_SAMPLE_H

#include "probe/report/judge.h"
#include "probe/report/report.h"

#define SAMPLE_NOW INT64_C(1795458540) /* 2026-11-23T18:29:00Z */
#define SAMPLE_DAY INT64_C(86400)

/* Ports 143 and 993, both fine; free with report_deinit(). */
void sample_report(struct report *r);

/* Forgets the words of one phase and notes these instead, separated by spaces. */
void sample_caps(struct report *r, struct port_report *p, enum caps_phase phase, const char *words);

/* Takes away all that was learnt, as if the connection had failed like this. */
void sample_fail(struct port_report *p, enum error_code code, enum phase phase);

/* Ends the dialogue of a port that was reached: what is learnt later than the phase goes. */
void sample_stop(struct port_report *p, enum error_code code, enum phase phase);

struct ip sample_ip(const char *s);

/* One row each of the tables of cases: judged is the sample after `change`. */
struct sample_found {
    void (*change)(void);
    enum finding_id id;
    enum severity severity;
    unsigned port;
};

struct sample_absent {
    void (*change)(void);
    enum finding_id id; /* FINDING_COUNT: nothing may be found */
};

struct sample_verdict {
    void (*change)(void);
    enum verdict plain, secure, host;
    const char *summary; /* NULL: not compared */
};

/* Each makes, judges and frees the report anew for every row, and fails the test that calls it. */
void sample_check_found(struct report *r, const struct sample_found *rows, size_t count);
void sample_check_absent(struct report *r, const struct sample_absent *rows, size_t count);
void sample_check_verdicts(struct report *r, const struct sample_verdict *rows, size_t count);

/* Every finding from `first` to `last` has a row with its usual severity. */
void sample_check_rows(const struct sample_found *rows, size_t count, enum finding_id first,
                       enum finding_id last);

/* NULL: none. Port 0: of the whole host. */
const struct finding *sample_find(const struct report *r, enum finding_id id, unsigned port);

#endif

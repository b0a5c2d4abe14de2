/* finding.h: what can be found wrong with a host: one row for each in finding.def. */
#ifndef REPORT_FINDING_H
#define REPORT_FINDING_H

#include <stdint.h>

#include "probe/base/ip.h"

enum severity { SEVERITY_CRITICAL, SEVERITY_WARNING, SEVERITY_NOTICE, SEVERITY_INFO, SEVERITY_COUNT };

enum finding_id {
#define X(name, id, severity, title, remedy, reference) FINDING_##name,
#include "probe/report/finding.def"
#undef X
    FINDING_COUNT
};

struct finding {
    enum finding_id id;
    enum severity severity;
    uint16_t port;     /* 0: the whole host */
    struct ip address; /* family 0: none */
    const char *title;
    const char *detail; /* printable UTF-8, arena */
    const char *remedy;
    const char *reference;
};

/* The row of finding.def: its id as in the report, usual severity, and texts. */
struct finding_row {
    const char *id;
    enum severity severity;
    const char *title, *remedy, *reference;
};

const struct finding_row *finding_row(enum finding_id id);
const char *severity_name(enum severity s);

#endif

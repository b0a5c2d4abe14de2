#include "probe/report/finding.h"

static const struct finding_row rows[FINDING_COUNT] = {
#define X(name, id, severity, title, remedy, reference)                                                      \
    [FINDING_##name] = {id, severity, title, remedy, reference},
#include "probe/report/finding.def"
#undef X
};

static const char *const severities[SEVERITY_COUNT] = {
    [SEVERITY_CRITICAL] = "critical",
    [SEVERITY_WARNING] = "warning",
    [SEVERITY_NOTICE] = "notice",
    [SEVERITY_INFO] = "info",
};

const struct finding_row *finding_row(enum finding_id id)
{
    return &rows[id];
}

const char *severity_name(enum severity s)
{
    return severities[s];
}

/* judge.h: from facts to findings, verdicts and one summary. Pure: the time comes with the report. */
#ifndef REPORT_JUDGE_H
#define REPORT_JUDGE_H

#include "probe/report/report.h"

/* Writes findings (sorted by severity, port, id), the verdicts of ports and report, and the summary into the
 * report. False: out of memory. */
bool judge(struct report *r);

#endif

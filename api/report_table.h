/* report_table.h: the report as text for people at a terminal. Pure. What came from the tested server, its
 * DNS or its certificate is shown through text_show(), so that nothing acts on the terminal. The form may
 * change with any version; programs read the JSON. */
#ifndef API_REPORT_TABLE_H
#define API_REPORT_TABLE_H

#include "probe/report/report.h"

/* A judged report in lines of at most 80 characters (but for longer words), the last one ended too: UTF-8,
 * NUL-terminated, malloc'd, the caller's. NULL: no memory. */
char *report_table(const struct report *r);

#endif

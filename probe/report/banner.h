/* banner.h: which protocol it is whose server says these words first. Pure. */
#ifndef REPORT_BANNER_H
#define REPORT_BANNER_H

#include "probe/base/text.h"

/* The usual name of the protocol that starts with these bytes, as far as they have come: "HTTP", "SMTP";
 * "IMAP" for a greeting; NULL where they are no sure sign of any. */
const char *banner_protocol(struct text first);

#endif

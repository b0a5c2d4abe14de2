/* hostmatch.h: whether a name in a certificate covers a host: RFC 9525 section 6.3, and nothing laxer. Pure.
 */
#ifndef NET_HOSTMATCH_H
#define NET_HOSTMATCH_H

#include <stdbool.h>

#include "probe/base/text.h"

/* `presented`: a dNSName as encoded. `host`: lower-case A-labels without a trailing dot. A wildcard counts
 * only as the whole left-most label and stands for exactly one label; a name with anything but letters,
 * digits, hyphen, underscore and dots matches nothing. */
bool hostmatch_dns(struct text presented, const char *host);

#endif

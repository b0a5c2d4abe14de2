/* request.h: what is to be tested, all of it checked already. Plain data. */
#ifndef PROBE_REQUEST_H
#define PROBE_REQUEST_H

#include <stdbool.h>

#include "probe/base/ip.h"
#include "probe/base/limits.h"

struct probe_request {
    char host[LIMIT_HOST_BYTES + 1]; /* lower-case A-labels without trailing dot, or an IP literal */
    char host_unicode[LIMIT_HOST_BYTES * 4 + 1]; /* U-labels; empty where `host` says the same */
    struct ip host_ip;                           /* of an IP literal; family 0 for a name */
    struct ip address;                           /* connect here instead of resolving; family 0: resolve */
    bool imap, imaps;                            /* which ports are asked for; at least one */
    bool transcript;                             /* keep the lines sent and received */
    unsigned timeout_ms;                         /* the whole test */
};

#endif

/* host.h: which host a caller means. Pure; asks no DNS and knows no policy about targets. */
#ifndef API_HOST_H
#define API_HOST_H

#include <stddef.h>

#include "probe/request.h"

#define HOST_WHY_SIZE 320

enum host_result { HOST_OK, HOST_INVALID, HOST_NO_MEMORY };

/* A DNS name (A-labels, or U-labels in UTF-8: RFC 5890), an IPv4 literal, or an IPv6 literal with or without
 * brackets. Sets host, host_unicode and host_ip of *out and leaves the rest alone; all three are empty unless
 * HOST_OK. On HOST_INVALID why[HOST_WHY_SIZE] says, in ASCII and without the caller's bytes, what to change.
 */
enum host_result host_parse(const char *bytes, size_t len, struct probe_request *out, char *why);

/* An IP literal alone, IPv6 with or without brackets. */
bool host_parse_ip(const char *bytes, size_t len, struct ip *ip);

#endif

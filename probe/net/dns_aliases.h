/* dns_aliases.h: the CNAMEs in a DNS answer (RFC 1035 section 3.3.1), which c-ares' parsers of addresses do
 * not tell. Pure: bytes in, facts out. */
#ifndef NET_DNS_ALIASES_H
#define NET_DNS_ALIASES_H

#include <stdbool.h>
#include <stddef.h>

/* A name as text: each of 255 octets may be escaped as \\DDD. */
#define DNS_NAME_SIZE 1024

struct dns_aliases {
    size_t count;                       /* CNAME records in the answer */
    char canonical_name[DNS_NAME_SIZE]; /* owner of the first address, else what the last alias points to */
    bool no_memory;
};

/* False: the message is malformed, or `no_memory` says why it could not be read. */
bool dns_aliases_read(struct dns_aliases *out, const unsigned char *reply, size_t len);

#endif

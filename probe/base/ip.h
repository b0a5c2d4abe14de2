/* ip.h: an IP address as a value: parse, print, compare, convert. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct ip {
    uint8_t family;    /* 4, 6, or 0 for none */
    uint8_t bytes[16]; /* network order; the first four for IPv4 */
};

#define IP_TEXT_SIZE 46

/* Strict: dotted quad of four decimal numbers, or RFC 4291 text without zone id and brackets. */
bool ip_parse(struct ip *ip, const char *s);

/* The RFC 5952 form. buf holds IP_TEXT_SIZE bytes; returns buf. */
const char *ip_format(const struct ip *ip, char *buf);

bool ip_equal(const struct ip *a, const struct ip *b);

/* False for other families than AF_INET and AF_INET6. */
bool ip_from_sockaddr(struct ip *ip, const struct sockaddr *sa);

/* Fills *ss for connect() or bind(); returns its length. */
socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ss);

/* A network: the first `bits` bits of `ip` count. */
struct cidr {
    struct ip ip;
    unsigned bits;
};

/* ADDRESS or ADDRESS/BITS; a bare address is a network of one. False for anything else, also where bits
 * beyond the prefix are set. */
bool cidr_parse(struct cidr *cidr, const char *s);

/* Never across families. */
bool cidr_contains(const struct cidr *cidr, const struct ip *ip);

#endif

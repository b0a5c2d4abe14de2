#include "probe/base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static unsigned address_bits(const struct ip *ip)
{
    return ip->family == 4 ? 32 : 128;
}

bool ip_parse(struct ip *ip, const char *s)
{
    *ip = (struct ip){0};
    if (inet_pton(AF_INET, s, ip->bytes) == 1) {
        ip->family = 4;
    } else if (inet_pton(AF_INET6, s, ip->bytes) == 1) {
        ip->family = 6;
    } else {
        *ip = (struct ip){0};
    }
    return ip->family != 0;
}

const char *ip_format(const struct ip *ip, char *buf)
{
    buf[0] = '\0';
    if (ip->family == 4) {
        inet_ntop(AF_INET, ip->bytes, buf, IP_TEXT_SIZE);
    } else if (ip->family == 6) {
        inet_ntop(AF_INET6, ip->bytes, buf, IP_TEXT_SIZE);
    }
    return buf;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family) {
        return false;
    }
    return a->family == 0 || memcmp(a->bytes, b->bytes, address_bits(a) / 8) == 0;
}

bool ip_from_sockaddr(struct ip *ip, const struct sockaddr *sa)
{
    *ip = (struct ip){0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        ip->family = 4;
        memcpy(ip->bytes, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        ip->family = 6;
        memcpy(ip->bytes, &in6.sin6_addr, 16);
    }
    return ip->family != 0;
}

socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (ip->family == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, ip->bytes, 4);
        memcpy(ss, &in, sizeof in);
        return sizeof in;
    }
    if (ip->family == 6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&in6.sin6_addr, ip->bytes, 16);
        memcpy(ss, &in6, sizeof in6);
        return sizeof in6;
    }
    return 0;
}

/* "0" to the maximum, as one would write it: no sign, no leading zero. */
static bool parse_bits(const char *s, unsigned max, unsigned *bits)
{
    size_t digits = strspn(s, "0123456789");
    if (digits == 0 || digits > 3 || s[digits] != '\0' || (s[0] == '0' && digits > 1)) {
        return false;
    }
    *bits = 0;
    for (; *s != '\0'; s++) {
        *bits = *bits * 10 + (unsigned)(*s - '0');
    }
    return *bits <= max;
}

/* Which bits of the i-th byte belong to a prefix of this length. */
static uint8_t mask_byte(unsigned bits, size_t i)
{
    if (bits >= 8 * (i + 1)) {
        return 0xFF;
    }
    if (bits <= 8 * i) {
        return 0;
    }
    return (uint8_t)(0xFF00u >> (bits - 8 * i));
}

bool cidr_parse(struct cidr *cidr, const char *s)
{
    char address[IP_TEXT_SIZE];
    size_t len = strcspn(s, "/");
    if (len >= sizeof address) {
        return false;
    }
    memcpy(address, s, len);
    address[len] = '\0';
    if (!ip_parse(&cidr->ip, address)) {
        return false;
    }
    cidr->bits = address_bits(&cidr->ip);
    if (s[len] == '/' && !parse_bits(s + len + 1, cidr->bits, &cidr->bits)) {
        return false;
    }
    for (size_t i = 0; i < address_bits(&cidr->ip) / 8; i++) {
        if ((cidr->ip.bytes[i] & ~mask_byte(cidr->bits, i)) != 0) {
            return false;
        }
    }
    return true;
}

bool cidr_contains(const struct cidr *cidr, const struct ip *ip)
{
    if (cidr->ip.family != ip->family || ip->family == 0) {
        return false;
    }
    for (size_t i = 0; 8 * i < cidr->bits; i++) {
        if (((cidr->ip.bytes[i] ^ ip->bytes[i]) & mask_byte(cidr->bits, i)) != 0) {
            return false;
        }
    }
    return true;
}

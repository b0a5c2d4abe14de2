#include "server/redis_url.h"

#include <stdio.h>
#include <string.h>

#include "probe/base/ip.h"

#define USUAL_PORT 6379
#define MOST_DATABASES 65535u
#define FORM "is neither redis://[USER:PASSWORD@]HOST[:PORT][/DB] nor unix://[USER:PASSWORD@]/PATH[?db=N]"

struct part {
    const char *at;
    size_t len;
};

static bool refuse(char *why, size_t why_size, const char *sentence)
{
    snprintf(why, why_size, "%s", sentence);
    return false;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* RFC 3986 section 2.1. False: too long, a bad escape, or an octet that ends a text. */
static bool decode(struct part in, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.at[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex_value(in.at[i + 1]) : -1;
            int low = high >= 0 ? hex_value(in.at[i + 2]) : -1;
            c = low >= 0 ? (char)(high * 16 + low) : '\0';
            i += 2;
        }
        if (c == '\0' || n + 1 == size) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool read_number(struct part in, unsigned max, unsigned *out)
{
    unsigned n = 0;
    for (size_t i = 0; i < in.len; i++) {
        if (in.at[i] < '0' || in.at[i] > '9' || (n = n * 10 + (unsigned)(in.at[i] - '0')) > max) {
            return false;
        }
    }
    *out = n;
    return in.len > 0;
}

/* Takes `user:password@` off the front, of the last @ before `end`: those in a password may stand as they
 * are. */
static bool take_user(struct redis_url *url, struct part *rest, size_t end, char *why, size_t why_size)
{
    const char *at = memrchr(rest->at, '@', end);
    if (!at) {
        return true;
    }
    struct part user = {rest->at, (size_t)(at - rest->at)};
    const char *colon = memchr(user.at, ':', user.len);
    if (!colon) {
        return refuse(why, why_size, "has no colon before the @; write user:password@, or :password@");
    }
    struct part password = {colon + 1, (size_t)(at - colon) - 1};
    user.len = (size_t)(colon - user.at);
    if (!decode(user, url->user, sizeof url->user) ||
        !decode(password, url->password, sizeof url->password)) {
        return refuse(why, why_size,
                      "has a user or password of over 512 octets, or with a % without two hexadecimal digits "
                      "behind it (a percent sign itself is %25)");
    }
    url->has_password = true;
    rest->len -= (size_t)(at - rest->at) + 1;
    rest->at = at + 1;
    return true;
}

static bool is_name(struct part host)
{
    size_t i = 0;
    while (i < host.len && (strchr("-._", host.at[i]) || (host.at[i] >= '0' && host.at[i] <= '9') ||
                            ((host.at[i] | 32) >= 'a' && (host.at[i] | 32) <= 'z'))) {
        i++;
    }
    return i == host.len;
}

static bool read_host(struct redis_url *url, struct part host, bool literal, char *why, size_t why_size)
{
    struct ip ip;
    if (host.len == 0) {
        return refuse(why, why_size, "has no host");
    }
    if (host.len >= sizeof url->host) {
        return refuse(why, why_size, "has a host that is too long");
    }
    memcpy(url->host, host.at, host.len);
    url->host[host.len] = '\0';
    return (literal ? ip_parse(&ip, url->host) && ip.family == 6 : is_name(host)) ||
           refuse(why, why_size,
                  "has a host that is neither a name, nor an IPv4 address, nor an IPv6 address in "
                  "brackets");
}

/* host[:port][/db] */
static bool read_network(struct redis_url *url, struct part rest, char *why, size_t why_size)
{
    struct part host = rest, port = {NULL, 0}, database = {NULL, 0};
    const char *slash = memchr(rest.at, '/', rest.len);
    unsigned number = USUAL_PORT;
    bool literal = rest.len > 0 && rest.at[0] == '[';

    if (slash) {
        host.len = (size_t)(slash - rest.at);
        database = (struct part){slash + 1, rest.len - host.len - 1};
    }
    const char *bracket = literal ? memchr(host.at, ']', host.len) : NULL;
    const char *behind = bracket ? bracket + 1 : host.at;
    const char *colon = memchr(behind, ':', (size_t)(host.at + host.len - behind));
    if (colon) {
        port = (struct part){colon + 1, (size_t)(host.at + host.len - colon) - 1};
        host.len = (size_t)(colon - host.at);
    }
    if (bracket && host.at + host.len == behind) {
        host = (struct part){host.at + 1, host.len - 2};
    }
    if (!read_host(url, host, bracket != NULL, why, why_size)) {
        return false;
    }
    if (colon && (!read_number(port, UINT16_MAX, &number) || number == 0)) {
        return refuse(why, why_size, "has a port that is no number from 1 to 65535");
    }
    url->port = (uint16_t)number;
    return database.len == 0 || read_number(database, MOST_DATABASES, &url->database) ||
           refuse(why, why_size, "has a database behind the host that is no number from 0 to 65535");
}

/* /path[?db=N] */
static bool read_socket(struct redis_url *url, struct part rest, char *why, size_t why_size)
{
    static const char parameter[] = "db=";
    const char *mark = memchr(rest.at, '?', rest.len);
    struct part path = {rest.at, mark ? (size_t)(mark - rest.at) : rest.len};

    if (path.len < 2 || path.at[0] != '/') {
        return refuse(why, why_size, "has no path of a socket, which starts with a /");
    }
    if (!decode(path, url->path, sizeof url->path)) {
        return refuse(why, why_size, "has a path of over 107 octets, or with a bad % in it");
    }
    if (!mark) {
        return true;
    }
    struct part query = {mark + 1, rest.len - path.len - 1};
    size_t len = sizeof parameter - 1;
    return (query.len > len && memcmp(query.at, parameter, len) == 0 &&
            read_number((struct part){query.at + len, query.len - len}, MOST_DATABASES, &url->database)) ||
           refuse(why, why_size, "has something else than db= and a number up to 65535 behind the ?");
}

bool redis_url_parse(struct redis_url *url, const char *text, char *why, size_t why_size)
{
    static const char network[] = "redis://", local[] = "unix://", secure[] = "rediss://";
    *url = (struct redis_url){.port = 0};
    if (strncmp(text, secure, sizeof secure - 1) == 0) {
        return refuse(why, why_size,
                      "asks for TLS, which this program does not speak to its store: give redis:// within a "
                      "network of your own, or to a tunnel on this machine");
    }
    bool socket = strncmp(text, local, sizeof local - 1) == 0;
    if (!socket && strncmp(text, network, sizeof network - 1) != 0) {
        return refuse(why, why_size, FORM);
    }
    struct part rest = {text + (socket ? sizeof local : sizeof network) - 1, 0};
    rest.len = strlen(rest.at);
    if (!socket && rest.at[strcspn(rest.at, "?#")] != '\0') {
        return refuse(why, why_size,
                      "has a ? or #, which says nothing here; in a password they are written %3F and %23");
    }
    size_t end = strcspn(rest.at, "/");
    if (!socket && strchr(rest.at + end, '@')) {
        return refuse(why, why_size, "has a / before an @; in a password it is written %2F");
    }
    return take_user(url, &rest, end, why, why_size) &&
           (socket ? read_socket(url, rest, why, why_size) : read_network(url, rest, why, why_size));
}

void redis_url_hide(char *text)
{
    char *from = strstr(text, "://");
    char *to = from ? strrchr(from, '@') : NULL;
    if (to) {
        memset(from + 3, '*', (size_t)(to - from) - 3);
    }
}

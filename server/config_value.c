#include "server/config_value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/host.h"
#include "probe/base/limits.h"
#include "probe/net/target.h"
#include "server/config.h"
#include "server/redis_url.h"

#define RATE_COUNT_MAX 1000000u
#define RATE_SECONDS_MAX 86400u

/* Brackets included, and with scheme and port. */
#define ORIGIN_HOST_SIZE (LIMIT_HOST_BYTES + 3u)
#define ORIGIN_SIZE 320

struct bounds {
    unsigned min, max;
};

/* Decimal digits only, at least one of them. */
static bool parse_number(const char *s, size_t len, struct bounds b, unsigned *out)
{
    unsigned long long n = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        n = n * 10 + (unsigned)(s[i] - '0');
        if (n > b.max) {
            return false;
        }
    }
    *out = (unsigned)n;
    return len > 0 && n >= b.min;
}

static bool check_number(const char *value, struct bounds b, void *field, char *why)
{
    snprintf(why, VALUE_WHY_SIZE, "is not a number from %u to %u", b.min, b.max);
    return parse_number(value, strlen(value), b, field);
}

static bool check_port(const char *value, struct bounds b, void *field, char *why)
{
    unsigned port = 0;
    if (!check_number(value, b, &port, why)) {
        return false;
    }
    *(uint16_t *)field = (uint16_t)port;
    return true;
}

static bool check_rate(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    struct rate rate = {.seconds = 1};
    size_t len = strcspn(value, "/");
    bool ok = parse_number(value, len, (struct bounds){0, RATE_COUNT_MAX}, &rate.count);
    if (ok && value[len] == '/') {
        ok = parse_number(value + len + 1, strlen(value + len + 1), (struct bounds){1, RATE_SECONDS_MAX},
                          &rate.seconds);
    } else {
        ok = ok && rate.count == 0;
    }
    if (ok) {
        *(struct rate *)field = rate;
    } else {
        snprintf(why, VALUE_WHY_SIZE,
                 "is not N/SECONDS such as 60/60, with N up to %u and SECONDS from 1 to %u; 0 is no limit",
                 RATE_COUNT_MAX, RATE_SECONDS_MAX);
    }
    return ok;
}

static bool check_log_format(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    bool json = strcmp(value, "json") == 0;
    if (!json && strcmp(value, "text") != 0) {
        snprintf(why, VALUE_WHY_SIZE, "is neither json nor text");
        return false;
    }
    *(enum log_format *)field = json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    return true;
}

static bool check_log_level(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(value, log_level_name((enum log_level)i)) == 0) {
            *(enum log_level *)field = (enum log_level)i;
            return true;
        }
    }
    snprintf(why, VALUE_WHY_SIZE, "is none of error, warn, info and debug");
    return false;
}

static bool check_flag(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    bool on = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
    if (!on && strcmp(value, "false") != 0 && strcmp(value, "0") != 0) {
        snprintf(why, VALUE_WHY_SIZE, "is neither true nor false");
        return false;
    }
    *(bool *)field = on;
    return true;
}

static bool check_switch(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    bool on = strcmp(value, "on") == 0;
    if (!on && strcmp(value, "off") != 0) {
        snprintf(why, VALUE_WHY_SIZE, "is neither on nor off");
        return false;
    }
    *(bool *)field = on;
    return true;
}

static bool check_path(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    snprintf(why, VALUE_WHY_SIZE, "is no name of a file");
    return value[0] != '\0';
}

static bool check_file(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    struct stat st;
    int code = 0;
    if (stat(value, &st) != 0 || access(value, R_OK) != 0) {
        code = errno;
    } else if (S_ISDIR(st.st_mode)) {
        code = EISDIR;
    }
    char words[128];
    if (code != 0) {
        snprintf(why, VALUE_WHY_SIZE, "cannot be read: %s", strerror_r(code, words, sizeof words));
    }
    return code == 0;
}

bool config_endpoint(const char *s, struct ip *ip, int *port)
{
    *port = -1;
    const char *colon = strrchr(s, ':');
    size_t len = strlen(s);
    /* More than one colon without brackets is an IPv6 address, never one with a port. */
    bool has_port = colon != NULL && (strchr(s, ':') == colon || colon[-1] == ']');
    if (has_port) {
        unsigned number;
        if (!parse_number(colon + 1, strlen(colon + 1), (struct bounds){0, UINT16_MAX}, &number)) {
            return false;
        }
        *port = (int)number;
        len = (size_t)(colon - s);
    }
    return host_parse_ip(s, len, ip);
}

static bool check_listen(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    struct ip ip;
    int port;
    snprintf(why, VALUE_WHY_SIZE,
             "is not an IP address with a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080");
    return config_endpoint(value, &ip, &port) && port >= 0;
}

static bool check_dns(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    struct ip ip;
    int port;
    snprintf(why, VALUE_WHY_SIZE,
             "is not an IP address with or without a port, such as 192.0.2.53 or [::1]:53");
    return config_endpoint(value, &ip, &port) && port != 0;
}

static bool check_cidr(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    struct cidr cidr;
    snprintf(why, VALUE_WHY_SIZE,
             "is not a network such as 192.0.2.0/24 or 2001:db8::/32 (no bits may be set behind the prefix)");
    return cidr_parse(&cidr, value);
}

static bool check_nat64(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    struct cidr cidr;
    snprintf(why, VALUE_WHY_SIZE,
             "is not a NAT64 prefix such as 2001:db8:64::/96: an IPv6 network of 32, 40, 48, 56, 64 or 96 "
             "bits with bits 64 to 71 and all bits behind the prefix zero (RFC 6052 section 2.2)");
    return cidr_parse(&cidr, value) && target_nat64_valid(&cidr);
}

static bool check_address(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    snprintf(why, VALUE_WHY_SIZE, "is not an IP address such as 192.0.2.10 or 2001:db8::10");
    return host_parse_ip(value, strlen(value), field);
}

static bool check_host(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    struct probe_request request;
    char reason[HOST_WHY_SIZE];
    enum host_result result = host_parse(value, strlen(value), &request, reason);
    snprintf(why, VALUE_WHY_SIZE, "is not a host: %s", result == HOST_NO_MEMORY ? "out of memory" : reason);
    return result == HOST_OK;
}

/* Nothing of the value is repeated, as it may hold a password. */
static bool check_redis(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    struct redis_url url;
    bool ok = redis_url_parse(&url, value, why, VALUE_WHY_SIZE);
    explicit_bzero(&url, sizeof url);
    return ok;
}

/* What ends in a number is an IPv4 address to browsers (URL standard, "ends in a number checker"). */
static bool ends_in_number(const char *host, size_t len)
{
    size_t label = len;
    while (label > 0 && host[label - 1] >= '0' && host[label - 1] <= '9') {
        label--;
    }
    return label < len && (label == 0 || host[label - 1] == '.');
}

/* Writes the host that s starts with to out[ORIGIN_HOST_SIZE], as browsers do; returns its length in s, 0 for
 * none. */
static size_t normalise_host(const char *s, char *out)
{
    struct ip ip;
    if (s[0] == '[') {
        char address[IP_TEXT_SIZE];
        size_t len = strcspn(s, "]") + 1;
        if (len > strlen(s) || !host_parse_ip(s, len, &ip)) {
            return 0;
        }
        snprintf(out, ORIGIN_HOST_SIZE, "[%s]", ip_format(&ip, address));
        return strchr(out, '.') == NULL ? len : 0; /* browsers write an IPv4 part in hexadecimal */
    }
    size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-._");
    snprintf(out, ORIGIN_HOST_SIZE, "%.*s", (int)len, s);
    bool fits = len <= LIMIT_HOST_BYTES && (!ends_in_number(s, len) || host_parse_ip(s, len, &ip));
    return fits ? len : 0;
}

/* Takes scheme://host[:port] in lower case and writes it to out[ORIGIN_SIZE] as browsers do in the header
 * Origin (RFC 6454 section 6.2): without the port that goes without saying. */
static bool normalise_origin(const char *s, char *out)
{
    size_t scheme = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    if (s[0] < 'a' || s[0] > 'z' || strncmp(s + scheme, "://", 3) != 0) {
        return false;
    }
    char host[ORIGIN_HOST_SIZE];
    size_t len = normalise_host(s + scheme + 3, host);
    const char *rest = s + scheme + 3 + len;
    unsigned usual = 0, port = 0;
    if (strncmp(s, "http:", 5) == 0 || strncmp(s, "https:", 6) == 0) {
        usual = s[4] == 's' ? 443 : 80;
    }
    if (len == 0 ||
        (rest[0] != '\0' &&
         (rest[0] != ':' || !parse_number(rest + 1, strlen(rest + 1), (struct bounds){1, 65535}, &port)))) {
        return false;
    }
    char suffix[16] = "";
    if (port != 0 && port != usual) {
        snprintf(suffix, sizeof suffix, ":%u", port);
    }
    return snprintf(out, ORIGIN_SIZE, "%.*s%s%s", (int)scheme + 3, s, host, suffix) < ORIGIN_SIZE;
}

/* It is compared with the header byte for byte, so what no browser sends is refused. */
static bool check_origin(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    char normal[ORIGIN_SIZE];
    bool origin = normalise_origin(value, normal);
    if (origin) {
        snprintf(why, VALUE_WHY_SIZE, "is not how browsers write this origin; give %s", normal);
    } else {
        snprintf(why, VALUE_WHY_SIZE,
                 "is neither * nor an origin such as https://www.example.com (lower case, no path, no slash "
                 "at the end)");
    }
    return strcmp(value, "*") == 0 || (origin && strcmp(value, normal) == 0);
}

static const struct row {
    bool (*check)(const char *value, struct bounds b, void *field, char *why);
    enum value_store store;
} rows[VALUE_KIND_COUNT] = {
    [VALUE_NUMBER] = {check_number, STORE_FIELD},
    [VALUE_PORT] = {check_port, STORE_FIELD},
    [VALUE_RATE] = {check_rate, STORE_FIELD},
    [VALUE_LOG_FORMAT] = {check_log_format, STORE_FIELD},
    [VALUE_LOG_LEVEL] = {check_log_level, STORE_FIELD},
    [VALUE_FLAG] = {check_flag, STORE_FIELD},
    [VALUE_SWITCH] = {check_switch, STORE_FIELD},
    [VALUE_ADDRESS] = {check_address, STORE_FIELD},
    [VALUE_COMMAND] = {check_flag, STORE_FIELD},
    [VALUE_FILE] = {check_file, STORE_TEXT},
    [VALUE_PATH] = {check_path, STORE_TEXT},
    [VALUE_LISTEN] = {check_listen, STORE_TEXT},
    [VALUE_HOST] = {check_host, STORE_TEXT},
    [VALUE_REDIS] = {check_redis, STORE_TEXT},
    [VALUE_LISTEN_LIST] = {check_listen, STORE_LIST},
    [VALUE_DNS_LIST] = {check_dns, STORE_LIST},
    [VALUE_CIDR_LIST] = {check_cidr, STORE_LIST},
    [VALUE_NAT64_LIST] = {check_nat64, STORE_LIST},
    [VALUE_ORIGIN_LIST] = {check_origin, STORE_LIST},
};

enum value_store value_store_of(enum value_kind kind)
{
    return rows[kind].store;
}

bool value_check(enum value_kind kind, const char *value, unsigned min, unsigned max, void *field, char *why)
{
    return rows[kind].check(value, (struct bounds){min, max}, field, why);
}

#include "server/config_value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/host.h"
#include "probe/net/target.h"
#include "server/config.h"

#define RATE_COUNT_MAX 1000000u
#define RATE_SECONDS_MAX 86400u

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

/* As browsers write it in the header Origin (RFC 6454 section 6.2): it is compared byte for byte. */
static bool is_origin(const char *s)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
    size_t scheme = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    if (scheme == 0 || strchr(lower, s[0]) == NULL || strncmp(s + scheme, "://", 3) != 0) {
        return false;
    }
    const char *host = s + scheme + 3;
    size_t len;
    if (host[0] == '[') {
        struct ip ip;
        len = strcspn(host, "]") + 1;
        if (len > strlen(host) || !host_parse_ip(host, len, &ip)) {
            return false;
        }
    } else {
        len = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._");
    }
    unsigned port;
    const char *rest = host + len;
    return len > 0 && (rest[0] == '\0' || (rest[0] == ':' && parse_number(rest + 1, strlen(rest + 1),
                                                                          (struct bounds){1, 65535}, &port)));
}

static bool check_origin(const char *value, struct bounds b, void *field, char *why)
{
    (void)b;
    (void)field;
    snprintf(why, VALUE_WHY_SIZE,
             "is neither * nor an origin such as https://www.example.com (lower case, no path, no slash at "
             "the end)");
    return strcmp(value, "*") == 0 || is_origin(value);
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
    [VALUE_ADDRESS] = {check_address, STORE_FIELD},
    [VALUE_COMMAND] = {check_flag, STORE_FIELD},
    [VALUE_FILE] = {check_file, STORE_TEXT},
    [VALUE_LISTEN] = {check_listen, STORE_TEXT},
    [VALUE_HOST] = {check_host, STORE_TEXT},
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

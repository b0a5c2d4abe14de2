#include "server/http_head.h"

#include <string.h>
#include <strings.h>

#include "probe/base/ip.h"
#include "probe/base/limits.h"
#include "server/http_rules.h"

#define PORT_MAX 65535u

static const char letters_and_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static void fault(struct http_head *h, const char *sentence)
{
    if (h->fault == NULL) {
        h->fault = sentence;
    }
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7F;
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && (strchr(letters_and_digits, c) != NULL || strchr(set, c) != NULL);
}

/* RFC 9110 section 5.6.2 */
static bool is_token(struct text t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!is_one_of(t.data[i], "!#$%&'*+-.^_`|~")) {
            return false;
        }
    }
    return t.len > 0;
}

/* Spaces and tabs behind a value are no part of it (RFC 9110 section 5.5). */
static struct text trim_end(struct text t)
{
    while (t.len > 0 && (t.data[t.len - 1] == ' ' || t.data[t.len - 1] == '\t')) {
        t.len--;
    }
    return t;
}

/* Empty, or a colon and a number, which may be missing (RFC 3986 section 3.2.3). */
static bool is_port(struct text t)
{
    unsigned port = 0;
    for (size_t i = 1; i < t.len; i++) {
        if (t.data[i] < '0' || t.data[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(t.data[i] - '0');
        if (port > PORT_MAX) {
            return false;
        }
    }
    return t.len == 0 || t.data[0] == ':';
}

static bool is_bracketed_ip(struct text t)
{
    char text[IP_TEXT_SIZE];
    struct ip ip;
    if (t.len < 2 || t.len - 2 >= sizeof text || t.data[t.len - 1] != ']') {
        return false;
    }
    memcpy(text, t.data + 1, t.len - 2);
    text[t.len - 2] = '\0';
    return strlen(text) == t.len - 2 && ip_parse(&ip, text) && ip.family == 6;
}

/* reg-name or IPv4address of RFC 3986 section 3.2.2, but not empty: there is no http URI without a host. */
static bool is_name(struct text t)
{
    static const char hex[] = "0123456789ABCDEFabcdef";
    for (size_t i = 0; i < t.len; i++) {
        if (t.data[i] == '%') {
            if (t.len - i < 3 || memchr(hex, t.data[i + 1], sizeof hex - 1) == NULL ||
                memchr(hex, t.data[i + 2], sizeof hex - 1) == NULL) {
                return false;
            }
            i += 2;
        } else if (!is_one_of(t.data[i], "-._~!$&'()*+,;=")) {
            return false;
        }
    }
    return t.len > 0;
}

/* uri-host [ ":" port ], RFC 9110 section 7.2 */
static bool is_authority(struct text t)
{
    bool bracketed = t.len > 0 && t.data[0] == '[';
    const char *close = bracketed ? memchr(t.data, ']', t.len) : NULL;
    const char *colon = bracketed ? NULL : memchr(t.data, ':', t.len);
    size_t host_len = close != NULL   ? (size_t)(close - t.data) + 1
                      : colon != NULL ? (size_t)(colon - t.data)
                                      : t.len;
    struct text host = {t.data, host_len};
    struct text port = {t.data + host_len, t.len - host_len};
    return (bracketed ? is_bracketed_ip(host) : is_name(host)) && is_port(port);
}

/* The absolute form names what the origin form names; a missing path is "/" (RFC 9110 section 4.2.3). */
static char *skip_authority(struct http_head *h, char *authority)
{
    size_t len = strcspn(authority, "/?#");
    char *path = authority + len;
    if (!is_authority((struct text){authority, len})) {
        fault(h, "The request target has no valid host (user names are not accepted). Send the path alone.");
    }
    if (*path != '/') {
        *--path = '/';
    }
    return path;
}

char *http_head_target(struct http_head *h, char *raw)
{
    h->target_len = strlen(raw);
    for (size_t i = 0; i < h->target_len; i++) {
        if (raw[i] == ' ' || is_control(raw[i])) {
            fault(h, "The request target holds a space or a control character. Percent-encode it.");
        }
    }
    if (strchr(raw, '#') != NULL) {
        fault(h, "The request target holds a \"#\". Write %23 for the character, and leave a fragment out.");
    }
    if (strncasecmp(raw, "http://", strlen("http://")) == 0) {
        return skip_authority(h, raw + strlen("http://"));
    }
    h->asterisk = strcmp(raw, "*") == 0;
    if (raw[0] != '/' && !h->asterisk) {
        fault(h, "The request target is no path. Send one, such as /v1/imap-test?host=imap.example.com.");
    }
    return raw;
}

/* Only line ends may stand between the parts, or something was passed over: the library takes what follows a
 * NUL octet for the end of a line, and appends folded lines to the name of the header. */
static void expect(struct http_head *h, bool there)
{
    if (!there && !h->copied) {
        fault(h, "The head of the request holds NUL octets, folded lines, or lines that do not end in CRLF. "
                 "Send none of these (RFC 9112 section 2.2).");
    }
}

void http_head_line(struct http_head *h, const char *method, const char *target, const char *version)
{
    if (!is_token(text_of(method))) {
        fault(h, "The method is no token (RFC 9110 section 9.1). Send GET.");
    }
    if (h->asterisk && strcmp(method, "OPTIONS") != 0) {
        fault(h, "Only OPTIONS has the target \"*\". Send a path.");
    }
    expect(h, target == method + strlen(method) + 1);
    expect(h, version == target + h->target_len + 1);
    h->host_optional = strcmp(version, "HTTP/1.0") == 0;
    h->start = method;
    h->at = version + strlen(version);
    h->line_len = strlen(method) + h->target_len + strlen(version) + strlen("  \r\n");
}

/* Digits only (RFC 9110 section 8.6). */
static void take_length(struct http_head *h, struct text value)
{
    size_t length = 0;
    h->lengths++;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            value.len = 0;
        } else if (!h->body_too_large) {
            length = length * 10 + (size_t)(value.data[i] - '0');
            h->body_too_large = length > LIMIT_REQUEST_BODY_BYTES;
        }
    }
    if (value.len == 0) {
        fault(h, "Content-Length is no decimal number. Send the number of octets of the body.");
    }
}

/* The library knows the one spelling alone and would read anything else until the connection is closed. */
static void take_encoding(struct http_head *h, struct text value)
{
    h->encodings++;
    if (h->host_optional) {
        fault(h, "HTTP/1.0 has no Transfer-Encoding. Send Content-Length, or no body.");
    } else if (!text_is(value, "chunked")) {
        fault(h, "Transfer-Encoding is not \"chunked\" alone. Send Content-Length, or no body.");
    }
}

void http_head_header(struct http_head *h, struct text name, struct text value)
{
    const char *at = name.data + name.len + 1;
    bool there = name.data == h->at + 2;
    while (there && (*at == ' ' || *at == '\t')) {
        at++;
    }
    expect(h, there && value.data == at);
    h->at = value.data + value.len;
    if (!is_token(name)) {
        fault(
            h,
            "The name of a header is no token (RFC 9110 section 5.1); no space may stand before its colon.");
    }
    for (size_t i = 0; i < value.len; i++) {
        if (is_control(value.data[i]) && value.data[i] != '\t') {
            fault(h, "The value of a header holds a control character. Leave it out.");
        }
    }
    if (text_is(name, "Host")) {
        h->hosts++;
        if (!is_authority(trim_end(value))) {
            fault(h,
                  "The Host header is no host name or address with an optional port (RFC 9110 section 7.2).");
        }
    } else if (text_is(name, "Transfer-Encoding")) {
        take_encoding(h, value);
    } else if (text_is(name, "Content-Length")) {
        take_length(h, value);
    }
}

static void check_counts(struct http_head *h)
{
    if (h->hosts > 1) {
        fault(h, "The request has several Host headers. Send one.");
    } else if (h->hosts == 0 && !h->host_optional) {
        fault(h, "The request has no Host header. Send one (RFC 9112 section 3.2).");
    } else if (h->lengths + h->encodings > 1) {
        fault(h,
              "The length of the body is given twice. Send either one Content-Length or Transfer-Encoding.");
    }
}

bool http_head_check(struct http_head *h, size_t size, struct problem *problem)
{
    expect(h, h->at + strlen("\r\n\r\n") == h->start + size);
    check_counts(h);
    if (h->line_len > LIMIT_REQUEST_LINE_BYTES) {
        problem_set(problem, PROBLEM_URI_TOO_LONG, "The request line is over %u bytes. Shorten the query.",
                    LIMIT_REQUEST_LINE_BYTES);
    } else if (size > h->line_len + LIMIT_REQUEST_HEADER_BYTES + strlen("\r\n")) {
        problem_set(problem, PROBLEM_HEADERS_TOO_LARGE,
                    "The headers are over %u bytes. Send fewer or shorter ones.", LIMIT_REQUEST_HEADER_BYTES);
    } else if (h->fault != NULL) {
        problem_set(problem, PROBLEM_BAD_REQUEST, "%s", h->fault);
    } else if (h->body_too_large) {
        http_rules_body_too_large(problem);
    } else {
        return true;
    }
    return false;
}

#include "api/host.h"

#include <idn2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Unicode TR46 maps first, IDNA2008 (RFC 5891 section 5) judges then; sharp s and its like stay themselves.
 */
#define IDN_FLAGS (IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL)

/* A name of 253 octets has no more characters than that, each of at most four bytes. */
#define INPUT_BYTES ((size_t)LIMIT_HOST_BYTES * 4 + 4)

/* A name on its way: ASCII, a trailing dot still allowed. */
struct name {
    char s[LIMIT_HOST_BYTES + 2];
    size_t len;
};

static enum host_result refuse(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static enum host_result refuse(char *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, HOST_WHY_SIZE, format, args);
    va_end(args);
    return HOST_INVALID;
}

static bool contains(const char *bytes, size_t len, const char *part)
{
    return memmem(bytes, len, part, strlen(part)) != NULL;
}

static bool contains_any(const char *bytes, size_t len, const char *set)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\0' && strchr(set, bytes[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_control(char c)
{
    return (c >= 0 && c < 0x20) || c == 0x7F;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What people paste instead of a host. False: none of it. */
static bool is_more_than_host(const char *bytes, size_t len, char *why)
{
    for (size_t i = 0; i < len; i++) {
        if (is_control(bytes[i])) {
            refuse(why, "Octet %zu of the host is a control character (0x%02x); give the host name alone.",
                   i + 1, (unsigned)bytes[i]);
            return true;
        }
    }
    const char *text = NULL;
    if (contains(bytes, len, "://")) {
        text = "Give the host name only, without https:// or any other scheme, and without a path.";
    } else if (contains_any(bytes, len, " ")) {
        text = "A host name holds no spaces; give one host name, nothing before or behind it.";
    } else if (contains_any(bytes, len, "@")) {
        text = "Give the name of the mail server, not an e-mail address or a user name; nothing with \"@\".";
    } else if (contains_any(bytes, len, "/\\?#")) {
        text = "Give the host name only, without a path, a query or a network length.";
    } else if (contains_any(bytes, len, "%") && contains_any(bytes, len, ":")) {
        text = "Zone ids of IPv6 addresses (such as %eth0) are not accepted; give the address without it.";
    } else if (contains_any(bytes, len, "%")) {
        text = "A host name holds no \"%\"; percent-encode it once, not twice.";
    } else if (contains_any(bytes, len, ",;")) {
        text = "Give a single host name; several hosts need a request each.";
    }
    if (text != NULL) {
        refuse(why, "%s", text);
    }
    return text != NULL;
}

static void set_literal(struct probe_request *out, const struct ip *ip)
{
    char text[IP_TEXT_SIZE];
    out->host_ip = *ip;
    snprintf(out->host, sizeof out->host, "%s", ip_format(ip, text));
}

static bool parse_ip(const char *bytes, size_t len, unsigned family, struct ip *ip)
{
    char text[IP_TEXT_SIZE];
    *ip = (struct ip){0};
    if (len >= sizeof text || memchr(bytes, '\0', len) != NULL) {
        return false;
    }
    memcpy(text, bytes, len);
    text[len] = '\0';
    if (ip_parse(ip, text) && ip->family == family) {
        return true;
    }
    *ip = (struct ip){0};
    return false;
}

bool host_parse_ip(const char *bytes, size_t len, struct ip *ip)
{
    if (len >= 2 && bytes[0] == '[' && bytes[len - 1] == ']') {
        return parse_ip(bytes + 1, len - 2, 6, ip);
    }
    return parse_ip(bytes, len, 4, ip) || parse_ip(bytes, len, 6, ip);
}

/* Something with a colon or brackets: an IPv6 literal, or a port was given along. */
static enum host_result parse_ipv6(const char *bytes, size_t len, struct probe_request *out, char *why)
{
    const char *first_colon = memchr(bytes, ':', len);
    struct ip ip;
    if (bytes[0] == '[') {
        const char *end = memchr(bytes, ']', len);
        if (end == NULL) {
            return refuse(why, "The bracket of the IPv6 address is not closed; write [2001:db8::1].");
        }
        size_t behind = len - (size_t)(end - bytes) - 1;
        if (behind > 0 && end[1] == ':') {
            return refuse(why, "Give the host alone; ports are chosen with `ports`.");
        }
        if (behind > 0) {
            return refuse(why, "Nothing may follow the closing bracket of an IPv6 address.");
        }
        if (!host_parse_ip(bytes, len, &ip)) {
            return refuse(why, "What stands in brackets is not an IPv6 address; write [2001:db8::1].");
        }
    } else if (contains_any(bytes, len, "[]")) {
        return refuse(why, "Brackets belong around a whole IPv6 address and nowhere else.");
    } else if (memchr(first_colon + 1, ':', len - (size_t)(first_colon - bytes) - 1) == NULL) {
        return refuse(why, "Give the host alone; ports are chosen with `ports`.");
    } else if (!parse_ip(bytes, len, 6, &ip)) {
        return refuse(
            why, "This is not a complete IPv6 address (RFC 4291 section 2.2), nor may a name hold \":\".");
    }
    set_literal(out, &ip);
    return HOST_OK;
}

/* The words for what libidn2 refused. */
static enum host_result refuse_idn(int code, char *why)
{
    switch (code) {
    case IDN2_MALLOC:
        return HOST_NO_MEMORY;
    case IDN2_ENCODING_ERROR:
    case IDN2_ICONV_FAIL:
        return refuse(why, "The host name is not valid UTF-8.");
    case IDN2_TOO_BIG_LABEL:
    case IDN2_PUNYCODE_BIG_OUTPUT:
        return refuse(why,
                      "A label (the part between dots) is longer than %u octets after conversion to ASCII.",
                      LIMIT_LABEL_BYTES);
    case IDN2_TOO_BIG_DOMAIN:
        return refuse(why, "The host name is longer than %u octets after conversion to ASCII.",
                      LIMIT_HOST_BYTES);
    case IDN2_HYPHEN_STARTEND:
        return refuse(why, "A label (the part between dots) may not start or end with a hyphen.");
    case IDN2_PUNYCODE_BAD_INPUT:
    case IDN2_PUNYCODE_OVERFLOW:
    case IDN2_ALABEL_ROUNDTRIP_FAILED:
    case IDN2_INVALID_ALABEL:
        return refuse(why, "A label that starts with xn-- is not valid Punycode (RFC 3492).");
    default:
        return refuse(
            why, "The host name holds characters, or an order of characters, that internationalised names "
                 "(IDNA2008) do not allow.");
    }
}

static bool is_ascii(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)bytes[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* Appends a part to the name; false: too long. */
static bool append(struct name *name, const char *bytes, size_t len)
{
    if (len > sizeof name->s - 1 - name->len) {
        return false;
    }
    memcpy(name->s + name->len, bytes, len);
    name->len += len;
    name->s[name->len] = '\0';
    return true;
}

/* Part by part, since only parts beyond ASCII are IDNA's business: `_dmarc` or `r3---a` beside them are not.
 * Other kinds of dots inside a part become ASCII dots here. */
static enum host_result to_ascii(const char *bytes, size_t len, struct name *name, char *why)
{
    char part[INPUT_BYTES + 1];
    size_t at = 0;
    while (true) {
        const char *dot = memchr(bytes + at, '.', len - at);
        size_t part_len = dot != NULL ? (size_t)(dot - bytes) - at : len - at;
        bool fits;
        if (is_ascii(bytes + at, part_len)) {
            fits = append(name, bytes + at, part_len);
        } else {
            memcpy(part, bytes + at, part_len);
            part[part_len] = '\0';
            uint8_t *ascii = NULL;
            int code = idn2_lookup_u8((const uint8_t *)part, &ascii, IDN_FLAGS);
            if (code != IDN2_OK) {
                return refuse_idn(code, why);
            }
            fits = append(name, (const char *)ascii, strlen((const char *)ascii));
            idn2_free(ascii);
        }
        if (dot != NULL) {
            fits = fits && append(name, ".", 1);
        }
        if (!fits) {
            return refuse_idn(IDN2_TOO_BIG_DOMAIN, why);
        }
        if (dot == NULL) {
            return HOST_OK;
        }
        at += part_len + 1;
    }
}

static enum host_result check_label(const char *label, size_t len, char *why)
{
    if (len == 0) {
        return refuse(why, "The host name has an empty label: a dot at its start, or two dots in a row.");
    }
    for (size_t i = 0; i < len; i++) {
        char c = label[i];
        if (is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_') {
            continue;
        }
        char shown[8];
        snprintf(shown, sizeof shown, c > 0x20 && c < 0x7F ? "\"%c\"" : "0x%02x", (unsigned char)c);
        return refuse(why, "%s may not stand in a host name; letters, digits, hyphens and dots may.", shown);
    }
    if (len > LIMIT_LABEL_BYTES) {
        return refuse_idn(IDN2_TOO_BIG_LABEL, why);
    }
    if (label[0] == '-' || label[len - 1] == '-') {
        return refuse_idn(IDN2_HYPHEN_STARTEND, why);
    }
    return HOST_OK;
}

/* Appends the label as people read it. An A-label must be a valid one: what it stands for gives it back
 * (RFC 5891 section 5.3). */
static enum host_result append_unicode(const char *label, size_t len, struct probe_request *out, char *why)
{
    char a_label[LIMIT_LABEL_BYTES + 1];
    memcpy(a_label, label, len);
    a_label[len] = '\0';
    char *shown = a_label;
    char *u_label = NULL;
    enum host_result result = HOST_OK;
    if (strncmp(a_label, "xn--", 4) == 0) {
        uint8_t *again = NULL;
        int code = idn2_to_unicode_8z8z(a_label, &u_label, IDN_FLAGS);
        if (code == IDN2_OK) {
            code = idn2_lookup_u8((const uint8_t *)u_label, &again, IDN_FLAGS);
        }
        if (code == IDN2_OK && strcmp((const char *)again, a_label) != 0) {
            code = IDN2_INVALID_ALABEL;
        }
        idn2_free(again);
        if (code != IDN2_OK) {
            result = refuse_idn(code, why);
        }
        shown = u_label;
    }
    if (result == HOST_OK) {
        size_t used = strlen(out->host_unicode);
        snprintf(out->host_unicode + used, sizeof out->host_unicode - used, "%s%s", used > 0 ? "." : "",
                 shown);
    }
    idn2_free(u_label);
    return result;
}

/* "127.1" and "0x7f.1" mean an address to some programs and a name to others, so they may mean nothing here.
 */
static bool ends_in_number(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *last = dot != NULL ? dot + 1 : name;
    return last[strspn(last, "0123456789")] == '\0' || strncmp(last, "0x", 2) == 0;
}

static enum host_result parse_name(struct name *name, struct probe_request *out, char *why)
{
    if (name->len > 0 && name->s[name->len - 1] == '.') {
        name->s[--name->len] = '\0';
    }
    if (name->len == 0) {
        return refuse(why, "There is no host name left without the trailing dot.");
    }
    if (name->len > LIMIT_HOST_BYTES) {
        return refuse_idn(IDN2_TOO_BIG_DOMAIN, why);
    }
    for (size_t i = 0; i < name->len; i++) {
        if (name->s[i] >= 'A' && name->s[i] <= 'Z') {
            name->s[i] = (char)(name->s[i] + ('a' - 'A'));
        }
    }
    for (size_t at = 0; at <= name->len;) {
        size_t len = strcspn(name->s + at, ".");
        enum host_result result = check_label(name->s + at, len, why);
        if (result == HOST_OK) {
            result = append_unicode(name->s + at, len, out, why);
        }
        if (result != HOST_OK) {
            return result;
        }
        at += len + 1;
    }
    if (strcmp(out->host_unicode, name->s) == 0) {
        out->host_unicode[0] = '\0';
    }
    struct ip ip;
    if (!ends_in_number(name->s)) {
        memcpy(out->host, name->s, name->len + 1);
    } else if (parse_ip(name->s, name->len, 4, &ip)) {
        set_literal(out, &ip);
    } else {
        return refuse(
            why, "What ends in a number is read as an IPv4 address, and this is not a complete IPv4 address; "
                 "write all four numbers, in decimal and without leading zeros, such as 192.0.2.10.");
    }
    return HOST_OK;
}

static enum host_result parse(const char *bytes, size_t len, struct probe_request *out, char *why)
{
    if (len == 0) {
        return refuse(why, "The host is empty; give a host name or an IP address.");
    }
    if (len > INPUT_BYTES) {
        return refuse_idn(IDN2_TOO_BIG_DOMAIN, why);
    }
    if (is_more_than_host(bytes, len, why)) {
        return HOST_INVALID;
    }
    if (contains_any(bytes, len, ":[]")) {
        return parse_ipv6(bytes, len, out, why);
    }
    struct name name = {.len = 0};
    enum host_result result = to_ascii(bytes, len, &name, why);
    return result == HOST_OK ? parse_name(&name, out, why) : result;
}

enum host_result host_parse(const char *bytes, size_t len, struct probe_request *out, char *why)
{
    why[0] = '\0';
    out->host[0] = out->host_unicode[0] = '\0';
    out->host_ip = (struct ip){0};
    enum host_result result = parse(bytes, len, out, why);
    if (result != HOST_OK) {
        out->host[0] = out->host_unicode[0] = '\0';
        out->host_ip = (struct ip){0};
    }
    return result;
}

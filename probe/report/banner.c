#include "probe/report/banner.h"

#include <string.h>

/* The first row whose start and word are both there decides. Reply codes such as 220 are shared by several
 * protocols, which then name themselves in the text (RFC 5321 section 4.3.1, RFC 2033 section 4.1; FTP
 * servers do by habit). */
static const struct {
    const char *start;
    const char *word; /* somewhere in the bytes; NULL: none is needed */
    const char *name;
} rows[] = {
    {"* OK ", NULL, "IMAP"},
    {"* PREAUTH ", NULL, "IMAP"},
    {"* BYE ", NULL, "IMAP"},
    {"+OK", NULL, "POP3"},
    {"-ERR", NULL, "POP3"},
    {"HTTP/", NULL, "HTTP"},
    {"<!DOCTYPE HTML", NULL, "HTTP"},
    {"<html", NULL, "HTTP"},
    {"SSH-", NULL, "SSH"},
    {"220", "LMTP", "LMTP"},
    {"220", "SMTP", "SMTP"},
    {"220", "FTP", "FTP"},
    {"421", "FTP", "FTP"},
    {"220", NULL, "SMTP or FTP"},
    {"421 ", NULL, "SMTP or FTP"},
    {"554 ", NULL, "SMTP"},
    {"554-", NULL, "SMTP"},
    {"200 ", "NNTP", "NNTP"},
    {"201 ", "NNTP", "NNTP"},
    {"200 ", "news", "NNTP"},
    {"201 ", "news", "NNTP"},
    {"\"IMPLEMENTATION\"", NULL, "ManageSieve"},
    {"<?xml", NULL, "XMPP"},
    {"<stream:", NULL, "XMPP"},
    {"RFB 00", NULL, "VNC"},
    {"@RSYNCD:", NULL, "rsync"},
    {"SIP/2.0", NULL, "SIP"},
    {"RTSP/", NULL, "RTSP"},
    {"\xFF\xFB", NULL, "Telnet"}, /* RFC 854: IAC WILL, WONT, DO, DONT */
    {"\xFF\xFC", NULL, "Telnet"},
    {"\xFF\xFD", NULL, "Telnet"},
    {"\xFF\xFE", NULL, "Telnet"},
};

static bool part_is(struct text t, size_t at, const char *word)
{
    struct text wanted = text_of(word);
    if (wanted.len > t.len || at > t.len - wanted.len) {
        return false;
    }
    return text_equal_nocase((struct text){.data = t.data + at, .len = wanted.len}, wanted);
}

static bool holds(struct text t, const char *word)
{
    for (size_t at = 0; at < t.len; at++) {
        if (part_is(t, at, word)) {
            return true;
        }
    }
    return false;
}

/* RFC 8446 section 5.1: a record's type and the legacy version 3.x. */
static bool is_tls(const unsigned char *s, size_t len)
{
    return len >= 3 && s[0] >= 20 && s[0] <= 23 && s[1] == 3 && s[2] <= 4;
}

/* A packet: three octets of length, number 0, then protocol version 10 or an error. A line ends before the
 * version, which is a line feed. */
static bool is_mysql(const unsigned char *s, size_t len)
{
    return len >= 4 && s[0] != 0 && s[2] == 0 && s[3] == 0 && (len == 4 || s[4] == 10 || s[4] == 255);
}

const char *banner_protocol(struct text first)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (part_is(first, 0, rows[i].start) && (rows[i].word == NULL || holds(first, rows[i].word))) {
            return rows[i].name;
        }
    }
    if (is_tls((const unsigned char *)first.data, first.len)) {
        return "TLS";
    }
    return is_mysql((const unsigned char *)first.data, first.len) ? "MySQL" : NULL;
}

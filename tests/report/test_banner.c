#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "probe/report/banner.h"

#define BYTES(s) s, sizeof(s) - 1

static const struct {
    const char *first;
    size_t len;
    const char *protocol; /* NULL: unknown */
} rows[] = {
    {BYTES("* OK ready"), "IMAP"},
    {BYTES("* preauth x"), "IMAP"},
    {BYTES("* BYE too many"), "IMAP"},
    {BYTES("* OKAY"), NULL},
    {BYTES("* NO"), NULL},
    {BYTES("+OK Dovecot ready."), "POP3"},
    {BYTES("-ERR too many connections"), "POP3"},
    {BYTES("HTTP/1.1 400 Bad Request"), "HTTP"},
    {BYTES("HTTP/1.0 200 OK"), "HTTP"},
    {BYTES("<!doctype html>"), "HTTP"},
    {BYTES("<html><head>"), "HTTP"},
    {BYTES("SSH-2.0-OpenSSH_9.2p1"), "SSH"},
    {BYTES("220 mx.example.com ESMTP Postfix"), "SMTP"},
    {BYTES("220-mx.example.com ESMTP Exim 4.96"), "SMTP"},
    {BYTES("220 lmtp.example.com LMTP Cyrus"), "LMTP"},
    {BYTES("220 (vsFTPd 3.0.3)"), "FTP"},
    {BYTES("220---------- Welcome to Pure-FTPd [privsep] ----------"), "FTP"},
    {BYTES("220 ProFTPD Server (Debian)"), "FTP"},
    {BYTES("421 too many FTP users"), "FTP"},
    {BYTES("421 4.7.0 mx.example.com Too many connections"), "SMTP or FTP"},
    {BYTES("220 ready"), "SMTP or FTP"},
    {BYTES("554 5.7.1 No SMTP service for you"), "SMTP"},
    {BYTES("200 news.example.com InterNetNews NNRP server"), "NNTP"},
    {BYTES("201 NNTP service ready"), "NNTP"},
    {BYTES("200 OK"), NULL},
    {BYTES("\"IMPLEMENTATION\" \"Dovecot Pigeonhole\""), "ManageSieve"},
    {BYTES("<?xml version='1.0'?>"), "XMPP"},
    {BYTES("<stream:stream"), "XMPP"},
    {BYTES("RFB 003.008"), "VNC"},
    {BYTES("@RSYNCD: 31.0"), "rsync"},
    {BYTES("SIP/2.0 400 Bad Request"), "SIP"},
    {BYTES("RTSP/1.0 400 Bad Request"), "RTSP"},
    {BYTES("\xff\xfd\x18\xff\xfd\x20"), "Telnet"},
    {BYTES("\x16\x03\x01\x00\x10"), "TLS"},
    {BYTES("\x15\x03\x03\x00\x02\x02\x28"), "TLS"},
    {BYTES("\x16\x03\x05"), NULL},
    {BYTES("\x13\x03\x01"), NULL},
    {BYTES("\x16\x03"), NULL},
    {BYTES("J\0\0\0\n5.5.5-10.11.6-MariaDB"), "MySQL"},
    {BYTES("J\0\0\0"), "MySQL"},
    {BYTES("E\0\0\0\xffhost is blocked"), "MySQL"},
    {BYTES("J\0\0\1"), NULL},
    {BYTES("J\0\0\0x"), NULL},
    {BYTES("SSH"), NULL},
    {BYTES("x"), NULL},
    {BYTES("\0\0\0\0"), NULL},
    {BYTES(""), NULL},
    {NULL, 0, NULL},
};

static void test_protocols(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *protocol = banner_protocol((struct text){rows[i].first, rows[i].len});
        if (protocol == NULL || rows[i].protocol == NULL) {
            assert_ptr_equal(protocol, rows[i].protocol);
        } else {
            assert_string_equal(protocol, rows[i].protocol);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

"""Scripted servers: what becomes of a test when the other side is no IMAP server, a bad one, or a hostile one."""
import concurrent.futures
import os
import re
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import imapd
import service
import stage
from imapd import (capability, close, drip, expect, greet, healthy_plain, healthy_tls, logout, reset, send,
                   send_pieces, session, silence, sleep, starttls, swallow, upgrade)

IO_MS = int(1500 * service.slowness())
OFFERED = "IMAP4rev1 STARTTLS LOGINDISABLED"
HANDSHAKE_FAILURE_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
NO_APPLICATION_PROTOCOL_ALERT = b"\x15\x03\x03\x00\x02\x02\x78"


class Play:
    """One scripted port and what the report has to say about it; None means that it is not checked.

    error, phase      of the port; error "" for none, a tuple where several are right
    verdict           of the port
    findings, absent  ids that must and must not be there
    secured           starttls_supported or implicit_tls
    commands          all that the server must have received
    """

    def __init__(self, label, steps, error=None, phase=None, verdict=None, findings=(), absent=(), secured=None,
                 commands=None, parameters=None):
        self.label, self.steps, self.error, self.phase = label, steps, error, phase
        self.verdict, self.findings, self.absent, self.secured = verdict, findings, absent, secured
        self.commands, self.parameters = commands, parameters or {}


def wrong_protocols():
    banners = [
        ("http", b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"), ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("smtp", b"220 mx.example.com ESMTP Postfix\r\n"), ("pop3", b"+OK Dovecot ready.\r\n"),
        ("ftp", b"220 (vsFTPd 3.0.3)\r\n"), ("tagged", b"a1 OK hello\r\n"), ("untagged no", b"* NO hello\r\n"),
        ("capability", b"* CAPABILITY IMAP4rev1\r\n"), ("nonsense", b"\x00\xff\xfe\x01\r\n"), ("empty", b"\r\n"),
    ]
    return [Play("banner of " + name, [send(banner)], "not_imap", "greeting", "problems", ["not_an_imap_server"],
                 secured=False, commands=[]) for name, banner in banners]


def greetings():
    return [
        Play("closes at once", [close()], "connection_closed", "greeting", secured=False, commands=[]),
        Play("resets at once", [reset()], "connection_reset", "greeting", secured=False, commands=[]),
        Play("silent", [silence()], "read_timeout", "greeting", "inconclusive", ["no_greeting"],
             ["starttls_missing"], False, []),
        Play("half a greeting", [send("* OK hal"), silence()], "read_timeout", "greeting", secured=False,
             commands=[]),
        Play("too many connections", [send("* BYE Too many connections from your IP\r\n"), close()], "server_bye",
             "greeting", "inconclusive", ["server_refuses_service"], ["starttls_missing", "not_an_imap_server"],
             False, []),
        Play("unavailable", [send("* BYE [UNAVAILABLE] Try later\r\n"), close()], "server_bye", "greeting",
             "inconclusive", ["server_refuses_service"], ["starttls_missing"], False, []),
        Play("limit", [send("* BYE [LIMIT] no more\r\n"), close()], "server_bye", "greeting", "inconclusive",
             ["server_refuses_service"], (), False, []),
        Play("bye for good", [send("* BYE You are not welcome here\r\n"), close()], "server_bye", "greeting",
             "problems", ["server_refuses_service"], ["starttls_missing"], False, []),
        Play("endless greeting", [send(b"* OK " + b"x" * 300000)], "response_too_long", "greeting", secured=False,
             commands=[]),
        Play("dripping greeting", [drip(b"* ", 0.1)], ("read_timeout", "deadline_exceeded"), "greeting",
             secured=False, commands=[], parameters={"timeout_ms": int(1000 * service.slowness())}),
    ]


def capability_answers(context):
    return [
        Play("closes instead of an answer", [greet(), expect("CAPABILITY"), close()], "connection_closed",
             "capability", None, ["dialogue_incomplete"], (), False, ["CAPABILITY"]),
        Play("resets instead of an answer", [greet(), expect("CAPABILITY"), reset()], "connection_reset",
             "capability", None, ["dialogue_incomplete"], (), False, ["CAPABILITY"]),
        Play("no tagged answer", [greet(), expect("CAPABILITY"), send("* CAPABILITY %s\r\n" % OFFERED), silence()],
             "read_timeout", "capability", None, (), (), False, ["CAPABILITY"]),
        Play("answer under another tag", [greet(), expect("CAPABILITY"), send("* CAPABILITY X\r\nzz9 OK\r\n"),
                                          silence()],
             "read_timeout", "capability", None, ["protocol_violation"], (), False, ["CAPABILITY"]),
        Play("bye in the middle", [greet(), expect("CAPABILITY"), send("* BYE going down\r\n"), close()],
             "server_bye", "capability", None, (), (), False, ["CAPABILITY"]),
        Play("flood of untagged lines", [greet(), expect("CAPABILITY"), drip(b"* OK still here\r\n" * 1000, 0)],
             "response_too_long", "capability", None, (), (), False, ["CAPABILITY"]),
        Play("capability refused",
             [greet(), expect("CAPABILITY"), send("{tag} BAD what\r\n"), expect("STARTTLS"),
              send("{tag} OK go\r\n"), starttls(context)] + session("IMAP4rev1"),
             "", None, None, ["capability_refused"], (), True),
    ]


def starttls_answers(context):
    asked = [greet()] + capability(OFFERED) + [expect("STARTTLS")]
    until = ["CAPABILITY", "STARTTLS"]
    left = until + ["LOGOUT"]
    bare = [greet()] + capability("IMAP4rev1 LOGINDISABLED") + [expect("STARTTLS")]
    opened = [greet()] + capability("IMAP4rev1 AUTH=PLAIN") + [expect("STARTTLS")]
    injected = "{tag} OK go\r\n* CAPABILITY IMAP4rev1 INJECTED\r\n"
    return [
        Play("offered and NO", asked + [send("{tag} NO not now\r\n")] + logout(), "starttls_refused", "starttls",
             "problems", ["starttls_failed"], ["starttls_missing"], False, left),
        Play("offered and BAD", asked + [send("{tag} BAD what\r\n")] + logout(), "starttls_refused", "starttls",
             "problems", ["starttls_failed"], ["starttls_missing"], False, left),
        Play("not offered, no logins", bare + [send("{tag} BAD unknown\r\n")] + logout(), "starttls_not_offered",
             "starttls", "warnings", ["starttls_missing"], ["plaintext_login_allowed"], False, left),
        Play("not offered, logins", opened + [send("{tag} BAD unknown\r\n")] + logout(), "starttls_not_offered",
             "starttls", "problems", ["starttls_missing", "plaintext_login_allowed"], ["starttls_failed"], False,
             left),
        Play("hidden but works", bare + [send("{tag} OK go\r\n"), starttls(context)] + session("IMAP4rev1"), "",
             None, "ok", ["starttls_not_advertised"], ["starttls_missing"], True),
        Play("injection in the same segment", asked + [send(injected), starttls(context)],
             "plaintext_after_starttls", "starttls", "problems", ["starttls_response_injection"], (), False, until),
        Play("injection, one byte", asked + [send("{tag} OK go\r\n*"), starttls(context)],
             "plaintext_after_starttls", "starttls", "problems", ["starttls_response_injection"], (), False, until),
        Play("injection in a later segment",
             asked + [send("{tag} OK go\r\n"), swallow(), send("* CAPABILITY IMAP4rev1 INJECTED\r\n"), close()],
             "plaintext_after_starttls", "starttls", "problems", ["starttls_response_injection"], (), False),
        Play("takes its OK back", asked + [send("{tag} OK go\r\n{tag} NO no TLS\r\n* NO what\r\n"), close()],
             "tls_not_spoken", "tls", "problems", ["starttls_failed"], ["starttls_response_injection"], False, until),
        Play("takes its OK back later",
             asked + [send("{tag} OK go\r\n"), swallow(), send("{tag} NO no TLS\r\n"), close()],
             "tls_not_spoken", "tls", "problems", ["starttls_failed"], ["starttls_response_injection"], False),
        Play("another tag's NO", asked + [send("{tag} OK go\r\n{tag}x NO no TLS\r\n"), close()],
             "plaintext_after_starttls", "starttls", "problems", ["starttls_response_injection"], (), False, until),
        Play("takes our hello for a command",
             asked + [send("{tag} OK go\r\n"), swallow(), send("* BAD Invalid tag.\r\n"), close()],
             "tls_not_spoken", "tls", "problems", ["starttls_failed"], (), False),
        Play("silent after STARTTLS", asked + [silence()], "read_timeout", "starttls", None, (), (), False, until),
        Play("closes after STARTTLS", asked + [close()], "connection_closed", "starttls", None, (), (), False,
             until),
        Play("resets after STARTTLS", asked + [reset()], "connection_reset", "starttls", None, (), (), False,
             until),
        Play("closes in the handshake", asked + [send("{tag} OK go\r\n"), swallow(), close()], "connection_closed",
             "tls", "problems", ["starttls_failed"], (), False),
        Play("resets in the handshake", asked + [send("{tag} OK go\r\n"), swallow(), reset()], "connection_reset",
             "tls", "problems", ["starttls_failed"], (), False),
        Play("silent in the handshake", asked + [send("{tag} OK go\r\n"), swallow(), sleep(IO_MS / 1000 + 3)],
             "read_timeout", "tls", None, ["starttls_failed"], (), False),
        Play("alert in the handshake",
             asked + [send("{tag} OK go\r\n"), swallow(), send(HANDSHAKE_FAILURE_ALERT), close()],
             "tls_handshake_failed", "tls", "problems", ["starttls_failed"], (), False),
        Play("preauth", [greet("PREAUTH welcome root")] + capability("IMAP4rev1 STARTTLS") + logout(), None, None,
             "problems", ["preauth_before_tls"], (), False, ["CAPABILITY", "LOGOUT"]),
        Play("closes inside TLS", [greet()] + upgrade(context) + [expect("CAPABILITY"), close()],
             "connection_closed", "capability", None, ["dialogue_incomplete"], (), True),
        Play("TLS from the first byte", [starttls(context)], "read_timeout", "greeting", "inconclusive",
             ["no_greeting"], (), False),
    ]


def tolerated(context):
    """Odd but understandable: no error, and a notice at most."""
    def literal_that_looks_like_an_answer(connection):
        text = connection.tag + b" BAD fooled\r\n" + connection.tag + b" OK fooled\r\n"
        connection.send(b"* X-NOTE {%d}\r\n%s tail\r\n" % (len(text), text))

    in_pieces = [send_pieces("* OK [CAPABILITY %s] ready\r\n" % OFFERED), expect("CAPABILITY"),
                 send_pieces("* CAPABILITY %s\r\n{tag} OK done\r\n" % OFFERED), expect("STARTTLS"),
                 send_pieces("{tag} OK go\r\n"), starttls(context), expect("CAPABILITY"),
                 send_pieces("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n")] + logout()
    rest = [expect("STARTTLS"), send("{tag} OK go\r\n"), starttls(context)] + session("IMAP4rev1")
    return [
        Play("byte by byte", in_pieces, "", None, "ok", (), ["protocol_violation"], True),
        Play("in lower case",
             [send("* ok ready\r\n"), expect("CAPABILITY"),
              send("* capability imap4REV1 starttls LoginDisabled\r\n{tag} ok done\r\n")] + rest,
             "", None, "ok", (), ["starttls_not_advertised", "plaintext_login_allowed"], True),
        Play("bare line feeds",
             [send("* OK ready\n"), expect("CAPABILITY"), send("* CAPABILITY %s\n{tag} OK done\n" % OFFERED)] + rest,
             "", None, "ok", ["protocol_violation"], (), True),
        Play("literal", [greet(), expect("CAPABILITY"), literal_that_looks_like_an_answer,
                         send("* CAPABILITY %s\r\n{tag} OK done\r\n" % OFFERED)] + rest, "", None, "ok", (),
             ["capability_refused"], True),
        Play("empty greeting text", [send("* OK \r\n")] + upgrade(context) + session("IMAP4rev1"), "", None, "ok",
             (), (), True),
        Play("logout unanswered", [greet()] + upgrade(context) + capability("IMAP4rev1") +
             [expect("LOGOUT"), silence()], "", None, "ok", (), (), True),
        Play("logout answered by closing", [greet()] + upgrade(context) + capability("IMAP4rev1") +
             [expect("LOGOUT"), close()], "", None, "ok", (), (), True),
        Play("logout answered by a reset", [greet()] + upgrade(context) + capability("IMAP4rev1") +
             [expect("LOGOUT"), reset()], "", None, "ok", (), (), True),
        Play("starttls still offered", [greet()] + upgrade(context) + session("IMAP4rev1 STARTTLS"), "", None, "ok",
             ["starttls_still_offered"], (), True),
    ]


def tls_port(context):
    seen = [starttls(context)]
    return [
        Play("plain IMAP", [greet(), swallow(), close()], "tls_not_spoken", "tls", "problems", ["tls_handshake_failed"],
             ["not_an_imap_server"], False),
        Play("http", [swallow(), send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), close()], "tls_not_spoken", "tls",
             "problems", ["tls_handshake_failed"], (), False),
        Play("closes in the handshake", [swallow(), close()], "connection_closed", "tls", "problems",
             ["tls_handshake_failed"], (), False),
        Play("resets in the handshake", [swallow(), reset()], "connection_reset", "tls", "problems",
             ["tls_handshake_failed"], (), False),
        Play("silent in the handshake", [swallow(), sleep(IO_MS / 1000 + 3)], "read_timeout", "tls", None,
             ["tls_handshake_failed"], (), False),
        Play("alert", [swallow(), send(HANDSHAKE_FAILURE_ALERT), close()], "tls_handshake_failed", "tls",
             "problems", ["tls_handshake_failed"], (), False),
        Play("no IMAP inside", seen + [send("220 smtp\r\n")], "not_imap", "greeting", "problems",
             ["not_an_imap_server"], ["tls_handshake_failed"], True, []),
        Play("silent inside", seen + [silence()], "read_timeout", "greeting", None, ["no_greeting"],
             ["tls_handshake_failed"], True, []),
        Play("too many connections", seen + [send("* BYE Too many connections\r\n"), close()], "server_bye",
             "greeting", None, ["server_refuses_service"], (), True, []),
        Play("preauth", seen + [greet("PREAUTH hello")] + session("IMAP4rev1"), "", None, "ok",
             ["preauth_inside_tls"], ["preauth_before_tls"], True, ["CAPABILITY", "LOGOUT"]),
        Play("healthy", healthy_tls(context), "", None, "ok", (), (), True, ["CAPABILITY", "LOGOUT"]),
    ]


class PlaysTest(case.Case):
    """The tables above, several at a time because many of them wait for a limit."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(io_timeout_ms=IO_MS)
        cls.addClassCleanup(cls.stage.stop)
        cls.context = cls.stage.context()

    def run_plays(self, plays, tls=False):
        number = self.stage.imaps if tls else self.stage.imap
        hosts = [self.stage.play(tls=play.steps) if tls else self.stage.play(play.steps) for play in plays]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda pair: self.stage.service.test(pair[0].name, ports=str(number),
                                                                         **pair[1].parameters),
                                    zip(hosts, plays)))
        for play, host, answer in zip(plays, hosts, answers):
            with self.subTest(play=play.label):
                host.settle()
                self.check(play, host, self.check_report(answer))

    def check(self, play, host, report):
        port, = report["ports"]
        error = port["error"] or {"code": "", "phase": None}
        if play.error is not None:
            expected = play.error if isinstance(play.error, tuple) else (play.error,)
            self.assertIn(error["code"], expected, port)
        if play.phase:
            self.assertEqual(error["phase"], play.phase, error)
        if play.verdict:
            self.assertEqual(port["verdict"], play.verdict, report["findings"])
            self.assertEqual(report["verdict"], play.verdict, report["findings"])
        if play.secured is not None:
            self.assertEqual(port["starttls_supported"] or port["implicit_tls"], play.secured)
        self.assertLessEqual(set(play.findings), self.ids(report))
        self.assertFalse(set(play.absent) & self.ids(report), self.ids(report))
        self.assertTrue(port["reachable"])
        self.assertEqual([word for word in port["capabilities"] if word in ("INJECTED", "fooled")], [])
        self.check_wire(play, host)

    def check_wire(self, play, host):
        self.assert_never_logs_in(host.connections())
        self.assertEqual(len(host.connections()), 1, "not exactly one connection")
        connection, = host.connections()
        if play.commands is not None:
            self.assertEqual(connection.commands(), play.commands, connection.problem)
        self.assertEqual(connection.received.count(b"\n"), connection.received.count(b"\r\n"))
        tags = [line.split(b" ")[0] for _, line in connection.lines]
        self.assertEqual(len(tags), len(set(tags)), "a tag was used twice")

    def test_wrong_protocols(self):
        self.run_plays(wrong_protocols())

    def test_greetings(self):
        self.run_plays(greetings())

    def test_capability_answers(self):
        self.run_plays(capability_answers(self.context))

    def test_starttls_answers(self):
        self.run_plays(starttls_answers(self.context))

    def test_tolerated(self):
        self.run_plays(tolerated(self.context))

    def test_tls_port(self):
        self.run_plays(tls_port(self.context), tls=True)


class DetailsTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(io_timeout_ms=IO_MS)
        cls.addClassCleanup(cls.stage.stop)
        cls.context = cls.stage.context()

    def plain(self, steps):
        host = self.stage.play(steps)
        report = self.report(self.stage.service, host.name, ports=str(self.stage.imap))
        host.settle()
        return report["ports"][0], report, host

    def tls(self, steps):
        host = self.stage.play(tls=steps)
        report = self.report(self.stage.service, host.name, ports=str(self.stage.imaps))
        host.settle()
        return report["ports"][0], report, host

    def test_exact_commands_and_sides_of_the_handshake(self):
        words = "IMAP4rev1 ID"
        identify = [expect("ID .*"), send('* ID ("name" "Bench")\r\n{tag} OK done\r\n')]
        host = self.stage.play([greet()] + upgrade(self.context) + capability(words) + identify + logout(),
                               [starttls(self.context), greet()] + capability(words) + identify + logout())
        report = self.report(self.stage.service, host.name)
        host.settle()
        self.assertEqual(report["verdict"], "ok", report["findings"])
        for port in report["ports"]:
            self.assertEqual(port["server_id"], {"name": "Bench"})
        plain, = host.plain.connections
        tls, = host.tls.connections
        for connection in (plain, tls):
            self.assertIsNone(connection.problem)
            self.assertEqual(connection.handshakes, 1)
            self.assertEqual(connection.sni, host.name)
        self.assertEqual(plain.commands(tls=False), ["CAPABILITY", "STARTTLS"])
        inside = ["CAPABILITY", 'ID ("name" "imap-testd")', "LOGOUT"]
        self.assertEqual(plain.commands(tls=True), inside)
        self.assertEqual(tls.commands(tls=False), [])
        self.assertEqual(tls.commands(tls=True), inside)
        prefixes = {re.match(rb"\D+", connection.lines[0][1]).group(0) for connection in (plain, tls)}
        self.assertEqual(len(prefixes), 2, "two connections with the same tags")

    def test_id_is_asked_inside_tls_only_and_only_where_offered(self):
        port, _, host = self.plain([greet()] + upgrade(self.context, OFFERED + " ID") + session("IMAP4rev1"))
        self.assertIsNone(port["server_id"])
        self.assertEqual(host.plain.connections[0].commands(tls=True), ["CAPABILITY", "LOGOUT"])

    def test_answers_to_id(self):
        for label, answer, expected in (
                ("nil", "* ID NIL\r\n{tag} OK done\r\n", {}),
                ("refused", "{tag} NO never\r\n", None),
                ("literal", '* ID ("name" {7}\r\nMy IMAP "os" NIL)\r\n{tag} OK done\r\n',
                 {"name": "My IMAP", "os": None})):
            with self.subTest(answer=label):
                port, report, _ = self.tls([starttls(self.context), greet()] + capability("IMAP4rev1 ID") +
                                           [expect("ID .*"), send(answer)] + logout())
                self.assertEqual(port["server_id"], expected)
                self.assertIsNone(port["error"])
                self.assertEqual(report["verdict"], "ok", report["findings"])

    def test_capability_codes_and_several_lists(self):
        port, _, _ = self.plain(
            [send("* OK [CAPABILITY IMAP4rev1 STARTTLS FIRST] ready\r\n"), expect("CAPABILITY"),
             send("* CAPABILITY IMAP4rev1 STARTTLS\r\n* OK something\r\n* CAPABILITY SECOND first\r\n"
                  "{tag} OK [CAPABILITY IMAP4rev1 THIRD] done\r\n"),
             expect("STARTTLS"), send("{tag} OK [CAPABILITY IMAP4rev1 FAKE] go\r\n"), starttls(self.context),
             expect("CAPABILITY"), send("* CAPABILITY IMAP4rev1 FOURTH\r\n{tag} OK done\r\n")] + logout())
        phases = port["capability_phases"]
        self.assertEqual(phases["greeting"], ["IMAP4rev1", "STARTTLS", "FIRST"])
        self.assertEqual([word.upper() for word in phases["command"]],
                         ["IMAP4REV1", "STARTTLS", "SECOND", "FIRST", "THIRD"])
        self.assertEqual(phases["starttls"], ["IMAP4rev1", "FOURTH"])
        self.assertEqual(port["capabilities"], ["IMAP4rev1", "STARTTLS", "FIRST", "SECOND", "THIRD", "FOURTH"])

    def test_words_of_the_server_are_made_harmless(self):
        port, _, _ = self.plain([send(b"* OK \x1b[31mred\x07 \xff\xe2\x80\xae<script> \xc3\xa9\r\n"), close()])
        self.assertEqual(port["greeting"]["text"], "\\x1b[31mred\\x07 \ufffd\\u{202e}<script> \u00e9")
        port, _, _ = self.plain([send(b"* OK " + b"a" * 600 + b"\r\n"), close()])
        self.assertEqual(port["greeting"]["text"], "a" * 511 + "\u2026")
        self.assertIn("greeting", port["truncated"])

    def test_what_was_said_instead_of_a_greeting_is_told(self):
        port, _, _ = self.plain([send("220 mx.example.com ESMTP\r\n")])
        self.assertIsNone(port["greeting"])
        self.assertIn("220 mx.example.com ESMTP", port["error"]["message"])

    def test_bye_is_told(self):
        port, report, _ = self.plain([send("* BYE [UNAVAILABLE] maintenance until noon\r\n"), close()])
        self.assertEqual(port["greeting"], {"status": "bye", "code": "UNAVAILABLE",
                                            "text": "maintenance until noon"})
        self.assertEqual(self.finding(report, "server_refuses_service")["severity"], "warning")

    def test_facts_before_an_error_stay(self):
        port, _, _ = self.plain([greet("OK [CAPABILITY IMAP4rev1 STARTTLS] hi"), expect("CAPABILITY"), close()])
        self.assertEqual(port["greeting"]["text"], "hi")
        self.assertEqual(port["capabilities"], ["IMAP4rev1", "STARTTLS"])
        self.assertIsNone(port["tls"])
        self.assertIsNotNone(port["timings_ms"]["greeting"])
        self.assertIsNone(port["timings_ms"]["tls_handshake"])

    def test_one_port_only(self):
        _, report, _ = self.tls(healthy_tls(self.context))
        self.assertEqual(report["verdict"], "ok")
        host = self.stage.play(tls=healthy_tls(self.context))
        report = self.report(self.stage.service, host.name)
        self.assertEqual(report["ports"][0]["error"]["code"], "connection_refused")
        self.assertEqual(report["ports"][0]["verdict"], "unreachable")
        self.assertEqual(self.finding(report, "port_unreachable")["severity"], "notice", "RFC 8314 advises it")
        self.assertEqual(report["verdict"], "ok", report["findings"])
        host = self.stage.play(healthy_plain(self.context))
        report = self.report(self.stage.service, host.name)
        self.assertEqual(self.finding(report, "port_unreachable")["severity"], "warning")
        self.assertEqual(report["verdict"], "warnings", report["findings"])

    def test_ports_that_differ(self):
        other = certs.trusted().leaf("*.play.test").context()
        host = self.stage.play(healthy_plain(self.context, inside="IMAP4rev1 IDLE AUTH=PLAIN"),
                               healthy_tls(other, words="IMAP4rev1 AUTH=PLAIN"))
        report = self.report(self.stage.service, host.name)
        self.assertLessEqual({"capabilities_differ_between_ports", "certificates_differ_between_ports"},
                             self.ids(report))
        self.assertEqual(report["verdict"], "ok", "these are notices")

    def test_server_without_imap_revision(self):
        _, report, _ = self.tls([starttls(self.context), greet()] + session("IDLE"))
        self.assertEqual(self.finding(report, "imap_revision_missing")["severity"], "warning")

    def test_weak_tls_is_reported_and_not_refused(self):
        weak = "ALL:@SECLEVEL=0"
        leaf = certs.trusted().leaf("*.play.test", key="rsa")
        old = leaf.context(ciphers=weak, minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1)
        port, report, _ = self.tls(healthy_tls(old))
        self.assertEqual(port["tls"]["version"], "TLS 1.0")
        self.assertTrue(port["tls"]["version_weak"])
        self.assertEqual(self.finding(report, "tls_version_weak")["severity"], "critical")
        static = leaf.context(ciphers="AES256-SHA:@SECLEVEL=0", maximum=ssl.TLSVersion.TLSv1_2)
        port, report, _ = self.tls(healthy_tls(static))
        self.assertEqual(port["tls"]["cipher_suite"], "TLS_RSA_WITH_AES_256_CBC_SHA")
        self.assertEqual(port["tls"]["key_exchange"], "rsa")
        self.assertFalse(port["tls"]["forward_secrecy"])
        self.assertLessEqual({"no_forward_secrecy", "cipher_weak"}, self.ids(report))

    def test_weak_key(self):
        context = certs.trusted().leaf("*.play.test", key="rsa1024").context(ciphers="ALL:@SECLEVEL=0")
        port, report, _ = self.tls(healthy_tls(context))
        self.assertEqual(port["certificate"]["key_bits"], 1024)
        self.assertEqual(port["certificate"]["chain_errors"], ["weak_key"])
        self.assertIn("certificate_key_weak", self.ids(report))

    def test_alpn(self):
        speaks = certs.trusted().leaf("*.play.test").context()
        speaks.set_alpn_protocols(["imap"])
        port, _, host = self.tls(healthy_tls(speaks))
        self.assertEqual(port["tls"]["alpn"], "imap")
        self.assertEqual(host.tls.connections[0].alpn, "imap")
        port, _, _ = self.tls(healthy_tls(self.context))
        self.assertIsNone(port["tls"]["alpn"])

    def test_refused_alpn_is_tried_once_without(self):
        refusal = [swallow(), send(NO_APPLICATION_PROTOCOL_ALERT), close()]
        port, report, host = self.tls(lambda number: refusal if number == 0 else healthy_tls(self.context))
        self.assertEqual(len(host.tls.connections), 2)
        self.assertTrue(port["implicit_tls"])
        self.assertIsNone(port["error"])
        self.assertEqual(len(port["attempts"]), 2)
        self.assertEqual(port["attempts"][0]["error"]["code"], "tls_handshake_failed")
        self.assertEqual(self.finding(report, "alpn_refused")["severity"], "notice")
        port, _, host = self.tls(lambda number: refusal)
        self.assertEqual(len(host.tls.connections), 2, "one more and no third")
        self.assertEqual(port["error"]["code"], "tls_handshake_failed")

    def test_client_certificate(self):
        for label, options in (("1.3", {}), ("1.2", {"maximum": ssl.TLSVersion.TLSv1_2})):
            with self.subTest(version=label):
                context = certs.trusted().leaf("*.play.test").context(**options)
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(certs.trust_file())
                port, report, _ = self.tls(healthy_tls(context))
                self.assertEqual(port["error"]["code"], "client_certificate_required")
                self.assertFalse(port["implicit_tls"])
                self.assertIsNotNone(port["certificate"])
                self.assertEqual(self.finding(report, "client_certificate_required")["severity"], "warning")

    def test_alert_is_named(self):
        port, _, _ = self.tls([swallow(), send(HANDSHAKE_FAILURE_ALERT), close()])
        self.assertIn("handshake", port["error"]["alert"].lower())

    def test_slow_server_is_noted(self):
        with stage.Stage() as here:
            host = here.play(tls=[starttls(here.context()), sleep(3.3), greet()] + session("IMAP4rev1"))
            report = self.report(here.service, host.name, ports=str(here.imaps))
        self.assertEqual(self.finding(report, "slow_response")["severity"], "notice")
        self.assertEqual(report["verdict"], "ok")

    def test_deadline_cuts_a_test_and_says_so(self):
        host = self.stage.play([drip("* OK hi\r\n", 0.2)])
        answer = self.stage.service.test(host.name, ports=str(self.stage.imap), timeout_ms=1000)
        report = self.check_report(answer)
        self.assertLess(report["duration_ms"], 1000 + 700 * service.slowness())
        self.assertEqual(report["ports"][0]["error"]["code"], "deadline_exceeded")


if __name__ == "__main__":
    case.main()

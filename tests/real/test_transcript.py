"""transcript=true: what the service says went over the wire, against what the servers saw."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import service
import stage
from imapd import close, drip, expect, greet, healthy_plain, healthy_tls, hello, send, silence

IO_MS = int(1000 * service.slowness())
NO_APPLICATION_PROTOCOL_ALERT = b"\x15\x03\x03\x00\x02\x02\x78"


class TranscriptTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(io_timeout_ms=IO_MS)
        cls.addClassCleanup(cls.stage.stop)
        cls.context = cls.stage.context()

    def transcript(self, host, tls=False):
        """The port and its transcript, whose general rules are checked."""
        number = self.stage.imaps if tls else self.stage.imap
        port, = self.report(self.stage.service, host.name, ports=str(number), transcript="true")["ports"]
        host.settle()
        lines = port["transcript"]
        times = [line["at_ms"] for line in lines]
        self.assertEqual(times, sorted(times))
        for line in lines:
            self.assertLessEqual(line["at_ms"], port["timings_ms"]["total"])
            self.assertNotRegex(line["text"], r"[\x00-\x1f\x7f]")
        return port, lines

    def plain(self, steps):
        return self.transcript(self.stage.play(steps))

    def secure(self, steps):
        return self.transcript(self.stage.play(tls=steps), tls=True)

    def assert_last(self, lines, text, complete, tls=False):
        last = lines[-1]
        self.assertEqual((last["direction"], last["text"], last["complete"], last["tls"]),
                         ("received", text, complete, tls))

    def test_nothing_unless_asked_for(self):
        host = self.stage.play(healthy_plain(self.context), healthy_tls(self.context))
        for parameters in ({}, {"transcript": "false"}):
            for port in self.report(self.stage.service, host.name, **parameters)["ports"]:
                self.assertEqual(port["transcript"], [])

    def test_what_was_sent_is_what_the_server_got(self):
        host = self.stage.play(healthy_plain(self.context), healthy_tls(self.context))
        for tls, server in ((False, host.plain), (True, host.tls)):
            _, lines = self.transcript(host, tls)
            connection = server.connections[-1]
            sent = [(line["tls"], line["text"].encode()) for line in lines if line["direction"] == "sent"]
            self.assertEqual(sent, connection.lines)
            self.assertTrue(all(line["complete"] and line["connection"] == 1 for line in lines))

    def test_whole_dialogue(self):
        _, lines = self.plain(healthy_plain(self.context))
        shape = [(line["direction"][0], line["tls"], line["text"].split(" ")[1]) for line in lines]
        self.assertEqual(shape, [
            ("r", False, "OK"), ("s", False, "CAPABILITY"), ("r", False, "CAPABILITY"), ("r", False, "OK"),
            ("s", False, "STARTTLS"), ("r", False, "OK"), ("s", True, "CAPABILITY"), ("r", True, "CAPABILITY"),
            ("r", True, "OK"), ("s", True, "LOGOUT"), ("r", True, "BYE"), ("r", True, "OK")])

    def test_the_line_that_ended_the_dialogue(self):
        asked = [greet()] + imapd.capability("IMAP4rev1 STARTTLS LOGINDISABLED") + [expect("STARTTLS")]
        for label, steps, text, complete in (
                ("no imap", [send("220 mx ESMTP\r\n")], "220 mx ESMTP", True),
                ("bye", [send("* BYE go away\r\n* OK more\r\n")], "* BYE go away", True),
                ("half a greeting", [send("* OK hal"), silence()], "* OK hal", False),
                ("half a reply", [greet(), expect("CAPABILITY"), send("* CAPA"), close()], "* CAPA", False),
                ("no line end, no IMAP", [send(b"\x15\x03\x03\x00\x02\x02\x28"), close()],
                 "\\x15\\x03\\x03\\x00\\x02\\x02(", False),
                ("behind STARTTLS", asked + [send("{tag} OK go\r\n* INJECTED\r\n")], "* INJECTED", True),
                ("instead of TLS", asked + [send("{tag} OK go\r\n"), hello(), send("* BAD what\r\n"), close()],
                 "* BAD what", True),
                ("endless line", [send(b"* OK " + b"x" * 300000), silence()], "* OK " + "x" * 506 + "\u2026", False)):
            with self.subTest(end=label):
                port, lines = self.plain(steps)
                self.assertIsNotNone(port["error"])
                self.assert_last(lines, text, complete)
        _, lines = self.secure([send("* OK plain\r\n"), hello()])
        self.assert_last(lines, "* OK plain", True)
        _, lines = self.secure([imapd.starttls(self.context), send("* OK ha"), close()])
        self.assert_last(lines, "* OK ha", False, True)

    def test_time_is_up_in_the_middle_of_a_line(self):
        host = self.stage.play([drip("x", 0.2)])
        port, = self.report(self.stage.service, host.name, ports=str(self.stage.imap), transcript="true",
                            timeout_ms=1000)["ports"]
        self.assertRegex(port["transcript"][-1]["text"], "^x+$")
        self.assertFalse(port["transcript"][-1]["complete"])

    def test_flood(self):
        def flood(connection):
            for number in range(5000):
                connection.send(b"* OK line %d\r\n" % number)

        port, lines = self.plain([greet(), expect("CAPABILITY"), flood])
        self.assertEqual(port["error"]["code"], "response_too_long")
        self.assertEqual(len(lines), 200)
        self.assertEqual(lines[198]["text"], "* OK line 196")
        self.assert_last(lines, "* OK line 4096", True)
        self.assertIn("transcript", port["truncated"])

    def test_words_are_made_harmless(self):
        port, lines = self.plain([send(b"* OK \x1b[31m\xff\xe2\x80\xae\r\n"), close()])
        self.assertEqual(lines[0]["text"], "* OK \\x1b[31m\ufffd\\u{202e}")
        self.assertEqual(port["truncated"], [])

    def test_both_connections(self):
        refusal = [hello(), send(NO_APPLICATION_PROTOCOL_ALERT), close()]

        def starttls_refused(number):
            if number == 0:
                return [greet("OK first")] + imapd.capability("IMAP4rev1 STARTTLS LOGINDISABLED") + [
                    expect("STARTTLS"), send("{tag} OK go\r\n")] + refusal
            return healthy_plain(self.context)

        _, lines = self.plain(starttls_refused)
        self.assertEqual(sorted({line["connection"] for line in lines}), [1, 2])
        self.assertEqual([line["text"] for line in lines if line["text"].startswith("* OK")],
                         ["* OK first", "* OK ready"])


if __name__ == "__main__":
    case.main()

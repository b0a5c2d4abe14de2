"""What the bench for tests/cases says of files that are no scenarios, and of clients that misbehave."""
import types
import unittest

import scenario
import script

GOOD = {"about": "closes", "imap": "CLOSE",
        "report": {"verdict": "inconclusive", "findings": ["warning no_greeting"],
                   "imap": {"error": {"code": "connection_closed", "phase": "greeting"}}}}


def with_script(text):
    return {**GOOD, "imap": text}


def with_report(**fields):
    return {**GOOD, "report": {**GOOD["report"], **fields}}


def connection(*lines, **fields):
    """What a server noted of a client that said these lines."""
    lines = [(False, line) for line in lines]
    noted = {"lines": lines, "received": b"".join(line + b"\r\n" for _, line in lines), "records": b"", "sent": b"",
             "read_at": 0.0, "left_at": None,
             "commands": lambda: [line.decode().partition(" ")[2] for _, line in lines]}
    return types.SimpleNamespace(**{**noted, **fields})


class FormTest(unittest.TestCase):
    def test_good(self):
        one = scenario.make("group/good", GOOD)
        self.assertEqual(one.expected["findings"], ["warning no_greeting imap"])
        self.assertEqual(one.expected["ports"]["imap"]["commands"], [[]])

    def test_malformed(self):
        for complaint, content in (
                ("no table", None), ("lacks report", {"about": "x"}), ("about is no text", {**GOOD, "about": ""}),
                ("unknown fields: server", {**GOOD, "server": 1}), ("nothing is tested", {**GOOD, "ports": []}),
                ("`ports` does not name", {**GOOD, "ports": ["imaps"]}), ("lacks imaps", {**GOOD, "imaps": "CLOSE"}),
                ("no verdict", with_report(verdict="good")), ("report has imaps", with_report(imaps={})),
                ("a finding is", with_report(findings=["bad no_greeting"])),
                ("a finding is", with_report(findings=["warning no_greeting imaps"])),
                ("no expected finding", with_report(says={"other": "x"})),
                ("unknown fields: tsl", with_report(imap={"tsl": None})),
                ("lacks phase", with_report(imap={"error": {"code": "not_imap"}})),
                ("lacks text", with_report(imap={"greeting": {"status": "ok"}})),
                ("unknown fields: inside", with_report(imap={"capability_phases": {"inside": "X"}})),
                ("line 2 of the script: what is 'SHUT'", with_script("S: x\nSHUT")),
                ("what is 'SAY'", with_script("SAY: x")), ("escape", with_script(r"S: \q")),
                ("TLS takes", with_script("TLS 1.1")), ("ALERT takes", with_script("ALERT red")),
                ("as in: 100 ms", with_script("PAUSE 100")), ("stands alone", with_script("CLOSE now")),
                ("without a script", with_script("CLOSE\nNEXT CONNECTION"))):
            with self.subTest(complaint), self.assertRaisesRegex((scenario.Malformed, script.Malformed), complaint):
                scenario.make("group/bad", content)

    def test_texts(self):
        lines, = script.parse("S: {ab#*3} {x*2} {3}\nRAW: \\x41\\r\\n\\\\\nC: LOGOUT")
        self.assertEqual([(line.verb, line.data) for line in lines],
                         [("SEND", b"ab1ab2ab3 xx {3}\r\nA\r\n\\"), ("C", b"LOGOUT")])


class ClientTest(unittest.TestCase):
    @staticmethod
    def complaints(*connections):
        server = types.SimpleNamespace(connections=connections)
        host = types.SimpleNamespace(connections=lambda: connections, servers=lambda: [server])
        return " ".join(scenario.complaints_about_client(host, 1))

    def test_good(self):
        self.assertEqual(self.complaints(connection(b"abcdefg1 CAPABILITY", b"abcdefg2 LOGOUT", left_at=1.1)), "")
        self.assertEqual(self.complaints(connection(b"abcdefg1 STARTTLS", records=b"\x16\x03\x01\x00\x01x")), "")
        self.assertEqual(self.complaints(connection(sent=script.NO_APPLICATION_PROTOCOL), connection()), "")

    def test_bad(self):
        for complaint, connections in (
                ("said", [connection(b"abcdefg1 NOOP")]), ("said", [connection(b"abcdefg1 LOGIN a b")]),
                ("said", [connection(b"abcdefg1 STARTTLS ")]), ("said", [connection(b"a1 LOGOUT")]),
                ("said", [connection(b'abcdefg1 ID ("name" "somebody")')]),
                ("tag was used twice", [connection(b"abcdefg1 CAPABILITY", b"abcdefg1 LOGOUT")]),
                ("tag was used twice", [connection(b"abcdefg1 CAPABILITY")] * 2),
                ("without CR LF", [connection(b"abcdefg1 LOGOUT", received=b"abcdefg1 LOGOUT\n")]),
                ("waited 2.5 s", [connection(b"abcdefg1 LOGOUT", left_at=2.5)]),
                ("2 connections", [connection(), connection()]),
                ("3 connections", [connection(sent=script.NO_APPLICATION_PROTOCOL)] + [connection()] * 2),
                ("where a ClientHello", [connection(records=b"abcdefg2 CAPABILITY\r\n")]),
                ("behind a ClientHello", [connection(records=b"\x16\x03\x01\x00\x01xLOGOUT\r\n")]),
                ("half a TLS record", [connection(records=b"\x16\x03\x01\x00\x09x")])):
            with self.subTest(complaint):
                self.assertIn(complaint, self.complaints(*connections))


if __name__ == "__main__":
    unittest.main()

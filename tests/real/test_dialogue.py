"""What takes more than a scenario file: server names, the sides of the handshake, weak TLS, the limit of a test."""
import os
import re
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import service
import stage
from imapd import capability, drip, expect, greet, healthy_tls, logout, send, starttls, upgrade

IO_MS = int(1500 * service.slowness())


class DetailsTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(io_timeout_ms=IO_MS)
        cls.addClassCleanup(cls.stage.stop)
        cls.context = cls.stage.context()

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

    def test_deadline_cuts_a_test_and_says_so(self):
        host = self.stage.play([drip("* OK hi\r\n", 0.2)])
        answer = self.stage.service.test(host.name, ports=str(self.stage.imap), timeout_ms=1000)
        report = self.check_report(answer)
        self.assertLess(report["duration_ms"], 1000 + 700 * service.slowness())
        self.assertEqual(report["ports"][0]["error"]["code"], "deadline_exceeded")


if __name__ == "__main__":
    case.main()

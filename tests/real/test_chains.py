"""A chain is parsed and verified once, whatever ports and tests show it again, and a full handshake made each time.

The calls into the TLS library are counted in a program without a sanitizer, which would have to be loaded first.
"""
import os
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import countcalls
import dnsd
import imapd
import service
import stage

os.environ.pop("IMAP_TESTD_WRAPPER", None)

# The library reads the leaf by itself for the proof that the server holds its key: once in each handshake.
HANDSHAKES = countcalls.Counts(0, 0, 2)
# And one certificate again in a full check.
FULL = countcalls.Counts(1, 0, 2 + 2 + 1)
BELOW_KNOWN = countcalls.Counts(0, 1, 2 + 2)


class ChainsTest(case.Case):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="imap-test-chains-")
        self.addCleanup(shutil.rmtree, folder)
        self.trust_file = shutil.copy(certs.trust_file(), os.path.join(folder, "roots.pem"))
        self.calls = countcalls.CountCalls(os.environ["IMAP_TESTD_COUNTCALLS"])
        self.addCleanup(self.calls.close)
        self.stage = stage.Stage(environment=self.calls.environment, trust_file=self.trust_file, workers=1)
        self.addCleanup(self.stage.stop)

    def play(self, leaf, chain="full"):
        context = leaf.context(chain)
        return self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))

    def ask(self, name, errors=()):
        """What the test of both ports had to call."""
        self.calls.since()
        report = self.report(self.stage.service, name)
        for port in report["ports"]:
            self.assertIsNone(port["error"])
            self.assertEqual(port["certificate"]["chain_errors"], list(errors))
            self.assertTrue(port["certificate"]["hostname_match"])
        self.assertEqual(*(port["certificate"] for port in report["ports"]))
        return self.calls.since()

    def reload(self):
        self.stage.service.process.send_signal(signal.SIGHUP)
        events = self.stage.service.events
        seen = len(events("reloaded"))
        service.wait_until(lambda: len(events("reloaded")) > seen, 10, "the log says that roots were read")

    def test_both_ports_and_later_tests(self):
        host = self.play(certs.trusted().leaf("*.play.test"))
        self.assertEqual(self.ask(host.name), FULL)
        for _ in range(3):
            self.assertEqual(self.ask(host.name), HANDSHAKES)
        self.assertEqual([(connection.handshakes, connection.resumed) for connection in host.connections()],
                         [(1, False)] * 8)

    def test_another_name_is_verified_anew(self):
        host = self.play(certs.trusted().leaf("*.play.test"))
        self.ask(host.name)
        self.stage.dns.zone["second.play.test"] = dnsd.Name(a=[host.address])
        self.assertEqual(self.ask("second.play.test"), BELOW_KNOWN)
        self.assertEqual(self.ask("second.play.test"), HANDSHAKES)

    def test_leaf_below_known_issuers(self):
        first, second = (self.play(certs.trusted().leaf("*.play.test")) for _ in range(2))
        self.assertEqual(self.ask(first.name), FULL)
        self.assertEqual(self.ask(second.name), BELOW_KNOWN)

    def test_reload_forgets(self):
        host = self.play(certs.trusted().leaf("*.play.test"))
        self.ask(host.name)
        self.reload()
        self.assertEqual(self.ask(host.name), FULL)
        shutil.copy(certs.untrusted().root.file, self.trust_file)
        self.reload()
        self.ask(host.name, ["unknown_issuer"])
        self.assertEqual(self.ask(host.name, ["unknown_issuer"]), HANDSHAKES)
        shutil.copy(certs.trust_file(), self.trust_file)
        self.reload()
        self.assertEqual(self.ask(host.name), FULL)


if __name__ == "__main__":
    case.main()

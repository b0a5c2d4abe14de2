"""GET /probe: metrics of good and bad hosts, as promtool and the real blackbox_exporter see them."""
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import dnsd
import dovecot
import imapd
import net
import scraper
import stage
from probecase import ProbeCase, path, ssl_time

DAY = certs.DAY
EXPORTER = "prometheus-blackbox-exporter"

BLACKBOX = """modules:
  imaps: {{prober: tcp, timeout: 10s, tcp: {{tls: true, tls_config: {trust}}}}}
  insecure: {{prober: tcp, timeout: 10s, tcp: {{tls: true, tls_config: {{insecure_skip_verify: true}}}}}}
  imap_starttls:
    prober: tcp
    timeout: 10s
    tcp:
      tls_config: {trust}
      query_response:
        - {{expect: "OK.*STARTTLS", send: ". STARTTLS"}}
        - {{expect: "OK"}}
        - {{starttls: true}}
        - {{send: ". CAPABILITY"}}
        - {{expect: "CAPABILITY IMAP4rev1"}}
"""

# What depends on the time that a test took.
TIMES = {"probe_duration_seconds", "probe_dns_lookup_time_seconds"}


class ProbeTest(ProbeCase):
    """On a Dovecot and on scripted servers."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage()
        cls.addClassCleanup(cls.stage.stop)
        good, unknown = certs.trusted(), certs.untrusted()
        cls.leaves = {
            "good.test": good.leaf("good.test", "www.good.test"),
            "expired.test": good.leaf("expired.test", start=-90 * DAY, end=-DAY - 3600),
            "other.test": good.leaf("another.test"),
            "unknown.test": unknown.leaf("unknown.test"),
            "lateca.test": certs.with_expired_intermediate().leaf("lateca.test"),
        }
        cls.addresses = {name: net.fresh_address() for name in cls.leaves}
        server = dovecot.start(ports=(cls.stage.imap, cls.stage.imaps),
                               settings=dovecot.certificate(cls.leaves["good.test"]),
                               sites={cls.addresses[name]: dovecot.certificate(leaf)
                                      for name, leaf in cls.leaves.items()})
        cls.addClassCleanup(server.stop)
        for name, address in cls.addresses.items():
            cls.stage.dns.zone[name] = dnsd.Name(a=[address])
        cls.imap, cls.imaps = str(cls.stage.imap), str(cls.stage.imaps)

    def expiry(self, name):
        """Of the leaf and of all that is sent, from the certificates themselves."""
        ends = []
        for member in self.leaves[name].chain():
            ends.append(ssl_time(member.x509("-enddate").partition("=")[2]))
        return ends[0], min(ends)

    def check_certificate(self, name, samples, match, valid):
        leaf, earliest = self.expiry(name)
        self.assertEqual(samples.get("probe_ssl_earliest_cert_expiry"), earliest)
        self.assertEqual(samples.get("probe_ssl_last_chain_expiry_timestamp_seconds"), earliest if valid else None)
        tested = samples.get("imap_test_timestamp_seconds")
        self.assertAlmostEqual(tested, time.time(), delta=60)
        for port in self.imap, self.imaps:
            of = {"port": port, "address": self.addresses[name]}
            self.assertEqual(samples.get("imap_test_certificate_expiry_timestamp_seconds", **of), leaf)
            self.assertEqual(samples.get("imap_test_certificate_remaining_seconds", **of), leaf - tested)
            self.assertEqual(samples.get("imap_test_certificate_hostname_match", **of), match)
            self.assertEqual(samples.get("imap_test_certificate_chain_valid", **of), valid)

    def test_good(self):
        samples = self.probe("good.test")
        self.assertEqual(self.verdict(samples), "ok")
        self.check_certificate("good.test", samples, 1, 1)
        self.assertEqual(samples.get("probe_ip_protocol"), 4)
        self.assertEqual(samples.get("probe_failed_due_to_regex"), 0)
        self.assertEqual(samples.get("probe_tls_version_info", version="TLS 1.3"), 1)
        info, = samples.labels("probe_ssl_last_chain_info")
        self.assertEqual(info["subject"], "CN=good.test")
        self.assertEqual(info["subjectalternative"], "good.test,www.good.test")
        for port in self.imap, self.imaps:
            of = {"port": port, "address": self.addresses["good.test"]}
            self.assertEqual(samples.get("imap_test_port_reachable", **of), 1)
            self.assertEqual(samples.get("imap_test_capability", capability="IDLE", **of), 1)
            self.assertEqual(samples.get("imap_test_capability", capability="CONDSTORE", **of), 0)
            phases = [samples.get("imap_test_phase_duration_seconds", phase=phase, **of)
                      for phase in ("connect", "greeting", "tls_handshake", "total")]
            self.assertGreaterEqual(samples.get("probe_duration_seconds"), phases[-1])
            self.assertGreater(min(phases), 0)
        self.assertEqual(samples.labels("imap_test_starttls_supported"),
                         [{"port": self.imap, "address": self.addresses["good.test"]}])
        self.assertEqual(samples.labels("imap_test_implicit_tls"),
                         [{"port": self.imaps, "address": self.addresses["good.test"]}])

    def test_metrics_and_report_say_the_same(self):
        for name in [*self.leaves, "nobody.test"]:
            with self.subTest(name):
                samples, report = self.probe(name), self.report(self.stage.service, name)
                self.assertEqual(self.verdict(samples), report["verdict"])
                for severity in ("critical", "warning", "notice", "info"):
                    self.assertEqual(samples.get("imap_test_findings", severity=severity),
                                     sum(finding["severity"] == severity for finding in report["findings"]))
                self.assertEqual({(row["id"], row["port"]) for row in samples.labels("imap_test_finding_info")},
                                 {(row["id"], str(row["port"] or "")) for row in report["findings"]})
                self.assertEqual({(row["port"], row["code"]) for row in samples.labels("imap_test_error_info")},
                                 {(str(port["port"]), port["error"]["code"]) for port in report["ports"]
                                  if port["error"]})

    def test_expiry_is_there_whatever_is_wrong(self):
        for name, match, valid, finding in (("expired.test", 1, 0, "certificate_expired"),
                                            ("other.test", 0, 1, "certificate_hostname_mismatch"),
                                            ("unknown.test", 1, 0, "certificate_untrusted"),
                                            ("lateca.test", 1, 0, "certificate_chain_expired")):
            with self.subTest(name):
                samples = self.probe(name)
                self.assertEqual(self.verdict(samples), "problems")
                self.check_certificate(name, samples, match, valid)
                self.assertEqual({row["port"] for row in samples.labels("imap_test_finding_info")
                                  if row["id"] == finding}, {self.imap, self.imaps})
                self.assertEqual(samples.get("probe_failed_due_to_regex"), 0)

    def test_which_ports(self):
        for target, parameters, expected in (
                ("good.test", {"module": "imap_starttls"}, {self.imap}),
                ("good.test", {"module": "imaps"}, {self.imaps}),
                ("good.test:" + self.imap, {}, {self.imap}),
                ("good.test:" + self.imaps, {}, {self.imaps}),
                ("good.test:" + self.imaps, {"module": "imaps"}, {self.imaps}),
                ("good.test", {}, {self.imap, self.imaps})):
            with self.subTest(target=target, **parameters):
                samples = self.probe(target, **parameters)
                self.assertEqual(self.ports(samples), expected)
                self.assertEqual(len(samples.labels("imap_test_starttls_supported")), self.imap in expected)
                self.assertEqual(samples.get("probe_success"), 1)

    def test_address_is_tested_for_the_name(self):
        samples = self.probe("other.test", address=self.addresses["good.test"])
        self.assertEqual({row["address"] for row in samples.labels("imap_test_port_success")},
                         {self.addresses["good.test"]})
        self.assertEqual(samples.get("imap_test_certificate_hostname_match", port=self.imap,
                                     address=self.addresses["good.test"]), 0)

    def test_unreachable(self):
        address = net.fresh_address()
        samples = self.probe(self.stage.name(address))
        self.assertEqual(self.verdict(samples), "unreachable")
        self.assertEqual(samples.get("probe_ip_protocol"), 4)
        self.assertNotEqual(samples.get("probe_ip_addr_hash"), 0)
        self.assertEqual({row["code"] for row in samples.labels("imap_test_error_info")}, {"connection_refused"})
        self.assertFalse([name for name in samples.names() if "certificate" in name or "ssl" in name])

    def test_name_that_does_not_exist(self):
        samples = self.probe("nobody.test")
        self.assertEqual(self.verdict(samples), "unreachable")
        self.assertEqual((samples.get("probe_ip_protocol"), samples.get("probe_ip_addr_hash")), (0, 0))
        self.assertEqual(samples.get("imap_test_error_info", port=self.imap, address="", code="dns_name_not_found",
                                     phase="dns"), 1)

    def test_inconclusive(self):
        bye = [imapd.send("* BYE Too many connections from your IP address\r\n"), imapd.close()]
        host = self.stage.play(bye)
        samples = self.probe(host.name, module="imap_starttls")
        self.assertEqual(self.verdict(samples), "inconclusive")
        self.assertEqual(samples.get("imap_test_port_verdict", port=self.imap, address=host.address,
                                     verdict="inconclusive"), 1)

    def test_one_port_alone(self):
        context = self.stage.context()
        host = self.stage.play(imapd.healthy_plain(context))
        samples = self.probe(host.name)
        self.assertEqual(self.verdict(samples), "warnings")
        self.assertEqual(samples.get("imap_test_port_success", port=self.imap, address=host.address), 1)
        self.assertEqual(samples.get("imap_test_port_reachable", port=self.imaps, address=""), 0)
        self.assertEqual([row["port"] for row in samples.labels("imap_test_certificate_chain_valid")], [self.imap])
        self.assertIsNotNone(samples.get("probe_ssl_earliest_cert_expiry"))

    def test_certificate_of_a_handshake_that_fails(self):
        """The server's certificate came, and then it wants one of ours: what was learnt is said all the same."""
        leaf = certs.trusted().leaf("*.play.test", end=40 * DAY)
        context = leaf.context(maximum=ssl.TLSVersion.TLSv1_2)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certs.trust_file())
        host = self.stage.play(None, [imapd.starttls(context)])
        samples = self.probe(host.name, module="imaps")
        of = {"port": self.imaps, "address": host.address}
        expiry = ssl_time(leaf.x509("-enddate").partition("=")[2])
        self.assertEqual({row["code"] for row in samples.labels("imap_test_error_info")}, {"client_certificate_required"})
        self.assertEqual(samples.get("probe_ssl_earliest_cert_expiry"), expiry)
        self.assertEqual(samples.get("imap_test_certificate_expiry_timestamp_seconds", **of), expiry)
        self.assertEqual(samples.get("imap_test_implicit_tls", **of), 0)
        self.assertEqual(samples.labels("probe_tls_version_info"), [])

    def test_starttls_refused(self):
        host = self.stage.play([imapd.greet(), *imapd.capability("IMAP4rev1"), imapd.expect("STARTTLS"),
                                imapd.send("{tag} NO not today\r\n")])
        samples = self.probe(host.name, module="imap_starttls")
        self.assertEqual(samples.get("probe_failed_due_to_regex"), 1)
        self.assertEqual(samples.get("imap_test_starttls_supported", port=self.imap, address=host.address), 0)
        self.assertIsNone(samples.get("probe_tls_version_info", version="TLS 1.3"))

    def test_foreign_words(self):
        """What a server says stands nowhere but in labels of its certificate, and cannot leave them."""
        leaf = certs.trusted().leaf("*.play.test", cn='a"b}\\{c')
        host = self.stage.play(None, imapd.healthy_tls(leaf.context(), 'IMAP4rev1 X"}{=\\'))
        samples = self.probe(host.name, module="imaps")
        info, = samples.labels("probe_ssl_last_chain_info")
        self.assertIn("a", info["subject"])
        self.assertEqual({row["capability"] for row in samples.labels("imap_test_capability")} & {'X"}{=\\'}, set())

    def test_head(self):
        answer = self.stage.service.request("HEAD", path("good.test"))
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")

    # Against the exporter whose names these are

    @unittest.skipUnless(shutil.which(EXPORTER), EXPORTER + " is not installed")
    def test_blackbox_exporter_says_the_same(self):
        with Blackbox("good.test") as blackbox:
            for module, port in (("imap_starttls", self.imap), ("imaps", self.imaps)):
                self.compare(blackbox, "good.test", module, port)
            # It has the expiry of a bad certificate only where it is told not to look at the certificate.
            for name in ("expired.test", "unknown.test", "other.test"):
                self.compare(blackbox, name, "insecure", self.imaps)
            silent = blackbox.probe("imaps", "127.0.0.1:1")
            self.assertLessEqual(silent.names(), self.probe("nobody.test").names())

    def compare(self, blackbox, name, module, port):
        with self.subTest(name, module=module):
            ours = self.probe(name, module="imaps" if module == "insecure" else module)
            theirs = blackbox.probe(module, "%s:%s" % (self.addresses[name], port))
            self.assertEqual(theirs.get("probe_success"), 1)
            expiry = "probe_ssl_earliest_cert_expiry"
            self.assertIsNotNone(theirs.get(expiry))
            for (family, labels), value in theirs.values.items():
                if module == "insecure" and family in ("probe_success",
                                                       "probe_ssl_last_chain_expiry_timestamp_seconds"):
                    continue  # for it the certificate was good, or there was no chain and the time is that of year 1
                if family in TIMES:
                    self.assertIn(family, ours.names())
                else:
                    self.assertEqual(ours.values.get((family, labels)), value, (family, labels))


class Blackbox:
    """A real blackbox_exporter that trusts what the service trusts, where the certificate is for this name."""

    def __init__(self, name):
        with tempfile.NamedTemporaryFile("w", suffix=".yml", delete=False) as config:
            config.write(BLACKBOX.format(trust="{ca_file: %s, server_name: %s}" % (certs.trust_file(), name)))
        self._config = config.name
        self.base = "http://127.0.0.1:%d" % net.fresh_port()
        self._process = subprocess.Popen([EXPORTER, "--config.file=" + config.name, "--log.level=error",
                                          "--web.listen-address=" + self.base[len("http://"):]],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            scraper.await_http(self.base + "/", self._process, 30)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        os.unlink(self._config)

    def probe(self, module, target):
        query = urllib.parse.urlencode({"module": module, "target": target})
        with urllib.request.urlopen(self.base + "/probe?" + query, timeout=30) as answer:
            return scraper.Samples(answer.read().decode())


if __name__ == "__main__":
    case.main()

"""GET /probe: a test as metrics, as promtool, a real Prometheus and the real blackbox_exporter see them."""
import concurrent.futures
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import dnsd
import dovecot
import imapd
import net
import scraper
import service
import stage
from service import slowness, wait_until

DAY = certs.DAY
TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"
VERDICTS = ("ok", "warnings", "problems", "inconclusive", "unreachable")
JOB = os.path.join(service.ROOT, "deploy", "prometheus", "probe.yml")
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


def path(target, **parameters):
    return "/probe?" + urllib.parse.urlencode({"target": target, **parameters}, safe=":,[]")


class ProbeCase(case.Case):
    def probe(self, target, headers=None, **parameters):
        """The metrics of a target; what promtool says of them is looked at every time."""
        answer = self.stage.service.get(path(target, **parameters), headers=headers)
        return self.check_metrics(answer)

    def check_metrics(self, answer):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertIn("server-timing", answer.headers)
        text = answer.body.decode()
        scraper.check_metrics(text)
        samples = scraper.Samples(text)
        self.assertEqual(set(samples.types.values()), {"gauge"})
        self.assertEqual(set(samples.types), samples.names(), "a family without samples")
        verdict = self.verdict(samples)
        self.assertEqual(samples.get("probe_success"), verdict in ("ok", "warnings"))
        return samples

    def verdict(self, samples):
        values = {verdict: samples.get("imap_test_verdict", verdict=verdict) for verdict in VERDICTS}
        self.assertEqual(sorted(values.values()), [0, 0, 0, 0, 1], values)
        return max(values, key=values.get)

    def ports(self, samples):
        return {labels["port"] for labels in samples.labels("imap_test_port_success")}


class HostsTest(ProbeCase):
    """Good and bad hosts, on a Dovecot and on scripted servers."""

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


def ssl_time(text):
    """`Nov 25 23:00:00 2026 GMT` as Unix time."""
    return ssl.cert_time_to_seconds(text)


class TimeTest(ProbeCase):
    """How long a test may take."""

    def setUp(self):
        self.stage = stage.Stage(deadline_ms=int(8000 * slowness()))
        self.addCleanup(self.stage.stop)

    def timed(self, *arguments, **options):
        started = time.monotonic()
        samples = self.probe(*arguments, **options)
        return samples, time.monotonic() - started

    def test_scrape_timeout_is_kept(self):
        host = self.stage.play([imapd.greet(), imapd.silence()], [imapd.silence()])
        allowed = 2 * slowness()
        samples, seconds = self.timed(host.name, headers={TIMEOUT: "%g" % allowed})
        self.assertEqual(samples.get("imap_test_deadline_exceeded"), 1)
        self.assertEqual(samples.get("probe_success"), 0)
        self.assertLess(seconds, allowed + 0.2 * slowness())
        self.assertAlmostEqual(samples.get("probe_duration_seconds"), allowed - 0.5, delta=0.3 * slowness())
        self.assertEqual({row["code"] for row in samples.labels("imap_test_error_info")}, {"deadline_exceeded"})
        self.assertEqual(len(samples.labels("imap_test_port_reachable")), 2)

    def test_the_shortest_of_all_limits_counts(self):
        host = self.stage.play([imapd.silence()], [imapd.silence()])
        for parameters, header, expected in (({"timeout_ms": 1000}, "5", 1.0), ({"timeout_ms": 5000}, "1.5", 1.0),
                                             ({}, "0", 0.1), ({}, "0.2", 0.1)):
            with self.subTest(header=header, **parameters):
                samples, _ = self.timed(host.name, headers={TIMEOUT: header}, **parameters)
                self.assertAlmostEqual(samples.get("probe_duration_seconds"), expected, delta=0.3 * slowness())

    def test_header_of_any_kind(self):
        host = self.stage.play(imapd.healthy_plain(self.stage.context()), imapd.healthy_tls(self.stage.context()))
        for header in ("10", "86400", "9" * 400, "100000000000000000000.5", "60.0"):
            with self.subTest(header):
                self.assertEqual(self.probe(host.name, headers={TIMEOUT: header}).get("probe_success"), 1)
        played = len(host.connections())
        for header in ("NaN", "-1", "1e309", "1e3", "inf", "ten", "10s", "", "0x10", "1,5", "10;20", "\xff",
                       "9" * 400 + "x"):
            with self.subTest(header):
                answer = self.stage.service.get(path(host.name), headers={TIMEOUT: header})
                body = self.problem(answer, 400, "invalid_parameter")
                self.assertIn("seconds in digits", body["detail"])
        self.assertEqual(len(host.connections()), played, "tested although refused")
        # No header of a report's.
        self.assertEqual(self.stage.service.get(self.stage.service.test_path(host.name),
                                                headers={TIMEOUT: "NaN"}).status, 200)

    def test_spaces_around_the_header_do_not_count(self):
        host = self.stage.play(imapd.healthy_plain(self.stage.context()), imapd.healthy_tls(self.stage.context()))
        request = "GET %s HTTP/1.1\r\nHost: x\r\n%s: \t 10 \t \r\n\r\n" % (path(host.name), TIMEOUT)
        answer, = self.stage.service.raw(request.encode())
        self.check_metrics(answer)


class FrontTest(ProbeCase):
    """The way in is that of a report."""

    def start(self, **options):
        self.stage = stage.Stage(**options)
        self.addCleanup(self.stage.stop)
        context = self.stage.context()
        return self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))

    def refused(self, target, status, code, headers=None, **parameters):
        return self.problem(self.stage.service.get(path(target, **parameters), headers=headers), status, code)

    def test_refusals_are_problems(self):
        host = self.start()
        self.refused(host.name, 400, "unknown_parameter", debug="true")
        self.refused(host.name, 400, "invalid_parameter", module="http_2xx")
        detail = self.refused(host.name + ":25", 400, "invalid_parameter")["detail"]
        self.assertIn("%d and %d" % (self.stage.imap, self.stage.imaps), detail)
        self.refused("", 400, "missing_host")
        self.refused("a..b", 400, "invalid_host")
        self.refused("169.254.169.254", 403, "target_not_allowed")
        self.refused(host.name, 403, "target_not_allowed", address="192.0.2.1")
        self.problem(self.stage.service.request("POST", path(host.name)), 405, "method_not_allowed")
        self.assertEqual(len(host.connections()), 0)

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
            keys.write("secret\n")
            keys.flush()
            host = self.start(api_key_file=keys.name)
            self.refused(host.name, 401, "unauthorized")
            self.assertEqual(self.probe(host.name, headers={"Authorization": "Bearer secret"}).get("probe_success"), 1)

    def test_limits(self):
        host = self.start(target_rate="2/600")
        self.probe(host.name)
        self.probe(host.name)
        self.assertEqual(self.refused(host.name, 429, "rate_limited")["scope"], "target")
        self.assertEqual(len(host.connections()), 4)

    def test_cache_keeps_metrics_and_reports_apart(self):
        host = self.start(cache_seconds=60)
        first = self.stage.service.get(path(host.name))
        again = self.stage.service.get(path(host.name))
        self.assertEqual(first.body, again.body)
        self.assertNotIn("age", first.headers)
        self.assertIn("age", again.headers)
        self.assertEqual(len(host.connections()), 2)
        report = self.report(self.stage.service, host.name)
        self.assertFalse(report["cached"])
        self.assertTrue(self.report(self.stage.service, host.name)["cached"])
        self.assertEqual(len(host.connections()), 4)
        self.assertEqual(self.check_metrics(self.stage.service.get(path(host.name))).get("probe_success"), 1)
        self.assertEqual(len(host.connections()), 4)
        self.probe(host.name, fresh="true")
        self.assertEqual(len(host.connections()), 6)
        # The module and the port behind the name are one test, another port is another one.
        for target, parameters, count in ((host.name, {"module": "imaps"}, 7),
                                          ("%s:%d" % (host.name, self.stage.imaps), {}, 7),
                                          ("%s:%d" % (host.name, self.stage.imap), {}, 8)):
            self.probe(target, **parameters)
            self.assertEqual(len(host.connections()), count)

    def test_scrapes_at_once_are_one_test(self):
        self.start(cache_seconds=60)
        event, context = threading.Event(), self.stage.context()
        host = self.stage.play([imapd.gate(event), *imapd.healthy_plain(context)], imapd.healthy_tls(context))
        with concurrent.futures.ThreadPoolExecutor(4) as callers:
            metrics = [callers.submit(self.stage.service.get, path(host.name)) for _ in range(3)]
            report = callers.submit(self.stage.service.test, host.name)
            wait_until(lambda: len(host.plain.connections) == 2, 10 * slowness(), "both forms are being tested")
            time.sleep(0.2 * slowness())
            event.set()
            bodies = {self.check_metrics(answer.result()) and answer.result().body for answer in metrics}
            self.check_report(report.result())
        self.assertEqual(len(bodies), 1)
        self.assertEqual(len(host.plain.connections), 2)

    def test_log_has_host_and_verdict(self):
        host = self.start()
        self.probe("%s:%d" % (host.name, self.stage.imaps))
        line = self.stage.service.events("request")[-1]
        self.assertEqual((line["path"], line["host"], line["verdict"]), ("/probe", host.name, "ok"))


class PrometheusTest(ProbeCase):
    """A real Prometheus with the job that is shipped."""

    def test_example_is_the_one_of_the_readme(self):
        with open(JOB, encoding="utf-8") as file:
            shipped = file.read()
        status, said = scraper.promtool("check", "config", JOB)
        self.assertEqual(status, 0, said)
        self.assertNotIn("WARNING", said)
        with open(os.path.join(service.ROOT, "README.md"), encoding="utf-8") as file:
            blocks = re.findall(r"```yaml\n(.*?)```", file.read(), re.DOTALL)
        found = [block for block in blocks if "scrape_configs" in block]
        self.assertEqual(len(found), 1)
        self.assertTrue(shipped.endswith(found[0]), "the README has another job than %s" % JOB)

    def test_prometheus_scrapes_and_answers(self):
        with stage.Stage() as self.stage:
            context = self.stage.context()
            good = self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))
            late = certs.trusted().leaf("*.play.test", start=-90 * DAY, end=-DAY)
            expired = self.stage.play(imapd.healthy_plain(late.context()), imapd.healthy_tls(late.context()))
            bye = [imapd.send("* BYE Too many connections\r\n"), imapd.close()]
            busy = "%s:%d" % (self.stage.play(bye).name, self.stage.imap)
            port = "%s:%d" % (good.name, self.stage.imaps)
            targets = [good.name, port, expired.name, busy, "nobody.test", "a.test:25"]
            with scraper.Prometheus(self.config(targets)) as prom:
                wait_until(lambda: len(prom.query("imap_test_verdict == 1")) == 5 and len(prom.query("up == 0")) == 1,
                           60 * slowness(), "all targets are scraped")
                self.check_prometheus(prom, good.name, port, busy, expired, late)
                self.check_alerts(prom, expired.name)

    def config(self, targets):
        """The shipped file with these targets, the service's address, and scrapes each second."""
        with open(JOB, encoding="utf-8") as file:
            config = yaml.safe_load(file)
        job, = config["scrape_configs"]
        job.update(scrape_interval="2s", scrape_timeout="2s", static_configs=[{"targets": targets}])
        last = job["relabel_configs"][-1]
        self.assertEqual(last["replacement"], "127.0.0.1:8080")
        last["replacement"] = "%s:%d" % self.stage.service.address
        return yaml.safe_dump(config)

    def check_alerts(self, prom, expired):
        """Those of the README."""
        with open(os.path.join(service.ROOT, "README.md"), encoding="utf-8") as file:
            failing, expiring = re.search(r"```promql\n(.*?)```", file.read(), re.DOTALL)[1].splitlines()
        self.assertEqual({row["instance"] for row, _ in prom.query(failing)}, {expired, "nobody.test"})
        self.assertEqual({row["instance"] for row, _ in prom.query(expiring)}, {expired})

    def check_prometheus(self, prom, good, port, busy, expired, late):
        success = {row["instance"]: value for row, value in prom.query("probe_success")}
        self.assertEqual(success, {good: 1, port: 1, busy: 0, expired.name: 0, "nobody.test": 0})
        self.assertEqual([row["instance"] for row, _ in prom.query("up == 0")], ["a.test:25"])
        self.assertEqual(prom.value('probe_ssl_earliest_cert_expiry{instance="%s"}' % expired.name),
                         ssl_time(late.x509("-enddate").partition("=")[2]))
        self.assertEqual({row["port"] for row, value in
                          prom.query('imap_test_certificate_remaining_seconds{instance="%s"} < 0' % expired.name)},
                         {str(self.stage.imap), str(self.stage.imaps)})
        self.assertEqual(prom.value('count(imap_test_port_success{instance="%s"})' % port), 1)
        # The header that Prometheus sends is understood: the answer came in time, or the target would be down.
        for target in prom.targets():
            self.assertEqual(target["health"], "down" if target["labels"]["instance"] == "a.test:25" else "up", target)


if __name__ == "__main__":
    case.main()

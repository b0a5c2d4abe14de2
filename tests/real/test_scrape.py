"""GET /probe: how long a test may take, the way in, and a real Prometheus that scrapes."""
import concurrent.futures
import os
import re
import sys
import tempfile
import threading
import time

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import imapd
import scraper
import service
import stage
from probecase import ProbeCase, path, ssl_time
from service import slowness, wait_until

DAY = certs.DAY
TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"
JOB = os.path.join(service.ROOT, "deploy", "prometheus", "probe.yml")
PAGE = os.path.join(service.ROOT, "docs", "prometheus.md")


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

    def test_example_is_the_one_of_the_page(self):
        with open(JOB, encoding="utf-8") as file:
            shipped = file.read()
        status, said = scraper.promtool("check", "config", JOB)
        self.assertEqual(status, 0, said)
        self.assertNotIn("WARNING", said)
        with open(PAGE, encoding="utf-8") as file:
            blocks = re.findall(r"```yaml\n(.*?)```", file.read(), re.DOTALL)
        found = [block for block in blocks if "scrape_configs" in block]
        self.assertEqual(len(found), 1)
        self.assertTrue(shipped.endswith(found[0]), "%s has another job than %s" % (PAGE, JOB))

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
        """Those of the page."""
        with open(PAGE, encoding="utf-8") as file:
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

"""/metrics: what is counted adds up, nobody can add series, promtool and a real Prometheus take it, and the operator's
own port answers whatever becomes of the public one."""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dnsd
import imapd
import metrics
import net
import service
import stage
from service import wait_until

SLOW = service.slowness()
KEY = "0123456789abcdef"
GRACE_MS = int(3000 * SLOW)
# A store that nobody serves: its figures are there, and say so.
NOBODY = "redis://127.0.0.1:%d" % net.fresh_port()


class Port(service.Service):
    """The operator's port of a service that runs."""

    def __init__(self, played):
        self._address = tuple(played.events("admin_listening")[0]["address"].rsplit(":", 1))


class MetricsCase(case.Case):
    options = {}

    def setUp(self):
        self.stage = stage.Stage(admin_listen="127.0.0.1:0", **self.options)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service
        self.admin = Port(self.service)

    def scrape(self):
        return metrics.scrape(self.admin)

    def await_metrics(self, condition, what):
        """Whoever has an answer may ask for the figures before the request is counted."""
        found = []

        def holds():
            found.append(self.scrape())
            return condition(found[-1])
        wait_until(holds, 10 * SLOW, what)
        return found[-1]

    def healthy(self):
        context = self.stage.context()
        return self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))

    def gated(self, gate):
        context = self.stage.context()
        return self.stage.play([imapd.gate(gate)] + list(imapd.healthy_plain(context)), imapd.healthy_tls(context))

    def both(self):
        return "%d,%d" % (self.stage.imap, self.stage.imaps)


class CountingTest(MetricsCase):
    options = {"cache_seconds": 60, "client_rate": "30/3600", "target_rate": "4/3600",
               "dns_timeout_ms": int(1500 * SLOW)}

    def test_everything_adds_up(self):
        before = self.scrape()
        expected = self.ask_for_all_kinds()
        asked = len(expected)

        def public(found):
            return found.sum("imap_testd_http_requests_total") - found.sum("imap_testd_http_requests_total",
                                                                           route="/metrics")
        found = self.await_metrics(lambda m: public(m) - public(before) == asked, "all requests to be counted")
        for (route, code), count in self.count_by(expected, 2).items():
            self.assertEqual(found.sum("imap_testd_http_requests_total", route=route, code=str(code)), count,
                             (route, code))
        for reason, count in self.count_by(expected, 3, 2).items():
            self.assertEqual(found.sum("imap_testd_http_refusals_total", reason=reason), count, reason)
        refused = sum(1 for _, code, _ in expected if code >= 400)
        self.assertEqual(found.sum("imap_testd_http_refusals_total"), refused)
        self.check_tests(found)
        self.check_times(found)

    @staticmethod
    def count_by(expected, upto, start=0):
        counts = {}
        for one in expected:
            key = one[start] if upto - start == 1 else one[start:upto]
            if key is not None:
                counts[key] = counts.get(key, 0) + 1
        return counts

    def ask(self, expected, path, route, status, reason=None, method="GET"):
        answer = self.service.request(method, path)
        self.assertEqual(answer.status, status, answer)
        expected.append((route, status, reason))
        return answer

    def ask_for_all_kinds(self):
        """Route, status and reason of every request made."""
        test, ask, expected = "/v1/imap-test", self.ask, []
        good, gate = self.healthy(), threading.Event()
        slow = self.gated(gate)
        self.stage.dns.zone["silent.play.test"] = dnsd.Name(silent=True)
        self.stage.dns.zone["broken.play.test"] = dnsd.Name(rcode=dnsd.SERVFAIL)
        self.stage.dns.zone["empty.play.test"] = dnsd.Name()
        closed = self.stage.name(net.fresh_address())
        path = service.Service.test_path
        for _ in range(3):  # a test, and two answers from the cache
            ask(expected, path(good.name), test, 200)
        ask(expected, path(good.name, fresh="true"), test, 200)
        for name in (closed, "nowhere.play.test", "silent.play.test", "broken.play.test", "empty.play.test"):
            ask(expected, path(name), test, 200)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = [pool.submit(ask, expected, path(slow.name), test, 200) for _ in range(3)]
            busy = self.await_metrics(lambda m: m.sum("imap_testd_http_requests_waiting") == 3, "three to wait")
            self.assertEqual(busy.sum("imap_testd_tests_in_flight"), 1)
            self.assertGreaterEqual(busy.sum("imap_testd_http_connections"), 3)
            gate.set()
            for one in waiting:
                one.result()
        ask(expected, path("10.0.0.1"), test, 403, "target_not_allowed")
        ask(expected, test, test, 400, "missing_host")
        ask(expected, path("no host"), test, 400, "invalid_host")
        ask(expected, path("a.play.test", hosts="x"), test, 400, "unknown_parameter")
        ask(expected, path("a.play.test", ports="25"), test, 400, "invalid_parameter")
        ask(expected, path("a.play.test") + "&host=b", test, 400, "repeated_parameter")
        ask(expected, test, "other", 405, "method_not_allowed", method="POST")
        ask(expected, "/nothing", "other", 404, "not_found")
        ask(expected, "/metrics", "other", 404, "not_found")
        for route in ("/healthz", "/readyz", "/v1/capabilities", "/openapi.yaml"):
            ask(expected, route, route, 200)
        for _ in range(2):  # with those above, the limit of this target is used up
            ask(expected, path(good.name, fresh="true"), test, 200)
        ask(expected, path(good.name, fresh="true"), test, 429, "rate_limited_target")
        for _ in range(18):
            ask(expected, path("10.0.0.2"), test, 403, "target_not_allowed")
        ask(expected, path("10.0.0.2"), test, 429, "rate_limited_client")
        return expected

    def check_tests(self, found):
        for verdict, count in (("ok", 5), ("unreachable", 5), ("warnings", 0)):
            self.assertEqual(found.sum("imap_testd_tests_total", verdict=verdict), count, verdict)
        self.assertEqual(found.sum("imap_testd_tests_unreported_total", reason="blocked"), 19)
        self.assertEqual(found.sum("imap_testd_tests_unreported_total", reason="limited"), 1)
        self.assertEqual(found.sum("imap_testd_tests_unreported_total"), 20)
        for result, count in (("answered", 7), ("name_not_found", 1), ("no_address", 1), ("server_failure", 1),
                              ("timeout", 1)):
            self.assertEqual(found.sum("imap_testd_dns_lookups_total", result=result), count, result)
        # Those of fresh=true do not look.
        for result, count in (("hit", 2), ("shared", 2)):
            self.assertEqual(found.sum("imap_testd_cache_lookups_total", result=result), count, result)
        self.assertEqual(found.sum("imap_testd_port_errors_total", code="connection_refused", phase="connect"), 2)
        self.assertEqual(found.sum("imap_testd_port_errors_total", code="dns_timeout", phase="dns"), 2)
        self.assertEqual(found.sum("imap_testd_port_errors_total"), 10)
        for gauge in ("tests_in_flight", "tests_queued", "http_requests_waiting"):
            self.assertEqual(found.sum("imap_testd_" + gauge), 0, gauge)

    def check_times(self, found):
        self.assertEqual(found.sum("imap_testd_test_duration_seconds_count"), 10)
        for phase in ("connect", "greeting", "tls_handshake"):
            self.assertEqual(found.sum("imap_testd_phase_duration_seconds_count", phase=phase), 10, phase)
        self.assertEqual(found.sum("imap_testd_phase_duration_seconds_count", phase="dns"), 11)
        self.assertLess(0.5, found.sum("imap_testd_phase_duration_seconds_sum", phase="dns"))
        total = found.sum("imap_testd_http_request_duration_seconds_count")
        self.assertEqual(total, found.sum("imap_testd_http_requests_total"))
        self.assertLess(0.5, found.sum("imap_testd_http_request_duration_seconds_sum", route="/v1/imap-test"))


class GaugesTest(MetricsCase):
    def test_process(self):
        found = self.scrape()
        pid = self.service.process.pid
        if not service.wrapper():
            self.assertLessEqual(abs(found.sum("process_open_fds") - len(os.listdir("/proc/%d/fd" % pid))), 2)
        self.assertLess(abs(found.sum("process_start_time_seconds") - time.time()), 60 * SLOW)
        self.assertLess(1 << 20, found.sum("process_resident_memory_bytes"))
        self.assertLess(found.sum("process_resident_memory_bytes"), found.sum("process_virtual_memory_bytes"))
        self.assertLess(found.sum("process_open_fds"), found.sum("process_max_fds"))
        self.assertLess(0, found.sum("process_cpu_seconds_total"))
        self.assertEqual(found.sum("imap_testd_workers"), 2)
        self.assertEqual(found.sum("imap_testd_ready"), 1)
        self.assertEqual(found.sum("imap_testd_trusted_roots"), 1)
        build, = found.all("imap_testd_build_info")
        version = subprocess.run([service.binary(), "--version"], capture_output=True, text=True, check=True).stdout
        self.assertIn(dict(build)["version"], version)
        self.assertTrue(all(value for _, value in build), build)

    def test_lag_is_looked_at_while_tests_run(self):
        count = "imap_testd_worker_lag_seconds_count"
        self.assertEqual(self.scrape().sum(count), 0)
        gate = threading.Event()
        host = self.gated(gate)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.report, self.service, host.name)
            self.await_metrics(lambda m: m.sum(count) >= 3, "some looks")
            gate.set()
            waiting.result()
        time.sleep(1 * SLOW)
        still = self.scrape().sum(count)
        time.sleep(0.5)
        self.assertEqual(self.scrape().sum(count), still)


class ReloadTest(MetricsCase):
    def test_reloads(self):
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots, \
                open(stage.certs.trust_file(), encoding="utf-8") as good:
            roots.write(good.read())
            roots.flush()
            with stage.Stage(admin_listen="127.0.0.1:0", trust_file=roots.name) as here:
                self.admin = Port(here.service)
                start = self.scrape()
                self.assertEqual(start.sum("imap_testd_last_reload_successful"), 1)
                self.reload(here, success=1, failure=0)
                roots.truncate(0)
                found = self.reload(here, success=1, failure=1)
                self.assertEqual(found.sum("imap_testd_last_reload_successful"), 0)
                self.assertLessEqual(start.sum("imap_testd_last_reload_success_timestamp_seconds"),
                                     found.sum("imap_testd_last_reload_success_timestamp_seconds"))
                self.assertEqual(found.sum("imap_testd_trusted_roots"), 1)

    def reload(self, here, **counts):
        here.service.process.send_signal(signal.SIGHUP)
        return self.await_metrics(lambda m: all(m.sum("imap_testd_reloads_total", result=result) == count
                                                for result, count in counts.items()), counts)


class HostileTest(MetricsCase):
    def test_nobody_adds_series(self):
        before = self.scrape()
        lines, counted = len(before.text.splitlines()), before.sum("imap_testd_http_requests_total")
        answered = 0
        for number in range(1000):
            odd = self.odd(number)
            answered += len(self.service.raw(odd))
        after = self.await_metrics(
            lambda m: m.sum("imap_testd_http_requests_total") >= counted + answered, "all to be counted")
        self.assertGreater(answered, 900)
        self.assertEqual(after.series() ^ before.series(), set())
        self.assertEqual(len(after.text.splitlines()), lines)
        self.assertNotIn("evil", after.text)

    @staticmethod
    def odd(number):
        head = "Host: evil%d\r\nX-Request-Id: evil%d\r\nX-Forwarded-For: 198.51.100.%d\r\nConnection: close\r\n\r\n" % (
            number, number, number % 250)
        lines = ("EVIL%d / HTTP/1.1", "GET /evil%d HTTP/1.1", 'GET /metrics{evil="%d"} HTTP/1.1',
                 "GET /%%0aevil%d HTTP/1.1",
                 "GET /v1/imap-test?host=evil%d..x HTTP/1.1", "GET /v1/imap-test?evil%d=1 HTTP/1.1",
                 "POST /v1/imap-test?host=evil%d HTTP/1.1", "GET evil%d HTTP/1.1", "GET http://evil%d/healthz HTTP/1.1",
                 "GET /v1/imap-test?host=10.9.8.7&address=10.0.%d.1 HTTP/1.1")
        return (lines[number % len(lines)] % (number % 200) + "\r\n" + head).encode()


class PromtoolTest(MetricsCase):
    def test_metrics(self):
        found = self.scrape()
        self.assertEqual(metrics.promtool("check", "metrics", data=found.text), (0, ""))
        spoilt = found.text.replace("imap_testd_tests_total", "imap_testd_tests")
        self.assertNotEqual(metrics.promtool("check", "metrics", data=spoilt), (0, ""))

    def test_rules(self):
        status, words = metrics.promtool("check", "rules", "--lint=all", "--lint-fatal", metrics.RULES)
        self.assertEqual(status, 0, words)
        status, words = metrics.promtool("test", "rules", metrics.RULE_TESTS)
        self.assertEqual(status, 0, words)
        self.assertEqual(metrics.promtool("check", "config", metrics.SCRAPE)[0], 0)

    def test_every_alert_is_tested(self):
        """Once given and once not, and its cases notice when the rule is another."""
        with open(metrics.RULES, encoding="utf-8") as file:
            alerts = [rule["alert"] for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]
        with open(metrics.RULE_TESTS, encoding="utf-8") as file:
            cases = [one for test in yaml.safe_load(file)["tests"] for one in test["alert_rule_test"]]
        self.assertEqual({one["alertname"] for one in cases if one.get("exp_alerts")}, set(alerts))
        for alert in alerts:
            with self.subTest(alert):
                self.assertTrue(any(one["alertname"] == alert and not one.get("exp_alerts") for one in cases))
                self.assertNotEqual(self.cases_without(alert)[0], 0, "its cases pass without it")

    @staticmethod
    def cases_without(alert):
        with tempfile.TemporaryDirectory() as folder:
            for path in (metrics.RULES, metrics.RULE_TESTS):
                with open(path, encoding="utf-8") as file:
                    document = yaml.safe_load(file)
                for group in document.get("groups", ()):
                    for rule in group["rules"]:
                        if rule["alert"] == alert:
                            rule["expr"] = "vector(0) > 1"
                with open(os.path.join(folder, os.path.basename(path)), "w", encoding="utf-8") as file:
                    yaml.safe_dump(document, file)
            return metrics.promtool("test", "rules", os.path.join(folder, os.path.basename(metrics.RULE_TESTS)))


def expressions(node):
    """Every query of the dashboard."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query") and isinstance(value, str) and "{" in value:
                yield value
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


class NamesTest(MetricsCase):
    options = {"shared_cache": NOBODY}
    NAME = re.compile(r"\b(?:imap_testd|process|probe)_[a-z_]+")

    def test_dashboard_and_alerts_name_what_there_is(self):
        names = self.scrape().names()
        for path in (metrics.DASHBOARD, metrics.RULES, metrics.RULE_TESTS):
            with open(path, encoding="utf-8") as file:
                used = set(self.NAME.findall(file.read()))
            with self.subTest(path):
                self.assertGreater(len(used), 5)
                self.assertEqual(sorted(used - names), [])

    def test_label_values_that_are_named_exist(self):
        """A slip in {result="timeout"} would never match, and nobody would hear of it."""
        found = self.scrape()
        values = {value for _, labels in found.series() for _, value in labels} | {"imap-testd", "$instance"}
        for path in (metrics.DASHBOARD, metrics.RULES):
            with open(path, encoding="utf-8") as file:
                text = file.read().replace('\\"', '"')
            for value in re.findall(r'[a-z]=~?"([^"]*)"', text):
                for one in value.split("|"):
                    with self.subTest(path, value=one):
                        self.assertIn(one, values)

    def test_panels_do_not_overlap(self):
        with open(metrics.DASHBOARD, encoding="utf-8") as file:
            panels = json.load(file)["panels"]
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))


class PrometheusTest(MetricsCase):
    options = {"cache_seconds": 60, "shared_cache": NOBODY}

    def test_prometheus_scrapes_and_answers(self):
        host = self.healthy()
        with metrics.Prometheus("%s:%s" % self.admin.address) as prometheus:
            wait_until(lambda: prometheus.query("up == 1"), 30 * SLOW, "a first scrape")
            for _ in range(3):
                self.report(self.service, host.name)
            query = 'imap_testd_tests_total{job="imap-testd",verdict="ok"}'
            wait_until(lambda: [value for _, value in prometheus.query(query)] == [1], 30 * SLOW, query)
            hits = 'imap_testd_cache_lookups_total{result="hit"}'
            wait_until(lambda: [value for _, value in prometheus.query(hits)] == [2], 30 * SLOW, hits)
            time.sleep(1.5)
            self.check_dashboard(prometheus)
            self.check_rules(prometheus)
            print("Prometheus: %s = %s" % (query, prometheus.query(query)), file=sys.stderr)

    def check_dashboard(self, prometheus):
        """Every query is one, and all but those of what did not happen find something."""
        with open(metrics.DASHBOARD, encoding="utf-8") as file:
            asked = list(expressions(json.load(file)))
        self.assertGreater(len(asked), 30)
        for one in asked:
            if not one.startswith("label_values"):
                with self.subTest(one):
                    found = prometheus.query(one.replace("$instance", ".*").replace("$__rate_interval", "30s"))
                    self.assertTrue(found or "> 0" in one)

    def check_rules(self, prometheus):
        rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
        self.assertGreater(len(rules), 10)
        wait_until(lambda: all(rule["health"] == "ok" for group in prometheus.api("rules")["groups"]
                               for rule in group["rules"]), 30 * SLOW, "all rules to be evaluated")
        # On a slow machine one may be pending: the event loops are late there.
        self.assertEqual([alert for alert in prometheus.api("alerts")["alerts"] if alert["state"] == "firing"], [])


class AdminTest(MetricsCase):
    options = {"max_in_flight": 1}

    def test_it_serves_three_resources(self):
        for path in ("/healthz", "/readyz", "/metrics"):
            mine, head = self.admin.get(path), self.admin.request("HEAD", path)
            self.assertEqual((mine.status, head.status), (200, 200), path)
            self.assertEqual(head.body, b"")
        for path in ("/", "/v1/imap-test?host=a.play.test", "/v1/capabilities", "/openapi.yaml", "/metrics/",
                     "/nothing"):
            body = self.problem(self.admin.get(path), 404, "not_found")
            self.assertIn("There is: /healthz, /readyz, /metrics.", body["detail"])
        self.problem(self.admin.request("POST", "/metrics"), 405, "method_not_allowed")
        self.problem(self.admin.get("/metrics", headers={"Host": "a b"}), 400, "bad_request")

    def test_the_public_port_knows_nothing_of_it(self):
        body = self.problem(self.service.get("/metrics"), 404, "not_found")
        self.assertNotIn("/metrics", body["detail"].partition("There is:")[2])
        self.assertEqual({**body, "detail": "", "request_id": ""},
                         {**self.service.get("/nothing").json(), "detail": "", "request_id": ""})

    def test_headers_are_those_of_the_public_port(self):
        def headers(answer):
            return {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
        self.assertEqual(headers(self.admin.get("/healthz")), headers(self.service.get("/healthz")))
        self.assertEqual(self.admin.get("/metrics").headers["cache-control"], "no-store")
        self.assertEqual(self.admin.get("/metrics").headers["x-content-type-options"], "nosniff")

    def test_it_answers_while_the_public_port_is_full(self):
        gate = threading.Event()
        host = self.gated(gate)
        idle = [self.service.connect() for _ in range(400)]  # more than there is room for
        for sock in idle:
            self.addCleanup(sock.close)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.service.test, host.name)
            found = self.await_metrics(lambda m: m.sum("imap_testd_tests_in_flight") == 1, "a test to be under way")
            began = time.monotonic()
            self.assertEqual(self.admin.get("/healthz").status, 200)
            self.problem(self.admin.get("/readyz"), 503, "overloaded")
            self.assertEqual(self.scrape().sum("imap_testd_ready"), 0)
            self.assertEqual(found.sum("imap_testd_tests_in_flight_limit"), 1)
            self.assertLess(time.monotonic() - began, 5 * SLOW)
            gate.set()
            waiting.result()

    def test_a_crowd_of_its_own_does_not_shut_it(self):
        idle = [self.admin.connect() for _ in range(200)]
        for sock in idle:
            self.addCleanup(sock.close)
        # Sooner than the idle ones are closed for being so.
        self.assertEqual(self.admin.get("/healthz", timeout=10).status, 200)
        self.assertEqual(self.service.get("/healthz").status, 200)


class StopTest(MetricsCase):
    options = {"grace_ms": GRACE_MS, "io_timeout_ms": 60000, "deadline_ms": 60000}

    def test_it_answers_until_the_end(self):
        host = self.stage.play([imapd.silence()], [imapd.hello(), imapd.sleep(30)])
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.service.test, host.name)
            self.await_metrics(lambda m: m.sum("imap_testd_tests_in_flight") == 1, "a test to be under way")
            kept = self.admin.connect()
            self.addCleanup(kept.close)
            self.service.terminate()
            began, answered = time.monotonic(), 0
            self.await_metrics(lambda m: m.sum("imap_testd_ready") == 0, "not to be ready")
            while time.monotonic() < began + 0.6 * GRACE_MS / 1000:
                self.assertEqual(self.admin.get("/healthz").status, 200)
                self.assertEqual(self.scrape().sum("imap_testd_tests_in_flight"), 1)
                self.problem(self.admin.get("/readyz"), 503, "shutting_down")
                answered += 1
                time.sleep(0.05)
            self.assertGreaterEqual(answered, 2)
            self.problem(waiting.result(), 503, "shutting_down")
        self.service.finish()


class PublicPortTest(case.Case):
    """Without --admin-listen."""

    def test_open_where_no_keys_are(self):
        with service.Service() as here:
            self.assertEqual(metrics.scrape(here).sum("imap_testd_ready"), 1)
            self.assertEqual(here.events("admin_listening"), [])

    def test_with_a_key_where_keys_are(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write(KEY + "\n")
            keys.flush()
            with service.Service(api_key_file=keys.name) as here:
                self.problem(here.get("/metrics"), 401, "unauthorized")
                found = metrics.scrape(here, headers={"Authorization": "Bearer " + KEY})
                self.assertEqual(found.sum("imap_testd_api_keys"), 1)
                self.assertEqual(found.sum("imap_testd_http_refusals_total", reason="unauthorized"), 1)
            with service.Service(api_key_file=keys.name, admin_listen="127.0.0.1:0") as here:
                self.assertEqual(metrics.scrape(Port(here)).sum("imap_testd_api_keys"), 1)

    def test_an_address_that_is_taken_is_told(self):
        with service.Service() as here:
            with self.assertRaises(RuntimeError) as caught:
                service.Service(admin_listen="%s:%d" % here.address).stop()
            self.assertIn("cannot listen on", str(caught.exception))


if __name__ == "__main__":
    case.main()

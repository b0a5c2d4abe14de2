"""The benchmark's programs do what they measure: a few tests each, against every kind of server it plays."""
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import unittest
import xml.etree.ElementTree

import field
import measure
import net
import show

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dnsd  # noqa: E402

COUNT, CONCURRENCY = 20, 4


class Smoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # The programs read as many certificates as the benchmark has.
        cls.field = field.Field()
        cls.addClassCleanup(cls.field.stop)
        cls.field.start_many_hosts()
        cls.service = field.Service(cls.field, io_timeout_ms=5000)
        cls.addClassCleanup(cls.service.stop)

    def check(self, result, count=COUNT):
        self.assertEqual((result["done"], result["failed"]), (count, 0))
        self.assertGreater(result["cpu_ms"], 0)
        self.assertLessEqual(result["p50_ms"], result["p99_ms"])

    def test_bare_loop_against_one_chain(self):
        for kind in field.KINDS:
            name = "mail.%s.bench.test" % kind
            self.check(self.field.bare(name, field.DOVECOT[kind], COUNT, CONCURRENCY))

    def test_bare_loop_against_many_chains(self):
        for kind in field.KINDS:
            name = "h{n}.%s.bench.test" % kind
            self.check(self.field.bare(name, field.MANY[kind], COUNT, CONCURRENCY))

    def test_bare_loop_asks_both_ports(self):
        closed = str(net.fresh_port())
        for ports in ((closed, str(self.field.imaps)), (str(self.field.imap), closed)):
            command = [field.program("bare"), self.field.trust, "mail.ecdsa.bench.test", field.DOVECOT["ecdsa"], *ports]
            done = subprocess.run(command + ["1", "1"], stdout=subprocess.PIPE, text=True, check=False)
            self.assertEqual(field.numbers(done.stdout)["failed"], 1)

    def test_bare_loop_meets_another_host_each_time(self):
        self.check(self.field.bare("h48{n}.ecdsa.bench.test", field.MANY["ecdsa"], 10, 1), 10)
        with self.assertRaises(RuntimeError):
            self.field.bare("h49{n}.ecdsa.bench.test", field.MANY["ecdsa"], 11, 1)  # there is no h4910

    def test_bare_loop_verifies(self):
        with self.assertRaises(RuntimeError):
            self.field.bare("other.bench.test", field.DOVECOT["ecdsa"], 1, 1)

    def test_service_against_one_chain(self):
        for kind in field.KINDS:
            urls = [self.service.url("mail.%s.bench.test" % kind)]
            self.check(field.load(COUNT, CONCURRENCY, urls, match=measure.SOUND, process=self.service))

    def test_service_against_many_chains(self):
        self.field.start_many_hosts()  # they run already
        for kind in field.KINDS:
            urls = [self.service.url("h{n}.%s.bench.test" % kind)]
            self.check(field.load(COUNT, CONCURRENCY, urls, match=measure.SOUND, process=self.service))

    def test_service_against_plain_server(self):
        urls = [self.service.url("h{n}.plain.bench.test")]
        self.check(field.load(COUNT, CONCURRENCY, urls, match=measure.PLAIN, process=self.service))

    def test_load_finds_what_is_missing(self):
        with self.assertRaises(RuntimeError):
            field.load(1, 1, [self.service.url("h{n}.plain.bench.test")], match=measure.SOUND)

    def test_tests_stay_in_flight(self):
        for mode in field.SILENT:
            held = measure.hold(self.field, self.service, [self.service.url("h{n}.%s.bench.test" % mode)], COUNT)
            self.assertGreater(held["memory_kb"], 0)
            self.assertAlmostEqual(held["per_test_kb"], (held["memory_kb"] - held["before_kb"]) / COUNT)
            self.assertGreaterEqual(held["reached"], 1)
            self.assertGreater(held["health"]["done"], 0)

    def test_burst(self):
        self.assertEqual(measure.burst(self.service, "ecdsa", 100), {"asked": 100, "failed": 0})
        with field.Service(self.field, max_in_flight=10) as service:
            self.assertGreater(measure.burst(service, "ecdsa", 100)["failed"], 0)

    def test_past_the_limit(self):
        found = measure.past_the_limit(self.field, 40, seconds=3, max_in_flight=10)
        self.assertEqual(found, {"asked": 40, "refused": 30, "otherwise": 0})
        found = measure.past_the_limit(self.field, 40, max_in_flight=10, io_timeout_ms=1000)
        self.assertEqual(found, {"asked": 40, "refused": 30, "otherwise": 10})

    def said(self, mode, port, *commands):
        """What a silent server says on this port, to each of these, within a moment."""
        with socket.create_connection((field.SILENT[mode], port)) as sock:
            sock.settimeout(0.3)
            said = b""
            for command in commands or (b"",):
                sock.sendall(command)
                try:
                    while data := sock.recv(4096):
                        said += data
                except TimeoutError:
                    pass
            return said

    def test_silent_servers_are(self):
        commands = b"a CAPABILITY\r\nb STARTTLS\r\n"
        self.assertEqual(self.said("silent", self.field.imap, commands), b"")
        self.assertEqual(self.said("silent", self.field.imaps), b"")
        self.assertEqual(self.said("handshake", self.field.imaps, b"\x16\x03\x01"), b"")
        said = self.said("handshake", self.field.imap, commands, b"c NOOP\r\n")
        self.assertTrue(said.startswith(b"* OK"))
        self.assertTrue(said.endswith(b"\r\nb OK done\r\n"), said)

    def test_keys_of_many_hosts(self):
        for kind, keys in (("ecdsa", 3), ("rsa", 1)):
            found = set()
            for number in range(3):
                with open(os.path.join(self.field.chains(kind), "%d.pem" % number), encoding="ascii") as pem:
                    found.add(pem.read().partition("-----BEGIN CERTIFICATE")[0])
            self.assertEqual(len(found), keys)

    def ask_resolver(self, name, kind=dnsd.A):
        """The rcode and what stands in the last record."""
        host, port = self.field.resolver_address.split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + dnsd.encode_name(name) + bytes([0, kind, 0, 1]),
                        (host, int(port)))
            reply = sock.recv(512)
        return reply[3] & 15, socket.inet_ntoa(reply[-4:]) if reply[7] else None

    def test_resolver(self):
        for number, address in enumerate(field.PLAIN):
            self.assertEqual(self.ask_resolver("h%d.plain.bench.test" % number), (dnsd.NOERROR, address))
        self.assertEqual(self.ask_resolver("mail.rsa.bench.test"), (dnsd.NOERROR, field.DOVECOT["rsa"]))
        self.assertEqual(self.ask_resolver("mail.rsa.bench.test", dnsd.AAAA), (dnsd.NOERROR, None))
        self.assertEqual(self.ask_resolver("other.test"), (dnsd.NXDOMAIN, None))

    def test_results_are_shown(self):
        rows = measure.chain_seen(self.field, "ecdsa", self.service, None, CONCURRENCY, COUNT, 2)
        held = {"in_flight": 10, "memory_kb": 9000, "per_test_kb": 30.0, "reached": 1.0,
                "health": {"max_ms": 21.0, "p99_ms": 3.0}}
        cpu = measure.series(rows, "cpu_ms")
        results = {"seen": {"ecdsa": cpu}, "latency": {"ecdsa": measure.series(rows, "p50_ms")},
                   "memory": {"silent": {"service": [held], "blackbox": []}},
                   "growth": {"cpu": {1: cpu["bare"], 4: cpu["bare"]}, "p50": {1: cpu["bare"], 4: cpu["service"]}},
                   "idle": {"memory_kb": 13 * 1024, "wakeups": 0.0}}
        table = show.table_of(results)
        reached = {what: verdict for what, _, _, verdict in table.rows}
        self.assertEqual(reached["idle, MiB resident, system's trusted roots"], "no")
        self.assertEqual(reached["idle, wake-ups per second"], "yes")
        self.assertEqual(reached["CPU per test, 4 in flight / 1"], "yes")
        self.assertEqual(reached["  /healthz meanwhile, slowest, ms"], "no")
        self.assertIn("| CPU per test, ms, chain seen, ECDSA: service |", table.markdown())
        xml.etree.ElementTree.fromstring(show.svg(results))
        page = os.path.join(self.field.folder, "page.md")
        with open(page, "w", encoding="utf-8") as out:
            out.write("before\n" + show.MARKS[0] % "x" + "old\n" + show.MARKS[1] % "x" + "after\n")
        show.replace_part(page, "x", "new\n")
        with open(page, encoding="utf-8") as stored:
            self.assertEqual(stored.read().splitlines()[2:4], ["new", (show.MARKS[1] % "x").strip()])

    @unittest.skipUnless(field.has_blackbox(), "blackbox_exporter is not installed")
    def test_blackbox_against_one_chain(self):
        with field.Blackbox(self.field) as blackbox:
            for kind in field.KINDS:
                urls = blackbox.urls(kind, field.DOVECOT[kind])
                self.check(field.load(COUNT, CONCURRENCY, urls, match=measure.PROBED, process=blackbox))



class LoadTest(unittest.TestCase):
    """The load program against a server that knows what it was asked."""

    def setUp(self):
        self.paths, self.statuses, self.slow = [], {}, ()
        case = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                number = len(case.paths)
                case.paths.append(self.path)
                time.sleep(0.05 if number in case.slow else 0)
                self.send_response(case.statuses.get(number, 200))
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"good")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = "http://127.0.0.1:%d/t{n}" % self.server.server_address[1]

    def test_numbers(self):
        field.load(5, 1, [self.url], first=7)
        self.assertEqual(self.paths, ["/t%d" % number for number in range(7, 12)])

    def test_what_failed_and_what_was_refused(self):
        self.statuses = {2: 503, 4: 404, 5: 503}
        result = field.try_load(10, 1, [self.url], match="good")
        self.assertEqual((result["done"], result["failed"], result["refused"]), (10, 3, 2))

    def test_latencies(self):
        self.slow = (3, 8)
        result = field.load(20, 1, [self.url])
        self.assertLess(result["p50_ms"], 50)
        for name in ("p95_ms", "p99_ms", "max_ms"):
            self.assertGreaterEqual(result[name], 50)

    def test_pause(self):
        began = time.monotonic()
        field.load(6, 1, [self.url], pause_ms=50)
        self.assertGreaterEqual(time.monotonic() - began, 5 * 0.05)

    def test_time_is_that_of_the_process(self):
        with field.Process(["sleep", "60"]) as idle:
            time.sleep(0.5)  # it has begun to
            self.assertEqual(field.load(200, 1, [self.url], process=idle)["cpu_ms"], 0)


class FiguresTest(unittest.TestCase):
    """A goal that is missed is told so."""

    @staticmethod
    def verdicts(results):
        return {what: verdict for what, _, _, verdict in show.table_of(results).rows}

    def test_ratio(self):
        ratio = measure.Series([1, 4, 3]).over(measure.Series([4, 4, 4]))
        self.assertEqual((ratio.low, ratio.median, ratio.high), (0.25, 0.75, 1))

    def test_missed_goals(self):
        low, high = measure.Series([2, 2]), measure.Series([3, 3])
        row = "p50 one at a time, ms, chain seen, ECDSA: service"
        for service, bare, verdict in ((low, high, "yes"), (high, low, "no")):
            self.assertEqual(self.verdicts({"latency": {"ecdsa": {"bare": bare, "service": service}}})[row], verdict)
        for last, verdict in ((low, "yes"), (high, "no")):
            growth = {"growth": {"cpu": {16: low, 1000: last}}}
            self.assertEqual(self.verdicts(growth)["CPU per test, 1000 in flight / 16"], verdict)
        for refused, otherwise, verdict in ((3, 0, "yes"), (3, 1, "no"), (0, 0, "no")):
            limit = {"limit": {"asked": 9, "refused": refused, "otherwise": otherwise}}
            self.assertEqual(list(self.verdicts(limit).values()), [verdict])
        for failed, verdict in ((0, "yes"), (1, "no")):
            self.assertEqual(list(self.verdicts({"burst": {"asked": 9, "failed": failed}}).values()), [verdict])


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""The benchmark's programs do what they measure: a few tests each, against every kind of server it plays."""
import os
import unittest
import xml.etree.ElementTree

import field
import measure
import show

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

    def check(self, result):
        self.assertEqual((result["done"], result["failed"]), (COUNT, 0))
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

    def test_bare_loop_verifies(self):
        with self.assertRaises(RuntimeError):
            self.field.bare("other.bench.test", field.DOVECOT["ecdsa"], 1, 1)

    def test_service_against_one_chain(self):
        for kind in field.KINDS:
            urls = [self.service.url("mail.%s.bench.test" % kind)]
            self.check(field.load(COUNT, CONCURRENCY, urls, match=measure.SOUND, process=self.service))

    def test_service_against_many_chains(self):
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
            self.assertGreater(held["health"]["done"], 0)

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


if __name__ == "__main__":
    unittest.main(verbosity=2)

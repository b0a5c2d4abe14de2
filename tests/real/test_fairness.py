"""Tests are spread over the workers, and those that wait for a silent server are nobody's burden."""
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dnsd
import imapd
import net
import stage
from service import slowness, wait_until

SECONDS = 60


class FairnessCase(case.Case):
    def start(self, **options):
        self.stage = stage.Stage(io_timeout_ms=SECONDS * 1000, deadline_ms=SECONDS * 1000, **options)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service
        self.tarpit = imapd.Tarpit([self.stage.imap, self.stage.imaps])
        self.addCleanup(self.tarpit.stop)

    def begin(self, name):
        sock = self.service.connect()
        self.addCleanup(sock.close)
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self.service.test_path(name).encode())
        return sock


class SchedulingTest(FairnessCase):
    """Workers leave the processor to the thread that talks HTTP: a batch thread does not push in."""

    def test_workers_are_batch_threads(self):
        self.start(workers=3)
        task = "/proc/%d/task" % self.service.process.pid
        def policies():
            return sorted(os.sched_getscheduler(int(thread)) for thread in os.listdir(task))
        wait_until(lambda: policies().count(os.SCHED_BATCH) == 3, 10 * slowness(), "three batch threads")
        self.assertEqual(set(policies()), {os.SCHED_OTHER, os.SCHED_BATCH})


class SpreadTest(FairnessCase):
    """Each worker asks the resolver from a port of its own, which it keeps as long as a question is open."""

    MANY = 20

    def setUp(self):
        self.start(workers=2, dns_timeout_ms=SECONDS * 1000)
        silent = ["silent%d.test" % number for number in range(2)]
        for name in silent:
            self.stage.dns.zone[name] = dnsd.Name(silent=True)
            self.begin(name)
        wait_until(lambda: all(map(self.worker, silent)), 10 * slowness(), "the questions")
        self.workers = [self.worker(name) for name in silent]
        self.assertNotEqual(*self.workers, "one worker has both")

    def worker(self, name):
        return self.stage.dns.askers.get(name)

    def begin_many(self, count):
        """name -> connection, once all are under way."""
        before = self.tarpit.accepted
        begun = {name: self.begin(name) for name in (self.stage.name(self.tarpit.address) for _ in range(count))}
        wait_until(lambda: self.tarpit.accepted == before + 2 * count, 20 * slowness(), "the tests have begun")
        return begun

    def count(self, names):
        return [sum(self.worker(name) == worker for name in names) for worker in self.workers]

    def test_evenly(self):
        counts = self.count(self.begin_many(2 * self.MANY))
        self.assertLessEqual(abs(counts[0] - counts[1]), 4, counts)

    def test_a_worker_that_has_many_gets_no_more(self):
        begun = self.begin_many(2 * self.MANY)
        left = [sock for name, sock in begun.items() if self.worker(name) == self.workers[0]]
        for sock in left:
            sock.close()
        wait_until(lambda: self.tarpit.open == 2 * (2 * self.MANY - len(left)), 10 * slowness(), "they are gone")
        counts = self.count(self.begin_many(self.MANY))
        self.assertGreaterEqual(counts[0], self.MANY - 4, counts)


class SilenceTest(FairnessCase):
    COUNT = 1000

    def test_thousand_silent_tests_are_no_burden(self):
        net.raise_descriptor_limit(4 * self.COUNT + 500)
        self.start(workers=2)
        context = self.stage.context()
        healthy = self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context)).name
        alone = self.median_ms(healthy)
        name = self.stage.name(self.tarpit.address)
        for _ in range(self.COUNT):
            self.begin(name)
        wait_until(lambda: self.tarpit.open == 2 * self.COUNT, 30 * slowness(), "the tests have begun")
        beside = self.median_ms(healthy)
        self.assertEqual(self.tarpit.open, 2 * self.COUNT)
        print("median of a test: %.1f ms alone, %.1f ms beside %d of a silent server" % (alone, beside, self.COUNT),
              file=sys.stderr)
        self.assertLess(beside, 2 * alone + 20 * slowness())

    def median_ms(self, name):
        took = []
        for _ in range(25):
            began = time.monotonic()
            answer = self.service.test(name)
            took.append(1000 * (time.monotonic() - began))
            self.assertEqual(answer.json()["verdict"], "ok")
        return statistics.median(took)


if __name__ == "__main__":
    case.main()

"""Descriptors run short, from the start or of a sudden: whoever cannot be served hears 503, and nothing else is said."""
import collections
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import net
import stage
from service import read_answer, slowness, wait_until


class DescriptorsCase(case.Case):
    def start(self, **options):
        self.stage = stage.Stage(**options)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service
        context = self.stage.context()
        self.host = self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))

    def burst(self, names):
        """All at once: how often each outcome came, and the reports must be good ones."""
        socks = []
        try:
            for name in names:
                socks.append(self.service.connect())
                socks[-1].sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                                  % self.service.test_path(name).encode())
            return collections.Counter(self.outcome(sock) for sock in socks)
        finally:
            for sock in socks:
                sock.close()

    def outcome(self, sock):
        with sock.makefile("rb") as stream:
            answer = read_answer(stream)
        self.assertIsNotNone(answer, "no answer")
        if answer.status == 200:
            return answer.json()["verdict"]
        self.assertIn("retry-after", answer.headers)
        return self.problem(answer, 503, "overloaded")["code"]

    def check_served_again(self):
        wait_until(lambda: self.service.test(self.host.name).status == 200, 10 * slowness(), "a test")
        self.assertEqual(self.report(self.service, self.host.name)["verdict"], "ok")


class FewFromTheStartTest(DescriptorsCase):
    """Fewer than a service needs to be of use: it starts all the same, and says how many tests there may be."""

    def check(self, limit, callers, silent):
        self.start(descriptors=limit, io_timeout_ms=int(1500 * slowness()))
        lowered, = self.service.events("max_in_flight_lowered")
        self.assertEqual((lowered["descriptors"], lowered["in_flight"]), (limit, 1))
        if silent:
            host = self.stage.play([imapd.silence()], [imapd.silence()])
        else:
            host = self.host
        outcomes = self.burst([self.stage.name(host.address) for _ in range(callers)])
        self.assertLessEqual(set(outcomes), {"overloaded", "problems" if silent else "ok"}, outcomes)
        self.assertEqual(sum(outcomes.values()), callers)
        self.assertGreater(outcomes["overloaded"], 0)
        self.check_served_again()

    def test_64(self):
        self.check(64, 30, silent=True)

    def test_64_and_callers_take_all(self):
        self.check(64, 80, silent=False)

    def test_128(self):
        self.check(128, 100, silent=True)

    def test_300(self):
        self.check(300, 180, silent=True)


class FewOfASuddenTest(DescriptorsCase):
    """As where the table of the whole system is full: sockets fail in the midst of a test."""

    CALLERS, ROUNDS = 100, 12

    def test_nothing_false_is_said(self):
        net.raise_descriptor_limit(2000)
        self.start(max_in_flight=2 * self.CALLERS)
        self.check_served_again()
        process, outcomes = self.service.process.pid, collections.Counter()
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        for number in range(self.ROUNDS):
            used = len(os.listdir("/proc/%d/fd" % process))
            resource.prlimit(process, resource.RLIMIT_NOFILE, (used + 30 * (1 + number % 4), limits[1]))
            outcomes += self.burst([self.stage.name(self.host.address) for _ in range(self.CALLERS)])
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        self.assertEqual(set(outcomes), {"overloaded", "ok"}, outcomes)
        self.check_served_again()


if __name__ == "__main__":
    case.main()

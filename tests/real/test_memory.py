"""Allocations fail, one in each request, libraries included: the caller hears 503, never anything false of the host.

The n-th allocation of the whole process after the request was sent fails, n = 1, 2, 3 ... until a request runs without
a failure. The program is one without a sanitizer and runs without valgrind, as those bring allocators of their own;
what leaks is seen by counting what is alive.

IMAP_TESTD_MEMORY_STRIDE sets how many numbers are passed over at a time behind the first ones (1: none). The default
keeps the run short; the work between two numbers is mostly the same certificates taken apart again and again.
"""
import collections
import http.client
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import dnsd
import failmalloc
import imapd
import service
import stage

os.environ.pop("IMAP_TESTD_WRAPPER", None)

STRIDE = int(os.environ.get("IMAP_TESTD_MEMORY_STRIDE", 13))
EVERY_ONE_UP_TO = 120  # HTTP, DNS and the first words of the dialogue
LASTING_STRIDE = 10   # of the above
MOST = 100000

# Where c-ares has no memory for an answer it waits for another one.
DNS_TIMEOUT_MS = 1500
ANSWER_SECONDS = 10
ROUNDING = 1024
SETTLE_SECONDS = 5

# Functions of server/malloc.c, which the stack of every failure begins with.
ALLOCATOR = ("(malloc+", "(calloc+", "(realloc+")

WORDS = "IMAP4rev1 ID IDLE AUTH=PLAIN"
NO_ANSWER = "no answer"


def numbers(stride=STRIDE, dense=EVERY_ONE_UP_TO):
    n = 1
    while n < MOST:
        yield n
        n += 1 if n < dense else stride
    raise AssertionError("no request ran without a failure")


class Play:
    """One service that was warmed up, and its host: a whole dialogue on both ports, an alias, and an address of each
    family, nobody listening on the first."""

    def __init__(self):
        self.memory = failmalloc.FailMalloc(os.environ["IMAP_TESTD_FAILMALLOC"])
        # Not a whole number of days, so that no test sees it change.
        leaf = certs.trusted().leaf("*.play.test", end=90 * certs.DAY + certs.DAY // 2)
        self.stage = stage.Stage(environment=self.memory.environment, workers=1, dns_timeout_ms=DNS_TIMEOUT_MS)
        self.service = self.stage.service
        context = leaf.context()
        inside = (imapd.capability(WORDS) + [imapd.expect("ID .*"), imapd.send('* ID ("name" "Play")\r\n{tag} OK\r\n')]
                  + imapd.logout())
        host = self.stage.play([imapd.greet()] + imapd.upgrade(context) + inside,
                               [imapd.starttls(context), imapd.greet()] + inside)
        self.stage.dns.zone["alias.play.test"] = dnsd.Name(cname=host.name)
        self.stage.dns.zone[host.name] = dnsd.Name(a=[host.address], aaaa=["::1"])
        self.path = self.service.test_path("alias.play.test")

    def stop(self):
        self.stage.stop()
        self.memory.close()

    def get(self, path, ident="x"):
        """None where the connection was closed without an answer."""
        try:
            return self.service.get(path, headers={"X-Request-Id": ident}, timeout=ANSWER_SECONDS)
        except (ConnectionError, http.client.HTTPException):
            return None

    def dead(self):
        return self.service.process.poll() is not None


class MemoryTest(case.Case):
    def setUp(self):
        self.play = Play()
        self.addCleanup(self.play.stop)
        self.counts = collections.Counter()

    def warm_up(self, path):
        """The answer to be compared with, and what is alive between two requests."""
        for _ in range(5):
            answer = self.play.get(path)
            self.assertEqual(answer.status, 200, answer)
        return answer, self.steady()

    def steady(self):
        """What is alive once the service has done with everything."""
        seen = []

        def still():
            seen.append(self.play.memory.alive())
            return len(seen) > 10 and len(set(seen[-10:])) == 1
        service.wait_until(still, SETTLE_SECONDS, "what is alive comes to rest")
        return seen[-1]

    def body(self, answer):
        return case.without_times(answer.json())

    def forget_chains(self):
        """Roots read anew: the next test knows no chain."""
        events = self.play.service.events
        seen = len(events("reloaded"))
        self.play.service.process.send_signal(signal.SIGHUP)
        service.wait_until(lambda: len(events("reloaded")) > seen, ANSWER_SECONDS, "the roots are read")

    def armed(self, path, n, how=failmalloc.ONE):
        """(answer, how many allocations failed, where in the log it begins)"""
        play = self.play
        mark = len(play.service.lines)
        play.memory.arm(n, how)
        try:
            answer = play.get(path, "n%d" % n)
        finally:
            failed = play.memory.disarm()
        return answer, failed, mark

    def judge_answer(self, answer, n, reference, mark, how):
        """Counts the answer; what is wrong with it fails the test."""
        if self.play.dead() or answer is None and how == failmalloc.ONE and self.dies_soon():
            self.fail("n = %d: the process died (%s):\n%s" %
                      (n, self.play.service.process.returncode, self.log(mark)))
        if answer is None:
            self.counts[NO_ANSWER] += 1
            if how == failmalloc.ONE:
                self.assert_library_closed(mark, n)
            return
        self.counts[answer.status] += 1
        self.assertEqual(answer.headers.get("x-request-id"), "n%d" % n, answer)
        if answer.status == 200:
            self.assertEqual(self.body(answer), self.body(reference), "n = %d\n%s" % (n, self.log(mark)))
            self.assertEqual(set(answer.headers), set(reference.headers), "n = %d" % n)
        elif answer.status == 500:
            self.problem(answer, 500, "internal_error")
        else:
            self.problem(answer, 503, "overloaded")

    def dies_soon(self):
        time.sleep(0.3)
        return self.play.dead()

    def log(self, mark):
        return "\n".join(self.play.service.lines[mark:])

    def assert_library_closed(self, mark, n):
        """Where the HTTP library has no memory for a connection it closes it before any code of ours was called: there
        is no request yet to be answered, and the caller may simply try again."""
        service.wait_until(lambda: failmalloc.stacks(self.play.service.lines[mark:]), 2, "the stack is told")
        ours = os.path.basename(service.binary()) + "("
        callers = [frame for frame in failmalloc.stacks(self.play.service.lines[mark:])[0]
                   if frame.startswith(ours) and not any(name in frame for name in ALLOCATOR)]
        self.assertEqual(callers, [], "n = %d: closed without an answer\n%s" % (n, self.log(mark)))

    def assert_well(self, path, n, reference, alive, mark, slack=0):
        """The next request is answered as if nothing had been, and nothing was left behind: not one block, and of
        bytes no more than `slack`, as the allocator rounds the same blocks anew."""
        answer = self.play.get(path)
        self.assertFalse(self.play.dead(), "n = %d: died at the next request" % n)
        self.assertIsNotNone(answer, "n = %d: the next request" % n)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.body(answer), self.body(reference), "n = %d: the next answer" % n)
        try:
            service.wait_until(lambda: self.play.memory.alive()[0] == alive[0] and
                               abs(self.play.memory.alive()[1] - alive[1]) <= slack, SETTLE_SECONDS, "")
        except AssertionError:
            self.fail("n = %d: %r (blocks, bytes) are alive, %r were before\n%s" %
                      (n, self.play.memory.alive(), alive, self.log(mark)))

    def run_through(self, path, stride=STRIDE, dense=EVERY_ONE_UP_TO, how=failmalloc.ONE, forget=False):
        """`forget`: before each request what is known of chains."""
        reference, alive = self.warm_up(path)
        self.counts.clear()
        begin = time.monotonic()
        for n in numbers(stride, dense):
            if forget:
                self.forget_chains()
            answer, failed, mark = self.armed(path, n, how)
            if not failed:
                break
            self.judge_answer(answer, n, reference, mark, how)
            self.assert_well(path, n, reference, alive, mark, ROUNDING if forget else 0)
        self.assertEqual(answer.status, 200)
        print("%s: up to n = %d in %.0f s: %s" % (path.partition("?")[0], n, time.monotonic() - begin,
                                                 dict(self.counts)), file=sys.stderr)

    def test_one_allocation_of_a_test(self):
        reference, _ = self.warm_up(self.play.path)
        report = self.check_report(reference)
        self.assertEqual([port["error"] for port in report["ports"]], [None, None])
        self.assertEqual(report["ports"][0]["server_id"], {"name": "Play"})
        self.assertEqual(report["dns"]["canonical_name"], "host1.play.test")
        self.assertEqual(len(report["dns"]["addresses"]), 2)
        self.run_through(self.play.path)
        self.assertGreater(self.counts[503], 100)
        known = self.counts[503]
        self.run_through(self.play.path, forget=True)
        self.assertGreater(self.counts[503], known)

    def test_all_allocations_of_a_test_from_one_on(self):
        """No memory until the answer is there: the connection may be closed for want of an answer, no more."""
        for forget in (False, True):
            self.run_through(self.play.path, stride=LASTING_STRIDE * STRIDE, dense=20, how=failmalloc.ALL_FROM_THERE,
                             forget=forget)

    def test_other_resources(self):
        self.run_through("/v1/capabilities")
        self.run_through("/healthz")

    def test_refusals(self):
        """A refusal that there was no memory for becomes 503, too."""
        path = "/v1/imap-test?host=" + "%C3%A4" * 70
        reference = self.play.get(path)
        self.problem(reference, 400, "invalid_host")
        for n in numbers(1):
            answer, failed, mark = self.armed(path, n)
            if not failed:
                break
            if answer is None:
                self.assert_library_closed(mark, n)
            elif answer.status == 400:
                self.assertEqual(answer.json()["detail"], reference.json()["detail"], "n = %d" % n)
            elif answer.status == 500:
                self.problem(answer, 500, "internal_error")
            else:
                self.problem(answer, 503, "overloaded")
        self.assertGreater(n, 10)

    def test_trusted_roots_read_anew(self):
        """SIGHUP without memory: either the new roots or the old ones, and the log says which."""
        reference, _ = self.warm_up(self.play.path)
        counts = collections.Counter()

        def outcomes():
            return collections.Counter({event: len(self.play.service.events(event))
                                        for event in ("reloaded", "reload_failed", "log_lines_dropped")})
        for n in numbers(STRIDE, 1):
            before = outcomes()
            self.play.memory.arm(n)
            self.play.service.process.send_signal(signal.SIGHUP)
            # What was told without memory for the line itself is counted in a later one.
            service.wait_until(lambda: self.play.dead() or outcomes() != before or
                               self.play.memory.failed(), ANSWER_SECONDS, "a reload, n = %d" % n)
            self.steady()
            failed = self.play.memory.disarm()
            self.assertFalse(self.play.dead(), "n = %d: died\n%s" % (n, self.play.service.log()[-4000:]))
            answer = self.play.get(self.play.path)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(self.body(answer), self.body(reference), "n = %d" % n)
            service.wait_until(lambda: outcomes() != before, ANSWER_SECONDS,
                               "the log says how the reload went, n = %d" % n)
            counts.update(outcomes() - before)
            if not failed:
                break
        print("reload: up to n = %d: %s" % (n, dict(counts)), file=sys.stderr)
        self.assertGreater(counts["reload_failed"], 0)


if __name__ == "__main__":
    case.main()

"""The scenarios of tests/cases: the script of a server, and the report that it must lead to.

Each is played twice, sent in one piece as written and one byte at a time; the report must be the same.

usage: test_cases.py [PROGRAM] [--quick] [--only TEXT] [--folder FOLDER]
  --quick   stop at the first failure, and leave out the round of single bytes
  --only    scenarios whose group or name contains TEXT
  --folder  other scenarios than those of tests/cases
"""
import argparse
import concurrent.futures
import os
import ssl
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import scenario
import script
import service
import stage

IO_MS = int(1000 * service.slowness())
# Above this, single bytes only cost time: what is that long is there for a bound.
MOST_PIECEMEAL = 3000
AT_A_TIME = 20
# What a test takes at most: one wait that runs out, the farewell, and the machine's share.
MOST_SECONDS = IO_MS / 1000 + 1 + 1.5 * service.slowness()

chosen = argparse.Namespace(quick=False, only="", folder=scenario.FOLDER)


class Theatre:
    """A stage with little patience and one with that of the defaults, and the TLS contexts of their servers."""

    def __init__(self, scenarios):
        """Made before anything is timed: keys and programs take their time."""
        self.stages = {False: stage.Stage(io_timeout_ms=IO_MS)}
        if any(one.patient for one in scenarios):
            self.stages[True] = stage.Stage()
        self._contexts = {}
        for one in scenarios:
            for options in one.handshakes():
                if options not in self._contexts:
                    self._contexts[options] = self._new_context(options)

    def stop(self):
        for one in self.stages.values():
            one.stop()

    def context(self, options):
        return self._contexts[options]

    @staticmethod
    def _new_context(options):
        leaf = certs.trusted().leaf("*.play.test", key="rsa" if "other-certificate" in options else "ec")
        context = leaf.context(maximum=ssl.TLSVersion.TLSv1_2 if "1.2" in options else None)
        if "alpn" in options:
            context.set_alpn_protocols(["imap"])
        if "wants-certificate" in options:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certs.trust_file())
        return context


class CasesTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.scenarios, cls.complaints = scenario.load_all(chosen.folder, chosen.only)
        cls.theatre = Theatre(cls.scenarios)
        cls.addClassCleanup(cls.theatre.stop)

    def test_1_files_are_well_formed(self):
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))
        self.assertTrue(self.scenarios, "no scenario to play")

    def test_2_no_two_expect_the_same_report(self):
        names = {}
        for one in self.scenarios:
            names.setdefault(scenario.as_report(one.expected), []).append(one.name)
        alike = [", ".join(some) for some in names.values() if len(some) > 1]
        self.assertEqual(alike, [], "these expect the same report:\n" + "\n".join(alike))

    def test_3_in_one_piece(self):
        self.play(self.scenarios, False)

    def test_4_byte_by_byte(self):
        if chosen.quick:
            print("left out, as asked", end=" ... ", file=sys.stderr)
            return
        self.play([one for one in self.scenarios if one.piecemeal and one.size() <= MOST_PIECEMEAL], True)

    def play(self, scenarios, piecemeal):
        began, played, failed = time.monotonic(), 0, 0
        # Those that wait first, so that they wait together; those that keep the machine busy by themselves.
        waiting = sorted((one for one in scenarios if not one.heavy()),
                         key=lambda one: (not one.patient, "read_timeout" not in str(one.expected)))
        for some, at_a_time in ((waiting, AT_A_TIME), ([one for one in scenarios if one.heavy()], 2)):
            for one, complaint in self.play_some(some, at_a_time, piecemeal):
                played += 1
                failed += bool(complaint)
                with self.subTest(one.name):
                    if complaint:
                        self.fail("%s: %s\n%s" % (one.name, one.about, complaint))
        print("%d scenarios, %d failed, %.1f s" % (played, failed, time.monotonic() - began), end=" ... ",
              file=sys.stderr)

    def play_some(self, scenarios, at_a_time, piecemeal):
        """Each with what is wrong with it, as they come to their end; after a failure no more where that is asked."""
        with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
            tasks = {pool.submit(self.play_one, one, piecemeal): one for one in scenarios}
            for task in concurrent.futures.as_completed(tasks):
                if task.result() and chosen.quick:
                    pool.shutdown(cancel_futures=True)
                    yield tasks[task], task.result()
                    return
                yield tasks[task], task.result()

    def play_one(self, one, piecemeal):
        """What is wrong with the report and with what the server saw."""
        here = self.theatre.stages[one.patient]
        player = script.Player(self.theatre.context, piecemeal)
        steps = {name: player.steps(connections) for name, connections in one.scripts.items()}
        host = here.play(steps.get("imap"), steps.get("imaps"))
        numbers = {"imap": here.imap, "imaps": here.imaps}
        try:
            answer = here.service.test(host.name, ports=",".join(str(numbers[name]) for name in one.services),
                                       **one.ask)
            host.settle()
            report = self.check_report(answer)
            found = scenario.seen(one, report, host, numbers)
            complaints = scenario.complaints_about_client(host, service.slowness())
            complaints += self.complaints_about_times(one, report)
            if found != one.expected:
                complaints.append(scenario.difference(one.expected, found))
                complaints += ["the script broke off: %s" % connection.problem
                               for connection in host.connections() if connection.problem]
        except AssertionError as error:
            complaints = [str(error)]
        finally:
            host.stop()
        return "\n".join(complaints)

    @staticmethod
    def complaints_about_times(one, report):
        found = []
        if not one.patient and report["duration_ms"] > 1000 * MOST_SECONDS:
            found.append("the test took %.0f ms, more than one wait and a farewell" % report["duration_ms"])
        for port in report["ports"]:
            timings = port["timings_ms"]
            for field, reached in (("connect", port["reachable"]), ("greeting", port["greeting"] is not None),
                                   ("tls_handshake", port["tls"] is not None)):
                if (timings[field] is not None) != reached:
                    found.append("%s: timings_ms.%s is %s" % (port["service"], field, timings[field]))
        return found


def main():
    parser = argparse.ArgumentParser(usage=__doc__.partition("usage: ")[2])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", default=scenario.FOLDER)
    parser.parse_args(namespace=chosen)
    sys.argv[1:] = ["--failfast"] if chosen.quick else []
    case.main()


if __name__ == "__main__":
    main()

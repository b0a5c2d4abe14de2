"""The scenarios of tests/cases: the script of a server, and the report that it must lead to.

Each is played twice, sent in one piece as written and one byte at a time; the report must be the same.

usage: test_cases.py [PROGRAM] [--quick] [--only TEXT] [--folder FOLDER]
  --quick   stop at the first failure, and leave out the round of single bytes
  --only    scenarios whose group or name contains TEXT
  --folder  other scenarios than those of tests/cases
"""
import argparse
import collections
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import scenario
import service
from theatre import Theatre

# Above this, single bytes only cost time: what is that long is there for a bound.
MOST_PIECEMEAL = 3000 if service.slowness() <= 3 else 500
# More would wait for each other, and seem slow servers to a program under valgrind.
AT_A_TIME, HEAVY_AT_A_TIME = 20 if service.slowness() <= 3 else 6, 2

chosen = argparse.Namespace(quick=False, only="", folder=scenario.FOLDER)


def say(text):
    print(text, end=" ... ", file=sys.stderr, flush=True)


class CasesTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.scenarios, cls.complaints = scenario.load_all(chosen.folder, chosen.only)
        cls.theatre = Theatre(cls.scenarios, cls().check_report)
        cls.addClassCleanup(cls.theatre.stop)

    def test_1_files_are_well_formed(self):
        groups = collections.Counter(one.name.partition("/")[0] for one in self.scenarios)
        say(", ".join("%d %s" % (count, group) for group, count in sorted(groups.items())))
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))
        self.assertTrue(self.scenarios, "no scenario to play")

    def test_2_no_two_expect_the_same_report(self):
        names = collections.defaultdict(list)
        for one in self.scenarios:
            names[scenario.as_report(one.expected)].append(one.name)
        say("%d different ones" % len(names))
        alike = [", ".join(some) for some in names.values() if len(some) > 1]
        self.assertEqual(alike, [], "these expect the same report:\n" + "\n".join(alike))

    def test_3_in_one_piece(self):
        self.play(self.scenarios, False)

    def test_4_byte_by_byte(self):
        if chosen.quick:
            say("left out, as asked")
            return
        self.play([one for one in self.scenarios if one.piecemeal and not one.heavy() and one.size() <= MOST_PIECEMEAL],
                  True)

    def play(self, scenarios, piecemeal):
        began, played, failed = time.monotonic(), 0, 0
        # Those that wait first, so that they wait together; those that keep the machine busy by themselves.
        light = sorted((one for one in scenarios if not one.heavy()),
                       key=lambda one: (not one.patient, "read_timeout" not in str(one.expected)))
        heavy = [one for one in scenarios if one.heavy()]
        for some, at_a_time in ((light, AT_A_TIME), (heavy, HEAVY_AT_A_TIME)):
            for one, performance in self.theatre.play_all(some, at_a_time, piecemeal, chosen.quick):
                performance.note_length(one)
                played += 1
                failed += bool(performance.complaints)
                with self.subTest(one.name):
                    if performance.complaints:
                        self.fail("%s: %s\n%s" % (one.name, one.about, "\n".join(performance.complaints)))
            if failed and chosen.quick:
                break
        say("%d scenarios, %d failed, %.1f s" % (played, failed, time.monotonic() - began))


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

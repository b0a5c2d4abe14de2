#!/usr/bin/python3
"""mutate_findings.py: takes away the rule behind each finding in turn and shows that a test fails each time.

Works on a copy of the tree in a temporary folder. Prints a line for each finding with what noticed; exit status 1
where one goes unnoticed. With --scenarios it is the scenarios of tests/cases that have to notice, for the findings on
reach and dialogue, instead of the unit tests."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = ["test_judge", "test_judge_capability", "test_judge_certificate", "test_judge_dialogue", "test_judge_reach",
         "test_judge_tls"]
JUDGE = "probe/report/judge.c"
DOOR = "    if (detail == NULL) {\n        return;\n    }\n"
SECTIONS = ("Reach", "Dialogue")
# No scenario: not every machine has IPv6, and the servers of tests/cases have an IPv4 address each.
UNIT_TESTS_ONLY = {"address_family_unreachable"}


def findings(sections=None):
    with open(os.path.join(ROOT, "probe/report/finding.def"), encoding="utf-8") as rows:
        parts = re.split(r"^/\* (\w+) \*/$", rows.read(), flags=re.MULTILINE)
    text = "".join(part for name, part in zip(parts[1::2], parts[2::2]) if not sections or name in sections)
    return re.findall(r'^X\((\w+),\s*"(\w+)"', text, re.MULTILINE)


def run(*command):
    return subprocess.run(command, capture_output=True, check=False)


def build(folder, targets):
    done = run("cmake", "--build", folder, "--parallel", "2", "--target", *targets)
    if done.returncode != 0:
        sys.exit(done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace"))


class UnitTests:
    targets = TESTS
    findings = findings()

    @staticmethod
    def failing(_tree, folder):
        return [test for test in TESTS if run(os.path.join(folder, "tests", test)).returncode != 0]


class Scenarios:
    targets = ["imap-testd"]
    findings = [(constant, name) for constant, name in findings(SECTIONS) if name not in UNIT_TESTS_ONLY]

    @staticmethod
    def failing(tree, folder):
        done = run(sys.executable, os.path.join(tree, "tests/real/test_cases.py"), os.path.join(folder, "imap-testd"),
                   "--quick")
        if done.returncode == 0:
            return []
        found = re.findall(r"^AssertionError: ([\w-]+/[\w-]+): ", done.stderr.decode(errors="replace"), re.MULTILINE)
        # A suite that breaks off for another reason has noticed nothing.
        return found or sys.exit(done.stderr.decode(errors="replace"))


def mutate(kind, tree, folder):
    """How many went unnoticed."""
    path = os.path.join(tree, JUDGE)
    with open(path, encoding="utf-8") as source:
        whole = source.read()
    if whole.count(DOOR) != 1:
        sys.exit("%s no longer has the one place that every finding goes through" % JUDGE)
    build(folder, kind.targets)
    failing = kind.failing(tree, folder)
    if failing:
        sys.exit("tests fail without any change: %s" % failing)
    unnoticed = 0
    for constant, name in kind.findings:
        with open(path, "w", encoding="utf-8") as out:
            out.write(whole.replace(DOOR, DOOR + "    if (id == FINDING_%s) {\n        return;\n    }\n" % constant))
        build(folder, kind.targets)
        noticed = kind.failing(tree, folder)
        unnoticed += not noticed
        print("%-40s %s" % (name, ", ".join(noticed) or "NOT NOTICED"), flush=True)
    return unnoticed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenarios", action="store_true", help="the scenarios instead of the unit tests")
    kind = Scenarios if parser.parse_args().scenarios else UnitTests
    with tempfile.TemporaryDirectory(prefix="imap-test-mutants-") as top:
        tree, folder = os.path.join(top, "tree"), os.path.join(top, "build")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"))
        configure = run("cmake", "-S", tree, "-B", folder, "-DIMAP_TESTD_TESTS=ON", "-DCMAKE_BUILD_TYPE=Debug")
        if configure.returncode != 0:
            sys.exit(configure.stderr.decode(errors="replace"))
        unnoticed = mutate(kind, tree, folder)
    print("%d findings, %d not noticed" % (len(kind.findings), unnoticed))
    return 1 if unnoticed else 0


sys.exit(main())

#!/usr/bin/python3
"""mutate_findings.py: takes away the rule behind each finding in turn and shows that a test fails each time.

Works on a copy of the tree in a temporary folder. Prints a line for each finding with the test that noticed; exit
status 1 where one goes unnoticed."""
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


def findings():
    with open(os.path.join(ROOT, "probe/report/finding.def"), encoding="utf-8") as rows:
        return re.findall(r'^X\((\w+),\s*"(\w+)"', rows.read(), re.MULTILINE)


def run(*command):
    return subprocess.run(command, capture_output=True, check=False)


def build(folder):
    done = run("cmake", "--build", folder, "--parallel", "2", "--target", *TESTS)
    if done.returncode != 0:
        sys.exit(done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace"))


def failing(folder):
    return [test for test in TESTS if run(os.path.join(folder, "tests", test)).returncode != 0]


def main():
    with tempfile.TemporaryDirectory(prefix="imap-test-mutants-") as top:
        tree, folder = os.path.join(top, "tree"), os.path.join(top, "build")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"))
        configure = run("cmake", "-S", tree, "-B", folder, "-DIMAP_TESTD_TESTS=ON", "-DCMAKE_BUILD_TYPE=Debug")
        if configure.returncode != 0:
            sys.exit(configure.stderr.decode(errors="replace"))
        path = os.path.join(tree, JUDGE)
        with open(path, encoding="utf-8") as source:
            whole = source.read()
        if whole.count(DOOR) != 1:
            sys.exit("%s no longer has the one place that every finding goes through" % JUDGE)
        build(folder)
        if failing(folder):
            sys.exit("tests fail without any change: %s" % failing(folder))
        unnoticed = 0
        for constant, name in findings():
            with open(path, "w", encoding="utf-8") as out:
                out.write(whole.replace(DOOR, DOOR + "    if (id == FINDING_%s) {\n        return;\n    }\n" % constant))
            build(folder)
            noticed = failing(folder)
            unnoticed += not noticed
            print("%-40s %s" % (name, ", ".join(noticed) or "NOT NOTICED"), flush=True)
        print("%d findings, %d not noticed" % (len(findings()), unnoticed))
        return 1 if unnoticed else 0


sys.exit(main())

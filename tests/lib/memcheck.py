"""memcheck.py BUILD_DIR: runs the tests of a build under valgrind.

Test programs are started by valgrind; tests that are scripts start the service with it (IMAP_TESTD_WRAPPER).
"""
import json
import os
import shlex
import subprocess
import sys

VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite,possible", "--num-callers=30"]


def is_program(path):
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def properties(test):
    return {entry["name"]: entry["value"] for entry in test.get("properties", [])}


def run(test, build):
    """passed, FAILED, or skipped where a right is missing."""
    found = properties(test)
    environment = dict(os.environ)
    environment.update(entry.split("=", 1) for entry in found.get("ENVIRONMENT", []))
    command = test["command"]
    if is_program(command[0]) and os.path.realpath(command[0]).startswith(build + os.sep):
        command = VALGRIND + command
    else:
        environment["IMAP_TESTD_WRAPPER"] = shlex.join(VALGRIND)
    done = subprocess.run(command, cwd=found.get("WORKING_DIRECTORY", build), env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode == found.get("SKIP_RETURN_CODE"):
        result = "skipped"
    else:
        result = "passed" if done.returncode == 0 else "FAILED"
    print("%s %s" % (result, test["name"]), flush=True)
    if result != "passed":
        sys.stdout.write(done.stdout.decode(errors="replace"))
    return result


def main():
    build = os.path.realpath(sys.argv[1])
    listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, check=True)
    tests = [test for test in json.loads(listing.stdout)["tests"] if test.get("command")]
    results = {test["name"]: run(test, build) for test in tests}
    failed = [name for name, result in results.items() if result == "FAILED"]
    print("valgrind: %d of %d tests passed%s" % (list(results.values()).count("passed"), len(tests),
                                                 "; failed: " + ", ".join(failed) if failed else ""))
    sys.exit(1 if failed or not tests else 0)


if __name__ == "__main__":
    main()

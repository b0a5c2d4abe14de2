"""cost.py [--all] PROGRAM [PARSER[:KIND]]...: no parser costs more than in proportion to its input.

Runs tests/cost/cost.c under valgrind's callgrind, which counts instructions and so knows no noise, on inputs an
attacker would choose (inputs.py), up to the bound of each: half of the bound and all of it. Without what the empty
input costs, twice the input may cost at most 2.2 times as much. Prints a table, and fails where that does not hold, or
where what is written down below costs more than stands there.

Without --all only an eighth of the large bounds is gone to, which takes a minute rather than several; there 2.5 is
allowed, since inputs that small pay more for tables that grow, and the empty input is left aside, since what it costs
is often another way through the parser.
"""
import os
import re
import subprocess
import sys
import tempfile

import inputs

MOST, MOST_OF_SMALL = 2.2, 2.5
LARGE = 8192
# What costs no more for each octet is but copied; what grows by no more than this part of the whole does not grow.
COPYING, NO_GROWTH = 8, 0.05

# What is cheap until a table is full, and so says something at the bound only.
AT_BOUND_ONLY = {("caps", "colliding words of 248 octets")}

# What grows faster, why, and the instructions at the bound that it may cost all the same.
EXCEPTIONS = {
    # libtasn1 passes over all members of a list to name the next one, when it encodes and when it looks up.
    ("certificates", "relative names"): 350_000_000,
    ("certificates", "unknown extensions"): 450_000_000,
}


# What costs no more than so many instructions at the bound, however it grows.
LIMITS = {
    # Of each test a thousandth of what the cheapest one costs (docs/performance.md: 7.14 M).
    ("metrics", "tests"): 1000 * 7_140,
}


def count(program, parser, contents):
    """Instructions that the parser needs for each of these contents."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for number, data in enumerate(contents):
            path = os.path.join(folder, "input-%d" % number)
            with open(path, "wb") as out:
                out.write(data)
            arguments += [parser, path]
        profile = os.path.join(folder, "profile")
        subprocess.run(["valgrind", "--quiet", "--tool=callgrind", "--toggle-collect=cost_measured",
                        "--dump-after=cost_measured", "--callgrind-out-file=" + profile, program, *arguments],
                       check=True, stdout=subprocess.DEVNULL)
        return [total("%s.%d" % (profile, part + 1)) for part in range(len(contents))]


def total(path):
    with open(path, encoding="utf-8") as file:
        return int(re.search(r"^totals: (\d+)", file.read(), re.MULTILINE).group(1))


def verdict(kind, size, counts, everything):
    """The ratio, and what is to be said of it."""
    empty, half, full = counts
    most = MOST if everything else MOST_OF_SMALL
    empty = empty if everything else 0
    ratio = (full - empty) / max(1, half - empty, full * NO_GROWTH)
    exception = EXCEPTIONS.get(kind[:2])
    if exception is not None:
        return ratio, "exception" if full <= exception else "TOO MUCH: %d at most" % exception
    limit = LIMITS.get(kind[:2])
    if limit is not None and full > limit:
        return ratio, "TOO MUCH: %d at most" % limit
    return ratio, "TOO STEEP" if ratio > most and full - empty > COPYING * size else ""


def check(program, kinds, everything):
    """Prints the table; how many rows of it are wrong."""
    bad = 0
    print("%-20s %-45s %7s %13s %13s %6s" % ("parser", "input", "size", "at half", "at size", "ratio"))
    for parser in dict.fromkeys(kind[0] for kind in kinds):
        # The first run of all pays for what is set up but once.
        rows, contents = [kind for kind in kinds if kind[0] == parser], [b""]
        if parser == "certificates":
            contents = [rows[0][3](0)]
        for row in rows:
            size = row[2] // 8 if row[2] > LARGE and not everything else row[2]
            contents += [row[3](0), row[3](size // 2), row[3](size)]
        counts = count(program, parser, contents)[1:]
        for number, row in enumerate(rows):
            size, three = len(contents[3 * number + 3]), counts[3 * number:3 * number + 3]
            ratio, words = verdict(row, size, three, everything)
            bad += words.startswith("TOO")
            print("%-20s %-45s %7d %13d %13d %6.2f %s" % (parser, row[1], size, *three[1:], ratio, words), flush=True)
    return bad


def main():
    arguments = sys.argv[1:]
    everything = "--all" in arguments
    program, *names = [argument for argument in arguments if argument != "--all"] or [""]
    if not os.access(program, os.X_OK):
        sys.exit("usage: cost.py [--all] PROGRAM [PARSER[:KIND]]..., the program as in build/dev/tests/cost")
    kinds = [kind for kind in inputs.KINDS
             if (everything or kind[:2] not in AT_BOUND_ONLY) and
             (not names or any(name in (kind[0], "%s:%s" % kind[:2]) for name in names))]
    bad = check(program, kinds, everything)
    print("%d of %d kinds of input cost too much" % (bad, len(kinds)) if bad else
          "%d kinds of input cost in proportion to their size" % len(kinds))
    return 1 if bad or not kinds else 0


if __name__ == "__main__":
    sys.exit(main())

"""bench.py: measures what a test costs and prints the table. Run it through tests/bench/run, which builds first."""
import argparse
import os
import sys
import time

import field
import measure
import show
from field import KINDS
from measure import AT_A_TIME, series

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "performance.md")
PLOT = os.path.join(ROOT, "docs", "performance.svg")
SOAKS = {"Dovecot": ("mail.ecdsa.bench.test", measure.SOUND, 200000),
         "a scripted server without TLS": ("h{n}.plain.bench.test", measure.PLAIN, 1000000)}


BURST = 1000


class Size:
    """How much is measured: the short form in minutes, the full one in about half an hour."""

    def __init__(self, full):
        self.rounds = 5
        self.seen, self.never_seen, self.alone = (1200, 500, 200) if full else (250, 150, 40)
        self.memory = [64, 250, 1000, 2500, 5000, 6500] if full else [64, 1000, 6500]
        self.blackbox_memory = [64, 250, 1000, 2500] if full else [64, 1000]
        self.growth, self.growth_tests = ([16, 64, 256, 1000, 2500, 6500], 800) if full else ([16, 1000], 300)
        self.growth_rounds = 5 if full else 3


started = time.monotonic()


def say(text):
    print("[%4.0f s] %s" % (time.monotonic() - started, text), file=sys.stderr, flush=True)


def measure_seen(where, size, results):
    """CPU at 64 at a time, latency one at a time, both with the chain known; and how the latency grows."""
    blackbox = field.Blackbox(where) if field.has_blackbox() else None
    try:
        with field.Service(where) as service:
            for kind in KINDS:
                say("chain seen, %s" % kind)
                rows = measure.chain_seen(where, kind, service, blackbox, AT_A_TIME, size.seen, size.rounds)
                results.setdefault("seen", {})[kind] = series(rows, "cpu_ms")
                rows = measure.chain_seen(where, kind, service, blackbox, 1, size.alone, size.rounds)
                results.setdefault("latency", {})[kind] = series(rows, "p50_ms")
            latency = {}
            for level in (1, 16, 64, 256):
                rows = measure.chain_seen(where, "ecdsa", service, blackbox, level, max(200, 2 * level), 1)
                for who, row in rows.items():
                    latency.setdefault(show.NAMES[who], {})[level] = row[0]["p50_ms"]
            results["latency_by_level"] = latency
    finally:
        if blackbox:
            blackbox.stop()


def measure_never_seen(where, size, results):
    where.start_many_hosts()
    for kind in KINDS:
        say("leaf never seen, %s" % kind)
        rows = measure.chain_never_seen(where, kind, size.never_seen, size.rounds)
        results.setdefault("never", {})[kind] = series(rows, "cpu_ms")


def measure_memory(where, size, results):
    levels = size.blackbox_memory if field.has_blackbox() else ()
    for mode in show.MODES:
        say("memory, %s" % show.MODES[mode])
        results.setdefault("memory", {})[mode] = measure.memory(where, mode, size.memory,
                                                                levels if mode == "silent" else ())


def measure_growth(where, size, results):
    say("growth, %s in flight" % size.growth)
    with field.Service(where) as service:
        rows = measure.growth(service, "ecdsa", size.growth, size.growth_rounds, size.growth_tests)
        results["burst"] = measure.burst(service, "ecdsa", BURST)
    results["growth"] = {"cpu": series(rows, "cpu_ms"), "p50": series(rows, "p50_ms")}


def measure_instructions(where, results):
    where.start_many_hosts()
    for kind in KINDS:
        say("instructions, %s" % kind)
        results.setdefault("instructions", {})[kind] = measure.instructions(where, kind)


def run_soak(where, record):
    found = {}
    for name, (host, match, total) in SOAKS.items():
        say("soak, %d tests against %s" % (total, name))
        found[name] = measure.soak(where, host, match, total, say)
    text = show.soak_text(found)
    print(text)
    if record:
        show.replace_part(PAGE, "soak", show.machine() + "\n\n" + text)


def measure_all(where, options, size, results):
    say("idle")
    results["idle"] = measure.idle(where)
    measure_seen(where, size, results)
    measure_growth(where, size, results)
    measure_memory(where, size, results)
    if options.full:
        say("past the limit of descriptors")
        results["limit"] = measure.past_the_limit(where, 7000)
    if options.full or options.instructions:
        measure_instructions(where, results)
    else:
        say("instructions are not counted: --instructions does, with valgrind")
    # Last: its servers take the place of nothing, but of the processors' caches.
    measure_never_seen(where, size, results)


def run_table(where, options, size):
    results = {}
    try:
        measure_all(where, options, size, results)
    finally:
        # What was found before a failure is shown all the same.
        table = show.table_of(results)
        print(table.text() if table.rows else "")
    print(show.bars(show.memory_lines(results), "MiB resident, by tests in flight"))
    print(show.bars(show.latency_lines(results), "p50 in ms, by tests in flight"))
    if options.record:
        page = show.introduction(size.rounds) + table.markdown()
        show.replace_part(PAGE, "results", page + "\n![Memory and latency](performance.svg)\n")
        with open(PLOT, "w", encoding="utf-8") as out:
            out.write(show.svg(results))
        say("written: %s, %s" % (os.path.relpath(PAGE), os.path.relpath(PLOT)))


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="What a test costs, beside a bare loop.")
    parser.add_argument("--full", action="store_true", help="more tests, more in flight, instructions too")
    parser.add_argument("--instructions", action="store_true", help="count instructions (valgrind)")
    parser.add_argument("--soak", action="store_true", help="instead: 200,000 and 1,000,000 tests, memory meanwhile")
    parser.add_argument("--record", action="store_true", help="write the results into docs/performance.md")
    options = parser.parse_args()
    if not field.has_blackbox():
        say("%s is not installed: nothing to compare with but the bare loop" % field.EXPORTER)
    with field.Field() as where:
        if options.soak:
            run_soak(where, options.record)
        else:
            run_table(where, options, Size(options.full))


if __name__ == "__main__":
    main()

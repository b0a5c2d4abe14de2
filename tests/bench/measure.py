"""What the benchmark measures. Each function returns plain numbers; several rounds of the same go into a Series."""
import re
import statistics
import subprocess
import time

import field
from field import load

SOUND = '"verdict":"ok"'
PLAIN = '"verdict":"problems"'
PROBED = "probe_success 1"
AT_A_TIME = 64
IDLE_SECONDS = 5
DESCRIPTORS_PER_TEST = 3


def median(values):
    return statistics.median(values)


class Series:
    """Values of rounds that ran one after the other."""

    def __init__(self, values):
        self.values = list(values)
        self.median, self.low, self.high = median(self.values), min(self.values), max(self.values)

    def over(self, other):
        """The ratio, round by round: what disturbs a round disturbs both."""
        return Series(mine / theirs for mine, theirs in zip(self.values, other.values))


def in_rounds(rounds, contestants, say=lambda text: None):
    """contestants: name -> function that returns the numbers of one round. Returns name -> list of them."""
    results = {name: [] for name in contestants}
    for number in range(rounds):
        for name, run in contestants.items():
            results[name].append(run())
        say("round %d of %d" % (number + 1, rounds))
    return results


def series(results, key):
    return {name: Series(row[key] for row in rows) for name, rows in results.items()}


def chain_seen(where, kind, service, blackbox, concurrency, count, rounds, seconds=60):
    """The same host and chain again and again. cpu_ms, p50_ms and so on of each round."""
    name, address = "mail.%s.bench.test" % kind, field.DOVECOT[kind]
    runs = {
        "bare": lambda: where.bare(name, address, count, concurrency),
        "service": lambda: load(count, concurrency, [service.url(name)], match=SOUND, process=service,
                                seconds=seconds),
    }
    if blackbox:
        runs["blackbox"] = lambda: load(count, concurrency, blackbox.urls(kind, address), match=PROBED,
                                        process=blackbox, seconds=seconds)
    return in_rounds(rounds, runs)


def chain_never_seen(where, kind, count, rounds):
    """Each test meets a leaf of its own under an intermediate that one test before has shown: a new process each
    round."""
    name = "h{n}.%s.bench.test" % kind

    def run():
        with field.Service(where) as service:
            load(1, 1, [service.url(name)], match=SOUND)
            return load(count - 1, AT_A_TIME, [service.url(name)], match=SOUND, process=service, first=1)
    return in_rounds(rounds, {"bare": lambda: where.bare(name, field.MANY[kind], count, AT_A_TIME), "service": run})


def growth(service, kind, levels, rounds, tests):
    """level -> rounds of the service with so many in flight. The levels take turns."""
    url = [service.url("mail.%s.bench.test" % kind, field.DOVECOT[kind])]
    runs = {level: lambda n=level: load(max(tests, 2 * n), n, url, match=SOUND, process=service, seconds=240)
            for level in levels}
    return in_rounds(rounds, runs)


def burst(service, kind, count):
    """So many tests begun at once, each with a name to be resolved: how many did not end well."""
    url = [service.url("mail.%s.bench.test" % kind)]
    result = field.try_load(count, count, url, match=SOUND, seconds=120)
    return {"asked": count, "failed": count - result["done"] + result["failed"]}


def await_descriptors(process, wanted, seconds=60):
    """Until a process has that many; how many it has."""
    end = time.monotonic() + seconds
    while (now := process.descriptors()) < wanted and time.monotonic() < end:
        time.sleep(0.1)
    return now


def hold(where, process, urls, count, ask_health=True, requests=1):
    """Holds `count` tests in flight against a silent server. Memory before and then, and /healthz meanwhile."""
    time.sleep(0.5)  # the connections of what was asked before are closed
    before, descriptors = process.memory_kb(), process.descriptors()
    health, output = None, ""
    if ask_health:
        health = subprocess.Popen(field.load_command(1000000, 1, [process.base + "/healthz"], pause_ms=10,
                                                     seconds=2 + count / 1000),
                                  stdout=subprocess.PIPE, text=True)
    holder = subprocess.Popen(field.load_command(count, count, urls, seconds=10 + count / 500),
                              stdout=subprocess.PIPE, text=True)
    try:
        per_test = DESCRIPTORS_PER_TEST if requests == 1 else 2 * requests
        reached = await_descriptors(process, descriptors + per_test * count, 8 + count / 500)
        time.sleep(1)
        memory = process.memory_kb()
        result = {"in_flight": count, "before_kb": before, "memory_kb": memory,
                  "per_test_kb": (memory - before) / count,
                  "reached": (reached - descriptors) / (per_test * count)}
    finally:
        holder.terminate()
        holder.communicate()
        if health:
            output = health.communicate()[0]
    if health:
        result["health"] = field.numbers(output)
    return result


def memory(where, mode, levels, blackbox_levels=()):
    """Rows of hold() for the service, and for blackbox_exporter. A new process for each level."""
    rows = {"service": [], "blackbox": []}
    for level in levels:
        with field.Service(where) as service:
            load(AT_A_TIME, AT_A_TIME, [service.url("mail.ecdsa.bench.test")], match=SOUND)
            rows["service"].append(hold(where, service, [service.url("h{n}.%s.bench.test" % mode, field.SILENT[mode])],
                                        level))
    for level in blackbox_levels:
        with field.Blackbox(where) as blackbox:
            address = field.DOVECOT["ecdsa"]
            load(AT_A_TIME, AT_A_TIME, blackbox.urls("ecdsa", address), match=PROBED)
            rows["blackbox"].append(hold(where, blackbox, blackbox.urls("ecdsa", field.SILENT[mode]), level,
                                         ask_health=False, requests=2))
    return rows


def past_the_limit(where, count, seconds=20, **options):
    """More than there are descriptors for: how many got 503, and whether a test succeeds afterwards."""
    with field.Service(where, **options) as service:
        held = field.try_load(count, count, [service.url("h{n}.silent.bench.test", field.SILENT["silent"])],
                              seconds=seconds)
        time.sleep(2)
        load(1, 1, [service.url("mail.ecdsa.bench.test")], match=SOUND)
        return {"asked": count, "refused": held["refused"], "otherwise": held["done"] - held["refused"]}


def idle(where):
    """Resident memory with the system's trusted roots, and wake-ups per second, when nobody asks."""
    with field.Service(where, trust_file=None) as service:
        time.sleep(2)
        before = service.switches()
        time.sleep(IDLE_SECONDS)
        return {"memory_kb": service.memory_kb(), "wakeups": (service.switches() - before) / IDLE_SECONDS}


CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
FEW, MORE = 10, 40


def collected(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        return int(re.search(r"Collected : (\d+)", log.read()).group(1))


def instructions(where, kind):
    """Millions of instructions per test in user space: the difference between a short and a longer run."""
    def bare(count):
        log = where.folder + "/callgrind.log"
        with open(log, "w", encoding="utf-8") as out:
            where.bare("mail.%s.bench.test" % kind, field.DOVECOT[kind], count, 1, wrapper=CALLGRIND, stderr=out)
        return collected(log)

    def service(host, count):
        log = where.folder + "/callgrind.log"
        with field.Service(where, wrapper=CALLGRIND, log=log) as process:
            load(count, 1, [process.url(host)], match=SOUND)
        return collected(log)

    def per_test(run):
        return (run(MORE) - run(FEW)) / (MORE - FEW) / 1e6

    return {"bare": per_test(bare),
            "seen": per_test(lambda count: service("mail.%s.bench.test" % kind, count)),
            "never_seen": per_test(lambda count: service("h{n}.%s.bench.test" % kind, count))}


def soak(where, host, match, total, say, parts=20):
    """Memory at the start, the middle and the end of very many tests."""
    rows = []
    with field.Service(where, log_level="warn") as service:
        url = [service.url(host)]
        load(10 * AT_A_TIME, AT_A_TIME, url, match=match)
        start = time.monotonic()
        rows.append({"tests": 0, "memory_kb": service.memory_kb()})
        for part in range(1, parts + 1):
            load(total // parts, AT_A_TIME, url, match=match, seconds=3600)
            rows.append({"tests": part * total // parts, "memory_kb": service.memory_kb()})
            say("%d tests, %.0f s, %d kB" % (rows[-1]["tests"], time.monotonic() - start, rows[-1]["memory_kb"]))
    return rows

"""What the benchmark found: the table, the plots, and the part of docs/performance.md that a run rewrites."""
import datetime
import os
import platform
import re

from measure import AT_A_TIME

MARKS = "<!-- %s: written by tests/bench/run -->\n", "<!-- end of %s -->\n"
WIDTH, HEIGHT, MARGIN = 380, 300, 52
COLOURS = {"service, silent server": "#1f6feb", "service, mid-handshake": "#8250df",
           "blackbox_exporter, silent server": "#cf222e", "service": "#1f6feb", "bare loop": "#57606a",
           "blackbox_exporter": "#cf222e"}


def spread(series, form="%.2f"):
    return (form + " (" + form + " to " + form + ")") % (series.median, series.low, series.high)


class Table:
    """Rows of: what, found, goal, whether it is reached (None: nothing to reach)."""

    def __init__(self):
        self.rows = []

    def add(self, what, found, goal="", reached=None):
        self.rows.append((what, found, goal, {None: "", True: "yes", False: "no"}[reached]))

    def at_most(self, what, value, goal, unit="", shown=None):
        self.add(what, shown or "%.2f%s" % (value, unit), "≤ %g%s" % (goal, unit), value <= goal)

    def markdown(self):
        lines = ["| | found | goal | reached |", "|---|---|---|---|"]
        return "\n".join(lines + ["| %s | %s | %s | %s |" % row for row in self.rows]) + "\n"

    def text(self):
        widths = [max(len(row[i]) for row in self.rows) for i in range(4)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
                         for row in self.rows) + "\n"


RATIO_GOALS = {  # of the bare loop, of blackbox_exporter
    "seen": {"ecdsa": (0.50, 0.42), "rsa": (0.62, 0.42)},
    "never": {"ecdsa": (0.75, None), "rsa": (0.90, None)},
}
INSTRUCTION_GOALS = {"ecdsa": {"seen": 11.5, "never_seen": 18}, "rsa": {"seen": 8.5, "never_seen": 13}}
MEMORY_GOALS = {"silent": 28, "handshake": 40}
NAMES = {"bare": "bare loop", "service": "service", "blackbox": "blackbox_exporter"}
MODES = {"silent": "silent server", "handshake": "both sessions in mid-handshake"}


def _add_cpu(table, results, which, label):
    for kind, rows in results.get(which, {}).items():
        label_of_kind = "%s, %s" % (label, kind.upper())
        for who, name in NAMES.items():
            if who in rows:
                table.add("CPU per test, ms, %s: %s" % (label_of_kind, name), spread(rows[who]))
        for who, goal in zip(("bare", "blackbox"), RATIO_GOALS[which][kind]):
            if who in rows:
                ratio = rows["service"].over(rows[who])
                name = NAMES[who]
                if goal:
                    table.at_most("  service / " + name, ratio.median, goal, shown=spread(ratio))
                else:
                    table.add("  service / " + name, spread(ratio))


def _add_latency(table, results):
    for kind, rows in results.get("latency", {}).items():
        for who, name in NAMES.items():
            if who in rows:
                goal = who == "service"
                table.add("p50 one at a time, ms, chain seen, %s: %s" % (kind.upper(), name), spread(rows[who]),
                          "below the bare loop's" if goal else "",
                          rows[who].median < rows["bare"].median if goal else None)


def _add_instructions(table, results):
    for kind, found in results.get("instructions", {}).items():
        table.add("instructions per test, M, %s: bare loop" % kind.upper(), "%.2f" % found["bare"])
        for which, label in (("seen", "chain seen"), ("never_seen", "leaf never seen")):
            table.at_most("instructions per test, M, %s: service, %s" % (kind.upper(), label), found[which],
                          INSTRUCTION_GOALS[kind][which])


def _add_memory(table, results):
    for mode, rows in results.get("memory", {}).items():
        for row in rows["service"][-1:]:
            table.at_most("memory per test in flight, kB, %s (%d in flight)" % (MODES[mode], row["in_flight"]),
                          row["per_test_kb"], MEMORY_GOALS[mode], shown="%.1f" % row["per_test_kb"])
            table.at_most("  resident in all, MiB", row["memory_kb"] / 1024, 280, shown="%.0f" % (row["memory_kb"] / 1024))
            table.at_most("  /healthz meanwhile, slowest, ms", row["health"]["max_ms"], 20,
                          shown="%.1f (p99 %.1f)" % (row["health"]["max_ms"], row["health"]["p99_ms"]))
            if row["reached"] < 1:
                table.add("  of these in flight", "%.0f %%" % (100 * row["reached"]))
        for row in rows["blackbox"][-1:]:
            table.add("  blackbox_exporter (%d in flight)" % row["in_flight"], "%.1f" % row["per_test_kb"])
    burst = results.get("burst")
    if burst:
        table.at_most("tests that failed, of %d begun at once, each with a name to be resolved" % burst["asked"],
                      burst["failed"], 0, shown="%d" % burst["failed"])
    limit = results.get("limit")
    if limit:
        table.add("past the limit: of %d tests at once answered with 503" % limit["asked"], "%d" % limit["refused"],
                  "all else held, none otherwise", limit["refused"] > 0 and limit["otherwise"] == 0)


def _add_rest(table, results):
    if "idle" in results:
        found = results["idle"]
        table.at_most("idle, MiB resident, system's trusted roots", found["memory_kb"] / 1024, 12,
                      shown="%.1f" % (found["memory_kb"] / 1024))
        table.at_most("idle, wake-ups per second", found["wakeups"], 0, shown="%.1f" % found["wakeups"])
    levels = results.get("growth", {}).get("cpu", {})
    if levels:
        first, last = min(levels), max(levels)
        growth = levels[last].over(levels[first])
        table.at_most("CPU per test, %d in flight / %d" % (last, first), growth.median, 1.10, shown=spread(growth))


def table_of(results):
    table = Table()
    _add_cpu(table, results, "seen", "chain seen")
    _add_cpu(table, results, "never", "leaf never seen")
    _add_instructions(table, results)
    _add_latency(table, results)
    _add_memory(table, results)
    _add_rest(table, results)
    return table


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = re.search(r"model name\s*: (.*)", info.read())
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(re.search(r"MemTotal:\s+(\d+)", info.read()).group(1))
    with open("/etc/os-release", encoding="utf-8") as info:
        system = re.search(r'PRETTY_NAME="(.*)"', info.read()).group(1)
    return "%s, %d cores, %.0f GiB of memory, %s, Linux %s; clients and servers share it, over loopback." % (
        model.group(1) if model else platform.machine(), os.cpu_count(), memory / 1048576, system,
        ".".join(platform.release().split(".")[:2]))


# Plots

def memory_lines(results):
    lines = {}
    for mode, label in (("silent", "silent server"), ("handshake", "mid-handshake")):
        rows = results.get("memory", {}).get(mode, {"service": [], "blackbox": []})
        for who, name in (("service", "service, " + label), ("blackbox", "blackbox_exporter, " + label)):
            points = [(row["in_flight"], row["memory_kb"] / 1024) for row in rows[who]]
            if points:
                lines[name] = points
    return lines


def latency_lines(results):
    lines = {name: dict(points) for name, points in results.get("latency_by_level", {}).items()}
    for level, series in results.get("growth", {}).get("p50", {}).items():
        lines.setdefault(NAMES["service"], {})[level] = series.median
    return {name: sorted(points.items()) for name, points in lines.items()}


def _axis(values):
    """Powers of ten around them: (low, high)."""
    low = high = 1.0
    while low > min(values):
        low /= 10
    while low * 10 <= min(values):
        low *= 10
    while high < max(values):
        high *= 10
    return low, max(high, low * 10)


def _panel(title, unit, lines, left):
    import math
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    (x0, x1), (y0, y1) = _axis(xs), _axis(ys)

    def at(x, y):
        return (left + MARGIN + (WIDTH - 2 * MARGIN) * math.log(x / x0) / math.log(x1 / x0),
                HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * math.log(y / y0) / math.log(y1 / y0))
    out = ['<text x="%d" y="20" font-weight="bold">%s</text>' % (left + MARGIN, title),
           '<text x="%d" y="36">%s against tests in flight</text>' % (left + MARGIN, unit)]
    for value, horizontal in [(x0 * 10 ** i, True) for i in range(9)] + [(y0 * 10 ** i, False) for i in range(9)]:
        if value > (x1 if horizontal else y1) * 1.01:
            continue
        start, end = (at(value, y0), at(value, y1)) if horizontal else (at(x0, value), at(x1, value))
        out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#d0d7de"/>' % (*start, *end))
        place = (start[0] - 8, start[1] + 16) if horizontal else (start[0] - 40, start[1] + 4)
        out.append('<text x="%.1f" y="%.1f">%g</text>' % (*place, value))
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS.get(name, "#000")
        out.append('<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>' % (
            colour, " ".join("%.1f,%.1f" % at(*point) for point in points)))
        out += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (*at(*point), colour) for point in points]
        out.append('<text x="%d" y="%d" fill="%s">%s</text>' % (left + MARGIN, HEIGHT + 14 * number, colour, name))
    return "\n".join(out)


def svg(results):
    """Memory and latency against tests in flight, both axes logarithmic."""
    panels = [("Memory", "MiB resident", memory_lines(results)),
              ("Latency, chain seen, ECDSA", "p50, ms,", latency_lines(results))]
    drawn = [_panel(title, unit, lines, WIDTH * number) for number, (title, unit, lines) in enumerate(panels) if lines]
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">\n'
            '<rect width="100%%" height="100%%" fill="#fff"/>\n%s\n</svg>\n' %
            (2 * WIDTH, HEIGHT + 60, "\n".join(drawn)))


def bars(lines, unit):
    """The same for a terminal: a bar for each point, logarithmic."""
    import math
    most = max((y for points in lines.values() for _, y in points), default=1)
    out = []
    for name, points in lines.items():
        out.append("%s, %s" % (name, unit))
        for x, y in points:
            out.append("%8d %10.1f %s" % (x, y, "#" * max(1, round(40 * math.log1p(y) / math.log1p(most)))))
    return "\n".join(out) + "\n"


# The page

def soak_text(results):
    parts = []
    for name, rows in results.items():
        start, middle, end = rows[0], rows[len(rows) // 2], rows[-1]
        parts.append("| %s | %d | %.1f | %.1f | %.1f |" % (name, end["tests"], start["memory_kb"] / 1024,
                                                        middle["memory_kb"] / 1024, end["memory_kb"] / 1024))
    return ("Memory of the service at the start, after half of the tests and at their end:\n\n"
            "| %d at a time against | tests | MiB at the start | in the middle | at the end |\n|---|---|---|---|---|\n"
            % AT_A_TIME + "\n".join(parts) + "\n")


def replace_part(page, mark, text):
    """Rewrites what stands between the two lines of a mark."""
    with open(page, encoding="utf-8") as stored:
        before, first, rest = stored.read().partition(MARKS[0] % mark)
        _, last, after = rest.partition(MARKS[1] % mark)
    if not first or not last:
        raise RuntimeError("%s has no two lines for %s" % (page, mark))
    with open(page, "w", encoding="utf-8") as out:
        out.write(before + first + text + last + after)


def introduction(rounds):
    return "%s, medians of %d rounds (lowest to highest).\n\n%s\n\n" % (
        datetime.date.today().isoformat(), rounds, machine())

"""Every state of the dialogue against every way to misbehave: error, phase, verdict, findings, time, memory, and that
what was learnt before stays in the report. The table is written to states.md beside the program, and printed.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import scenario
import script
import service
from theatre import IO_MS, Theatre

GREETED, ASKED, INSIDE = "IMAP4rev1 LOGINDISABLED GREETED", "IMAP4rev1 STARTTLS ASKED", "IMAP4rev1 ID INSIDE"
IDENTIFY = 'C: ID ("name" "imap-testd")'


def answer(words):
    return ["S: * CAPABILITY " + words, "S: {tag} OK done"]


# State: what is said from the state before until its trouble may begin. In order.
STATES = {
    "imap": [
        ("greeting", []),
        ("capability", ["S: * OK [CAPABILITY %s] hello" % GREETED, "C: CAPABILITY"]),
        ("starttls", answer(ASKED) + ["C: STARTTLS"]),
        ("handshake", ["S: {tag} OK go"]),
        ("capability inside", ["TLS", "C: CAPABILITY"]),
        ("id", answer(INSIDE) + [IDENTIFY]),
        ("logout", ['S: * ID ("name" "Bench")', "S: {tag} OK done", "C: LOGOUT"]),
    ],
    "imaps": [
        ("handshake", []),
        ("greeting", ["TLS"]),
        ("capability", ["S: * OK [CAPABILITY %s] hello" % GREETED, "C: CAPABILITY"]),
        ("id", answer(INSIDE) + [IDENTIFY]),
        ("logout", ['S: * ID ("name" "Bench")', "S: {tag} OK done", "C: LOGOUT"]),
    ],
}
PHASES = {"greeting": "greeting", "capability": "capability", "starttls": "starttls", "handshake": "tls",
          "capability inside": "capability", "id": "capability", "logout": None}
# A hundred times in a wait, so that a report has room for all of it.
DRIP = "DRIP %d ms: x" % (IO_MS / 100)
TROUBLE = {
    "close": ["CLOSE"],
    "reset": ["PAUSE 50 ms", "RESET"],
    "silence": ["SILENCE"],
    "drip": [DRIP],
    "garbage": [r"RAW: \x00\xFF\x80\x01\n\xFE\x00 {}[]()\r\n\x1B\x7F\xC0\xAF\r\n", "SILENCE"],
    "endless": ["FLOOD: data without end "],
}
# In the handshake, records take the place of lines.
RECORDS = {
    "drip": [r"RAW: \x16\x03\x03\x40\x00\x02\x00\x3F\xFC\x03\x03", DRIP],
    "endless": [r"FLOOD: \x16\x03\x03\x40\x00\x02\xFF\xFF\xFF{x*16380}"],
}
CODES = {"close": "connection_closed", "reset": "connection_reset", "silence": "read_timeout", "drip": "read_timeout",
         "garbage": "read_timeout", "endless": "response_too_long"}
# What says something else where it is said first, or to our hello.
CODES_OF_STATE = {("greeting", "garbage"): "not_imap", ("handshake", "garbage"): "tls_not_spoken"}
WAITS = {"silence", "drip", "garbage"}
PAUSED = script.Instruction("PAUSE", milliseconds=IO_MS // 2)


def outcome(name, state, trouble):
    """Verdict and findings."""
    if state == "handshake":
        return "problems", ["critical starttls_failed" if name == "imap" else "critical tls_handshake_failed"]
    if state == "greeting":
        if trouble in ("garbage", "endless"):
            return "problems", ["critical not_an_imap_server"]
        return "inconclusive" if name == "imap" else "warnings", ["warning no_greeting"]
    noted = ["notice protocol_violation"] if trouble == "garbage" else []
    if state == "logout":
        return "ok", noted
    return "warnings", ["warning dialogue_incomplete"] + noted


def learnt(name, passed):
    """The fields of the port that the states passed have filled."""
    fields = {}
    inside = "starttls" if name == "imap" else "command"
    if "capability" in passed:
        fields["greeting"] = {"status": "ok", "code": "CAPABILITY", "text": "hello"}
        fields["capability_phases"] = {"greeting": GREETED}
    if "starttls" in passed:
        fields["capability_phases"]["command"] = ASKED
    if "id" in passed:
        fields["capability_phases"][inside] = INSIDE
    if "logout" in passed:
        fields["server_id"] = {"name": "Bench"}
    return fields


def scenarios():
    """Of every combination; the names are "SERVICE/STATE/TROUBLE"."""
    for name, states in STATES.items():
        for at, (state, _) in enumerate(states):
            for trouble, lines in TROUBLE.items():
                yield one_scenario(name, [said for _, said in states[:at + 1]], [known for known, _ in states[:at + 1]],
                                   trouble, lines)


def one_scenario(name, said, passed, trouble, lines):
    state = passed[-1]
    if state == "handshake":
        lines = ["HELLO"] + RECORDS.get(trouble, lines)
    verdict, findings = outcome(name, state, trouble)
    port = learnt(name, passed)
    if PHASES[state]:
        code = CODES_OF_STATE.get((state, trouble), CODES[trouble])
        port["error"] = {"code": code, "phase": PHASES[state]}
        # The message tells the beginning of a line that is too long.
        port["truncated"] = ["text"] if trouble == "endless" and state != "handshake" else []
    if state == "id":
        lines = ["C: LOGOUT"] + lines  # goes out with it
    return scenario.make("%s/%s/%s" % (name, state, trouble), {
        "about": "%s in the state %s" % (trouble, state), name: "\n".join(sum(said, []) + lines),
        "report": {"verdict": verdict, "findings": findings, name: port}})


class StatesTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.scenarios = list(scenarios())
        cls.theatre = Theatre(cls.scenarios, cls().check_report)
        cls.addClassCleanup(cls.theatre.stop)
        cls.cells = {}
        cls.addClassCleanup(cls.write_table)

    def play(self, some, at_a_time):
        began = time.monotonic()
        for one, performance in self.theatre.play_all(some, at_a_time):
            with self.subTest(one.name):
                self.cells[one.name] = self.cell(one, performance)
                complaints = performance.complaints + self.complaints_about_bounds(one, performance)
                if complaints:
                    self.cells[one.name] += " **WRONG**"
                    self.fail("%s\n%s" % (one.name, "\n".join(complaints)))
        print("%d states and troubles, %.1f s" % (len(some), time.monotonic() - began), end=" ... ", file=sys.stderr)

    @staticmethod
    def complaints_about_bounds(one, performance):
        """A wait that runs out takes its limit and no more; other ends take no time."""
        _, state, trouble = one.name.split("/")
        if not performance.report:
            return []
        took = performance.report["duration_ms"]
        least = 0 if trouble not in WAITS or (state in ("greeting", "handshake") and trouble == "garbage") else \
            1000 if state == "logout" else IO_MS
        found = []
        if not 0.95 * least <= took <= least + 900 * service.slowness():
            found.append("the test took %.0f ms where %.0f were awaited" % (took, least))
        for connection in performance.connections:
            # Twice what the client reads at most, and what the kernel holds on both sides.
            if connection.sent_count > 12 * 1024 * 1024:
                found.append("the server could send %d bytes" % connection.sent_count)
        return found

    @staticmethod
    def cell(one, performance):
        if not performance.report:
            return "no report"
        port, = performance.report["ports"]
        error = port["error"]
        findings = ", ".join(finding["id"] for finding in performance.report["findings"])
        text = "`%s` in %s" % (error["code"], error["phase"]) if error else "no error"
        return "%s; %s%s; %.1f s" % (text, port["verdict"], ": " + findings if findings else "",
                                     performance.report["duration_ms"] / 1000)

    @classmethod
    def write_table(cls):
        lines = ["| port, state | " + " | ".join(TROUBLE) + " |", "|---" * (len(TROUBLE) + 1) + "|"]
        for name, states in STATES.items():
            for state, _ in states:
                cells = [cls.cells.get("%s/%s/%s" % (name, state, trouble), "not played") for trouble in TROUBLE]
                lines.append("| %s, %s | %s |" % (name, state, " | ".join(cells)))
        text = "\n".join(lines) + "\n"
        with open(os.path.join(os.path.dirname(os.path.abspath(service.binary())), "states.md"), "w",
                  encoding="utf-8") as file:
            file.write(text)
        print("\n" + text, file=sys.stderr)

    def test_ends_and_waits(self):
        self.play([one for one in self.scenarios if not one.heavy()], 12)

    def test_endless(self):
        process = self.theatre.stages[False].service
        before = process.peak_memory_kib()
        self.play([one for one in self.scenarios if one.heavy()], 2)
        grown = process.peak_memory_kib() - before
        print("memory grew by %d KiB" % grown, end=" ... ", file=sys.stderr)
        # A sanitizer keeps what was freed for a while, and so does valgrind.
        self.assertLess(grown, (256 if service.sanitized() or service.wrapper() else 16) * 1024)

    def test_each_wait_counts_by_itself(self):
        """A server that takes half of every wait is heard to the end, however long that is in all."""
        slow = []
        for name, states in STATES.items():
            lines = sum((said for _, said in states), [])
            pause = "PAUSE %d ms" % PAUSED.milliseconds
            delayed = sum(([line, pause] if line.startswith("C: ") else [line] for line in lines[:-1]), [])
            one = one_scenario(name, [delayed + lines[-1:]], [state for state, _ in states], "close", ["CLOSE"])
            if PAUSED.milliseconds > 3000:
                one.expected["findings"] = ["notice slow_response " + name]
            slow.append(one)
        for one, performance in self.theatre.play_all(slow, 2):
            with self.subTest(one.name):
                self.assertEqual(performance.complaints, [])
                waits = one.scripts.popitem()[1][0].count(PAUSED)
                self.assertGreater(performance.report["duration_ms"], 0.95 * waits * IO_MS / 2)


if __name__ == "__main__":
    case.main()

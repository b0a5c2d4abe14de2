"""The log: a line for each request and each test, on standard error or in a file that is renamed, full or not to be had,
and what is in it when callers, tested servers and proxies say what they like."""
import contextlib
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import net
import service
import stage
from service import slowness, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = "00-%s-%s-01" % (TRACE, PARENT)
LOGROTATE = os.path.join(service.ROOT, "deploy", "logrotate", "imap-testd")
DROP_IN = os.path.join(service.ROOT, "deploy", "imap-testd.service.d", "log-file.conf")

# The fields of the line of a test, in their order, but for those of each port.
TEST_FIELDS = ["time", "level", "event", "id", "client", "host", "address", "outcome", "verdict", "deadline_exceeded",
               "duration_ms", "dns_ms", "dns_error", "trace_id", "parent_id"]
PORT_FIELDS = ["port", "verdict", "error", "error_phase", "error_text", "connect_ms", "greeting_ms",
               "tls_handshake_ms", "total_ms"]
REQUEST_FIELDS = ["time", "level", "event", "id", "client", "proxy", "method", "path", "status", "host", "address",
                  "verdict", "cached", "problem", "aborted", "duration_ms", "trace_id", "parent_id"]


class LogCase(case.Case):
    def start(self, **options):
        self.stage = stage.Stage(**options)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service

    def start_with_file(self, **options):
        folder = tempfile.mkdtemp(prefix="imap-test-log-")
        self.addCleanup(shutil.rmtree, folder)
        self.path = os.path.join(folder, "log")
        with unittest.mock.patch.object(service, "Service", service.FileService):
            self.start(log_file=self.path, **options)

    def play(self, plain=None, tls=None):
        context = self.stage.context()
        return self.stage.play(plain or imapd.healthy_plain(context), tls or imapd.healthy_tls(context))

    def ask(self, path, ident, **headers):
        return self.service.get(path, headers={"X-Request-Id": ident, **headers})

    def line(self, event, ident):
        """The one line of this event with this id."""
        def lines():
            return [line for line in self.service.events(event) if line["id"] == ident]
        wait_until(lines, 5 * slowness(), "the line of %s %s" % (event, ident))
        self.assertEqual(len(lines()), 1)
        return lines()[0]

    def reload(self, event="reloaded"):
        before = len(self.events(event))
        self.service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.events(event)) > before, 10 * slowness(), event)

    def events(self, name):
        """As Service.events(), of all files. Each line must be whole, but for the one that is being written."""
        if not hasattr(self, "path"):
            return self.service.events(name)
        lines = []
        for path in glob.glob(glob.escape(self.path) + "*"):
            with contextlib.suppress(IsADirectoryError), open(path, encoding="utf-8") as log:
                *whole, rest = log.read().split("\n")
                self.assertTrue(rest == "" or self.service.process.returncode is None, "a line without an end")
                lines += [json.loads(line) for line in whole]
        return [line for line in lines if line["event"] == name]


class TestLineTest(LogCase):
    def test_a_test_that_ends_well(self):
        self.start(cache_seconds=60)
        host = self.play()
        path = self.service.test_path(host.name)
        report = self.check_report(self.ask(path, "first", traceparent=TRACEPARENT))
        self.assertTrue(self.check_report(self.ask(path, "second"))["cached"])
        line, request, again = self.line("test", "first"), self.line("request", "first"), self.line("request", "second")
        self.assertEqual(list(line), TEST_FIELDS + [service_name + "_" + field for service_name in ("imap", "imaps")
                                                    for field in PORT_FIELDS])
        self.assertEqual([list(request), list(again)], [REQUEST_FIELDS] * 2)
        self.assertEqual([event["id"] for event in self.service.events("test")], ["first"])
        expected = {"level": "info", "client": "127.0.0.1", "host": host.name, "address": host.address,
                    "outcome": "reported", "verdict": "ok", "deadline_exceeded": False, "dns_error": None,
                    "trace_id": TRACE, "parent_id": PARENT, "duration_ms": report["duration_ms"],
                    "dns_ms": report["dns"]["duration_ms"]}
        for port in report["ports"]:
            expected.update({port["service"] + "_" + name: value for name, value in (
                ("port", port["port"]), ("verdict", "ok"), ("error", None), ("error_phase", None),
                ("error_text", None), *((phase + "_ms", ms) for phase, ms in port["timings_ms"].items()))})
        self.assertEqual({name: line[name] for name in expected}, expected)
        self.assertEqual([request["trace_id"], request["parent_id"]], [TRACE, PARENT])
        self.assertEqual([again["trace_id"], again["parent_id"], again["cached"]], [None, None, True])

    def test_one_port_and_its_errors(self):
        self.start()
        host = self.stage.play([imapd.send("* BYE Too many connections from your address\r\n"), imapd.close()])
        imap, imaps = str(self.stage.imap), str(self.stage.imaps)
        self.ask(self.service.test_path(host.name, ports=imap), "bye")
        line = self.line("test", "bye")
        self.assertEqual((line["verdict"], line["imap_verdict"], line["imap_error"], line["imap_error_phase"]),
                         ("inconclusive", "inconclusive", "server_bye", "greeting"))
        self.assertIn("Too many connections", line["imap_error_text"])
        self.assertIsNone(line["imap_tls_handshake_ms"])
        self.assertIsNotNone(line["imap_greeting_ms"])
        self.assertFalse([name for name in line if name.startswith("imaps_")])
        self.ask(self.service.test_path(host.name, ports=imaps), "refused")
        line = self.line("test", "refused")
        self.assertEqual((line["imaps_port"], line["imaps_error"], line["imaps_error_phase"], line["imaps_error_text"],
                          line["imaps_connect_ms"]),
                         (int(imaps), "connection_refused", "connect", "ECONNREFUSED", None))
        self.ask(self.service.test_path("nowhere.test"), "nowhere")
        line = self.line("test", "nowhere")
        self.assertEqual((line["address"], line["dns_error"], line["imap_error_phase"], line["verdict"]),
                         (None, "dns_name_not_found", "dns", "unreachable"))

    def test_every_outcome(self):
        self.start(target_rate="1/600", deadline_ms=1000)
        host = self.play()
        self.ask(self.service.test_path(host.name), "had")
        self.problem(self.ask(self.service.test_path(host.name), "limited"), 429, "rate_limited")
        self.problem(self.ask(self.service.test_path("192.0.2.1"), "blocked"), 403, "target_not_allowed")
        silent = self.stage.play([imapd.silence()])
        self.ask(self.service.test_path(silent.name), "late")
        quiet = self.stage.play([imapd.silence()])
        with self.service.connect() as gone:
            gone.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: gone\r\n\r\n"
                         % self.service.test_path(quiet.name).encode())
            wait_until(quiet.connections, 5 * slowness(), "the test has begun")
        for ident, outcome, verdict, address in (("limited", "limited", None, None), ("blocked", "blocked", None, None),
                                                 ("gone", "cancelled", None, quiet.address),
                                                 ("late", "reported", "inconclusive", silent.address)):
            line = self.line("test", ident)
            self.assertEqual((line["outcome"], line["verdict"]), (outcome, verdict), line)
            if address:
                self.assertEqual(line["address"], address)
            if outcome != "reported":
                self.assertEqual((line["imap_verdict"], line["imap_error"]), (None, None))
        self.assertTrue(self.line("test", "late")["deadline_exceeded"])
        self.assertEqual(self.line("test", "late")["imap_error"], "deadline_exceeded")

    def test_refused_requests_run_no_test(self):
        self.start()
        for path in ("/healthz", "/nothing", "/v1/imap-test", "/v1/imap-test?host=-"):
            self.ask(path, "none")
        wait_until(lambda: len(self.service.events("request")) == 4, 5 * slowness(), "four lines")
        self.assertEqual(self.service.events("test"), [])


class ForeignTextTest(LogCase):
    """What servers and callers say is text inside its own field of its own line."""

    SAID = b"* BYE \x1b]0;x\x07 \"quoted\" \\back\\ \xff\xc3\xbc \xe2\x80\xae\xc2\x9b2J {\"level\":\"error\"} x=1 event=y\r\n"
    SHOWN = "\\x1b]0;x\\x07 \"quoted\" \\back\\ \ufffd\u00fc \\u{202e}\\u{009b}2J {\"level\":\"error\"} x=1 event=y"
    WORDS = b"HTTP/1.1 400\n{\"event\":\"test\"}\r\n\x00\x08"

    def converse(self):
        host = self.stage.play([imapd.send(self.SAID), imapd.close()], [imapd.send(self.WORDS), imapd.close()])
        self.ask(self.service.test_path(host.name), "strange")
        self.ask("/%0A%22\"\\", "path")

    def test_json(self):
        self.start()
        self.converse()
        line = self.line("test", "strange")
        self.assertEqual(line["imap_error_text"], self.SHOWN)
        self.assertEqual(line["imaps_error"], "tls_not_spoken")
        self.assertIn("HTTP/1.1 400\\x0a{\"event\":\"test\"}\\x0d\\x0a", line["imaps_error_text"])
        self.assertEqual(self.line("request", "path")["path"], "/%0A%22\"\\")
        self.check_lines(self.service.lines)
        self.assertEqual(len(self.service.events("test")), 1)

    def test_text(self):
        self.start_with_file(log_format="text")
        self.converse()
        with open(self.path, encoding="utf-8") as log:
            lines = log.read().split("\n")
        self.assertEqual(lines.pop(), "")
        self.check_lines(lines)
        for line in lines:
            self.assertRegex(line, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (error|warn |info |debug) [a-z_]+( |\Z)")
        (test,) = [line for line in lines if " test id=" in line]
        self.assertIn(" imap_error_text=\"%s\" " % self.SHOWN.replace("\\", "\\\\").replace("\"", "\\\""), test)
        self.assertNotIn("trace_id", test)

    def check_lines(self, lines):
        for line in lines:
            self.assertNotRegex(line, "[\x00-\x1f\x7f-\x9f\u202e]")
            self.assertLessEqual(len(line.encode()), 4096)


class TraceTest(LogCase):
    def test_only_a_sound_header_counts(self):
        self.start()
        host = self.play()
        path = self.service.test_path(host.name).encode()
        later = b"cc-%s-%s-01-more" % (TRACE.encode(), PARENT.encode())
        for number, (headers, taken) in enumerate((
                ([TRACEPARENT.encode()], True), ([later], True), ([TRACEPARENT.upper().encode()], False),
                ([TRACEPARENT.encode() + b"-x"], False), ([TRACEPARENT.encode().replace(b"00-", b"ff-", 1)], False),
                ([TRACEPARENT.encode()] * 2, False), ([b"nonsense", TRACEPARENT.encode()], False), ([b""], False),
                ([], False))):
            ident = "trace-%d" % number
            with self.subTest(headers):
                (answer,) = self.service.raw(b"GET %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\n%s\r\n" % (
                    path, ident.encode(), b"".join(b"TraceParent:  %s \r\n" % header for header in headers)))
                self.assertEqual(answer.status, 200)
                self.assertNotIn("traceparent", answer.headers)
                for event in ("request", "test"):
                    line = self.line(event, ident)
                    self.assertEqual((line["trace_id"], line["parent_id"]), (TRACE, PARENT) if taken else (None, None))


class ServerTimingTest(LogCase):
    @staticmethod
    def metrics(answer):
        return {name: float(value) if key == "dur" else value for name, key, value in
                re.findall(r"(?:\A|, )([a-z-]+);(dur|desc)=([\w.]+)(?=,|\Z)", answer.headers["server-timing"])}

    def test_phases_are_those_of_the_report(self):
        self.start(cache_seconds=60)
        host = self.play()
        answer = self.service.test(host.name)
        report = answer.json()
        expected = {"dns": report["dns"]["duration_ms"], "test": report["duration_ms"]}
        for port in report["ports"]:
            times = port["timings_ms"]
            expected.update({port["service"] + name: times[phase] for name, phase in (
                ("-connect", "connect"), ("-greeting", "greeting"), ("-tls", "tls_handshake"), ("", "total"))})
        self.assertEqual(self.metrics(answer), expected)
        again = self.service.test(host.name)
        self.assertEqual(self.metrics(again), {"cache": "hit", **expected})

    def test_phases_that_were_not_reached_are_not_there(self):
        self.start()
        answer = self.service.test("refused.test", address=net.fresh_address(), ports=str(self.stage.imaps))
        self.assertEqual(set(self.metrics(answer)), {"dns", "imaps", "test"})


class AccessLogTest(LogCase):
    def test_off_leaves_tests_and_failures(self):
        self.start(access_log="off", max_in_flight=1)
        go = threading.Event()
        host = self.stage.play([imapd.gate(go), *imapd.healthy_plain(self.stage.context())])
        asker = threading.Thread(target=self.ask, args=(self.service.test_path(host.name), "test"))
        asker.start()
        wait_until(host.connections, 5 * slowness(), "the test has begun")
        self.problem(self.ask(self.service.test_path("other.test"), "full"), 503, "overloaded")
        self.assertEqual(self.ask("/healthz", "alive").status, 200)
        self.assertEqual(self.ask("/nothing", "nothing").status, 404)
        go.set()
        asker.join()
        self.line("test", "test")
        self.service.stop()
        self.assertEqual([(line["id"], line["status"]) for line in self.service.events("request")], [("full", 503)])
        self.assertEqual(len(self.service.events("stopped")), 1)


class LevelTest(LogCase):
    def level(self, number):
        before = len(self.service.events("log_level"))
        self.service.process.send_signal(number)
        wait_until(lambda: len(self.service.events("log_level")) > before, 5 * slowness(), "the level is told")
        line = self.service.events("log_level")[-1]
        return line["from"], line["to"]

    def library_says(self):
        """How much more the HTTP library says, which it does at the level debug, of a request too large for it."""
        before, ident = len(self.service.events("http_library")), "behind-%d" % time.monotonic_ns()
        self.service.raw(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n" % (30000 * b"a"))
        self.ask("/healthz", ident)
        self.line("request", ident)
        return len(self.service.events("http_library")) - before

    def test_signals(self):
        self.start()
        self.assertEqual(self.library_says(), 0)
        self.assertEqual(self.level(signal.SIGUSR1), ("info", "debug"))
        self.assertGreater(self.library_says(), 0)
        self.assertEqual(self.level(signal.SIGUSR1), ("debug", "debug"))
        self.assertEqual(self.level(signal.SIGUSR2), ("debug", "info"))
        self.assertEqual(self.library_says(), 0)
        self.assertEqual(self.level(signal.SIGUSR2), ("info", "info"))


class ProxyWarningTest(LogCase):
    def warnings(self):
        return [(line["level"], line["address"], line["option"]) for line in self.service.events("proxy_not_trusted")]

    def test_a_proxy_that_nobody_has_named(self):
        self.start(trusted_proxy="127.2.0.0/16")
        expected = [("warn", "127.0.0.1", "--trusted-proxy 127.0.0.1/32")]
        self.ask("/healthz", "plain", Via="1.1 x")
        self.line("request", "plain")
        self.assertEqual(self.warnings(), [])
        for number, name in enumerate(("X-Forwarded-For", "forwarded", "x-forwarded-for")):
            self.ask("/healthz", "row-%d" % number, **{name: "for=192.0.2.1"})
            self.line("request", "row-%d" % number)
            self.assertEqual(self.warnings(), expected)
        self.reload()
        for ident in ("once", "twice"):
            self.ask("/healthz", ident, Forwarded="for=192.0.2.1")
            self.line("request", ident)
        self.assertEqual(self.warnings(), expected * 2)

    def test_a_proxy_that_is_named(self):
        self.start(trusted_proxy="127.0.0.1/32")
        self.ask("/healthz", "named", **{"X-Forwarded-For": "192.0.2.1"})
        self.assertEqual(self.line("request", "named")["client"], "192.0.2.1")
        self.assertEqual(self.warnings(), [])


class FileTest(LogCase):
    def run_with(self, path, *options):
        return subprocess.run([*service.wrapper(), service.binary(), "--listen", "127.0.0.1:0", "--log-file", path,
                               *options], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=30 * slowness(), encoding="utf-8")

    def test_a_file_that_cannot_be_opened_ends_the_program(self):
        with tempfile.TemporaryDirectory(prefix="imap-test-log-") as folder:
            link, missing = os.path.join(folder, "link"), os.path.join(folder, "none", "log")
            os.symlink("/dev/null", link)
            for path, words in ((missing, "No such file or directory"), (folder, "Is a directory"),
                                (link, "symbolic link"), ("/dev/null", "no regular file")):
                done = self.run_with(path)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertRegex(done.stderr, r"\Aimap-testd: the log file \"%s\" cannot be written to: .*%s.*\n\Z"
                                 % (re.escape(path), words))

    def test_check_does_not_write_there(self):
        with tempfile.TemporaryDirectory(prefix="imap-test-log-") as folder:
            path = os.path.join(folder, "log")
            done = self.run_with(path, "--check", "192.0.2.1", "--log-level", "debug")
            self.assertEqual((done.returncode, os.path.exists(path)), (3, False))

    def keep_asking(self, stop, asked):
        number = 0
        while not stop.is_set():
            ident = "%d-%d" % (threading.get_ident(), number)
            number += 1
            if self.ask("/healthz", ident).status == 200:
                asked.append(ident)

    @contextlib.contextmanager
    def load(self, asked):
        """Four callers that ask all the time, and none of them in vain."""
        stop = threading.Event()
        askers = [threading.Thread(target=self.keep_asking, args=(stop, asked)) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            yield
        finally:
            stop.set()
            for asker in askers:
                asker.join()

    def test_renamed_under_load(self):
        self.start_with_file()
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o640 & ~self.umask())
        asked = []
        with self.load(asked):
            for number in range(20):
                os.rename(self.path, "%s.%d" % (self.path, number))
                self.reload()
        self.service.stop()
        logged = [line["id"] for line in self.events("request")]
        self.assertEqual(sorted(logged), sorted(asked))
        self.assertGreater(len(asked), 50)
        self.assertEqual(len(glob.glob(self.path + "*")), 21)
        self.assertEqual([line for line in self.service.lines if line], [], "standard error says something too")

    @staticmethod
    def umask():
        mask = os.umask(0)
        os.umask(mask)
        return mask

    @unittest.skipUnless(shutil.which("logrotate") or os.access("/usr/sbin/logrotate", os.X_OK), "needs logrotate")
    def test_the_shipped_logrotate_snippet(self):
        self.start_with_file()
        folder = os.path.dirname(self.path)
        with open(LOGROTATE, encoding="utf-8") as snippet:
            text = snippet.read()
        command = re.search(r"postrotate\n *(.*)\n *endscript", text)[1]
        changed = text.replace("/var/log/imap-testd/imap-testd.log", self.path)
        changed = changed.replace(command, "kill -HUP %d" % self.service.process.pid)
        self.assertIn("systemctl reload imap-testd.service", command)
        with open(os.path.join(folder, "snippet"), "w", encoding="utf-8") as out:
            out.write(changed)
        os.chmod(os.path.join(folder, "snippet"), 0o644)
        asked = []
        with self.load(asked):
            for number in range(1, 4):
                subprocess.run(["/usr/sbin/logrotate", "--force", "--state", os.path.join(folder, "state"),
                                os.path.join(folder, "snippet")], check=True)
                wait_until(lambda: os.path.exists(self.path) and os.path.getsize(self.path) > 0, 10 * slowness(),
                           "the new file")
                self.assertTrue(os.path.exists(self.path + ".1"))
                self.assertEqual(os.path.exists("%s.%d.gz" % (self.path, number)), number > 1)
        self.service.stop()
        for packed in glob.glob(self.path + "*.gz"):
            subprocess.run(["gzip", "-d", packed], check=True)
        self.assertEqual(sorted(line["id"] for line in self.events("request")), sorted(asked))

    def test_the_snippet_and_the_unit_mean_the_same_file(self):
        with open(LOGROTATE, encoding="utf-8") as snippet, open(DROP_IN, encoding="utf-8") as drop_in:
            path = re.search(r"^Environment=IMAP_TEST_LOG_FILE=/var/log/(.*)$", drop_in.read(), re.MULTILINE)[1]
            drop_in.seek(0)
            self.assertIn("LogsDirectory=%s\n" % os.path.dirname(path), drop_in.read())
            self.assertRegex(snippet.read(), r"(?m)^/var/log/%s {$" % re.escape(path))

    def test_a_name_that_cannot_be_opened_any_more(self):
        self.start_with_file()
        os.rename(self.path, self.path + ".old")
        os.mkdir(self.path)
        self.reload("reload_failed")
        self.assertIn("Is a directory", self.events("reload_failed")[0]["reason"])
        self.ask("/healthz", "while")
        wait_until(lambda: [line for line in self.events("request") if line["id"] == "while"], 5 * slowness(), "a line")
        os.rmdir(self.path)
        self.reload()
        self.ask("/healthz", "after")
        wait_until(lambda: os.path.getsize(self.path) > 0, 5 * slowness(), "the new file")
        wait_until(lambda: [line for line in self.events("request") if line["id"] == "after"], 5 * slowness(), "a line")

    def test_a_full_disk(self):
        self.start_with_file()
        asked = []
        hard = resource.prlimit(self.service.process.pid, resource.RLIMIT_FSIZE)[1]
        with self.load(asked):
            wait_until(lambda: len(asked) > 20, 10 * slowness(), "some lines")
            full = os.path.getsize(self.path) + 1000
            resource.prlimit(self.service.process.pid, resource.RLIMIT_FSIZE, (full, hard))
            begun = len(asked)
            wait_until(lambda: len(asked) > begun + 100, 30 * slowness(), "answers without a log")
            self.assertEqual(os.path.getsize(self.path), full)
            resource.prlimit(self.service.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            begun = len(asked)
            wait_until(lambda: len(asked) > begun + 20, 10 * slowness(), "answers with a log")
        self.service.stop()
        dropped = sum(line["lines"] for line in self.events("log_lines_dropped"))
        logged = [line["id"] for line in self.events("request")]
        self.assertEqual(len(self.events("log_lines_dropped")), 1)
        self.assertGreater(dropped, 50)
        self.assertEqual(len(set(logged)), len(logged))
        self.assertEqual(len(logged) + dropped, len(asked))


class ClosedPipeTest(case.Case):
    def test_nobody_reads_standard_error_any_more(self):
        """The end of a pipe is closed, and the program goes on."""
        port = net.fresh_port()
        process = subprocess.Popen([*service.wrapper(), service.binary(), "--listen", "127.0.0.1:%d" % port],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            while b"listening" not in process.stderr.readline():
                self.assertIsNone(process.poll())
            process.stderr.close()
            here = service.Service.__new__(service.Service)
            here._address = ("127.0.0.1", port)
            for _ in range(50):
                self.assertEqual(here.get("/healthz").status, 200)
            process.send_signal(signal.SIGHUP)
            self.assertEqual(here.get("/healthz").status, 200)
            process.terminate()
            self.assertEqual(process.wait(20 * slowness()), 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


if __name__ == "__main__":
    case.main()

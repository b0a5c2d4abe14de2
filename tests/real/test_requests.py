"""Hostile requests (tests/requests/): what each is answered, what becomes of its connection, and that neither the
service nor its log takes harm when all of them come in any order, and from several callers at once.

REQUESTS_SEED repeats an order, REQUESTS_ROUNDS sets how often all are sent one after another.
"""
import collections
import glob
import itertools
import json
import os
import random
import re
import socket
import sys
import threading
import time
import urllib.parse

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import service
import stage

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "requests")
SENT = {"raw", "method", "version", "target", "query", "host", "headers", "more", "body", "end"}
EXPECTED = {"status", "code", "library", "silent", "report", "open"}
THREADS = 8
MUTATED = 300  # requests of each thread
PATIENCE_S = 0.2

# An end that comes together with what stands before it is not seen by the HTTP library until the connection has been
# idle for too long.
END_AFTER_S = 0.05


class Request:
    """One row of tests/requests/, whose README says what the keys mean."""

    def __init__(self, row, words):
        unknown = set(row) - SENT - EXPECTED - {"name"}
        if unknown:
            raise ValueError("%s: unknown keys %s" % (row["name"], unknown))
        self.words = words
        self.name = row["name"]
        self.end = row.get("end", False)
        status = row.get("status")
        self.statuses = status if isinstance(status, list) else [status] * (status is not None)
        self.code, self.library, self.open = row.get("code"), row.get("library", False), row["open"]
        self.report = self.expand(row["report"]) if "report" in row else None
        if bool(self.statuses) == row.get("silent", False):
            raise ValueError("%s: either a status or silent" % self.name)
        self.data = self.expand(row["raw"] if "raw" in row else self.head(row)).encode("latin-1")
        # What a HEAD is answered has a length but no body.
        self.bodiless = [part.startswith("HEAD ") for part in re.findall("(?m)^(?:HEAD|[A-Z]+) [^ ]+ HTTP",
                                                                           self.data.decode("latin-1"))]

    def expand(self, text):
        for word, meaning in self.words.items():
            text = text.replace("{%s}" % word, meaning)
        return re.sub(r"\{(\d+)\*([^}]*)\}", lambda match: match.group(2) * int(match.group(1)), text)

    def head(self, row):
        target = row.get("target", "/healthz")
        if "query" in row:
            target = "/v1/imap-test?" + row["query"]
        if "host" in row:
            target = "/v1/imap-test?host=" + urllib.parse.quote(self.expand(row["host"]), safe="")
        lines = ["%s %s %s" % (row.get("method", "GET"), target, row.get("version", "HTTP/1.1"))]
        lines += row.get("headers", ["Host: x"]) + row.get("more", [])
        return "\r\n".join(lines) + "\r\n\r\n" + row.get("body", "")


def load(words):
    """All requests, in the order of the files."""
    requests = []
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.yaml"))):
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
        requests += [Request({**document["defaults"], **row}, words) for row in document["requests"]]
    names = collections.Counter(request.name for request in requests)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError("names given twice: %s" % twice)
    # The HTTP library looks at the octet in front of a cookie without a name, in memory of its own that it never
    # wrote: nothing comes of it, but valgrind minds.
    return [request for request in requests if not service.wrapper() or b"Cookie:" not in request.data]


def read_answer(stream, bodiless):
    """As service.read_answer(), and knows what has no body."""
    line = stream.readline()
    if not line:
        return None
    headers = []
    while (header := stream.readline()) not in (b"\r\n", b""):
        name, _, value = header.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    answer = service.Answer(int(line.split()[1]), headers, b"")
    if answer.status >= 200 and not bodiless:
        answer.body = stream.read(int(answer.headers["content-length"]))
    return answer


def read_rest(stream):
    """What comes until the other side closes, orderly or not; it may not take for ever."""
    try:
        return stream.read()
    except ConnectionError:
        return b""


class RequestsTest(case.Case):
    def setUp(self):
        self.seed = int(os.environ.get("REQUESTS_SEED") or random.SystemRandom().randrange(10 ** 9))
        print("seed %d" % self.seed, file=sys.stderr)
        # The HTTP library's own words about a request go to the log at this level.
        self.stage = stage.Stage(log_level="debug")
        self.addCleanup(self.stage.stop, False)
        self.service = self.stage.service
        context = self.stage.context()
        good = self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))
        self.requests = load({"good": good.name, "imap": str(self.stage.imap)})
        self.numbers = itertools.count(1)
        self.statuses = collections.Counter()
        self.ids = set()
        self.failures = []

    # One request

    def check_answer(self, request, answer, last):
        self.assertIsNotNone(answer, "no answer")
        self.assertNotIn("x-injected", answer.headers)
        if answer.status < 200:
            return
        if request.library and last:
            self.assertNotIn("x-request-id", answer.headers, "the service could have answered this itself")
            self.assertEqual(answer.headers.get("connection", "").lower(), "close", answer)
            return
        self.assertRegex(answer.headers.get("x-request-id", ""), "^[A-Za-z0-9._:-]{1,64}$")
        self.ids.add(answer.headers["x-request-id"])
        if last and request.code:
            self.problem(answer, answer.status, request.code)
        if last and request.report:
            self.assertEqual(self.check_report(answer)["host"], request.report)
        if last and request.code == "bad_request":
            self.assertEqual(answer.headers.get("connection", "").lower(), "close", answer)

    def check_still_open(self, sock, stream):
        """A request behind it is answered, and the answer is the one to it."""
        ident = "behind-%d" % next(self.numbers)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\n\r\n" % ident.encode())
        answer = read_answer(stream, False)
        self.assertIsNotNone(answer, "the connection was closed")
        self.assertEqual((answer.status, answer.headers.get("x-request-id")), (200, ident), answer)
        self.assertEqual(answer.json(), {"status": "ok"})

    def check_rest(self, request, rest):
        """The library writes the head of some of its own answers twice, so that more comes than it announced."""
        if request.library:
            self.assertNotIn(b"x-request-id", rest.lower(), "more was answered")
        else:
            self.assertEqual(rest[:200], b"", "more was answered, or there should be no answer")

    def exchange(self, request):
        """Returns the statuses of what came back."""
        seen = []
        with self.service.connect(10 * service.slowness()) as sock, sock.makefile("rb") as stream:
            try:
                sock.sendall(request.data)
            except ConnectionError:
                pass  # Refused before all of it was sent; the answer may be there all the same.
            if request.end:
                time.sleep(END_AFTER_S)
                sock.shutdown(socket.SHUT_WR)
            for number, status in enumerate(request.statuses):
                answer = read_answer(stream, number < len(request.bodiless) and request.bodiless[number])
                self.check_answer(request, answer, number + 1 == len(request.statuses))
                self.assertEqual(answer.status, status, answer)
                seen.append(answer.status)
            if request.open:
                self.check_still_open(sock, stream)
            else:
                self.check_rest(request, read_rest(stream))
        return seen

    # All of them

    def send_all(self, seed):
        requests = list(self.requests)
        random.Random(seed).shuffle(requests)
        for request in requests:
            try:
                self.statuses.update(self.exchange(request) or ["none"])
            except (AssertionError, OSError, ValueError, KeyError) as error:
                self.failures.append("%s: %s: %s" % (request.name, type(error).__name__, str(error)[:600]))

    def check_all(self, count, started, never="smuggled"):
        print("%d requests in %.1f s: %s; %d failures"
              % (count, time.monotonic() - started,
                 ", ".join("%d of %s" % (n, status) for status, n in sorted(self.statuses.items(), key=str)),
                 len(self.failures)), file=sys.stderr)
        self.assertEqual(self.service.get("/healthz").status, 200, "the service did not survive")
        self.service.stop()
        self.assertFalse(self.failures, "seed %d:\n%s" % (self.seed, "\n".join(self.failures[:40])))
        self.check_log(never)

    def check_log(self, never):
        logged = set()
        for line in self.service.lines:
            self.assertIsNone(re.search(r"[\x00-\x1f\x7f]", line), line)
            event = json.loads(line)
            self.assertIsInstance(event, dict)
            logged.add(event.get("id"))
            if never:
                self.assertNotIn(never, event.get("path") or "", "a body was taken for a request")
            self.assertNotEqual(event["event"], "answers_left_unwritten")
        self.assertLessEqual(self.ids, logged, "answers without a line in the log")

    def test_in_any_order(self):
        rounds = int(os.environ.get("REQUESTS_ROUNDS", 2))
        started = time.monotonic()
        for number in range(rounds):
            self.send_all(self.seed + number)
        self.check_all(rounds * len(self.requests), started)

    def in_threads(self, work):
        threads = [threading.Thread(target=work, args=(self.seed + number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_from_many_callers_at_once(self):
        started = time.monotonic()
        self.in_threads(self.send_all)
        self.check_all(THREADS * len(self.requests), started)

    # Requests that nobody wrote

    def mutate(self, chance):
        """Bytes of one request, changed here and there, at times with another one spliced in."""
        small = [request.data for request in self.requests if 0 < len(request.data) < 2000]
        data = bytearray(chance.choice(small))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data) + 1)
            what = chance.randrange(4)
            if what == 0:
                data[at:at] = chance.choice([b"\0", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"%", b"\xff", b"?", b"&"])
            elif what == 1:
                del data[at:at + chance.randint(1, 8)]
            elif what == 2:
                data[at:at] = data[at:at + chance.randint(1, 40)]
            else:
                other = chance.choice(small)
                data[at:] = other[chance.randrange(len(other)):]
            data = data or bytearray(b"x")
        return bytes(data)

    def send_mutated(self, seed):
        """Whatever comes back, it is HTTP, and soon; what waits for more is left alone."""
        chance = random.Random(seed)
        for _ in range(MUTATED):
            data = self.mutate(chance)
            with self.service.connect(PATIENCE_S) as sock:
                try:
                    sock.sendall(data)
                    start = sock.recv(9)
                except OSError:
                    start = b""
            self.statuses[start[:8].decode("latin-1") or "none"] += 1
            if start and start != b"HTTP/1.1 ":
                self.failures.append("%r: %r" % (data, start))

    def test_mutated(self):
        started = time.monotonic()
        self.in_threads(self.send_mutated)
        self.check_all(THREADS * MUTATED, started, never=None)


if __name__ == "__main__":
    case.main()

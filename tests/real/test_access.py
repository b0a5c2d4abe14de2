"""The front of the service: CORS, trusted proxies, API keys, the headers of every answer, several requests on one
connection."""
import concurrent.futures
import contextlib
import itertools
import os
import random
import re
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import schema
import service
import stage
from service import slowness, wait_until

PAGE, OTHER_PAGE = "https://status.example", "http://localhost:3000"
STRANGER = "https://stranger.example"
EXPOSED = {"x-request-id", "retry-after", "age"}
TEST, PROBE = "/v1/imap-test", "/probe"
RESOURCES = sorted(schema.load()["paths"])
OPEN = ["/healthz", "/readyz", "/openapi.yaml"]
# Names no host: a test of it is soon over, and is a test all the same.
NOBODY = TEST + "?host=no-such-host.test"

SECURITY = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}

# For addresses that peers have; the first network is that of trusted proxies.
PROXY, PROXY_2, STRANGE_PEER = "127.2.0.7", "127.2.9.8", "127.3.0.1"


def words(value):
    return {word.strip().lower() for word in (value or "").split(",")} - {""}


def request(method, path, *lines, body=b"", version="HTTP/1.1"):
    """The bytes of a request."""
    head = ["%s %s %s" % (method, path, version), "Host: x", *lines]
    if body:
        head.append("Content-Length: %d" % len(body))
    return "\r\n".join(head + ["", ""]).encode("latin-1") + body


class AccessCase(case.Case):
    options = {}

    def setUp(self):
        self.start(**self.options)

    def start(self, **options):
        self.stage = stage.Stage(**options)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service

    def key_file(self, *keys):
        file = tempfile.NamedTemporaryFile("w", suffix=".keys")
        self.addCleanup(file.close)
        self.keys_path = file.name
        self.write_keys("".join(key + "\n" for key in keys))
        return file.name

    def write_keys(self, text):
        with open(self.keys_path, "w", encoding="utf-8") as file:
            file.write(text)

    def reload(self, event):
        before = len(self.service.events(event))
        self.service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.service.events(event)) > before, 10 * slowness(), event)
        return self.service.events(event)[-1]

    def play(self, gated=None):
        """A healthy host; with an event its greeting on the STARTTLS port waits for it."""
        context = self.stage.context()
        plain = imapd.healthy_plain(context)
        if gated is not None:
            plain = [imapd.gate(gated)] + list(plain)
        return self.stage.play(plain, imapd.healthy_tls(context))

    def ask(self, method, path, *lines, source=None, **options):
        """One request on a connection of its own; the answer has what every answer has, and nothing follows it."""
        with self.service.connect(source=source) as sock:
            sock.sendall(request(method, path, "Connection: close", *lines, **options))
            stream = sock.makefile("rb")
            answer = service.read_answer(stream, method)
            self.assertIsNotNone(answer, "%s %s %s" % (method, path, lines))
            self.assertEqual(stream.read(), b"", "something follows the answer")
        self.check_front(answer)
        return answer

    def check_front(self, answer):
        """The headers of every answer, each of them once."""
        names = [name for name, _ in answer.fields]
        self.assertEqual(sorted(set(names)), sorted(names), answer)
        self.assertEqual({name: answer.headers.get(name) for name in SECURITY}, SECURITY, answer)
        self.assertRegex(answer.headers["x-request-id"], r"\A[\w.:-]{1,64}\Z")
        if "server-timing" not in answer.headers:  # a report has it; see check_freshness()
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual("retry-after" in answer.headers, answer.status in (429, 503), answer)
        self.assertEqual("www-authenticate" in answer.headers, answer.status == 401, answer)
        self.assertEqual("content-type" in answer.headers, answer.status != 204, answer)
        if answer.status == 204:
            self.assertNotIn("content-length", answer.headers)  # RFC 9110 section 8.6

    def line(self, ident):
        """The line of the log for the request with this id."""
        def lines():
            return [event for event in self.service.events("request") if event["id"] == ident]
        wait_until(lines, 5 * slowness(), "the log line of " + ident)
        self.assertEqual(len(lines()), 1)
        return lines()[0]


class EveryAnswerCase(AccessCase):
    """A service with all its ways to answer."""

    def start_all(self, **options):
        self.start(api_key_file=self.key_file("one", "two", "poor"), client_rate="4/600", target_rate="1/600",
                   cache_seconds=60, max_in_flight=1, **{"drain_ms": 60000, **options})

    def with_key(self, key, path, *lines, method="GET", **options):
        return self.ask(method, path, "Authorization: Bearer " + key, *lines, **options)

    @contextlib.contextmanager
    def busy(self):
        """One test is under way, which is as many as there may be."""
        go = threading.Event()
        host = self.play(go)
        thread = threading.Thread(target=self.service.get, args=(self.service.test_path(host.name),),
                                  kwargs={"headers": {"Authorization": "Bearer two"}})
        thread.start()
        try:
            wait_until(host.connections, 10 * slowness(), "the test has begun")
            yield
        finally:
            go.set()
            thread.join()

    def every_answer(self, *lines):
        """Each way to answer: its name, the status and the problem's code that it should have, and the answer."""
        host = self.play()
        path = self.service.test_path(host.name)
        yield "report", 200, None, self.with_key("one", path, *lines)
        yield "cached report", 200, None, self.with_key("one", path, *lines)
        yield "cached report, HEAD", 200, None, self.with_key("one", path, *lines, method="HEAD")
        yield "target's limit", 429, "rate_limited", self.with_key("one", path + "&fresh=true", *lines)
        yield "target not allowed", 403, "target_not_allowed", self.with_key("one", TEST + "?host=10.1.2.3", *lines)
        for _ in range(4):
            self.with_key("poor", NOBODY + "&fresh=true")
        yield "client's limit", 429, "rate_limited", self.with_key("poor", NOBODY + "&fresh=true", *lines)
        yield "metrics", 200, None, self.with_key("one", PROBE + "?target=no-such-host.test", *lines)
        for resource in RESOURCES:
            if resource not in (TEST, PROBE):
                yield resource, 200, None, self.with_key("one", resource, *lines)
                yield resource + ", HEAD", 200, None, self.with_key("one", resource, *lines, method="HEAD")
        yield "no key", 401, "unauthorized", self.ask("GET", path, *lines)
        yield "wrong key", 401, "unauthorized", self.with_key("three", path, *lines)
        yield "no host", 400, "missing_host", self.with_key("one", TEST, *lines)
        yield "no such parameter", 400, "unknown_parameter", self.with_key("one", path + "&hots=x", *lines)
        yield "bad head", 400, "bad_request", self.ask("GET", "/healthz", "X-Odd : x", *lines)
        yield "no such resource", 404, "not_found", self.ask("GET", "/v1/nothing", *lines)
        yield "other method", 405, "method_not_allowed", self.ask("DELETE", "/healthz", *lines)
        yield "body announced", 413, "body_too_large", self.ask("POST", TEST, "Content-Length: 65537", *lines)
        yield "long line", 414, "uri_too_long", self.ask("GET", "/healthz?" + 4096 * "a", *lines)
        yield "long headers", 431, "headers_too_large", self.ask("GET", "/healthz", "X-Long: " + 8192 * "a", *lines)
        with self.busy():
            yield "overloaded", 503, "overloaded", self.with_key("one", NOBODY + "&timeout_ms=5000", *lines)
            yield "not ready", 503, "overloaded", self.ask("GET", "/readyz", *lines)
            yield "cached while overloaded", 200, None, self.with_key("one", path, *lines)
            self.service.terminate()
            wait_until(lambda: b"shutting_down" in self.service.get("/readyz").body, 5 * slowness(), "stopping")
            yield "cached while stopping", 200, None, self.with_key("one", path, *lines)
            yield "stopping, not ready", 503, "shutting_down", self.ask("GET", "/readyz", *lines)
            yield "stopping, alive", 200, None, self.ask("GET", "/healthz", *lines)
        self.service.stop()  # a second time: no more waiting

    def check_every(self, check, *lines):
        seen = set()
        for name, status, code, answer in self.every_answer(*lines):
            seen.add(status)
            with self.subTest(name):
                self.assertEqual(answer.status, status, answer)
                if code is not None:
                    self.problem(answer, status, code)
                elif name in ("report", "cached report", "cached while overloaded", "cached while stopping"):
                    self.assertEqual(self.check_report(answer)["cached"], name != "report")
                check(answer)
        self.assertEqual(seen, {200, 400, 401, 403, 404, 405, 413, 414, 429, 431, 503})


class HeadersTest(EveryAnswerCase):
    def test_every_answer_has_its_headers(self):
        self.start_all()
        self.check_every(lambda answer: self.assertNotIn("vary", answer.headers), "X-Request-Id: mine:1_2.3-4",
                         "Origin: " + PAGE)

    def test_every_answer_is_found_in_the_log_by_its_id(self):
        """Each answer has an id of its own, a problem repeats it, and one line of the log has it with the status."""
        self.start_all()
        answers, codes = {}, set()
        for name, status, code, answer in self.every_answer():
            ident = answer.headers["x-request-id"]
            self.assertNotIn(ident, answers, name)
            answers[ident] = status
            codes.add(code)
            if code is not None:
                self.assertEqual(answer.json()["request_id"], ident, name)
        logged = [(line["id"], line["status"]) for line in self.service.events("request")]
        self.assertEqual(sorted(line for line in logged if line[0] in answers), sorted(answers.items()))
        # Of all problems but those of the query, of which two stand for all, and the one that never comes.
        with open(os.path.join(service.ROOT, "api", "problem.def"), encoding="utf-8") as rows:
            known = set(re.findall(r"^X\(\w+, \"(\w+)\"", rows.read(), re.MULTILINE))
        self.assertEqual(known - codes, {"invalid_host", "invalid_parameter", "repeated_parameter", "internal_error"})

    def test_the_examples_of_the_document_are_what_is_said(self):
        self.start_all()
        examples = {}
        for response in schema.load()["components"]["responses"].values():
            example = response["content"]["application/problem+json"]["example"]
            examples[example["code"]] = example
        seen = set()
        for name, status, code, answer in self.every_answer():
            example = examples.get(code)
            # These three repeat what was asked, or the limits.
            if example is not None and answer.body and code not in ("not_found", "method_not_allowed", "rate_limited"):
                seen.add(code)
                with self.subTest(name):
                    self.assertEqual({**answer.json(), "request_id": None}, {**example, "request_id": None})
        self.assertEqual(set(examples) - seen, {"not_found", "method_not_allowed", "rate_limited", "internal_error"})

    def test_the_id_is_the_callers_where_it_is_harmless(self):
        self.start_all(drain_ms=0)
        for given, taken in (("a", True), (64 * "a", True), (65 * "a", False), ("a b", False), ("", False),
                             ("a\"b", False), ("a,b", False), ("\xe4", False), ("<script>", False)):
            with self.subTest(given):
                answer = self.ask("GET", "/healthz", "X-Request-Id: " + given)
                self.assertEqual(answer.headers["x-request-id"] == given, taken)
                self.line(answer.headers["x-request-id"])

    setUp = unittest.TestCase.setUp


class CorsTest(EveryAnswerCase):
    setUp = unittest.TestCase.setUp

    def check_cors(self, answer, origin, vary):
        """`origin`: what may read the answer, None for nothing."""
        self.assertEqual(answer.headers.get("access-control-allow-origin"), origin, answer)
        self.assertEqual(answer.headers.get("vary"), vary, answer)
        exposed = words(answer.headers.get("access-control-expose-headers"))
        self.assertEqual(exposed & EXPOSED, EXPOSED if origin else set(), answer)
        self.assertEqual(bool(exposed), bool(origin))
        for name, _ in answer.fields:
            self.assertNotIn(name, ("access-control-allow-credentials", "access-control-allow-methods",
                                    "access-control-allow-headers", "access-control-max-age"))

    def test_an_allowed_origin_may_read_every_answer(self):
        self.start_all(cors_origin=[OTHER_PAGE, PAGE])
        self.check_every(lambda answer: self.check_cors(answer, PAGE, "Origin"), "Origin: " + PAGE)

    def test_another_origin_may_read_none(self):
        self.start_all(cors_origin=[OTHER_PAGE, PAGE])
        self.check_every(lambda answer: self.check_cors(answer, None, "Origin"), "Origin: " + STRANGER)

    def test_any_origin_where_all_are_allowed(self):
        self.start_all(cors_origin="*")
        self.check_every(lambda answer: self.check_cors(answer, "*", None), "Origin: " + STRANGER)

    def test_nothing_where_none_is_configured(self):
        self.start_all()
        self.check_every(lambda answer: self.check_cors(answer, None, None), "Origin: " + PAGE)

    def test_origins_are_compared_to_the_letter(self):
        self.start(cors_origin=[PAGE])
        for origin in ("null", "https://status.example:443", "http://status.example", "https://status.example.evil",
                       "https://status.exampl", "https://STATUS.example", "https://status.example/", "*", "",
                       PAGE + ", " + PAGE, PAGE + " " + STRANGER):
            with self.subTest(origin):
                self.check_cors(self.ask("GET", "/healthz", "Origin: " + origin), None, "Origin")
        self.check_cors(self.ask("GET", "/healthz"), None, "Origin")
        self.check_cors(self.ask("GET", "/healthz", "origin:" + PAGE), PAGE, "Origin")

    def test_any_origin_is_null_and_none_as_well(self):
        self.start(cors_origin=["*", PAGE])
        for lines in (["Origin: null"], [], ["Origin: " + PAGE], ["Origin: \"><script>"]):
            with self.subTest(lines):
                self.check_cors(self.ask("GET", "/healthz", *lines), "*", None)

    def test_what_the_cache_answers_is_for_the_origin_that_asks(self):
        self.start(cors_origin=[OTHER_PAGE, PAGE], cache_seconds=60)
        for index, origin in enumerate((PAGE, OTHER_PAGE, None, PAGE, STRANGER)):
            lines = ["Origin: " + origin] if origin else []
            answer = self.ask("GET", NOBODY, *lines)
            self.assertEqual(self.check_report(answer)["cached"], index > 0)
            self.check_cors(answer, None if origin == STRANGER else origin, "Origin")


class PreflightTest(AccessCase):
    options = {}

    def setUp(self):
        pass

    def start_closed(self, **options):
        """What a preflight does not have, or must not cost, is scarce here."""
        self.start(api_key_file=self.key_file("one"), client_rate="1/600", **options)

    def preflight(self, path, origin=PAGE, method="GET", *lines, **options):
        return self.ask("OPTIONS", path, "Origin: " + origin, "Access-Control-Request-Method: " + method,
                        "Access-Control-Request-Headers: authorization,x-request-id", *lines, **options)

    def check_allowed(self, answer, origin):
        self.assertEqual((answer.status, answer.body), (204, b""), answer)
        self.assertEqual(answer.headers.get("access-control-allow-origin"), origin)
        self.assertEqual(words(answer.headers["access-control-allow-methods"]), {"get", "head"})
        headers = words(answer.headers["access-control-allow-headers"])  # "*" would not cover Authorization
        self.assertGreaterEqual(headers, {"authorization", "x-request-id"})
        self.assertEqual(answer.headers["access-control-max-age"], "600")
        self.assertEqual(answer.headers["allow"], "GET, HEAD")

    def check_not_allowed(self, answer):
        self.assertEqual([name for name, _ in answer.fields if name.startswith("access-control-")], [], answer)
        self.assertEqual(answer.headers["vary"], "Origin")

    def test_each_resource_answers_without_a_key_and_for_no_token(self):
        self.start_closed(cors_origin=[OTHER_PAGE, PAGE])
        for path in RESOURCES + [NOBODY, TEST + "?host=", TEST + "?no-such=parameter"]:
            with self.subTest(path):
                answer = self.preflight(path)
                self.check_allowed(answer, PAGE)
                self.assertEqual(answer.headers["vary"], "Origin")
        self.check_allowed(self.preflight(TEST, OTHER_PAGE, "DELETE"), OTHER_PAGE)
        self.assertEqual(self.ask("GET", NOBODY, "Authorization: Bearer one").status, 200)
        self.problem(self.ask("GET", NOBODY, "Authorization: Bearer one"), 429, "rate_limited")
        self.check_allowed(self.preflight(NOBODY), PAGE)

    def test_by_address_it_costs_no_token_either(self):
        self.start(cors_origin=PAGE, client_rate="1/600")
        for _ in range(5):
            self.check_allowed(self.preflight(NOBODY), PAGE)
        self.assertEqual(self.ask("GET", NOBODY).status, 200)
        self.problem(self.ask("GET", NOBODY), 429, "rate_limited")

    def test_any_origin(self):
        self.start_closed(cors_origin="*")
        for origin in (STRANGER, "null"):
            answer = self.preflight(TEST, origin)
            self.check_allowed(answer, "*")
            self.assertNotIn("vary", answer.headers)

    def test_other_origins_are_told_nothing(self):
        self.start_closed(cors_origin=PAGE)
        for origin in (STRANGER, "null", "*", PAGE + ":443"):
            with self.subTest(origin):
                answer = self.preflight(TEST, origin)
                self.assertEqual(answer.status, 204)
                self.check_not_allowed(answer)

    def test_options_that_is_no_preflight(self):
        self.start_closed(cors_origin=PAGE)
        answer = self.ask("OPTIONS", TEST)
        self.assertEqual((answer.status, answer.headers["allow"]), (204, "GET, HEAD"))
        self.check_not_allowed(answer)
        answer = self.ask("OPTIONS", TEST, "Access-Control-Request-Method: GET")
        self.assertEqual(answer.status, 204)
        self.check_not_allowed(answer)
        answer = self.ask("OPTIONS", TEST, "Origin: " + PAGE)
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (204, PAGE))
        self.assertNotIn("access-control-allow-methods", answer.headers)

    def test_unknown_paths_are_not_found(self):
        self.start_closed(cors_origin=PAGE)
        for path in ("/v1", "/v2/imap-test", "/v1/imap-test/", "/V1/IMAP-TEST", "//healthz", "/healthz%00"):
            with self.subTest(path):
                answer = self.preflight(path)
                self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
                self.problem(answer, 404, "not_found")

    def test_faulty_requests_are_refused_as_any_others(self):
        self.start_closed(cors_origin=PAGE)
        self.problem(self.preflight(TEST, PAGE, "GET", "Host: y"), 400, "bad_request")
        self.problem(self.preflight(TEST, PAGE, "GET", "Content-Length: 65537"), 413, "body_too_large")
        self.problem(self.preflight(TEST + "?" + 4096 * "a"), 414, "uri_too_long")

    def test_without_origins_the_method_is_not_allowed(self):
        self.start_closed()
        for path in RESOURCES:
            with self.subTest(path):
                answer = self.preflight(path)
                self.problem(answer, 405, "method_not_allowed")
                self.assertEqual(answer.headers["allow"], "GET, HEAD")
                self.assertNotIn("vary", answer.headers)
                self.assertEqual([name for name, _ in answer.fields if name.startswith("access-control-")], [])

    def test_a_body_is_read_and_forgotten(self):
        self.start_closed(cors_origin=PAGE)
        lines = ["Origin: " + PAGE, "Access-Control-Request-Method: GET"]
        self.check_allowed(self.preflight(TEST, body=b"GET /evil HTTP/1.1\r\n\r\n"), PAGE)
        chunked = request("OPTIONS", TEST, "Transfer-Encoding: chunked", *lines) + b"3\r\nabc\r\n0\r\n\r\n"
        with self.service.connect() as sock:
            sock.sendall(request("OPTIONS", TEST, *lines, body=1000 * b"x") + chunked + request("GET", "/healthz"))
            stream = sock.makefile("rb")
            for method in ("OPTIONS", "OPTIONS"):
                answer = service.read_answer(stream, method)
                self.check_front(answer)
                self.check_allowed(answer, PAGE)
            # Behind chunks nothing is taken for a request.
            self.assertEqual(answer.headers.get("connection"), "close")
            self.assertIsNone(service.read_answer(stream))


# Header lines, and whom they name where a trusted proxy sent them; None: nobody but the proxy itself.
X = "X-Forwarded-For: "
F = "Forwarded: "
CLIENTS = [
    ([], None),
    ([X + "192.0.2.1"], "192.0.2.1"),
    (["x-forwarded-for:192.0.2.1"], "192.0.2.1"),
    ([X + "192.0.2.1 "], "192.0.2.1"),
    ([X + "198.51.100.9, 192.0.2.1"], "192.0.2.1"),
    ([X + "198.51.100.9,10.0.0.1,192.0.2.1"], "192.0.2.1"),
    ([X + "192.0.2.1, 127.2.3.4"], "192.0.2.1"),
    ([X + "198.51.100.9, 192.0.2.1, 127.2.3.4, 2001:db8:99::5"], "192.0.2.1"),
    ([X + "127.2.3.4, 127.2.3.5"], "127.2.3.4"),
    ([X + "192.0.2.1, , "], "192.0.2.1"),
    ([X + "192.0.2.1,,127.2.3.4,"], "192.0.2.1"),
    ([X + "192.0.2.1:4711"], "192.0.2.1"),
    ([X + "2001:db8::1"], "2001:db8::1"),
    ([X + "2001:DB8:0:0:0:0:0:1"], "2001:db8::1"),
    ([X + "[2001:db8::1]"], "2001:db8::1"),
    ([X + "[2001:db8::1]:4711"], "2001:db8::1"),
    ([X + "::ffff:192.0.2.1"], "192.0.2.1"),
    ([X + "\"192.0.2.1\""], "192.0.2.1"),
    ([X + "127.0.0.1"], "127.0.0.1"),
    ([X + "198.51.100.9", X + "192.0.2.1"], "192.0.2.1"),
    ([X + "198.51.100.9", "Accept: */*", X + "192.0.2.1", X + "127.2.3.4"], "192.0.2.1"),
    ([X + "unknown"], None),
    ([X], None),
    ([X + ","], None),
    ([X + "198.51.100.9, unknown"], None),
    ([X + "198.51.100.9, unknown, 127.2.3.4"], "127.2.3.4"),
    ([X + "198.51.100.9, not an address"], None),
    ([X + "192.0.2.256"], None),
    ([X + "192.0.2"], None),
    ([X + "192.0.2.0/24"], None),
    ([X + "192.0.2.1:port"], None),
    ([X + "[192.0.2.1]"], None),
    ([X + "[2001:db8::1"], None),
    ([X + "fe80::1%eth0"], None),
    ([X + "localhost"], None),
    ([X + "\"198.51.100.9, 192.0.2.1"], "192.0.2.1"),
    ([X + 500 * "198.51.100.9, " + "192.0.2.1"], "192.0.2.1"),
    ([F + "for=192.0.2.1"], "192.0.2.1"),
    (["forwarded: For=192.0.2.1"], "192.0.2.1"),
    ([F + "for=\"192.0.2.1\""], "192.0.2.1"),
    ([F + "for=\"192.0.2.1:4711\""], "192.0.2.1"),
    ([F + "for=\"192.0.2.1:_port\""], "192.0.2.1"),
    ([F + "For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
    ([F + "for=\"[2001:db8:cafe::17]\""], "2001:db8:cafe::17"),
    ([F + "for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60"),
    ([F + "proto=https; by=\"_a;b,c\"; host=\"x, for=198.51.100.9\";for=192.0.2.1"], "192.0.2.1"),
    ([F + "for=198.51.100.9, for=192.0.2.43"], "192.0.2.43"),
    ([F + "for=192.0.2.43, for=127.2.3.4;proto=http"], "192.0.2.43"),
    ([F + "for=198.51.100.9", F + "for=192.0.2.43"], "192.0.2.43"),
    ([F + "for=\"198.51.100.9", F + "for=192.0.2.43"], "192.0.2.43"),
    ([F + "for=\"\\1\\9\\2.0.2.1\""], "192.0.2.1"),
    ([F + "for=unknown"], None),
    ([F + "for=_hidden"], None),
    ([F + "for=198.51.100.9, for=\"_gazonk\""], None),
    ([F + "for=198.51.100.9, by=203.0.113.43"], None),
    ([F + "for=198.51.100.9;for=192.0.2.1"], None),
    ([F + "for = 192.0.2.1"], None),
    ([F + "for=\"192.0.2.1"], None),
    ([F + "192.0.2.1"], None),
    ([F + "for=198.51.100.9;=x"], None),
    ([F], None),
    ([X + "192.0.2.1", F + "for=192.0.2.1"], "192.0.2.1"),
    ([F + "for=\"[2001:db8::1]:99\";proto=https", X + "2001:db8:0::1"], "2001:db8::1"),
    ([X + "198.51.100.9, 192.0.2.1", F + "for=203.0.113.5, for=192.0.2.1"], "192.0.2.1"),
    ([X + "192.0.2.1", F + "for=192.0.2.2"], None),
    ([X + "192.0.2.1", F + "for=unknown"], None),
    ([X + "unknown", F + "for=192.0.2.2"], None),
    ([X + "", F + "for=192.0.2.2"], "192.0.2.2"),
    (["X-Real-IP: 192.0.2.1", "True-Client-IP: 192.0.2.1", "Client-IP: 192.0.2.1", "Via: 1.1 192.0.2.1"], None),
]


class ProxyTest(AccessCase):
    options = {"trusted_proxy": ["127.2.0.0/16", "2001:db8:99::/48"]}

    def seen(self, peer, lines, number):
        answer = self.ask("GET", "/healthz", "X-Request-Id: row-%d" % number, *lines, source=peer)
        self.assertEqual(answer.status, 200)
        line = self.line("row-%d" % number)
        return line["client"], line["proxy"]

    def test_whom_a_trusted_proxy_names(self):
        for number, (lines, client) in enumerate(CLIENTS):
            with self.subTest([line[:200] for line in lines]):
                self.assertEqual(self.seen(PROXY, lines, number), (client or PROXY, PROXY))

    def test_anybody_elses_headers_are_ignored(self):
        for number, (lines, _) in enumerate(CLIENTS):
            with self.subTest([line[:200] for line in lines]):
                self.assertEqual(self.seen(STRANGE_PEER, lines, number), (STRANGE_PEER, None))

    def test_refused_requests_are_logged_with_the_client_too(self):
        for number, (method, path, lines) in enumerate((("GET", "/nothing", []), ("GET", "/healthz", ["Host: y"]),
                                                        ("DELETE", "/healthz", []), ("GET", TEST, []))):
            self.ask(method, path, "X-Request-Id: row-%d" % number, X + "192.0.2.1", *lines, source=PROXY)
            line = self.line("row-%d" % number)
            self.assertEqual((line["client"], line["proxy"]), ("192.0.2.1", PROXY), line)


class Ipv6ProxyTest(AccessCase):
    options = {"listen": ["127.0.0.1:0", "[::1]:0"], "trusted_proxy": "::1"}

    def test_a_proxy_may_come_over_ipv6(self):
        wait_until(lambda: len(self.service.events("listening")) == 2, 5 * slowness(), "both addresses")
        port = int(self.service.events("listening")[1]["address"].rpartition(":")[2])
        rows = [(X + "192.0.2.1", "192.0.2.1"), (F + "for=\"[2001:db8::1]\"", "2001:db8::1"), ("Accept: */*", "::1")]
        for number, (line, client) in enumerate(rows):
            with socket.create_connection(("::1", port), 20 * slowness()) as sock:
                sock.sendall(request("GET", "/healthz", "X-Request-Id: row-%d" % number, line))
                self.assertEqual(service.read_answer(sock.makefile("rb")).status, 200)
            logged = self.line("row-%d" % number)
            self.assertEqual((logged["client"], logged["proxy"]), (client, "::1"))


class ProxyLimitTest(AccessCase):
    options = {"trusted_proxy": "127.2.0.0/16", "client_rate": "1/600"}

    def limited(self, peer, *lines):
        """Whether this caller has had its one test."""
        answer = self.ask("GET", NOBODY, *lines, source=peer)
        if answer.status == 200:
            self.check_report(answer)
            return False
        self.assertEqual(self.problem(answer, 429, "rate_limited")["scope"], "client")
        return True

    def check(self, rows):
        for peer, lines, limited in rows:
            with self.subTest(peer=peer, lines=lines):
                self.assertEqual(self.limited(peer, *lines), limited)

    def test_the_client_behind_it_is_counted(self):
        self.check([
            (PROXY, [X + "192.0.2.1"], False),
            (PROXY, [X + "192.0.2.1"], True),
            (PROXY, [X + "198.51.100.77, 192.0.2.1"], True),
            (PROXY_2, [X + "192.0.2.1:4711"], True),
            (PROXY_2, [F + "for=\"192.0.2.1:99\";proto=https"], True),
            (PROXY, [X + "192.0.2.1, 127.2.1.1"], True),
            (PROXY, [X + "::ffff:192.0.2.1"], True),
            (PROXY, [X + "192.0.2.2"], False),
            (PROXY, [X + "192.0.2.1, 192.0.2.2"], True),
            (PROXY, [F + "for=192.0.2.3"], False),
            # A caller on its own address is the same client as through a proxy.
            (PROXY, [X + STRANGE_PEER], False),
            (STRANGE_PEER, [], True),
        ])

    def test_ipv6_is_counted_by_network(self):
        self.check([
            (PROXY, [X + "2001:db8:1:2::1"], False),
            (PROXY, [X + "2001:db8:1:2::1"], True),
            (PROXY, [X + "2001:db8:1:2:ffff:ffff:ffff:ffff"], True),
            (PROXY_2, [F + "for=\"[2001:db8:1:2:1::]:80\""], True),
            (PROXY, [X + "2001:db8:1:3::1"], False),
            (PROXY, [X + "2001:db8:1:1:ffff:ffff:ffff:ffff"], False),
        ])

    def test_what_is_not_believed_counts_for_the_proxy(self):
        self.check([
            (PROXY, [X + "192.0.2.1", F + "for=192.0.2.2"], False),
            (PROXY, [X + "192.0.2.3", F + "for=192.0.2.4"], True),
            (PROXY, [X + "198.51.100.9, unknown"], True),
            (PROXY, [F + "for=_hidden"], True),
            (PROXY, [], True),
            (PROXY_2, [], False),
            (PROXY, [X + "192.0.2.1"], False),
        ])

    def test_a_stranger_cannot_choose_its_address(self):
        self.assertFalse(self.limited(STRANGE_PEER, X + "192.0.2.1"))
        for number in range(2, 12):
            self.assertTrue(self.limited(STRANGE_PEER, X + "192.0.2.%d" % number))
            self.assertTrue(self.limited(STRANGE_PEER, F + "for=192.0.2.%d" % number))
        # Nor use up what others have.
        self.assertFalse(self.limited(PROXY, X + "192.0.2.1"))


class CostTest(AccessCase):
    """What a request costs its client, as openapi.yaml has it under "Limits"."""

    RATE = 3
    options = {"trusted_proxy": PROXY, "client_rate": "%d/600" % RATE, "target_rate": "1/600", "cache_seconds": 60,
               "cors_origin": PAGE, "max_in_flight": 1}

    def setUp(self):
        super().setUp()
        self.numbers = itertools.count(1)

    def ask_as(self, client, method, path, *lines):
        return self.ask(method, path, X + client, *lines, source=PROXY)

    def client(self):
        return "192.0.2.%d" % next(self.numbers)

    def cost(self, client):
        """How many tests the client has used up; it has none left then."""
        left = 0
        while self.ask_as(client, "GET", NOBODY + "&fresh=true").status == 200:
            left += 1
        return self.RATE - left

    def test_one_request(self):
        host = self.play()
        path = self.service.test_path
        preflight = ["Origin: " + PAGE, "Access-Control-Request-Method: GET"]
        for method, target, status, cost, *lines in (
                ("GET", path(host.name), 200, 1),
                ("GET", path(host.name), 200, 0),
                ("HEAD", path(host.name), 200, 0),
                ("HEAD", NOBODY + "&ports=%d" % self.stage.imap, 200, 1),
                ("GET", NOBODY + "&fresh=true", 200, 1),
                ("GET", path(host.name, fresh="true"), 429, 1),
                ("GET", path("10.1.2.3"), 403, 1),
                ("GET", TEST, 400, 0),
                ("GET", NOBODY + "&fresh=maybe", 400, 0),
                ("POST", NOBODY, 405, 0),
                ("OPTIONS", NOBODY, 204, 0, *preflight),
                ("GET", "/v1/capabilities", 200, 0),
                ("GET", "/readyz", 200, 0),
                ("GET", "/nothing", 404, 0)):
            with self.subTest((method, target)):
                client = self.client()
                answer = self.ask_as(client, method, target, *lines)
                self.assertEqual((answer.status, self.cost(client)), (status, cost), answer)

    def test_while_a_test_is_under_way(self):
        go = threading.Event()
        self.addCleanup(go.set)
        host = self.play(go)
        path = self.service.test_path(host.name)
        starter, joiner, latecomer = self.client(), self.client(), self.client()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(self.ask_as, starter, "GET", path)
            wait_until(host.connections, 10 * slowness(), "the test has begun")
            second = pool.submit(self.ask_as, joiner, "GET", path)
            self.problem(self.ask_as(latecomer, "GET", NOBODY), 503, "overloaded")
            time.sleep(0.3 * slowness())
            go.set()
            self.assertEqual([one.result().json()["cached"] for one in (first, second)], [False, True])
        self.assertEqual([self.cost(client) for client in (starter, joiner, latecomer)], [1, 0, 0])


class KeyTest(AccessCase):
    # Case matters, and one begins like the other.
    KEYS = ["Secret-Key.1", "Secret-Key.12", "b64+/token=="]

    def setUp(self):
        self.start(api_key_file=self.key_file("# first line", "", *self.KEYS), log_level="debug")

    def accepted(self, *lines, path=NOBODY, method="GET"):
        answer = self.ask(method, path, *lines)
        if answer.status == 401:
            self.assertEqual(answer.headers["www-authenticate"], "Bearer")
            if method != "HEAD":
                self.assertIn("Authorization: Bearer", self.problem(answer, 401, "unauthorized")["detail"])
            return False
        self.assertEqual(answer.status, 200, answer)
        return True

    def test_which_headers_hold_a_key(self):
        a = "Authorization: "
        for lines, accepted in (
                ([a + "Bearer Secret-Key.1"], True),
                ([a + "Bearer Secret-Key.12"], True),
                ([a + "Bearer b64+/token=="], True),
                ([a + "bearer Secret-Key.1"], True),
                ([a + "BEARER   Secret-Key.1"], True),
                (["authorization:bEaReR Secret-Key.1"], True),
                ([a + "Bearer Secret-Key.1 "], True),
                ([a + "Bearer Secret-Key.1 \t "], True),
                ([], False),
                ([a], False),
                ([a + "Bearer"], False),
                ([a + "Bearer "], False),
                ([a + "Bearer #"], False),
                ([a + "Bearer # first line"], False),
                ([a + "Bearer Secret-Key."], False),
                ([a + "Bearer Secret-Key.123"], False),
                ([a + "Bearer secret-key.1"], False),
                ([a + "Bearer Secret-Key.1x"], False),
                ([a + "Bearer b64+/token"], False),
                ([a + "Bearer " + 600 * "a"], False),
                ([a + "Bearer Secret-Key.1 Secret-Key.12"], False),
                ([a + "Bearer Secret-Key.1,Bearer Secret-Key.12"], False),
                ([a + "Bearer \"Secret-Key.1\""], False),
                ([a + "Bearer=Secret-Key.1"], False),
                ([a + "BearerSecret-Key.1"], False),
                ([a + "Secret-Key.1"], False),
                ([a + "Basic U2VjcmV0LUtleS4x"], False),
                ([a + "Token Secret-Key.1"], False),
                (["Proxy-Authorization: Bearer Secret-Key.1"], False),
                (["X-Api-Key: Secret-Key.1"], False),
                (["Cookie: access_token=Secret-Key.1"], False),
                # Of several the first one counts.
                ([a + "Bearer Secret-Key.1", a + "Bearer wrong"], True),
                ([a + "Bearer wrong", a + "Bearer Secret-Key.1"], False),
                ([a + "Basic eDp5", a + "Bearer Secret-Key.1"], False)):
            with self.subTest([line[:60] for line in lines]):
                self.assertEqual(self.accepted(*lines), accepted)
                self.assertEqual(self.accepted(*lines, path="/v1/capabilities"), accepted)
                self.assertEqual(self.accepted(*lines, method="HEAD"), accepted)

    def test_a_key_in_the_query_is_none(self):
        self.assertFalse(self.accepted(path=NOBODY + "&access_token=Secret-Key.1"))

    def test_what_needs_none(self):
        for lines in ([], ["Authorization: Bearer wrong"], ["Authorization: Bearer " + self.KEYS[0]]):
            for path in OPEN:
                with self.subTest(path, lines=lines):
                    self.assertTrue(self.accepted(*lines, path=path))
                    self.assertTrue(self.accepted(*lines, path=path, method="HEAD"))
            self.assertNotEqual(self.ask("GET", "/", *lines).status, 401)
            self.problem(self.ask("POST", TEST, *lines), 405, "method_not_allowed")
        for path in RESOURCES:
            if path not in OPEN:
                self.assertFalse(self.accepted(path=path))

    def test_the_document_says_which_need_none(self):
        open_paths = [path for path, item in schema.load()["paths"].items()
                      if next(iter(item.values())).get("security") == []]
        self.assertEqual(sorted(open_paths), sorted(OPEN))

    def test_without_a_key_nothing_is_told_of_the_query(self):
        for query in ("", "?host=10.1.2.3", "?host=%20", "?hots=x"):
            self.assertFalse(self.accepted(path=TEST + query))

    def key(self, key):
        return self.accepted("Authorization: Bearer " + key)

    def test_reload_swaps_the_keys(self):
        with self.service.connect() as sock:
            stream = sock.makefile("rb")

            def status(key):
                sock.sendall(request("GET", "/v1/capabilities", "Authorization: Bearer " + key))
                return service.read_answer(stream).status
            self.assertEqual([status(self.KEYS[0]), status("new-key")], [200, 401])
            self.write_keys("new-key\n" + self.KEYS[1] + "\n")
            self.assertEqual([status(self.KEYS[0]), status("new-key")], [200, 401])
            self.reload("reloaded")
            self.assertEqual([status(self.KEYS[0]), status("new-key"), status(self.KEYS[1])], [401, 200, 200])
        self.assertEqual([self.key(self.KEYS[0]), self.key("new-key")], [False, True])

    def test_a_bad_file_keeps_the_keys(self):
        for text in ("", "# nothing\n", "other-key\nno token\n", "other-key\n\xe4\n", "other-key\n" + 600 * "a" + "\n",
                     "other-key\n" + (1 << 20) * "#", "".join("key%d\n" % n for n in range(1001)), "other-key\na\0b\n"):
            with self.subTest(text[:40]):
                self.write_keys(text)
                event = self.reload("reload_failed")
                self.assertIn(self.keys_path, event["reason"])
                self.assertEqual([self.key(self.KEYS[0]), self.key("other-key")], [True, False])
        os.rename(self.keys_path, self.keys_path + ".away")
        try:
            self.reload("reload_failed")
            os.mkdir(self.keys_path)
            self.reload("reload_failed")
            os.rmdir(self.keys_path)
        finally:
            os.rename(self.keys_path + ".away", self.keys_path)
        self.assertTrue(self.key(self.KEYS[0]))
        self.assertEqual(self.service.events("reloaded"), [])
        self.write_keys("other-key\n")
        self.reload("reloaded")
        self.assertEqual([self.key(self.KEYS[0]), self.key("other-key")], [False, True])


class KeySecrecyTest(AccessCase):
    KEY, NEXT = "0penSesame-0penSesame", "0penSesame-2nd"

    def setUp(self):
        self.start(api_key_file=self.key_file(self.KEY), log_level="debug")

    def raw(self, data):
        """Sends what may be no request at all, and reads what comes where it is one."""
        with self.service.connect() as sock, contextlib.suppress(OSError):
            sock.sendall(data)
            while data.endswith(b"\r\n\r\n") and sock.recv(65536):
                pass

    def test_no_key_is_ever_logged(self):
        key = "Authorization: Bearer " + self.KEY
        paths = ["/healthz", NOBODY, TEST, TEST + "?host=x&access_token=" + self.KEY, "/nothing?" + self.KEY,
                 "http://user:%s@x/healthz" % self.KEY, "http://%s@" % self.KEY]
        for line in (key, "Authorization: Bearer x" + self.KEY, "Authorization: " + self.KEY, key + "\r\n" + key,
                     key + "\r\nHost: y", key + "\r\nX-Bad : x", key + "\r\n folded", " " + key, key + "\0" + self.KEY,
                     "Authorization Bearer " + self.KEY, key + "\r\nContent-Length: 70000", key + "\x01",
                     key + "\r\nContent-Length: x", key + 9000 * "a", key + 30000 * "a",
                     "X-Request-Id: \"" + self.KEY + "\"\r\n" + key):
            for path in paths:
                with self.subTest(line[:80], path=path):
                    whole = request("GET", path, line, "Connection: close")
                    self.raw(whole)
                    self.raw(whole[:-2])
                    self.raw(request("GET", path, line, "Expect: 100-continue", body=b"cut short"))
        self.write_keys(self.NEXT + "\n")
        self.reload("reloaded")
        self.write_keys(self.NEXT + " " + self.KEY + "\n")
        self.reload("reload_failed")
        self.stage.stop()
        self.assertGreater(len(self.service.events("request")), 100)
        self.assertGreater(len(self.service.events("http_library")), 0)
        self.assertEqual([line for line in self.service.lines if "0penSesame" in line], [])


class ConnectionTest(AccessCase):
    """Several requests on one connection."""

    options = {"cors_origin": PAGE, "cache_seconds": 60}

    def setUp(self):
        super().setUp()
        self.hosts = [self.play() for _ in range(3)]
        for host in self.hosts[:2]:
            self.check_report(self.service.test(host.name))
        self.numbers = itertools.count(1)

    def kinds(self):
        """What may be asked: method, path, lines, body, and a check of the answer."""
        def report(host, cached):
            def check(answer):
                body = self.check_report(answer)
                self.assertEqual((body["host"], body["cached"]), (host.name, cached))
            return check

        def problem(status, code):
            return lambda answer: self.problem(answer, status, code)

        def empty(status, *has):
            def check(answer):
                self.assertEqual((answer.status, answer.body), (status, b""))
                for name in has:
                    self.assertIn(name, answer.headers)
            return check

        path = self.service.test_path
        one, two, three = self.hosts
        return [
            ("GET", path(one.name), [], b"", report(one, True)),
            ("GET", path(two.name), [], b"", report(two, True)),
            ("GET", path(three.name, fresh="true"), [], b"", report(three, False)),
            ("GET", path(three.name, fresh="true", ports=self.stage.imaps), [], b"", report(three, False)),
            ("HEAD", path(one.name), [], b"", empty(200, "age", "content-length", "server-timing")),
            ("HEAD", path(three.name, fresh="true"), [], b"", empty(200, "content-length", "server-timing")),
            ("HEAD", "/nothing", [], b"", empty(404, "content-length")),
            ("HEAD", TEST, [], b"", empty(400, "content-length")),
            ("OPTIONS", TEST, ["Origin: " + PAGE, "Access-Control-Request-Method: GET"], b"",
             empty(204, "access-control-allow-methods")),
            ("OPTIONS", TEST, [], b"HEAD /healthz HTTP/1.1\r\n\r\n", empty(204, "allow")),
            ("GET", path("10.1.2.3"), [], b"", problem(403, "target_not_allowed")),
            ("GET", TEST, [], b"", problem(400, "missing_host")),
            ("GET", path("x y"), [], b"", problem(400, "invalid_host")),
            ("GET", "/nothing", [], b"", problem(404, "not_found")),
            ("POST", TEST, [], b"{\"a\": 1}", problem(405, "method_not_allowed")),
            ("GET", "/healthz", [], b"", lambda answer: self.assertEqual(answer.json(), {"status": "ok"})),
            ("GET", "/healthz", [], 5000 * b"x", lambda answer: self.assertEqual(answer.json(), {"status": "ok"})),
            ("GET", "/v1/capabilities", [], b"", lambda answer: schema.validate_capabilities(answer.json())),
        ]

    def check_answer(self, stream, kind, ident):
        method, path, _, _, check = kind
        answer = service.read_answer(stream, method)
        self.assertIsNotNone(answer, "closed instead of an answer to %s %s" % (method, path))
        self.assertEqual(answer.headers["x-request-id"], ident, answer)
        self.check_front(answer)
        check(answer)
        return answer

    def bytes_of(self, kind, *lines, **options):
        method, path, more, body, _ = kind
        ident = "n%d" % next(self.numbers)
        return ident, request(method, path, "X-Request-Id: " + ident, *more, *lines, body=body, **options)

    def test_one_after_another(self):
        with self.service.connect() as sock:
            stream = sock.makefile("rb")
            for kind in self.kinds() + self.kinds()[::-1]:
                ident, data = self.bytes_of(kind)
                sock.sendall(data)
                self.check_answer(stream, kind, ident)

    def test_all_at_once_are_answered_in_order(self):
        seed = int(os.environ.get("ACCESS_SEED") or random.SystemRandom().randrange(10 ** 9))
        print("seed %d" % seed, file=sys.stderr)
        dice = random.Random(seed)
        for _ in range(12):
            kinds = dice.choices(self.kinds(), k=dice.randint(2, 25))
            sent = [self.bytes_of(kind) for kind in kinds]
            data = b"".join(data for _, data in sent)
            cuts = sorted(dice.randrange(len(data)) for _ in range(dice.choice((0, 0, 3))))
            with self.service.connect() as sock, self.subTest([kind[:2] for kind in kinds]):
                for begin, end in zip([0] + cuts, cuts + [len(data)]):
                    sock.sendall(data[begin:end])
                stream = sock.makefile("rb")
                for kind, (ident, _) in zip(kinds, sent):
                    self.check_answer(stream, kind, ident)

    def test_a_request_behind_a_test_waits_for_it(self):
        go = threading.Event()
        self.addCleanup(go.set)
        host = self.play(go)
        alive = self.kinds()[15]
        with self.service.connect() as sock:
            sock.sendall(request("GET", self.service.test_path(host.name)) + self.bytes_of(alive)[1])
            wait_until(host.connections, 10 * slowness(), "the test has begun")
            sock.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                sock.recv(1)
            sock.settimeout(20 * slowness())
            go.set()
            stream = sock.makefile("rb")
            self.assertEqual(self.check_report(service.read_answer(stream))["host"], host.name)
            self.assertEqual(service.read_answer(stream).json(), {"status": "ok"})

    def test_close_is_honoured(self):
        for kind in self.kinds():
            for lines in (["Connection: close"], ["connection: Close"], ["Connection: foo, close"]):
                with self.subTest(kind[:2], lines=lines), self.service.connect() as sock:
                    ident, data = self.bytes_of(kind, *lines)
                    sock.sendall(data)
                    with contextlib.suppress(OSError):
                        sock.sendall(request("GET", "/readyz"))
                    stream = sock.makefile("rb")
                    answer = self.check_answer(stream, kind, ident)
                    self.assertEqual(answer.headers.get("connection"), "close")
                    with contextlib.suppress(ConnectionResetError):
                        self.assertEqual(stream.read(), b"")

    def test_of_http_1_0_closes_unless_asked_not_to(self):
        for kind in self.kinds():
            with self.subTest(kind[:2]), self.service.connect() as sock:
                stream = sock.makefile("rb")
                ident, data = self.bytes_of(kind, "Connection: keep-alive", version="HTTP/1.0")
                sock.sendall(data)
                self.assertEqual(self.check_answer(stream, kind, ident).headers["connection"].lower(), "keep-alive")
                ident, data = self.bytes_of(kind, version="HTTP/1.0")
                sock.sendall(data.replace(b"Host: x\r\n", b""))
                self.assertEqual(self.check_answer(stream, kind, ident).headers.get("connection"), "close")
                self.assertEqual(stream.read(), b"")


if __name__ == "__main__":
    case.main()

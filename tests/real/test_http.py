"""The HTTP side: every refusal with its code, the small resources, and what strange clients do to the server."""
import os
import re
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import service
import stage

LONG_LABEL = "a" * 64
LONG_NAME = ".".join(["a" * 63] * 4)

BAD_HOSTS = [
    "-a.test", "a-.test", "a..test", ".test", "..", ".", "a.test..", LONG_LABEL + ".test", LONG_NAME,
    "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "127.0.0.01",
    "a.0x1", "fe80::1%eth0", "[fe80::1%25eth0]", "[::1", "::1]", "[]", "[127.0.0.1]", ":::", "1::2::3",
    "12345::", "host:143", "[::1]:143", "http://a.test", "a.test/path", "a b.test", " a.test", "a.test ", "*.a.test",
    "a@b.test", "a\r\nb.test", "a\x00b.test", "a\tb.test", "a,b.test", "a%b.test", "a\x7fb.test", "\"a\".test",
    "xn--.test",
]

# Query string, code.
BAD_QUERIES = [
    ("", "missing_host"), ("host=", "missing_host"), ("host", "missing_host"), ("ports=143", "missing_host"),
    ("host=a.test&hots=b.test", "unknown_parameter"), ("host=a.test&Host=b.test", "unknown_parameter"),
    ("host=a.test&=1", "unknown_parameter"), ("host=a.test&x", "unknown_parameter"),
    ("host=a.test&host=a.test", "repeated_parameter"), ("host=a.test&fresh=true&fresh=true", "repeated_parameter"),
    ("host=a.test&deep=true", "invalid_parameter"), ("host=a.test&addresses=all", "invalid_parameter"), ("host=a.test&addresses=", "invalid_parameter"),
    ("host=a.test&addresses=some", "invalid_parameter"), ("host=a.test&deep=1", "invalid_parameter"),
    ("host=a.test&deep=", "invalid_parameter"), ("host=a.test&transcript=yes", "invalid_parameter"),
    ("host=a.test&fresh=TRUE", "invalid_parameter"), ("host=a.test&fresh", "invalid_parameter"),
    ("host=a.test&timeout_ms=999", "invalid_parameter"), ("host=a.test&timeout_ms=20001", "invalid_parameter"),
    ("host=a.test&timeout_ms=", "invalid_parameter"), ("host=a.test&timeout_ms=5s", "invalid_parameter"),
    ("host=a.test&timeout_ms=1e4", "invalid_parameter"), ("host=a.test&timeout_ms=-5000", "invalid_parameter"),
    ("host=a.test&timeout_ms=%2B5000", "invalid_parameter"), ("host=a.test&timeout_ms=0x1388", "invalid_parameter"),
    ("host=a.test&timeout_ms=99999999999999999999", "invalid_parameter"),
    ("host=a.test&address=b.test", "invalid_parameter"), ("host=a.test&address=", "invalid_parameter"),
    ("host=a.test&address=1.2.3", "invalid_parameter"), ("host=a.test&address=fe80::1%25eth0", "invalid_parameter"),
    ("host=a.test&address=127.0.0.1:143", "invalid_parameter"),
    ("host=a.test&ports=", "invalid_parameter"), ("host=a.test&ports=25", "invalid_parameter"),
    ("host=a.test&ports=all", "invalid_parameter"), ("host=a.test&ports={imap},", "invalid_parameter"),
    ("host=a.test&ports={imap},{imap}", "invalid_parameter"),
    ("host=a.test&ports={imap};{imaps}", "invalid_parameter"),
    ("host=a.test&ports={imap},{imaps},{imap}", "invalid_parameter"),
    ("host=a.test&ports={imap}%20", "invalid_parameter"), ("host=a.test&ports=143", "invalid_parameter"),
]

BROKEN_ESCAPES = ["host=%", "host=a%2", "host=a%zz.test", "host=%00", "host=a.test%0d%0aX:%20y", "host=%ff%fe.test"]

GOOD_QUERIES = ["", "&ports={imap}", "&ports={imaps}", "&ports={imap},{imaps}", "&ports={imaps},{imap}",
                "&ports={imap}%2C{imaps}", "&addresses=first", "&timeout_ms=1000", "&timeout_ms=20000",
                "&fresh=true", "&fresh=false", "&deep=false", "&transcript=false", "&transcript=true"]


class HttpCase(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage()
        cls.addClassCleanup(cls.stage.stop)
        cls.service = cls.stage.service
        context = cls.stage.context()
        cls.host = cls.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))

    def query(self, text):
        return "/v1/imap-test?" + text.replace("{imap}", str(self.stage.imap)).replace("{imaps}",
                                                                                       str(self.stage.imaps))


class QueryTest(HttpCase):
    def test_bad_queries(self):
        for text, code in BAD_QUERIES:
            with self.subTest(query=text):
                self.problem(self.service.get(self.query(text)), 400, code)

    def test_no_query_at_all(self):
        self.problem(self.service.get("/v1/imap-test"), 400, "missing_host")

    def test_bad_hosts(self):
        before = len(self.stage.dns.queries)
        for host in BAD_HOSTS:
            with self.subTest(host=host):
                answer = self.service.get(self.query("host=" + urllib.parse.quote(host, safe="")))
                self.problem(answer, 400, "invalid_host")
        self.assertEqual(len(self.stage.dns.queries), before, "a bad name was resolved")

    def test_broken_escapes(self):
        for text in BROKEN_ESCAPES:
            with self.subTest(query=text):
                answer = self.service.get(self.query(text))
                self.assertIn(self.problem(answer, 400, answer.json()["code"])["code"],
                              ("invalid_host", "invalid_parameter"))

    def test_what_is_not_there_yet_says_so(self):
        for text in ("deep=true", "addresses=all"):
            body = self.problem(self.service.get(self.query("host=a.test&" + text)), 400, "invalid_parameter")
            self.assertIn("not available", body["detail"])
            self.assertIn(text.partition("=")[0], body["detail"])

    def test_good_queries(self):
        for text in GOOD_QUERIES:
            with self.subTest(query=text):
                answer = self.service.get(self.query("host=%s%s" % (self.host.name, text)))
                report = self.check_report(answer)
                self.assertEqual(report["verdict"], "ok", report["findings"])
                asked = [port["port"] for port in report["ports"]]
                self.assertEqual(asked, sorted(asked))
                self.assertEqual(report["endpoints"], [])
                self.assertFalse(report["cached"])
                self.assertEqual(report["tester"]["name"], "imap-testd")

    def test_percent_encoded_host_is_the_same_host(self):
        encoded = "".join("%%%02x" % byte for byte in self.host.name.encode())
        self.assertEqual(self.check_report(self.service.get(self.query("host=" + encoded)))["host"], self.host.name)

    def test_bytes_of_the_caller_come_back_harmless(self):
        answer = self.service.get(self.query("host=" + urllib.parse.quote("<script>\x1b\u202e\"", safe="")))
        self.problem(answer, 400, "invalid_host")
        self.assertNotIn(b"<script>\x1b", answer.body)
        self.assertEqual(answer.headers.get("x-content-type-options", "nosniff"), "nosniff")


class ResourceTest(HttpCase):
    def test_report_headers(self):
        answer = self.service.test(self.host.name)
        self.check_report(answer)
        self.assertEqual(int(answer.headers["content-length"]), len(answer.body))
        self.assertRegex(answer.headers["server-timing"], r"dur=\d")

    def test_durations_are_rounded_to_a_tenth(self):
        answer = self.service.test(self.host.name)
        for number in re.findall(rb'"[a-z_]*_ms"\s*:\s*([0-9.eE+-]+)', answer.body):
            self.assertRegex(number, rb"^\d+(\.\d)?$")

    def test_request_id(self):
        self.assertEqual(self.service.get("/healthz", headers={"X-Request-Id": "abc-123_X.9"}).headers["x-request-id"],
                         "abc-123_X.9")
        seen = set()
        for unsound in (None, "", "a" * 1000, "a b", "a\"b", "<x>", "a\xe9"):
            headers = {} if unsound is None else {"X-Request-Id": unsound}
            given = self.service.get("/healthz", headers=headers).headers.get("x-request-id")
            self.assertTrue(given)
            self.assertNotEqual(given, unsound)
            self.assertRegex(given, r"^[A-Za-z0-9._-]{8,128}$")
            seen.add(given)
        self.assertEqual(len(seen), 7, "a made id came twice")

    def test_unknown_paths(self):
        for path in ("/v1/imap-tes", "/v1/imap-test/", "/v1", "/V1/imap-test", "/v1//imap-test", "/healthz/",
                     "/../etc/passwd", "/%68ealthz", "/healthz%00", "/*"):
            with self.subTest(path=path):
                self.problem(self.service.get(path), 404, "not_found")

    def test_wrong_methods(self):
        for path in ("/v1/imap-test?host=a.test", "/healthz", "/readyz", "/openapi.yaml", "/v1/capabilities"):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                with self.subTest(path=path, method=method):
                    answer = self.service.request(method, path, body=b"")
                    self.problem(answer, 405, "method_not_allowed")
                    allowed = {word.strip() for word in answer.headers["allow"].split(",")}
                    self.assertLessEqual({"GET", "HEAD"}, allowed)

    def test_head_is_get_without_the_body(self):
        for path in ("/healthz", "/readyz", "/openapi.yaml", "/v1/capabilities", "/nothing",
                     "/v1/imap-test?host=-"):
            with self.subTest(path=path):
                head, get = self.service.request("HEAD", path), self.service.get(path)
                self.assertEqual(head.status, get.status)
                self.assertEqual(head.body, b"")
                for header in ("content-type", "content-length"):
                    self.assertEqual(head.headers.get(header), get.headers.get(header))
        head = self.service.request("HEAD", self.service.test_path(self.host.name))
        self.assertEqual((head.status, head.body), (200, b""))

    def test_health(self):
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.service.get(path).status, 200)

    def test_openapi(self):
        answer = self.service.get("/openapi.yaml")
        self.assertEqual(answer.status, 200)
        with open(os.path.join(service.ROOT, "openapi.yaml"), "rb") as document:
            self.assertEqual(answer.body, document.read())
        self.assertIn("yaml", answer.headers["content-type"])

    def test_capabilities(self):
        answer = self.service.get("/v1/capabilities")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"].partition(";")[0], "application/json")
        rows = answer.json()["capabilities"]
        for row in rows:
            self.assertLessEqual({"name", "category", "meaning", "absence", "reference"}, set(row))
        names = [row["name"] for row in rows]
        self.assertEqual(len(names), len(set(names)))
        for name in ("IMAP4rev1", "IMAP4rev2", "IDLE", "CONDSTORE", "STARTTLS", "LOGINDISABLED"):
            self.assertIn(name, names)


class WireTest(HttpCase):
    """What no polite client sends."""

    def statuses(self, data, count=1):
        return [answer.status for answer in self.service.raw(data, count)]

    def tearDown(self):
        self.assertEqual(self.service.get("/healthz").status, 200, "the service did not survive")

    def test_too_long_request_line(self):
        for length in (4200, 7000, 100000):
            with self.subTest(length=length):
                self.assertEqual(self.statuses(b"GET /v1/imap-test?host=%s HTTP/1.1\r\nHost: x\r\n\r\n"
                                               % (b"a" * length)), [414])

    def test_request_line_just_short_enough(self):
        query = b"a" * 3900
        self.assertEqual(self.statuses(b"GET /v1/imap-test?host=%s HTTP/1.1\r\nHost: x\r\n\r\n" % query), [400])

    def test_too_large_headers(self):
        for count in (9, 100):
            filler = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(count))
            with self.subTest(count=count):
                self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + filler + b"\r\n"), [431])

    def test_headers_just_small_enough(self):
        filler = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(7))
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + filler + b"\r\n"), [200])

    def test_too_large_body(self):
        for length in (65537, 10 ** 9, 10 ** 30):
            with self.subTest(length=length):
                head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length
                self.assertEqual(self.statuses(head), [413])

    def test_too_large_body_in_chunks(self):
        for sizes, status in (((65536, 65536), 413), ((1, 65536), 413), ((65537,), 413), ((4096,) * 40, 413),
                              ((65536,), 200), ((4096,) * 16, 200), ((), 200)):
            with self.subTest(total=sum(sizes), chunks=len(sizes)):
                body = b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes) + b"0\r\n\r\n"
                answers = self.service.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                           + body)
                self.assertEqual([answer.status for answer in answers], [status])
                if status != 200:
                    self.problem(answers[0], status, "body_too_large")

    def test_endless_chunks_are_not_read_for_ever(self):
        chunk = b"10000\r\n%s\r\n" % (b"x" * 65536)
        with self.service.connect() as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with self.assertRaises(OSError):
                for _ in range(1000):
                    sock.sendall(chunk)

    def test_two_hosts(self):
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), [400])

    def test_no_host(self):
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\n\r\n"), [400])

    def test_length_together_with_chunked(self):
        self.assertEqual(self.statuses(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                                       b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), [400])

    def test_smuggled_request_is_not_answered(self):
        answers = self.service.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                                   b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                                   b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 2)
        self.assertEqual([answer.status for answer in answers], [400])

    def test_garbage(self):
        for data in (b"\r\n\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
                     b"GET\r\n\r\n", b"\x00" * 64 + b"\r\n\r\n"):
            with self.subTest(data=data[:20]):
                with self.service.connect(5) as sock:
                    sock.sendall(data)
                    sock.shutdown(1)
                    try:
                        answer = service.read_answer(sock.makefile("rb"))
                    except (OSError, ValueError, IndexError):
                        answer = None
                if answer:
                    self.assertGreaterEqual(answer.status, 400)

    def test_second_request_on_the_same_connection(self):
        one = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self.service.test_path(self.host.name).encode()
        with self.service.connect() as sock:
            stream = sock.makefile("rb")
            for _ in range(2):
                sock.sendall(one)
                self.assertEqual(self.check_report(service.read_answer(stream))["verdict"], "ok")
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertEqual(service.read_answer(stream).status, 200)
            self.assertEqual(stream.read(), b"")

    def test_small_body_of_a_get_is_skipped(self):
        answers = self.service.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
                                   b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 2)
        self.assertEqual([answer.status for answer in answers], [200, 200])

    def test_client_that_leaves_does_not_hurt(self):
        silent = self.stage.play([imapd.silence()])
        path = self.service.test_path(silent.name, ports=str(self.stage.imap), timeout_ms=1000)
        for _ in range(3):
            with self.service.connect() as sock:
                sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        self.assertEqual(self.report(self.service, self.host.name)["verdict"], "ok")
        threading.Event().wait(1.3 * service.slowness())
        self.assertLessEqual(len(silent.plain.connections), 3)
        self.assertEqual(self.report(self.service, self.host.name)["verdict"], "ok")

    def test_request_in_pieces(self):
        data = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        with self.service.connect() as sock:
            for at in range(len(data)):
                sock.sendall(data[at:at + 1])
            self.assertEqual(service.read_answer(sock.makefile("rb")).status, 200)


if __name__ == "__main__":
    case.main()

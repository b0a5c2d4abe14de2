"""The service behind nginx, with the configuration that docker/ ships: who the caller is stays known, what the service
answers comes through unchanged, and what the proxy answers by itself looks the same."""
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import imapd
import net
import proxy
import service
import stage

ORIGIN = "https://tools.example.com"
# Of each hop by itself, or of the moment.
HOP_HEADERS = {"connection", "date", "keep-alive", "server", "transfer-encoding", "server-timing"}


def ask(address, method, path, headers=None, body=None, source=None, timeout=60, connection=None):
    """One request; `source` is the address it comes from. The answer has all headers as pairs in `pairs`."""
    own = connection is None
    if own:
        connection = http.client.HTTPConnection(*address, timeout=timeout * service.slowness(),
                                                source_address=(source, 0) if source else None)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        got = connection.getresponse()
        answer = service.Answer(got.status, got.getheaders(), got.read())
        answer.pairs = [(name.lower(), value) for name, value in got.getheaders()]
        return answer
    finally:
        if own:
            connection.close()


def raw(address, data, count=1, timeout=20):
    """Sends bytes as they are and reads up to `count` answers."""
    answers = []
    with socket.create_connection(address, timeout) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
        stream = sock.makefile("rb")
        while len(answers) < count and (answer := service.read_answer(stream)) is not None:
            answers.append(answer)
    return answers


@unittest.skipUnless(proxy.nginx(), "nginx is not installed")
class ProxyCase(case.Case):
    def proxy_problem(self, answer, status, code):
        """A problem of the proxy: as those of the service, but for codes that only a proxy has."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers.get("content-type"), "application/problem+json", answer)
        self.assertEqual(answer.headers.get("x-content-type-options"), "nosniff")
        self.assertEqual(answer.headers.get("cache-control"), "no-store")
        for name in ("content-security-policy", "referrer-policy", "cross-origin-resource-policy"):
            self.assertIn(name, answer.headers)
        body = answer.json()
        self.assertLessEqual({"type", "title", "status", "detail", "code", "request_id"}, set(body))
        self.assertEqual((body["type"], body["status"], body["code"]),
                         ("urn:imap-test:problem:" + code, status, code))
        self.assertTrue(body["title"] and body["detail"])
        self.assertEqual(body["request_id"], answer.headers.get("x-request-id"))
        self.assertRegex(body["request_id"], r"^[A-Za-z0-9._:-]{1,64}$")
        return body


class ServiceTest(ProxyCase):
    """With the service itself behind."""

    @contextlib.contextmanager
    def behind(self, **options):
        settings = {"trusted_proxy": "127.0.0.1/32", **options}
        with stage.Stage(**settings) as played, proxy.Proxy(played.service.address) as front:
            yield played, front

    def good_host(self, played):
        return played.play(plain=imapd.healthy_plain(played.context()), tls=imapd.healthy_tls(played.context()))

    def logged(self, played, ident):
        """The service's line on the request with this id."""
        service.wait_until(lambda: any(line["id"] == ident for line in played.service.events("request")), 5,
                           "request %s is logged" % ident)
        return next(line for line in played.service.events("request") if line["id"] == ident)

    def test_the_caller_is_known(self):
        """Whatever a caller says about itself."""
        claims = [{}, {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "203.0.113.9, 127.0.0.1"},
                  {"Forwarded": "for=203.0.113.8"}, {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"},
                  {"X-Real-IP": "203.0.113.7"}, {"X-Forwarded-For": "nonsense"}]
        with self.behind() as (played, front):
            for number, claim in enumerate(claims):
                source = net.fresh_address()
                for address in (front.address, played.service.address):
                    ident = "claim-%d-%d" % (number, address[1])
                    answer = ask(address, "GET", "/healthz", {"X-Request-Id": ident, **claim}, source=source)
                    self.assertEqual(answer.status, 200)
                    self.assertEqual(self.logged(played, ident)["client"], source, claim)

    def test_callers_are_limited_one_by_one(self):
        with self.behind(client_rate="2/600") as (played, front):
            path = service.Service.test_path(self.good_host(played).name)
            greedy, other = net.fresh_address(), net.fresh_address()
            for _ in range(2):
                self.check_report(ask(front.address, "GET", path, source=greedy))
            for claim in ({}, {"X-Forwarded-For": other}, {"Forwarded": "for=" + other}):
                refused = ask(front.address, "GET", path, claim, source=greedy)
                self.assertEqual(self.problem(refused, 429, "rate_limited")["scope"], "client")
                self.assertGreater(int(refused.headers["retry-after"]), 0)
            self.check_report(ask(front.address, "GET", path, source=other))

    def test_answers_come_through_unchanged(self):
        """Status, headers and body are those of the service asked directly."""
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        long_headers = {"X-Long-%d" % number: "x" * 1500 for number in range(6)}
        requests = [
            ("GET", "/healthz", {}, 200), ("GET", "/readyz", {}, 200), ("GET", "/openapi.yaml", {}, 200),
            ("GET", "/v1/capabilities", {"Origin": ORIGIN}, 200), ("HEAD", "/v1/capabilities", {}, 200),
            ("GET", "/v1/imap-test", {}, 400), ("GET", "/v1/imap-test?host=a&host=b", {}, 400),
            ("GET", "/v1/imap-test?host=b%C3%BCcher..example", {}, 400), ("HEAD", "/v1/imap-test?host=", {}, 400),
            ("GET", "/v1/imap-test?host=192.0.2.1", {"Origin": ORIGIN}, 403),
            ("GET", "/nowhere?x=%2F..%2f", {}, 404), ("GET", "//v1/../healthz", {}, 404),
            ("DELETE", "/v1/imap-test", {}, 405), ("GET", "/v1/imap-test?host=" + "x" * 5000, {}, 414),
            ("GET", "/healthz", long_headers, 431),
            ("OPTIONS", "/v1/imap-test?host=imap.example.com", preflight, 204),
        ]
        with self.behind(cors_origin=ORIGIN) as (played, front):
            for number, (method, path, headers, status) in enumerate(requests):
                headers = {"X-Request-Id": "unchanged-%d" % number, **headers}
                answers = [ask(address, method, path, headers) for address in (played.service.address, front.address)]
                seen = [(answer.status, sorted(pair for pair in answer.pairs if pair[0] not in HOP_HEADERS),
                         answer.body) for answer in answers]
                self.assertEqual(seen[0], seen[1], (method, path))
                self.assertEqual(answers[1].status, status, (method, path, answers[1]))
                names = [name for name, _ in answers[1].pairs]
                self.assertEqual(len(names), len(set(names)), "a header is doubled: %r" % names)

    def test_scripts_may_read_reports(self):
        with self.behind(cors_origin=ORIGIN) as (played, front):
            path = service.Service.test_path(self.good_host(played).name)
            answer = ask(front.address, "GET", path, {"Origin": ORIGIN})
            self.check_report(answer)
            self.assertEqual(answer.headers.get("access-control-allow-origin"), ORIGIN)

    def test_overload_comes_through(self):
        with self.behind(max_in_flight=1, io_timeout_ms=int(3000 * service.slowness())) as (played, front):
            path = service.Service.test_path(played.play(tls=[imapd.silence()]).name)
            first = threading.Thread(target=ask, args=(front.address, "GET", path))
            first.start()
            service.wait_until(lambda: ask(front.address, "GET", "/readyz").status == 503, 5, "it is full")
            refused = ask(front.address, "GET", path)
            problem = self.problem(refused, 503, "overloaded")
            self.assertIn("tests under way", problem["detail"], "the service's own words")
            self.assertIn("retry-after", refused.headers)
            first.join()

    def test_tested_addresses_are_spared_whoever_asks(self):
        with self.behind(target_rate="1/600") as (played, front):
            path = service.Service.test_path(self.good_host(played).name)
            self.check_report(ask(front.address, "GET", path, source=net.fresh_address()))
            refused = ask(front.address, "GET", path, source=net.fresh_address())
            self.assertEqual(self.problem(refused, 429, "rate_limited")["scope"], "target")
            self.assertGreater(int(refused.headers["retry-after"]), 0)

    def test_a_caller_that_leaves_ends_its_test(self):
        with self.behind() as (played, front):
            host = played.play(plain=[imapd.silence()])
            path = service.Service.test_path(host.name, ports=str(played.imap))
            with socket.create_connection(front.address) as gone:
                gone.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: gone-1\r\n\r\n" % path.encode())
                service.wait_until(host.connections, 10 * service.slowness(), "the test has begun")
            service.wait_until(lambda: host.connections()[0].left_at, 5 * service.slowness(), "the test is given up")
            self.assertEqual(self.logged(played, "gone-1")["aborted"], "client")

    def test_callers_share_the_connections_of_the_proxy(self):
        """--client-connections is for those who come directly."""
        with self.behind(client_connections=2) as (played, front), contextlib.ExitStack() as stack:
            host = played.play(plain=[imapd.silence()])
            path = service.Service.test_path(host.name, ports=str(played.imap))
            for _ in range(10):
                held = stack.enter_context(socket.create_connection(front.address, source_address=(
                    net.fresh_address(), 0)))
                held.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            service.wait_until(lambda: len(host.connections()) == 10, 10 * service.slowness(), "ten tests run")

    def test_ids_go_both_ways(self):
        with self.behind() as (played, front):
            for given in ("a-1.b_2:C", "x" * 64):
                answer = ask(front.address, "GET", "/nowhere", {"X-Request-Id": given})
                self.assertEqual(self.problem(answer, 404, "not_found")["request_id"], given)
                self.logged(played, given)
            for given in ({}, {"X-Request-Id": "x" * 65}, {"X-Request-Id": 'quote"'}, {"X-Request-Id": "a b"}):
                ident = ask(front.address, "GET", "/healthz", given).headers["x-request-id"]
                self.assertRegex(ident, r"^[0-9a-f]{32}$", "the proxy's own")
                self.logged(played, ident)
                service.wait_until(lambda: any(json.loads(line)["id"] == ident for line in front.access_log()), 5,
                                   "the proxy logs " + ident)

    def test_connections_are_kept(self):
        with self.behind() as (played, front):
            connection = http.client.HTTPConnection(*front.address, timeout=20)
            port = None
            for method in ("GET", "HEAD", "GET"):
                answer = ask(front.address, method, "/v1/capabilities", connection=connection)
                self.assertEqual(answer.status, 200)
                self.assertGreater(int(answer.headers["content-length"]), 1000)
                self.assertEqual(bool(answer.body), method == "GET")
                port = port or connection.sock.getsockname()[1]
                self.assertEqual(connection.sock.getsockname()[1], port)
            connection.close()
            self.assertEqual(played.service.process.poll(), None)

    def test_a_test_may_take_its_whole_time(self):
        """Nothing before the deadline of 20 s cuts it; the proxy waits longer than the service."""
        with self.behind(io_timeout_ms=60000) as (played, front):
            host = played.play(plain=[imapd.silence()])
            begun = time.monotonic()
            report = self.check_report(ask(front.address, "GET", service.Service.test_path(
                host.name, ports=str(played.imap))))
            self.assertGreater(time.monotonic() - begun, 19)
            self.assertEqual(report["ports"][0]["error"]["code"], "deadline_exceeded")


class FrontTest(ProxyCase):
    """The proxy by itself, with something behind it that writes down what comes."""

    @contextlib.contextmanager
    def front(self, **options):
        with proxy.Upstream() as upstream, proxy.Proxy(upstream.address, **options) as front:
            yield upstream, front

    def test_what_is_passed_on(self):
        with self.front() as (upstream, front):
            source = net.fresh_address()
            target = "/v1/imap-test?host=b%C3%BCcher.example&ports=143,993"
            sent = {"Host": "check.example.com:8443", "X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.8",
                    "X-Forwarded-Host": "other.example", "X-Real-IP": "203.0.113.7", "Authorization": "Bearer k",
                    "X_Forwarded_For": "203.0.113.6", "X-Request-Id": "id-1", "Origin": ORIGIN, "Accept": "*/*"}
            self.assertEqual(ask(front.address, "GET", target, sent, source=source).status, 200)
            ((_, line, headers),) = upstream.requests
            self.assertEqual(line, "GET %s HTTP/1.1" % target)
            self.assertEqual(sorted(headers), sorted([
                ("host", "check.example.com"), ("x-forwarded-for", source), ("x-forwarded-proto", "http"),
                ("authorization", "Bearer k"), ("x-request-id", "id-1"), ("origin", ORIGIN), ("accept", "*/*"),
                ("accept-encoding", "identity")]))

    def test_connections_to_the_service_are_kept(self):
        with self.front() as (upstream, front):
            for _ in range(20):
                self.assertEqual(ask(front.address, "GET", "/").status, 200)
            self.assertLessEqual(upstream.connections, 2, "one for each worker of nginx")

    def test_a_caller_that_goes_away_is_told(self):
        with self.front() as (upstream, front):
            with socket.create_connection(front.address) as gone:
                gone.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
                service.wait_until(lambda: upstream.requests, 5, "the request arrives")
            left = time.monotonic()
            service.wait_until(lambda: upstream.left_at, 5, "the proxy closes the connection")
            self.assertLess(upstream.left_at[0] - left, 2)

    def test_own_problems(self):
        """What nginx refuses by itself; nothing of it reaches the service."""
        with self.front() as (upstream, front):
            for data, status, code in (
                    (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 9000), 414, "uri_too_long"),
                    (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n" % (b"x" * 9000), 431, "headers_too_large"),
                    (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413, "body_too_large"),
                    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11000\r\n%s\r\n0\r\n\r\n" %
                     (b"x" * 0x11000), 413, "body_too_large"),
                    (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
                    (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "bad_request"),
                    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_request"),
                    (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
                    (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                     400, "bad_request"),
                    (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
                    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     400, "bad_request"),
                    (b"nonsense\r\n\r\n", 400, "bad_request"),
                    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
                    (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not_implemented"),
                    (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505, "http_version_not_supported"),
                    (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"),
                    (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found"),
                    (b"GET /.problem/ HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found")):
                with self.subTest(data[:60]):
                    (answer,) = raw(front.address, data)
                    self.proxy_problem(answer, status, code)
                    self.assertEqual("allow" in answer.headers, status == 405)
            self.assertEqual(upstream.requests, [])

    def test_scripts_may_read_its_own_answers_where_their_origin_is_named(self):
        origin = "https://dashboard.example"
        with proxy.Proxy(("127.0.0.1", net.fresh_port()), origins="%s %s;\n" % (origin, origin)) as front:
            for sent, allowed in ((origin, origin), ("https://other.example", None), (None, None)):
                answer = ask(front.address, "GET", "/healthz", {"Origin": sent} if sent else {})
                self.proxy_problem(answer, 502, "bad_gateway")
                self.assertEqual(answer.headers.get("access-control-allow-origin"), allowed)
                self.assertEqual(answer.headers.get("vary"), "Origin")
                self.assertEqual("retry-after" in answer.headers.get("access-control-expose-headers", "").lower(),
                                 allowed is not None)

    def test_the_service_is_down(self):
        with proxy.Proxy(("127.0.0.1", net.fresh_port())) as front:
            answer = ask(front.address, "GET", "/v1/imap-test?host=a.example", {"X-Request-Id": "down-1"})
            self.assertEqual(self.proxy_problem(answer, 502, "bad_gateway")["request_id"], "down-1")
            self.assertIn("retry-after", answer.headers)
            head = ask(front.address, "HEAD", "/healthz")
            self.assertEqual((head.status, head.body), (502, b""))

    def test_the_service_is_silent(self):
        with self.front(site={"proxy_read_timeout 30s": "proxy_read_timeout 1s"}) as (_, front):
            answer = ask(front.address, "GET", "/hold")
            self.proxy_problem(answer, 504, "gateway_timeout")
            self.assertIn("retry-after", answer.headers)

    def test_only_who_met_a_closed_connection_asks_again(self):
        """As where an instance was restarted; else a test is asked for once, whatever became of it."""
        with self.front(site={"proxy_read_timeout 30s": "proxy_read_timeout 1s"}) as (upstream, front):
            for _ in range(2):
                self.assertEqual(ask(front.address, "GET", "/").status, 200)
            self.assertEqual(ask(front.address, "GET", "/drop").status, 200)
            seen = [line.split()[1] for _, line, _ in upstream.requests]
            self.assertEqual(seen[:3] + seen[-1:], ["/", "/", "/drop", "/drop"])
            self.assertLessEqual(len(seen), 5, "more often than there are connections")
            # One that dies with its connection cannot be told from one that came too late: once more, on a new one.
            for path, status, code, most in (("/die", 502, "bad_gateway", 2), ("/hold", 504, "gateway_timeout", 1)):
                self.proxy_problem(ask(front.address, "GET", path), status, code)
                times = sum(line.split()[1] == path for _, line, _ in upstream.requests)
                self.assertLessEqual(times, most, path)

    def test_who_met_a_new_connection_does_not_ask_again(self):
        with self.front() as (upstream, front):
            self.proxy_problem(ask(front.address, "GET", "/die"), 502, "bad_gateway")
            self.assertEqual(len(upstream.requests), 1)

    def hold(self, stack, front, upstream, count, claim=b""):
        """`count` requests under way, each on its own connection."""
        already = len(upstream.requests)
        held = []
        for _ in range(count):
            held.append(stack.enter_context(socket.create_connection(front.address)))
            held[-1].sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n%s\r\n" % claim)
        service.wait_until(lambda: len(upstream.requests) == already + count, 5, "all are under way")
        return held

    def test_requests_of_one_caller_at_once(self):
        with self.front() as (upstream, front), contextlib.ExitStack() as stack:
            held = self.hold(stack, front, upstream, 32)
            answer = ask(front.address, "GET", "/")
            self.assertEqual(self.proxy_problem(answer, 429, "rate_limited")["scope"], "client")
            self.assertIn("retry-after", answer.headers)
            self.assertEqual(ask(front.address, "GET", "/", source=net.fresh_address()).status, 200)
            held[0].close()
            service.wait_until(lambda: ask(front.address, "GET", "/").status == 200, 5, "room for one more")

    def test_callers_of_ipv6_are_networks(self):
        """Loopback has one IPv6 address only, so the peer's is told in a header here."""
        with self.front(site={"limit_conn imap_testd_callers 32": "limit_conn imap_testd_callers 1"},
                        listen="listen 127.0.0.1:{port} default_server;\nset_real_ip_from 127.0.0.0/8;\n"
                               "real_ip_header X-Peer;\n") as (upstream, front), contextlib.ExitStack() as stack:
            self.hold(stack, front, upstream, 1, b"X-Peer: 2001:db8:1:2::1\r\n")
            self.hold(stack, front, upstream, 1, b"X-Peer: 192.0.2.1\r\n")
            for peer, status in (("2001:db8:1:2:3:4:5:6", 429), ("2001:db8:1:2:ff00::", 429), ("2001:db8:1:3::1", 200),
                                 ("2001:db8:1:a02::1", 200), ("192.0.2.1", 429), ("192.0.2.2", 200)):
                self.assertEqual(ask(front.address, "GET", "/", {"X-Peer": peer}).status, status, peer)

    def test_slow_callers_are_not_waited_for(self):
        with self.front(site={"client_header_timeout 10s": "client_header_timeout 1s",
                              "client_body_timeout 5s": "client_body_timeout 1s"}) as (upstream, front):
            for start, drip in ((b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"x"),
                                (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", b"")):
                with socket.create_connection(front.address) as slow:
                    slow.sendall(start)
                    slow.settimeout(0.2)
                    begun = time.monotonic()
                    closed = False
                    while not closed and time.monotonic() - begun < 6:
                        try:
                            slow.sendall(drip)
                            closed = not slow.recv(4096)
                        except (socket.timeout, TimeoutError):
                            pass
                        except OSError:
                            closed = True
                    self.assertTrue(closed, start)
                    self.assertGreater(time.monotonic() - begun, 0.9)
            self.assertEqual(upstream.requests, [])

    def test_https(self):
        """nginx-tls.conf in the place of nginx-listen.conf."""
        leaf = certs.trusted().leaf("127.0.0.1")
        listen = re.sub(r"^listen \[.*\n", "", proxy.shipped("nginx-tls.conf"), flags=re.MULTILINE)
        listen = proxy.replaced(listen, {"listen 443": "listen 127.0.0.1:{port}",
                                         "/etc/nginx/tls/fullchain.pem": leaf.chain_file(),
                                         "/etc/nginx/tls/privkey.pem": leaf.key_file})
        with self.front(listen=listen) as (upstream, front):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = ssl.create_default_context(cafile=certs.trust_file())
                context.check_hostname = False
                context.minimum_version = context.maximum_version = version
                connection = http.client.HTTPSConnection(*front.address, timeout=10, context=context)
                self.assertEqual(ask(front.address, "GET", "/", connection=connection).status, 200)
                connection.close()
                self.assertIn(("x-forwarded-proto", "https"), upstream.requests[-1][2])
            (answer,) = raw(front.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.proxy_problem(answer, 400, "bad_request")


if __name__ == "__main__":
    case.main()

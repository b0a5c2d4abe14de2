"""Names: what the report says when the DNS answers well, badly or not at all."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dnsd
import imapd
import net
import service
import stage

DNS_TIMEOUT_MS = 1500
FIRST_TRY_MS = 750  # FIRST_TIMEOUT_MS

# Name of the case, zone entry, error code.
FAILURES = [
    ("nothing", None, "dns_name_not_found"),
    ("nodata", dnsd.Name(), "dns_no_address"),
    ("servfail", dnsd.Name(rcode=dnsd.SERVFAIL), "dns_server_failure"),
    ("refused", dnsd.Name(rcode=dnsd.REFUSED), "dns_server_failure"),
    ("notimp", dnsd.Name(rcode=dnsd.NOTIMP), "dns_server_failure"),
    ("garbage", dnsd.Name(garbage=True), "dns_server_failure"),
    ("silent", dnsd.Name(silent=True), "dns_timeout"),
    ("dangling", dnsd.Name(cname="gone.fail.test"), "dns_name_not_found"),
    ("emptyalias", dnsd.Name(cname="nodata.fail.test"), "dns_no_address"),
]


class FailureTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(dns_timeout_ms=DNS_TIMEOUT_MS)
        cls.addClassCleanup(cls.stage.stop)
        for label, entry, _ in FAILURES:
            if entry:
                cls.stage.dns.zone[label + ".fail.test"] = entry

    def test_failures(self):
        for label, _, code in FAILURES:
            with self.subTest(name=label):
                report = self.report(self.stage.service, label + ".fail.test")
                self.check_unresolved(report, code)

    def check_unresolved(self, report, code):
        self.assertEqual(report["verdict"], "unreachable")
        self.assertEqual(report["dns"]["error"]["code"], code)
        self.assertEqual(report["dns"]["error"]["phase"], "dns")
        self.assertEqual(report["dns"]["addresses"], [])
        self.assertIn("host_not_resolved", self.ids(report))
        self.assertEqual(report["feature_gaps"], [])
        self.assertEqual(len(report["ports"]), 2)
        for port in report["ports"]:
            self.assertEqual(port["error"]["code"], code)
            self.assertFalse(port["reachable"])
            self.assertIsNone(port["address"])
            self.assertEqual(port["attempts"], [])
            self.assertEqual(port["verdict"], "unreachable")

    def test_alias_of_itself(self):
        self.stage.dns.zone["loop.fail.test"] = dnsd.Name(cname="loop.fail.test")
        report = self.report(self.stage.service, "loop.fail.test")
        self.assertIn(report["dns"]["error"]["code"], ("dns_server_failure", "dns_no_address"))

    def test_silence_ends_at_the_limit(self):
        report = self.report(self.stage.service, "silent.fail.test")
        self.assertGreaterEqual(report["dns"]["duration_ms"], DNS_TIMEOUT_MS * 0.9)
        self.assertLess(report["dns"]["duration_ms"], DNS_TIMEOUT_MS + 500 * service.slowness())

    def test_whole_test_is_over_meanwhile(self):
        with stage.Stage() as here:
            here.dns.zone["silent.fail.test"] = dnsd.Name(silent=True)
            report = self.report(here.service, "silent.fail.test", timeout_ms=1000)
            self.assertEqual(report["dns"]["error"]["code"], "deadline_exceeded")
            self.assertEqual((report["dns"]["error"]["phase"], report["verdict"]), ("dns", "unreachable"))
            for port in report["ports"]:
                self.assertEqual(port["error"]["code"], "deadline_exceeded")
                self.assertEqual(port["attempts"], [])
            self.assertLess(report["duration_ms"], 1000 + 500 * service.slowness())

    def test_silence_does_not_hold_up_other_names(self):
        with self.stage.service.connect() as waiting:
            waiting.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
                            % self.stage.service.test_path("silent.fail.test").encode())
            report = self.report(self.stage.service, "nothing.fail.test")
            self.assertLess(report["duration_ms"], DNS_TIMEOUT_MS / 2 * service.slowness())
            answer = service.read_answer(waiting.makefile("rb"))
        self.check_unresolved(self.check_report(answer), "dns_timeout")


class ResolvedTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(connect_timeout_ms=3000)
        cls.addClassCleanup(cls.stage.stop)
        context = cls.stage.context()
        cls.host = cls.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))

    def resolve(self, label, entry, **parameters):
        name = label + ".play.test"
        self.stage.dns.zone[name] = entry
        return self.report(self.stage.service, name, **parameters)

    def check_reached(self, report, address=None):
        for port in report["ports"]:
            self.assertIsNone(port["error"])
            self.assertEqual(port["address"], address or self.host.address)
        self.assertIsNone(report["dns"]["error"])
        self.assertGreaterEqual(report["dns"]["duration_ms"], 0)

    def test_plain_address(self):
        report = self.resolve("simple", dnsd.Name(a=[self.host.address]))
        self.check_reached(report)
        self.assertEqual(report["verdict"], "ok", report["findings"])
        self.assertEqual(report["dns"]["addresses"], [self.host.address])
        self.assertIsNone(report["dns"]["canonical_name"])
        self.assertFalse(report["dns"]["truncated"])

    def test_alias(self):
        report = self.resolve("alias", dnsd.Name(cname=self.host.name))
        self.check_reached(report)
        self.assertEqual(report["dns"]["canonical_name"], self.host.name)
        self.assertEqual(report["host"], "alias.play.test")
        self.assertEqual(report["verdict"], "ok", "the certificate must match the name asked for")

    def test_eight_aliases_are_followed_and_nine_are_not(self):
        for number in range(1, 10):
            target = "chain%d.play.test" % (number - 1) if number > 1 else self.host.name
            self.stage.dns.zone["chain%d.play.test" % number] = dnsd.Name(cname=target)
        report = self.report(self.stage.service, "chain8.play.test")
        self.check_reached(report)
        self.assertEqual(report["dns"]["canonical_name"], self.host.name)
        report = self.report(self.stage.service, "chain9.play.test")
        self.assertEqual(report["dns"]["error"]["code"], "dns_server_failure")

    def test_both_families(self):
        report = self.resolve("mixed", dnsd.Name(a=[self.host.address], aaaa=["::1"]))
        self.check_reached(report)
        self.assertEqual(set(report["dns"]["addresses"]), {self.host.address, "::1"})
        for port in report["ports"]:
            tried = {attempt["address"]: attempt["error"] for attempt in port["attempts"]}
            self.assertIsNone(tried[self.host.address])
            if "::1" in tried:
                # A machine without any IPv6 has no ::1 either.
                self.assertIn(tried["::1"]["code"], ("connection_refused", "network_unreachable"))

    def test_second_address_is_tried_where_the_first_refuses(self):
        dead = net.fresh_address()
        report = self.resolve("second", dnsd.Name(a=[dead, self.host.address]))
        self.check_reached(report)
        for port in report["ports"]:
            self.assertEqual([attempt["address"] for attempt in port["attempts"]], [dead, self.host.address])
            self.assertEqual(port["attempts"][0]["error"]["code"], "connection_refused")
            self.assertEqual(port["attempts"][0]["error"]["phase"], "connect")
            self.assertEqual(port["attempts"][0]["error"]["raw"], "ECONNREFUSED")

    def test_sixteen_addresses_at_most(self):
        addresses = [self.host.address] + [net.fresh_address() for _ in range(19)]
        report = self.resolve("many", dnsd.Name(a=addresses))
        self.check_reached(report)
        self.assertEqual(report["dns"]["addresses"], addresses[:16])
        self.assertTrue(report["dns"]["truncated"])

    def test_sixteen_refusing_addresses_are_all_tried(self):
        addresses = [net.fresh_address() for _ in range(16)]
        report = self.resolve("refusing", dnsd.Name(a=addresses))
        self.assertFalse(report["dns"]["truncated"])
        self.assertEqual(report["verdict"], "unreachable")
        for port in report["ports"]:
            self.assertEqual([attempt["address"] for attempt in port["attempts"]], addresses)
            self.assertEqual(port["error"]["code"], "connection_refused")
        self.assertEqual(self.finding(report, "port_unreachable")["severity"], "critical")

    def test_truncated_answer_is_asked_again_over_tcp(self):
        report = self.resolve("truncated", dnsd.Name(a=[self.host.address], truncate=True))
        self.check_reached(report)
        self.assertIn("tcp", {query[2] for query in self.stage.dns.asked("truncated.play.test")})

    def test_slow_answer(self):
        report = self.resolve("slow", dnsd.Name(a=[self.host.address], delay=0.7))
        self.check_reached(report)
        self.assertGreaterEqual(report["dns"]["duration_ms"], 690)

    def test_a_lost_question_costs_one_retry(self):
        report = self.resolve("lost", dnsd.Name(a=[self.host.address], lost=1))
        self.check_reached(report)
        self.assertEqual(report["verdict"], "ok", report["findings"])
        self.assertGreaterEqual(report["dns"]["duration_ms"], FIRST_TRY_MS * 0.98)
        self.assertLess(report["dns"]["duration_ms"], FIRST_TRY_MS + 500 * service.slowness())
        self.assertEqual(len(self.stage.dns.asked("lost.play.test")), 4)

    def test_a_question_lost_twice_is_asked_a_third_time(self):
        report = self.resolve("lost-twice", dnsd.Name(a=[self.host.address], lost=2))
        self.check_reached(report)
        self.assertGreaterEqual(report["dns"]["duration_ms"], 3 * FIRST_TRY_MS * 0.98)
        self.assertLess(report["dns"]["duration_ms"], 3 * FIRST_TRY_MS + 500 * service.slowness())

    def test_broken_aaaa_does_not_hide_the_ipv4_address(self):
        report = self.resolve("brokenaaaa", dnsd.Name(a=[self.host.address], rcode_aaaa=dnsd.SERVFAIL))
        self.check_reached(report)

    def test_name_is_asked_in_lower_case_without_the_dot(self):
        self.stage.dns.zone["upper.play.test"] = dnsd.Name(a=[self.host.address])
        report = self.report(self.stage.service, "UPPER.Play.Test.")
        self.check_reached(report)
        self.assertEqual(report["host"], "upper.play.test")
        self.assertIsNone(report["host_unicode"])
        self.assertEqual(report["verdict"], "ok")

    def test_international_name(self):
        self.stage.dns.zone["xn--bcher-kva.play.test"] = dnsd.Name(a=[self.host.address])
        for spelling in ("bücher.play.test", "BÜCHER.play.test", "xn--bcher-kva.play.test"):
            with self.subTest(spelling=spelling):
                report = self.report(self.stage.service, spelling)
                self.check_reached(report)
                self.assertEqual(report["host"], "xn--bcher-kva.play.test")
                self.assertEqual(report["host_unicode"], "bücher.play.test")
                self.assertEqual(report["verdict"], "ok", "the certificate covers *.play.test")
        sni = {connection.sni for connection in self.host.connections()}
        self.assertIn("xn--bcher-kva.play.test", sni)

    def test_ip_literal_asks_no_dns_and_sends_no_name(self):
        address = self.host.address
        self.host.settle()
        before = len(self.host.connections()), len(self.stage.dns.queries)
        report = self.report(self.stage.service, address)
        self.check_reached(report)
        self.assertEqual(report["dns"]["addresses"], [address])
        self.assertEqual(len(self.stage.dns.queries), before[1])
        self.host.settle()
        self.assertEqual(sum(len(server.connections) for server in self.host.servers()), before[0] + 2)
        for server in self.host.servers():
            self.assertIsNone(server.connections[-1].sni)

    def test_localhost_is_known_without_dns(self):
        for name in ("localhost", "imap.localhost"):
            with self.subTest(name=name):
                report = self.report(self.stage.service, name)
                self.assertEqual(set(report["dns"]["addresses"]), {"127.0.0.1", "::1"})
                self.assertEqual(self.stage.dns.asked(name), [])
                self.assertIsNone(report["dns"]["error"])
                self.assertEqual(report["verdict"], "unreachable")



class BurstTest(case.Case):
    """A thousand tests at once, each with a name of its own."""

    COUNT = 100 if service.wrapper() else 1000
    # What the service asks the kernel for.
    RECEIVE_BYTES = 1 << 20

    def setUp(self):
        net.raise_descriptor_limit(4 * self.COUNT + 500)
        # What is lost is asked for again: there is time for that even where the kernel's limit is a low one.
        self.stage = stage.Stage(dns_timeout_ms=15000)
        self.addCleanup(self.stage.stop)
        nobody = net.fresh_address()
        self.names = [self.stage.name(nobody) for _ in range(self.COUNT)]

    def begin(self):
        socks = []
        for name in self.names:
            socks.append(self.stage.service.connect())
            self.addCleanup(socks[-1].close)
            socks[-1].sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self.stage.service.test_path(name).encode())
        return socks

    def check_resolved(self, socks):
        for sock in socks:
            with sock.makefile("rb") as stream:
                answer = service.read_answer(stream)
            self.assertEqual(answer.status, 200, answer)
            report = answer.json()
            self.assertIsNone(report["dns"]["error"], report["dns"])
            self.assertEqual(report["ports"][0]["error"]["code"], "connection_refused")

    def test_answered_one_by_one(self):
        self.check_resolved(self.begin())

    def test_answered_all_together_while_the_service_does_something_else(self):
        """The kernel keeps the answers meanwhile, or as many as it has room for: the others are asked for again."""
        self.stage.dns.hold()
        socks = self.begin()
        service.wait_until(lambda: self.stage.dns.held() >= 2 * self.COUNT, 10 * service.slowness(), "all questions")
        self.stage.service.process.send_signal(signal.SIGSTOP)
        try:
            self.stage.dns.release()
            lost = net.lost_datagrams(self.stage.dns.address)
        finally:
            self.stage.service.process.send_signal(signal.SIGCONT)
        self.check_resolved(socks)
        with open("/proc/sys/net/core/rmem_max", encoding="ascii") as limit:
            if int(limit.read()) >= self.RECEIVE_BYTES:
                self.assertEqual(lost, 0)


if __name__ == "__main__":
    case.main()

"""Where the service may connect to: names, the operator's rows, and that nothing is sent elsewhere. Addresses in all
their forms have a table of their own (test_address_forms.py)."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dnsd
import imapd
import net
import stage


class DefaultPolicyTest(case.Case):
    """Without any --allow-target."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(allow_target=None, deny_target=None)
        cls.addClassCleanup(cls.stage.stop)
        # Servers that must never hear of a test.
        context = cls.stage.context()
        cls.traps = [imapd.Server(imapd.healthy_plain(context), "127.0.0.1", cls.stage.imap),
                     imapd.Server(imapd.healthy_tls(context), "127.0.0.1", cls.stage.imaps)]
        for trap in cls.traps:
            cls.addClassCleanup(trap.stop)

    def tearDown(self):
        for trap in self.traps:
            self.assertEqual(trap.connections, [], "a forbidden address was connected to")

    def test_address_parameter_is_judged_as_well(self):
        self.stage.dns.zone["public.test"] = dnsd.Name(a=["127.0.0.1"])
        for address in ("127.0.0.1", "::1", "10.1.2.3", "::ffff:127.0.0.1"):
            with self.subTest(address=address):
                self.problem(self.stage.service.test("public.test", address=address), 403, "target_not_allowed")

    def test_names_that_lead_inside_are_refused_and_the_answer_does_not_tell_where(self):
        zone = {
            "inside.test": dnsd.Name(a=["127.0.0.1"]),
            "several.test": dnsd.Name(a=["10.11.12.13", "192.168.77.1"], aaaa=["fd00::77"]),
            "mapped.test": dnsd.Name(aaaa=["::ffff:127.0.0.1"]),
            "alias.test": dnsd.Name(cname="inside.test"),
        }
        self.stage.dns.zone.update(zone)
        for name in zone:
            with self.subTest(name=name):
                answer = self.stage.service.test(name)
                self.problem(answer, 403, "target_not_allowed")
                for address in (b"127.0.0.1", b"10.11.12.13", b"192.168.77.1", b"fd00::77", b"7f00"):
                    self.assertNotIn(address, answer.body)

    def test_localhost_is_refused(self):
        for name in ("localhost", "LOCALHOST", "localhost.", "x.localhost"):
            with self.subTest(name=name):
                self.problem(self.stage.service.test(name), 403, "target_not_allowed")

    def test_head_is_refused_alike(self):
        answer = self.stage.service.request("HEAD", self.stage.service.test_path("127.0.0.1"))
        self.assertEqual((answer.status, answer.body), (403, b""))


class OperatorsRowsTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(allow_target=["127.0.0.0/8", "127.5.5.0/24", "10.0.0.0/8"],
                                deny_target=["127.5.0.0/16", "127.6.0.0/16", "127.6.6.0/24", "10.0.0.0/8"])
        cls.addClassCleanup(cls.stage.stop)
        context = cls.stage.context()
        cls.host = cls.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))

    def test_longest_prefix_decides_and_deny_wins_a_tie(self):
        for address, allowed in (("127.5.4.1", False), ("127.5.5.1", True), ("127.6.1.1", False),
                                 ("127.6.6.1", False), ("127.7.0.1", True), ("10.1.1.1", False),
                                 ("192.168.1.1", False)):
            with self.subTest(address=address):
                answer = self.stage.service.test(address)
                if allowed:
                    report = self.check_report(answer)
                    self.assertEqual(report["verdict"], "unreachable")
                    self.assertEqual(report["ports"][0]["error"]["code"], "connection_refused")
                else:
                    self.problem(answer, 403, "target_not_allowed")

    def test_host_with_permitted_and_forbidden_addresses(self):
        self.stage.dns.zone["mixed.play.test"] = dnsd.Name(a=["10.9.8.7", self.host.address])
        report = self.report(self.stage.service, "mixed.play.test")
        self.assertEqual(report["dns"]["addresses"], [self.host.address])
        self.assertEqual(report["verdict"], "ok", report["findings"])
        self.assertEqual(self.finding(report, "address_not_allowed")["severity"], "info")
        for port in report["ports"]:
            self.assertEqual(port["address"], self.host.address)
            blocked, reached = port["attempts"]
            self.assertEqual(blocked["address"], "10.9.8.7")
            self.assertEqual(blocked["error"]["code"], "address_blocked")
            self.assertIsNone(reached["error"])

    def test_own_addresses_need_a_row_too(self):
        with stage.Stage(allow_target=["127.0.0.2/32"], deny_target=None) as here:
            self.problem(here.service.test("127.0.0.1"), 403, "target_not_allowed")
            self.assertEqual(self.report(here.service, "127.0.0.2")["verdict"], "unreachable")

    def test_scripted_host_was_reached_once_for_each_port(self):
        context = self.stage.context()
        host = self.stage.play(imapd.healthy_plain(context), imapd.healthy_tls(context))
        dead = net.fresh_address()
        self.stage.dns.zone["once.play.test"] = dnsd.Name(a=[host.address, dead])
        self.report(self.stage.service, "once.play.test")
        host.settle()
        self.assertEqual([len(server.connections) for server in host.servers()], [1, 1])


if __name__ == "__main__":
    case.main()

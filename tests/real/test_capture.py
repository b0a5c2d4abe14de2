"""Not a single packet to a blocked address: every TCP connection that is tried is captured while names change their
addresses under the service's eyes, answers mix permitted and blocked addresses, and every blocked form is asked for.

The service may reach one address of loopback. Servers on blocked ones count who comes."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import capture
import case
import dnsd
import forms
import imapd
import stage

PERMITTED = "127.0.0.2"
# Blocked, and reachable if it were not for the policy.
TRAPS = ("127.0.0.1", "127.0.0.3", "127.255.0.1", "127.255.255.254")
# Blocked likewise, and nobody listens there.
BLOCKED = TRAPS + ("10.0.0.1", "169.254.169.254", "192.168.0.1", "0.0.0.0")
BLOCKED6 = ("::1", "::ffff:127.0.0.1", "fd00:ec2::254", "64:ff9b::7f00:1", "fe80::1")
REBINDINGS = 120


class Rebinding(dnsd.Name):
    """A name with another address at each question for A records, none of which may be kept."""

    def __init__(self, *answers):
        self.answers, self.asked = answers, 0
        super().__init__(ttl=0)

    @property
    def a(self):
        self.asked += 1
        return self.answers[(self.asked - 1) % len(self.answers)]

    @a.setter
    def a(self, _):
        pass


class CaptureTest(case.Case):
    def setUp(self):
        self.stage = stage.Stage(allow_target=[PERMITTED + "/32"], deny_target=None, cache_seconds=0, client_rate="0",
                                 target_rate="0")
        self.addCleanup(self.stage.stop)
        self.ports = (self.stage.imap, self.stage.imaps)
        context = self.stage.context()
        self.reached = [imapd.Server(imapd.healthy_plain(context), PERMITTED, self.stage.imap),
                        imapd.Server(imapd.healthy_tls(context), PERMITTED, self.stage.imaps)]
        self.traps = [imapd.Tarpit(self.ports, address) for address in TRAPS]
        for server in self.reached + self.traps:
            self.addCleanup(server.stop)
        self.capture = capture.Capture((*self.ports, *capture.IMAP_PORTS)).start()
        self.addCleanup(self.end_capture)

    def end_capture(self):
        if self.capture:
            self.capture.abort()

    def check_captured(self, tests):
        """Each of so many tests went to both ports of the permitted address; nothing else was tried at all."""
        ended, self.capture = self.capture, None
        ended.stop()
        self.assertEqual(dict(ended.destinations(self.ports)), {PERMITTED: 2 * tests})
        self.assertEqual(capture.blocked(ended.syns), [])
        self.assertEqual([len(server.connections) for server in self.reached], [tests, tests])
        self.assertEqual({trap.address: trap.accepted for trap in self.traps}, dict.fromkeys(TRAPS, 0))

    def reach(self, host, **parameters):
        report = self.report(self.stage.service, host, **parameters)
        self.assertEqual(report["dns"]["addresses"], [PERMITTED])
        for port in report["ports"]:
            self.assertEqual(port["address"], PERMITTED)
        return report

    def refuse(self, host, **parameters):
        self.problem(self.stage.service.test(host, **parameters), 403, "target_not_allowed")

    def test_a_name_that_changes_its_address_at_every_question(self):
        name = self.stage.dns.zone["rebind.play.test"] = Rebinding(*(
            addresses for blocked in BLOCKED for addresses in ([PERMITTED], [blocked])))
        reached = 0
        for number in range(REBINDINGS):
            answer = self.stage.service.test("rebind.play.test")
            if number % 2 == 0:
                self.check_report(answer)
                reached += 1
            else:
                self.problem(answer, 403, "target_not_allowed")
        self.assertEqual(name.asked, REBINDINGS, "a test asks once, and connects to what was judged")
        self.check_captured(reached)

    def test_answers_with_permitted_and_blocked_addresses(self):
        tests = 0
        for number, blocked in enumerate(BLOCKED):
            for answer in ([PERMITTED, blocked], [blocked, PERMITTED], [blocked, PERMITTED, *BLOCKED]):
                self.stage.dns.zone["mixed%d.play.test" % number] = dnsd.Name(a=answer, aaaa=BLOCKED6, ttl=0)
                report = self.reach("mixed%d.play.test" % number)
                self.assertIn("address_not_allowed", self.ids(report))
                tests += 1
        self.check_captured(tests)

    def test_aliases_of_blocked_names(self):
        zone = self.stage.dns.zone
        zone["good.play.test"] = dnsd.Name(a=[PERMITTED], ttl=0)
        zone["togood.play.test"] = dnsd.Name(cname="good.play.test", ttl=0)
        for number, (a, aaaa) in enumerate([([address], []) for address in BLOCKED] +
                                           [([], [address]) for address in BLOCKED6]):
            zone["bad%d.test" % number] = dnsd.Name(a=a, aaaa=aaaa, ttl=0)
            zone["tobad%d.play.test" % number] = dnsd.Name(cname="bad%d.test" % number, ttl=0)
            zone["twice%d.play.test" % number] = dnsd.Name(cname="tobad%d.play.test" % number, ttl=0)
            for name in ("bad%d.test", "tobad%d.play.test", "twice%d.play.test"):
                self.refuse(name % number)
        self.reach("togood.play.test")
        self.check_captured(1)

    def test_every_blocked_form(self):
        asked = 0
        for row in forms.rows():
            if row.options or row.verdict == "permitted":
                continue
            status = 403 if row.verdict == "refused" else 400
            self.assertEqual(self.stage.service.test(row.form).status, status, row)
            self.assertIn(self.stage.service.test("good.play.test", address=row.form).status, (400, 403), row)
            asked += 1
        self.assertGreater(asked, 250)
        self.reach(PERMITTED)
        self.reach("other.play.test", address=PERMITTED)
        self.check_captured(2)

    def test_the_capture_sees_every_address(self):
        """Counts are worth something only where a connection to another address would be among them."""
        with stage.Stage(allow_target=["127.0.0.0/8", "::1/128"], deny_target=None, cache_seconds=0, client_rate="0",
                         target_rate="0") as other:
            with capture.Capture((other.imap, other.imaps)) as seen:
                for address in (TRAPS[0], "127.77.7.7", "::1", "::ffff:127.77.7.8"):
                    self.report(other.service, address)
        self.assertEqual(dict(seen.destinations((other.imap, other.imaps))),
                         dict.fromkeys((TRAPS[0], "127.77.7.7", "::1", "127.77.7.8"), 2))
        self.assertEqual(capture.summary(seen.syns), ("capture: 8 SYNs, 0 to blocked addresses", True))

    def test_summary_of_what_must_not_be(self):
        syns = [capture.Syn("lo", "127.0.0.1", "127.1.2.3", 143), capture.Syn("lo", "127.0.0.1", TRAPS[3], 993),
                capture.Syn("eth0", "192.0.2.7", "10.0.0.1", 20000)]
        self.assertEqual(capture.summary(syns), ("capture: 3 SYNs, 2 to blocked addresses: 10.0.0.1 port 20000, "
                                                 "%s port 993" % TRAPS[3], False))

    def test_which_addresses_are_blocked_for_all_tests(self):
        for address, port, blocked in (
                ("127.0.0.1", 143, False), ("127.200.1.1", 20000, False), ("::1", 993, False),
                ("127.255.0.1", 143, True), ("10.0.0.1", 993, True), ("8.8.8.8", 20000, True),
                ("8.8.8.8", 993, False), ("fe80::1%eth0", 143, True),
                ("fd00::2", 20000, True), ("169.254.169.254", 143, True), ("128.0.0.1", 20000, True)):
            self.assertEqual(capture.is_blocked(address, port), blocked, address)


if __name__ == "__main__":
    reason = capture.why_not()
    if reason:
        print("SKIPPED: nothing was captured, so nothing is shown: %s" % reason, file=sys.stderr)
        sys.exit(77)
    case.main()

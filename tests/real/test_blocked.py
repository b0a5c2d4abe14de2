"""A refusal tells nothing of what was refused: the same body, and no time by which one blocked target could be told
from another."""
import os
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import dnsd
import imapd
import service
import stage

ROUNDS = 60
LITERALS = {
    "literal that nobody answers": "10.255.255.1",
    "loopback with a server": "127.0.0.1",
    "loopback without one": "127.0.0.9",
    "IPv6 literal": "fd00::77",
    "IPv6 loopback": "::1",
    "IPv4-mapped": "::ffff:10.0.0.1",
    "NAT64": "64:ff9b::10.0.0.1",
    "6to4": "2002:a00:1::1",
    "metadata": "169.254.169.254",
    "IPv6 metadata": "fd00:ec2::254",
    "multicast": "224.0.0.1",
    "documentation": "192.0.2.1",
}
NAMES = {
    "one IPv4 address": dnsd.Name(a=["10.255.255.1"], ttl=0),
    "one that a server listens on": dnsd.Name(a=["127.0.0.1"], ttl=0),
    "several": dnsd.Name(a=["10.255.255.%d" % n for n in range(1, 9)], ttl=0),
    "one IPv6 address": dnsd.Name(aaaa=["fd00::77"], ttl=0),
    "several of both": dnsd.Name(a=["192.168.77.1", "127.0.0.1"], aaaa=["fd00::77", "::1", "::ffff:127.0.0.1"], ttl=0),
    "metadata": dnsd.Name(a=["169.254.169.254"], ttl=0),
    "this machine": None,
}


def own_address():
    """An address of this machine beside loopback, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.255", 9))  # sends nothing
            return sock.getsockname()[0]
        except OSError:
            return "127.0.0.1"


class AlikeTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(allow_target=None, deny_target=None, cache_seconds=0, client_rate="0", target_rate="0")
        cls.addClassCleanup(cls.stage.stop)
        cls.trap = imapd.Tarpit((cls.stage.imap, cls.stage.imaps), "127.0.0.1")
        cls.addClassCleanup(cls.trap.stop)

    def ask_alike(self, targets):
        """Asks for all in turn, many times; bodies and times must be alike. `targets`: parameters by what they are."""
        bodies, headers, times = {}, {}, {what: [] for what in targets}
        for _ in range(ROUNDS):
            for what, parameters in targets.items():
                started = time.perf_counter()
                answer = self.stage.service.test(**parameters)
                times[what].append(time.perf_counter() - started)
                body = self.problem(answer, 403, "target_not_allowed")
                del body["request_id"]
                bodies.setdefault(repr(sorted(body.items())), what)
                headers.setdefault(repr(sorted(answer.headers)), what)
        self.assertEqual(len(bodies), 1, bodies)
        self.assertEqual(len(headers), 1, headers)
        medians = {what: statistics.median(values) for what, values in times.items()}
        print("medians in ms: " + ", ".join("%s %.2f" % (what, 1000 * value) for what, value in medians.items()),
              file=sys.stderr)
        # Waiting for anything but the answer itself takes longer; the rest is room for a busy machine.
        bound = 2 * min(medians.values()) + 0.003 * service.slowness()
        self.assertLess(max(medians.values()), bound, medians)
        self.assertEqual(self.trap.accepted, 0)

    def test_literals(self):
        literals = {**LITERALS, "this machine": own_address()}
        self.ask_alike({what: {"host": address} for what, address in literals.items()})

    def test_address_parameter(self):
        self.ask_alike({what: {"host": "some.test", "address": address} for what, address in LITERALS.items()})

    def test_names(self):
        targets = {}
        for number, (what, entry) in enumerate(NAMES.items()):
            self.stage.dns.zone["name%d.test" % number] = entry or dnsd.Name(a=[own_address()], ttl=0)
            targets[what] = {"host": "name%d.test" % number}
        self.ask_alike(targets)

    def test_a_name_is_refused_in_the_words_of_a_literal(self):
        self.stage.dns.zone["words.test"] = dnsd.Name(a=["10.255.255.1"])
        bodies = [self.problem(answer, 403, "target_not_allowed") for answer in (
            self.stage.service.test("words.test"), self.stage.service.test("10.255.255.1"),
            self.stage.service.test("words.test", address="10.255.255.1"))]
        for body in bodies:
            del body["request_id"]
        self.assertEqual(bodies[0], bodies[1])
        self.assertEqual(bodies[0], bodies[2])


if __name__ == "__main__":
    case.main()

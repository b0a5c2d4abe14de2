"""Servers that break the rules on purpose, and a machine that has run out: what is reported, and who else suffers."""
import contextlib
import functools
import os
import random
import resource
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import der
import dnsd
import imapd
import net
import rogue
import service
import stage
import staples
import tlsserver

VERSIONS = ("1.2", "1.3")

# Bounds of the program (limits.h) that are gone past here.
MOST_CERTIFICATE = 96 * 1024
MOST_MESSAGE = 128 * 1024


@functools.lru_cache(maxsize=None)
def own():
    """The pair whose key the rogue server holds."""
    return certs.self_signed("rogue.play.test")


@functools.lru_cache(maxsize=None)
def key():
    return rogue.public_key(own())


@functools.lru_cache(maxsize=None)
def rsa_key_file():
    return certs.self_signed("rogue.play.test", key="rsa").key_file


ROGUE = der.name("rogue.play.test")


def leaf(*extra):
    return der.certificate(ROGUE, ROGUE, key(), [der.dns_names("rogue.play.test"), *extra])


@functools.lru_cache(maxsize=None)
def plain_chain():
    return rogue.chain([leaf()])


def with_size(size):
    """A certificate of at least this size; the bulk is in its subject."""
    return der.certificate(der.name("a" * size), ROGUE, key())


def odd_number(bits):
    return random.Random(bits).getrandbits(bits) | 1 << (bits - 1) | 1


def endless_key(bits=65536):
    """An RSA key whose one use keeps a processor busy for a minute or more."""
    return der.rsa_key(odd_number(bits), odd_number(bits - 2))


def costly_chain(bits, exponent_bits, count=16):
    """Certificates that all name each other as issuer, with RSA keys whose use takes long. Any odd numbers will do:
    no signature is ever right."""
    numbers = random.Random(bits)

    def odd(size):
        return numbers.getrandbits(size) | 1 << (size - 1) | 1

    same, costly = der.name("rogue.play.test"), der.rsa_key(odd(bits), odd(exponent_bits))
    signature = numbers.getrandbits(bits - 2).to_bytes(bits // 8, "big")
    return [der.certificate(same, same, costly if number else key(), [der.is_ca()], number + 1, der.SIGNED_RSA,
                            signature) for number in range(count)]


class RogueCase(case.Case):
    """One service with one worker: whoever holds that up is noticed by all."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(workers=1)
        cls.addClassCleanup(cls.stage.stop)

    def answer(self, *plays, chain=None, port=None, key_file=None):
        """The service's answer about a rogue server with these plays, each of which begins with the chain."""
        port = port or self.stage.imaps
        plays = [play if play.startswith("chain=") else "chain=%s %s" % (chain or plain_chain(), play)
                 for play in plays]
        with rogue.Rogue(port, key_file or own().key_file, *plays) as server:
            return self.stage.service.test(self.stage.name(server.address), ports=str(port))

    def against(self, *plays, **options):
        """The port and its report."""
        report = self.check_report(self.answer(*plays, **options))
        self.assertEqual(len(report["ports"]), 1)
        return report["ports"][0], report


class SecondConnectionTest(RogueCase):
    """no_application_protocol behind a TLS 1.3 handshake that was complete: what came is of no account."""

    refusal = "tls=1.3 alert=120"

    def check_attempts(self, port, report, second):
        self.assertEqual([attempt["error"] and attempt["error"]["code"] for attempt in port["attempts"]],
                         ["tls_handshake_failed", second])
        self.assertEqual(port["attempts"][0]["error"]["alert"], "no_application_protocol")
        self.assertEqual(self.finding(report, "alpn_refused")["severity"], "notice")

    def test_facts_are_those_of_the_second(self):
        many = rogue.chain([leaf()] * 16)
        for last, count in ((plain_chain(), 1), (many, 16)):
            with self.subTest(certificates=count):
                port, report = self.against("chain=%s %s" % (many, self.refusal), "chain=%s tls=1.3 talk" % last)
                self.check_attempts(port, report, None)
                self.assertIsNone(port["error"])
                self.assertTrue(port["implicit_tls"])
                self.assertEqual(len(port["certificate"]["chain"]), count)
                self.assertEqual(port["certificate"]["sans"], [{"type": "dns", "value": "rogue.play.test"}])
                self.assertEqual(port["truncated"], [])

    def test_versions_and_chains_are_not_mixed(self):
        port, _ = self.against("chain=%s %s" % (rogue.chain([leaf()] * 40), self.refusal), "tls=1.2 talk")
        self.assertEqual(port["tls"]["version"], "TLS 1.2")
        self.assertEqual(len(port["certificate"]["chain"]), 1)
        self.assertEqual(port["truncated"], [])

    def test_what_was_said_before_tls_counts_once(self):
        port, report = self.against("starttls=3000 " + self.refusal, "starttls tls=1.3 bad", port=self.stage.imap)
        self.check_attempts(port, report, None)
        self.assertEqual(port["greeting"]["text"], "ready")
        self.assertEqual(port["truncated"], [])
        self.assertEqual(port["capability_phases"]["command"], ["IMAP4rev1", "STARTTLS"])
        port, _ = self.against("starttls=3000 tls=1.3 bad", port=self.stage.imap)
        self.assertIn("greeting", port["truncated"])

    def test_no_facts_where_the_second_is_refused(self):
        port, report = self.against("deaf " + self.refusal)
        self.check_attempts(port, report, "connection_refused")
        self.assertEqual(port["error"]["code"], "connection_refused")
        self.assertFalse(port["implicit_tls"])
        self.assertIsNone(port["tls"])
        self.assertIsNone(port["certificate"])
        self.assertEqual(port["timings_ms"]["tls_handshake"], None)

    def test_no_facts_of_the_first_where_the_second_handshake_fails(self):
        port, report = self.against("chain=%s %s" % (rogue.chain([leaf()] * 16), self.refusal), "cut=0 tls=1.3")
        self.check_attempts(port, report, None)
        self.assertEqual((port["error"]["code"], port["error"]["phase"]), ("connection_closed", "tls"))
        self.assertFalse(port["implicit_tls"])
        self.assertIsNone(port["tls"])
        self.assertIsNone(port["certificate"])


class CertificateTest(RogueCase):
    """Certificates that no CA would issue."""

    def beside(self, chain, play="tls=1.3 talk", key_file=None):
        """A test of this chain while a healthy server is tested again and again by the same worker: port, report,
        seconds, and the longest that the other tests took."""
        context = self.stage.context()
        healthy = self.stage.play(imapd.healthy_plain(context))
        result, waits = [], []

        def ask():
            result.append(self.answer(play, chain=rogue.chain(chain), key_file=key_file))

        begin = time.monotonic()
        hostile = threading.Thread(target=ask)
        hostile.start()
        while hostile.is_alive() or not waits:
            asked = time.monotonic()
            report = self.report(self.stage.service, healthy.name, ports=str(self.stage.imap))
            waits.append(time.monotonic() - asked)
            self.assertEqual(report["verdict"], "ok")
        hostile.join()
        took = time.monotonic() - begin
        report = self.check_report(result[0])
        return report["ports"][0], report, took, max(waits)

    def test_costly_keys_hold_nobody_up(self):
        port, report, took, wait = self.beside(costly_chain(8192, 8192))
        self.assertIn("certificate_untrusted", self.ids(report))
        self.assertFalse(port["certificate"]["chain_valid"])
        self.assertEqual(len(port["certificate"]["chain"]), 16)
        self.assertTrue(port["implicit_tls"])
        self.assertLess(wait, 1.5 * service.slowness(), "a healthy server's test waited")
        self.assertLess(took, 2 * service.slowness())

    def test_server_key_is_not_used_where_that_takes_for_ever(self):
        """The key of the server's own certificate, which the handshake itself needs."""
        chain = [der.certificate(ROGUE, ROGUE, endless_key(), [der.dns_names("rogue.play.test")])]
        for version in VERSIONS:
            with self.subTest(version=version):
                port, report, took, wait = self.beside(chain, "tls=%s talk" % version, rsa_key_file())
                self.assertEqual((port["error"]["code"], port["error"]["phase"], port["error"]["raw"]),
                                 ("tls_handshake_failed", "tls", "GNUTLS_E_CERTIFICATE_ERROR"))
                self.assertEqual(port["certificate"]["key_bits"], 65536)
                self.assertFalse(port["implicit_tls"])
                self.assertIn("tls_handshake_failed", self.ids(report))
                self.assertLess(wait, 1.5 * service.slowness(), "a healthy server's test waited")
                self.assertLess(took, 2 * service.slowness())

    def test_responder_key_is_not_used_where_that_takes_for_ever(self):
        """A stapled response may bring its signer's certificate, which a CA of the same stranger has issued."""
        leaf = certs.Authority("Stranger").leaf("*.play.test")
        staple = staples.by_helper_key(leaf, endless_key(), b"\x3f" * 8192)
        step = tlsserver.openssl(*tlsserver.files(leaf, "full"), "-status_file", staple)
        host = self.stage.play(tls=[step])
        began = time.monotonic()
        port, = self.report(self.stage.service, host.name, ports=str(self.stage.imaps))["ports"]
        self.assertEqual(port["certificate"]["ocsp_stapling"], "invalid")
        self.assertLess(time.monotonic() - began, 2 * service.slowness())

    def test_subject_of_thousands_of_names(self):
        port, _, took, wait = self.beside([der.certificate(der.name(*["a"] * 5000), ROGUE, key())])
        self.assertTrue(port["certificate"]["subject"].startswith("CN=a,CN=a,CN=a,"))
        self.assertLess(len(port["certificate"]["subject"]), 600)
        self.assertIn("text", port["truncated"])
        self.assertLess(wait, 1.5 * service.slowness())
        self.assertLess(took, 2 * service.slowness())

    def test_subject_of_one_very_long_name(self):
        for size in (5000, 60 * 1024, 70 * 1024):
            with self.subTest(size=size):
                port, _ = self.against("tls=1.3 talk", chain=rogue.chain([with_size(size)]))
                subject = port["certificate"]["subject"]
                self.assertEqual(subject[:10], "CN=aaaaaaa" if size < 65536 else "")
                self.assertEqual(len(subject), 512 if size < 65536 else 0)
                self.assertEqual(port["truncated"], ["text"])

    def test_certificates_that_do_not_parse(self):
        broken = [b"not DER at all", b"\x30\x80\x00\x00", leaf()[:-40], b"\x30\x03\x02\x01\x05"]
        for junk in broken:
            with self.subTest(junk=junk[:8], place="behind the leaf"):
                port, report = self.against("tls=1.3 talk", chain=rogue.chain([leaf(), junk]))
                self.assertIsNone(port["error"])
                self.assertEqual(len(port["certificate"]["chain"]), 1)
                self.assertIn("other", port["certificate"]["chain_errors"])
                self.assertIn("certificate_untrusted", self.ids(report))
            for version in VERSIONS:
                with self.subTest(junk=junk[:8], place="leaf", version=version):
                    port, report = self.against("tls=%s talk" % version, chain=rogue.chain([junk, leaf()]))
                    self.assertEqual(port["error"]["code"], "tls_handshake_failed")
                    self.assertTrue(port["error"]["raw"].startswith("GNUTLS_E_"), port["error"])
                    self.assertFalse(port["implicit_tls"])
                    self.assertIn("tls_handshake_failed", self.ids(report))

    def test_certificate_over_its_bound(self):
        for chain, shown in (([leaf(), with_size(MOST_CERTIFICATE)], 1),
                             ([leaf(), with_size(MOST_CERTIFICATE), leaf()], 2),
                             ([with_size(MOST_CERTIFICATE)], 0)):
            with self.subTest(certificates=len(chain), shown=shown):
                port, report = self.against("tls=1.3 talk", chain=rogue.chain(chain))
                self.assertIsNone(port["error"])
                self.assertTrue(port["implicit_tls"])
                self.assertIn("other", port["certificate"]["chain_errors"])
                self.assertEqual(len(port["certificate"]["chain"]), shown)
                self.assertIn("chain", port["truncated"])
                self.assertIn("certificate_untrusted", self.ids(report))

    def test_message_over_its_bound(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                chain = rogue.chain([leaf(), with_size(MOST_MESSAGE // 2), with_size(MOST_MESSAGE // 2)])
                port, report = self.against("tls=%s talk" % version, chain=chain)
                self.assertEqual((port["error"]["code"], port["error"]["phase"], port["error"]["raw"]),
                                 ("tls_handshake_failed", "tls", "GNUTLS_E_HANDSHAKE_TOO_LARGE"))
                self.assertIsNone(port["certificate"])
                self.assertIn("tls_handshake_failed", self.ids(report))

    def test_message_just_short_enough(self):
        half = MOST_MESSAGE // 2 - 1024
        port, _ = self.against("tls=1.3 talk", chain=rogue.chain([leaf(), with_size(half), with_size(half)]))
        self.assertIsNone(port["error"])
        self.assertEqual(len(port["certificate"]["chain"]), 3)


class BrokenSessionTest(RogueCase):
    """TLS trouble once the handshake is over: the connection ended, and TLS worked."""

    # Steps behind the handshake, phase, alert, raw.
    TROUBLE = [
        ("greet alert=80", "capability", "internal_error", "GNUTLS_E_FATAL_ALERT_RECEIVED"),
        ("greet bad", "capability", None, "GNUTLS_E_DECRYPTION_FAILED"),
        ("bad", "greeting", None, "GNUTLS_E_DECRYPTION_FAILED"),
    ]

    def check_broken(self, port, report, phase, alert, raw):
        error = port["error"]
        self.assertEqual((error["code"], error["phase"], error["alert"], error["raw"]),
                         ("connection_closed", phase, alert, raw))
        self.assertIsNotNone(port["tls"])
        self.assertFalse({"tls_handshake_failed", "starttls_failed"} & self.ids(report), self.ids(report))

    def test_implicit_tls(self):
        for version in VERSIONS:
            for steps, phase, alert, raw in self.TROUBLE:
                with self.subTest(version=version, steps=steps):
                    port, report = self.against("tls=%s %s" % (version, steps))
                    self.check_broken(port, report, phase, alert, raw)
                    self.assertTrue(port["implicit_tls"])

    def test_starttls(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                port, report = self.against("starttls tls=%s bad" % version, port=self.stage.imap)
                self.check_broken(port, report, "capability", None, "GNUTLS_E_DECRYPTION_FAILED")
                self.assertTrue(port["starttls_supported"])

    def test_flood_of_key_updates(self):
        port, report = self.against("tls=1.3 greet updates=20000")
        self.check_broken(port, report, "capability", None, "GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS")
        self.assertTrue(port["implicit_tls"])

    def test_alert_in_place_of_the_greeting_is_a_failed_handshake(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                port, report = self.against("tls=%s alert=80" % version)
                self.assertEqual((port["error"]["code"], port["error"]["phase"], port["error"]["alert"]),
                                 ("tls_handshake_failed", "tls", "internal_error"))
                self.assertFalse(port["implicit_tls"])
                self.assertIn("tls_handshake_failed", self.ids(report))

    def test_one_byte_records(self):
        port, _ = self.against("tls=1.3 greet tiny=300000")
        self.assertEqual((port["error"]["code"], port["error"]["phase"], port["error"]["raw"]),
                         ("response_too_long", "capability", None))
        self.assertTrue(port["implicit_tls"])


class HandshakeTest(RogueCase):
    def test_reset_that_comes_along_with_the_acceptance(self):
        """Many times, as it is a matter of chance whether we know of the acceptance before the reset."""
        ports = str(self.stage.imap), str(self.stage.imaps)
        for label, steps, codes in (
                ("reset", [imapd.reset()], ("connection_reset", "connection_reset")),
                ("bye", [imapd.send("* BYE too many\r\n"), imapd.reset()], ("server_bye", "tls_not_spoken"))):
            host = self.stage.play(steps, steps)
            for number in range(100):
                with self.subTest(label=label, number=number):
                    for port, code in zip(ports, codes):
                        port, = self.report(self.stage.service, host.name, ports=port)["ports"]
                        self.assertEqual((port["reachable"], port["error"]["code"]), (True, code))

    def test_alert_before_our_hello(self):
        """Several times, as it is a matter of chance which of the two is first in the socket."""
        with rogue.Rogue(self.stage.imaps, own().key_file, "early=40") as server:
            name = self.stage.name(server.address)
            for _ in range(10):
                port = self.report(self.stage.service, name, ports=str(self.stage.imaps))["ports"][0]
                self.assertEqual((port["error"]["code"], port["error"]["alert"]),
                                 ("tls_handshake_failed", "handshake_failure"))

    def test_client_certificate(self):
        for version in VERSIONS:
            with self.subTest(version=version, demanded=True):
                port, report = self.against("tls=%s+demand talk" % version)
                self.assertEqual((port["error"]["code"], port["error"]["phase"]),
                                 ("client_certificate_required", "tls"))
                self.assertFalse(port["implicit_tls"])
                # In TLS 1.3 our side of the handshake is over before the server says so.
                self.assertEqual(port["tls"] and port["tls"]["version"], "TLS 1.3" if version == "1.3" else None)
                self.assertEqual(port["certificate"]["subject"], "CN=rogue.play.test")
                self.assertEqual(self.finding(report, "client_certificate_required")["severity"], "warning")
            with self.subTest(version=version, demanded=False):
                port, report = self.against("tls=%s+ask talk" % version)
                self.assertIsNone(port["error"])
                self.assertTrue(port["implicit_tls"])
                self.assertNotIn("client_certificate_required", self.ids(report))

    def test_cut_behind_each_record(self):
        for version in VERSIONS:
            for cut, code in (("cut", "connection_closed"), ("snap", "connection_reset")):
                seen = []
                for records in range(16):
                    with self.subTest(version=version, cut=cut, records=records):
                        port, report = self.against("%s=%d tls=%s talk" % (cut, records, version))
                        seen.append((port["tls"] is not None, port["certificate"] is not None))
                        if port["error"] is None:
                            break
                        phase = "greeting" if port["tls"] else "tls"
                        self.assertEqual((port["error"]["code"], port["error"]["phase"]), (code, phase))
                        self.assertEqual(port["implicit_tls"], port["tls"] is not None)
                        self.assertEqual("tls_handshake_failed" in self.ids(report), port["tls"] is None)
                # At least ServerHello, certificate, its proof, Finished, and one whole dialogue at the end.
                self.assertIsNone(port["error"], "the handshake had no end")
                self.assertGreaterEqual(len(seen), 6)
                if cut == "cut":  # what a reset overtakes is lost
                    self.assertEqual(seen, sorted(seen), "facts came and went")
                    self.assertIn((False, True), seen, "a certificate counts as soon as it came")


class AddressTest(case.Case):
    def test_many_forbidden_addresses_hide_no_permitted_one(self):
        with stage.Stage() as here:
            host = here.play(imapd.healthy_plain(here.context()), imapd.healthy_tls(here.context()))
            here.dns.zone[host.name].aaaa = ["2001:db8::%x" % number for number in range(1, 18)]
            report = self.report(here.service, host.name)
        self.assertEqual(report["verdict"], "ok")
        self.assertIn(host.address, report["dns"]["addresses"])
        self.assertTrue(report["dns"]["truncated"])
        self.assertIn("address_not_allowed", self.ids(report))
        for port in report["ports"]:
            self.assertEqual(port["address"], host.address)
            self.assertIsNone(port["error"])


class DeafTest(case.Case):
    """Nothing answers our SYN: the queue of the listener is full."""

    @contextlib.contextmanager
    def deaf(self, here):
        """A name whose STARTTLS port takes no connection and does not say so."""
        address = net.fresh_address()
        with socket.create_server((address, here.imap), backlog=0) as listener:
            waiting = []
            try:
                # One more than the queue takes is dropped, so the last of these does not come through.
                for _ in range(4):
                    sock = socket.socket()
                    waiting.append(sock)
                    sock.setblocking(False)
                    sock.connect_ex((address, here.imap))
                time.sleep(0.1)
                yield here.name(address)
            finally:
                for sock in (*waiting, listener):
                    sock.close()

    def test_wait_for_the_connect_is_over(self):
        with stage.Stage(connect_timeout_ms=700) as here, self.deaf(here) as name:
            report = self.report(here.service, name, ports=str(here.imap))
            port, = report["ports"]
            self.assertFalse(port["reachable"])
            self.assertEqual((port["error"]["code"], port["error"]["phase"]), ("connection_timeout", "connect"))
            self.assertEqual([attempt["error"]["code"] for attempt in port["attempts"]], ["connection_timeout"])
            self.assertEqual(self.ids(report), {"port_unreachable"})
            self.assertEqual(report["verdict"], "unreachable")
            self.assertGreaterEqual(report["duration_ms"], 690)
            self.assertLess(report["duration_ms"], 700 + 700 * service.slowness())

    def test_whole_test_is_over_meanwhile(self):
        with stage.Stage() as here, self.deaf(here) as name:
            port, = self.report(here.service, name, ports=str(here.imap), timeout_ms=1000)["ports"]
            self.assertFalse(port["reachable"])
            self.assertEqual((port["error"]["code"], port["error"]["phase"]), ("deadline_exceeded", "connect"))

    def test_next_address_has_its_turn(self):
        with stage.Stage(connect_timeout_ms=500) as here, self.deaf(here) as name:
            healthy = here.play(imapd.healthy_plain(here.context()))
            here.dns.zone[name].a.append(healthy.address)
            port, = self.report(here.service, name, ports=str(here.imap))["ports"]
            self.assertEqual([attempt["error"] and attempt["error"]["code"] for attempt in port["attempts"]],
                             ["connection_timeout", None])
            self.assertTrue(port["starttls_supported"])


class ShortageTest(case.Case):
    """What this machine lacks says nothing about the host."""

    @staticmethod
    @contextlib.contextmanager
    def spare_descriptors(pid, spare):
        """Leaves the process so many descriptors more than it has."""
        used = {int(number) for number in os.listdir("/proc/%d/fd" % pid)}
        limit, free = 0, 0
        while limit <= max(used) or free < spare:
            free += limit not in used
            limit += 1
            if free > spare:
                limit -= 1
                break
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    def test_no_descriptor_is_left(self):
        with stage.Stage(workers=1) as here:
            host = here.play(imapd.healthy_plain(here.context()), imapd.healthy_tls(here.context()))
            request = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % here.service.test_path(host.name).encode()
            self.assertEqual(self.report(here.service, host.name)["verdict"], "ok")
            statuses = []
            with here.service.connect() as sock:
                stream = sock.makefile("rb")
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertEqual(service.read_answer(stream).status, 200)
                for spare in range(9):
                    with self.subTest(spare=spare), self.spare_descriptors(here.service.process.pid, spare):
                        sock.sendall(request)
                        answer = service.read_answer(stream)
                        statuses.append(answer.status)
                        if answer.status == 200:
                            self.assertEqual(self.check_report(answer)["verdict"], "ok")
                        else:
                            self.problem(answer, 503, "overloaded")
            self.assertEqual((statuses[0], statuses[-1]), (503, 200), statuses)
            self.assertEqual(self.report(here.service, host.name)["verdict"], "ok")


class ListenTest(case.Case):
    """Several addresses to listen on."""

    def run_until_it_ends(self, addresses):
        command = service.wrapper() + [service.binary(), "--dns-server", "127.0.0.1", "--trust-file",
                                       certs.trust_file()]
        for address in addresses:
            command += ["--listen", address]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=20 * service.slowness())

    def test_one_that_cannot_be_had(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = "127.0.0.1:%d" % taken.getsockname()[1]
            for at in range(3):
                addresses = ["127.0.0.1:0", "127.0.0.1:0"]
                addresses.insert(at, busy)
                with self.subTest(at=at):
                    done = self.run_until_it_ends(addresses)
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertEqual(done.stderr.splitlines()[-1],
                                     "imap-testd: cannot listen on %s: Address already in use" % busy)
                    self.assertNotRegex(done.stderr, service.SANITIZER_REPORT)
                    self.assertNotIn('"listening"', done.stderr)


if __name__ == "__main__":
    case.main()

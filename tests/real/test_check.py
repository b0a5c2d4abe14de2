"""`imap-testd --check`: one test from the command line, its report, its exit status."""
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import dnsd
import dovecot
import imapd
import net
import schema
import service

DAY = certs.DAY
SLOW = service.slowness()


class Done:
    """How a run ended: exit status, standard output and standard error."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out.decode(), err.decode()

    def __repr__(self):
        return "exit status %d\n%s\n%s" % (self.status, self.out, self.err)


def read_terminal(master, seconds):
    """What is written to a terminal until nobody holds it any more, with plain line ends."""
    out, end = b"", time.monotonic() + seconds
    while select.select([master], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux says so where the other end is closed
            break
        if not chunk:
            break
        out += chunk
    return out.replace(b"\r\n", b"\n")


class CheckTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.dns = dnsd.Dns().start()
        cls.addClassCleanup(cls.dns.stop)
        cls.imap, cls.imaps = net.fresh_ports(2)
        good = certs.trusted()
        leaves = {
            "good.test": good.leaf("good.test"),
            "soon.test": good.leaf("soon.test", start=-80 * DAY, end=10 * DAY + 3600),
            "expired.test": good.leaf("expired.test", start=-90 * DAY, end=-DAY - 3600),
        }
        cls.addresses = {name: net.fresh_address() for name in leaves}
        server = dovecot.start(ports=(cls.imap, cls.imaps), settings=dovecot.certificate(leaves["good.test"]),
                               sites={cls.addresses[name]: dovecot.certificate(leaf)
                                      for name, leaf in leaves.items()})
        cls.addClassCleanup(server.stop)
        for name, address in cls.addresses.items():
            cls.dns.zone[name] = dnsd.Name(a=[address])

    def command(self, host, flags=(), **options):
        settings = {"dns_server": self.dns.address, "trust_file": certs.trust_file(),
                    "allow_target": "127.0.0.0/8", "imap_port": self.imap, "imaps_port": self.imaps}
        settings.update(options)
        command = service.wrapper() + [service.binary(), "--check", host, *flags]
        for name, value in settings.items():
            if value is not None:
                command += ["--" + name.replace("_", "-"), str(value)]
        return command

    def start(self, command, stdout=subprocess.PIPE):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("IMAP_TEST_")}
        for name, value in service.SANITIZER_DEFAULTS.items():
            environment.setdefault(name, value)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                env=environment)

    def finish(self, process, out=b""):
        """Waits for the end; whatever the status, no sanitizer may have complained."""
        try:
            rest, err = process.communicate(timeout=30 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.fail("the program does not end")
        done = Done(process.returncode, out or rest or b"", err)
        self.assertIsNone(service.SANITIZER_REPORT.search(done.err), done)
        return done

    def run_check(self, host, *flags, **options):
        return self.finish(self.start(self.command(host, flags, **options)))

    def run_on_terminal(self, host, *flags, **options):
        """The same with a terminal as standard output."""
        master, slave = pty.openpty()
        try:
            process = self.start(self.command(host, flags, **options), stdout=slave)
            os.close(slave)
            return self.finish(process, read_terminal(master, 30 * SLOW))
        finally:
            os.close(master)

    def test_transcript(self):
        report = self.report_of(self.run_check("good.test", "--transcript"), 0)
        for port in report["ports"]:
            sent = [line["text"].partition(" ")[2] for line in port["transcript"] if line["direction"] == "sent"]
            self.assertEqual(sent[-2:], ['ID ("name" "imap-testd")', "LOGOUT"])
        shown = self.run_on_terminal("good.test", "--transcript").out
        for port in report["ports"]:
            self.assertIn("\nDialogue with port %d\n" % port["port"], shown)
            self.assertRegex(shown, r'\n +\d+\.\d ms C: [a-z]+\d ID \("name" "imap-testd"\)\n'
                                    r" +\d+\.\d ms C: [a-z]+\d LOGOUT\n +\d+\.\d ms S: ")
            self.assertRegex(shown, r" ms S: \* BYE Logging out\n")
        self.assertNotIn("Dialogue", self.run_on_terminal("good.test").out)

    def report_of(self, done, status):
        """The JSON of a run that made a report and had nothing to say besides."""
        self.assertEqual(done.status, status, done)
        self.assertEqual(done.err, "", done)
        self.assertTrue(done.out.endswith("}\n"), done)
        report = json.loads(done.out)
        schema.validate_report(report)
        self.check_consistency(report)
        return report

    def test_healthy(self):
        report = self.report_of(self.run_check("GOOD.test."), 0)
        self.assertEqual(report["verdict"], "ok", report["findings"])
        self.assertEqual(report["host"], "good.test")
        self.assertEqual([port["port"] for port in report["ports"]], [self.imap, self.imaps])
        self.assertEqual([port["tls"]["version"] for port in report["ports"]], ["TLS 1.3"] * 2)

    def test_warnings_and_problems(self):
        for name, verdict in (("soon.test", "warnings"), ("expired.test", "problems")):
            with self.subTest(name=name):
                self.assertEqual(self.report_of(self.run_check(name), 1)["verdict"], verdict)

    def test_trust_file_counts(self):
        report = self.report_of(self.run_check("good.test", trust_file=certs.untrusted().root.file), 1)
        self.assertIn("certificate_untrusted", self.ids(report))

    def test_unreachable(self):
        self.dns.zone["closed.test"] = dnsd.Name(a=[net.fresh_address()])
        for name, finding in (("nothing.test", "host_not_resolved"), ("closed.test", "port_unreachable")):
            with self.subTest(name=name):
                report = self.report_of(self.run_check(name), 3)
                self.assertEqual(report["verdict"], "unreachable")
                self.assertIn(finding, self.ids(report))

    def test_inconclusive(self):
        address = net.fresh_address()
        self.dns.zone["busy.test"] = dnsd.Name(a=[address])
        bye = [imapd.send("* BYE [UNAVAILABLE] Come back later\r\n"), imapd.close()]
        with imapd.Server(bye, address, self.imap):
            self.assertEqual(self.report_of(self.run_check("busy.test"), 3)["verdict"], "inconclusive")

    def test_forbidden_target(self):
        for options in ({"allow_target": None}, {"deny_target": self.addresses["good.test"]}):
            with self.subTest(options=options):
                done = self.run_check("good.test", **options)
                self.assertEqual((done.status, done.out), (3, ""), done)
                self.assertRegex(done.err, r"^imap-testd: good\.test was not tested: .*--allow-target CIDR[^\n]*\n$")

    def test_wrong_usage(self):
        for host, options in (("no host", {}), ("", {}), ("good.test", {"imap_port": 0}),
                              ("good.test", {"trust_file": "/nonexistent"}),
                              ("good.test", {"trust_file": os.path.abspath(__file__)})):
            with self.subTest(host=host, options=options):
                done = self.run_check(host, **options)
                self.assertEqual((done.status, done.out), (2, ""), done)
                self.assertRegex(done.err, r"^imap-testd: [^\n]+\n$")

    def test_table_on_a_terminal(self):
        done = self.run_on_terminal("soon.test")
        self.assertEqual((done.status, done.err), (1, ""), done)
        lines = done.out.splitlines()
        self.assertEqual(lines[0], "soon.test: warnings")
        for port, kind in ((self.imap, "imap"), (self.imaps, "imaps")):
            rows = [line.split() for line in lines if line.startswith("%d " % port)]
            self.assertEqual([row[:6] for row in rows],
                             [[str(port), kind, "warnings", self.addresses["soon.test"], "TLS", "1.3"]], done)
        self.assertIn("  Subject  CN=soon.test", lines)
        self.assertIn("  warning: The certificate expires in 10 days (port %d, port %d)" % (self.imap, self.imaps),
                      lines)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_table_cannot_act_on_the_terminal(self):
        address = net.fresh_address()
        self.dns.zone["evil.test"] = dnsd.Name(a=[address])
        evil = [imapd.send(b"* BYE \x1b]0;owned\x07\x1b[2J\xc2\x9b31m\r\n"), imapd.close()]
        with imapd.Server(evil, address, self.imap):
            done = self.run_on_terminal("evil.test")
        self.assertIn("\\x1b]0;owned\\x07\\x1b[2J\\u{009b}31m", done.out)
        self.assertEqual([c for c in done.out if not (c == "\n" or c.isprintable())], [])

    def test_json_where_it_is_asked_for(self):
        self.report_of(self.run_on_terminal("good.test", "--json"), 0)
        self.report_of(self.run_check("good.test", "--json"), 0)

    def test_never_listens_and_never_logs(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = "127.0.0.1:%d" % taken.getsockname()[1]
            for level in ("info", "debug"):
                self.report_of(self.run_check("good.test", listen=listen, log_level=level, cache_seconds=9,
                                              max_in_flight=1000000), 0)

    def test_time_limits_count(self):
        address = net.fresh_address()
        self.dns.zone["mute.test"] = dnsd.Name(a=[address])
        self.dns.zone["silent.test"] = dnsd.Name(silent=True)
        with imapd.Server([imapd.silence()], address, self.imap), \
                imapd.Server([imapd.silence()], address, self.imaps):
            for name, options in (("mute.test", {"io_timeout_ms": 300}), ("mute.test", {"deadline_ms": 1000}),
                                  ("silent.test", {"dns_timeout_ms": 300})):
                with self.subTest(name=name, options=options):
                    done = self.run_check(name, **options)
                    self.assertIn(done.status, (1, 3), done)
                    self.assertLess(self.report_of(done, done.status)["duration_ms"], 2500 * SLOW)

    def test_unwritable_output(self):
        for name in ("good.test", "nothing.test"):  # a long report and one that fits into a buffer
            with self.subTest(name=name), open("/dev/full", "wb") as full:
                done = self.finish(self.start(self.command(name), stdout=full))
                self.assertEqual(done.status, 3, done)
                self.assertIn("cannot be written", done.err)
        reader, writer = os.pipe()
        os.close(reader)
        process = self.start(self.command("good.test"), stdout=writer)
        os.close(writer)
        self.assertEqual(self.finish(process).status, 3)

    def test_signal_ends_it(self):
        address = net.fresh_address()
        self.dns.zone["hang.test"] = dnsd.Name(a=[address])
        with imapd.Server([imapd.silence()], address, self.imap) as server:
            process = self.start(self.command("hang.test"))
            try:
                service.wait_until(lambda: server.connections, 20 * SLOW, "the program connects")
            finally:
                process.send_signal(signal.SIGTERM)
            self.assertEqual(self.finish(process).status, -signal.SIGTERM)


if __name__ == "__main__":
    case.main()

"""The service needs no right, writes no file, and stays inside the sandboxes that deploy/ and docker/ draw.

It is started without any capability on file systems that are read-only to it, and its system calls of a whole life are
compared with what the unit allows.
"""
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import net
import service
import stage

DEPLOY = os.path.join(service.ROOT, "deploy")
UNIT = os.path.join(DEPLOY, "imap-testd.service")
SOCKET_UNIT = os.path.join(DEPLOY, "imap-testd.socket")
INSTALLED = "/usr/local/bin/imap-testd"

# As `systemd-analyze security` of Debian 12 sees the unit: 0 is a service that can do nothing, 10 one that can do all.
EXPOSURE = 1.5

# How long the last answers may take to be written, after the grace of the tests (server/stop.c).
LAST_ANSWERS_S = 10

NOBODY = 65534
# No capability, none to be got by executing something, and no mount that can be written to.
CONFINE = """
awk '{print $5}' /proc/self/mountinfo | sort -u | while IFS= read -r point; do
    mount -o remount,bind,ro "$(printf %b "$point")"
done
exec setpriv --reuid={id} --regid={id} --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs -- "$@"
"""
CONFINED = ["unshare", "--mount", "--propagation", "private", "--",
            "/bin/sh", "-c", CONFINE.replace("{id}", str(NOBODY)), "confine"]

KEY = "the-key-of-the-privileges-test"
CALL = re.compile(r"^\d+\s+(\w+)\((.*)$")
WRITING = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "__O_TMPFILE", "O_TMPFILE"}


def can(*command):
    """Whether this machine lets us run the command."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def needs(what, *command):
    return unittest.skipUnless(can(*command), "not allowed here, or not installed: " + what)


needs_confinement = needs("a mount namespace and dropping privileges, as root has them",
                          *CONFINED, "/bin/true")
needs_trace = needs("tracing a process", "strace", "-f", "-o", "/dev/null", "/bin/true")
needs_systemd = needs("systemd's tools", "systemd-analyze", "--version")


def unit_values(name, path=UNIT):
    """The values of a setting of the unit, in order."""
    with open(path, encoding="utf-8") as unit:
        return [line.partition("=")[2].strip() for line in unit if line.partition("=")[0] == name]


def expand(names):
    """System calls by name, groups (@name) taken apart."""
    calls = set()
    for name in names:
        if not name.startswith("@"):
            calls.add(name)
            continue
        listing = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True,
                                 check=True, encoding="utf-8").stdout
        members = [line.strip() for line in listing.splitlines()[1:]]
        calls |= expand(member for member in members if member and not member.startswith("#"))
    return calls


def allowed_calls():
    """What the unit's SystemCallFilter lets through (systemd.exec(5): rows add up, `~` takes away)."""
    calls = expand(["@default"])
    for row in unit_values("SystemCallFilter"):
        if row.startswith("~"):
            calls -= expand(row[1:].split())
        else:
            calls |= expand(row.split())
    return calls


class Trace:
    """What strace wrote of a process, from the moment it executed `program`."""

    def __init__(self, path, program):
        self.calls = []  # (name, arguments and result as text)
        begun = False
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                begun = begun or ("execve(\"%s\"" % program in line)
                call = CALL.match(line) if begun else None
                if call:
                    self.calls.append(call.groups())

    def names(self):
        return {name for name, _ in self.calls}

    def of(self, *names):
        return [arguments for name, arguments in self.calls if name in names]

    def families(self):
        return {arguments.partition(",")[0] for arguments in self.of("socket", "socketpair")}


class UnitTest(case.Case):
    """The unit as systemd reads it."""

    @needs_systemd
    def test_it_is_sound(self):
        with tempfile.TemporaryDirectory(prefix="imap-test-unit-") as folder:
            copy = os.path.join(folder, os.path.basename(UNIT))
            with open(UNIT, encoding="utf-8") as original, open(copy, "w", encoding="utf-8") as changed:
                changed.write(original.read().replace(INSTALLED, os.path.abspath(service.binary())))
            shutil.copytree(UNIT + ".d", copy + ".d")
            shutil.copy(SOCKET_UNIT, folder)
            done = subprocess.run(["systemd-analyze", "--no-pager", "--man=no", "verify", copy,
                                   os.path.join(folder, os.path.basename(SOCKET_UNIT))], capture_output=True,
                                  check=False, encoding="utf-8")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    @needs_systemd
    def test_exposure(self):
        done = subprocess.run(["systemd-analyze", "--no-pager", "--offline=true", "security", UNIT],
                              capture_output=True, check=True, encoding="utf-8")
        level = re.search(r"Overall exposure level for imap-testd\.service: ([0-9.]+)", done.stdout)
        self.assertIsNotNone(level, done.stdout)
        print("exposure %s" % level.group(1), file=sys.stderr)
        self.assertLessEqual(float(level.group(1)), EXPOSURE, done.stdout)

    def test_socket_unit_stands_for_the_default_of_listen(self):
        help_text = subprocess.run([service.binary(), "--help"], capture_output=True, check=True,
                                   encoding="utf-8").stdout
        default = re.search(r"--listen .*default: (\S+)\)", help_text).group(1)
        self.assertEqual(unit_values("ListenStream", SOCKET_UNIT), [default])
        self.assertEqual(unit_values("BindIPv6Only", SOCKET_UNIT), ["ipv6-only"])
        self.assertEqual(unit_values("Type"), ["notify"], "systemd of Debian 12 knows nothing later")

    def test_options_and_times_are_those_of_the_program(self):
        help_text = subprocess.run([service.binary(), "--help"], capture_output=True, check=True,
                                   encoding="utf-8").stdout
        options = {"IMAP_TEST_" + name.upper().replace("-", "_") for name in re.findall(r"^ +--([a-z-]+)", help_text,
                                                                                          re.MULTILINE)}
        named = set()
        for folder, _, files in os.walk(DEPLOY):
            for file in files:
                with open(os.path.join(folder, file), encoding="utf-8") as text:
                    named |= set(re.findall(r"\bIMAP_TEST_[A-Z_]+(?==)", text.read()))
        self.assertTrue(named)
        self.assertLessEqual(named, options)
        grace = int(re.search(r"--grace-ms .*default: (\d+)", help_text).group(1)) / 1000
        self.assertEqual(len(unit_values("TimeoutStopSec")), 1)
        self.assertGreater(int(unit_values("TimeoutStopSec")[0]), grace + LAST_ANSWERS_S)


class LifeTest(case.Case):
    """Start, tests, reload, stop of a service without rights."""

    @classmethod
    def setUpClass(cls):
        # A build under /root is out of reach for others.
        cls.folder = tempfile.mkdtemp(prefix="imap-test-privileges-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        os.chmod(cls.folder, 0o755)
        cls.program = shutil.copy(service.binary(), cls.folder)
        os.chmod(cls.program, 0o755)
        cls.keys = os.path.join(cls.folder, "api-keys")
        with open(cls.keys, "w", encoding="ascii") as keys:
            keys.write(KEY + "\n")
        os.chmod(cls.keys, 0o644)

    @contextlib.contextmanager
    def confined(self, *front, **options):
        """A stage whose service runs confined; `front` is a command in front of all."""
        variables = {"IMAP_TESTD": self.program, "IMAP_TESTD_WRAPPER": shlex.join([*front, *CONFINED])}
        with unittest.mock.patch.dict(os.environ, variables):
            with stage.Stage(api_key_file=self.keys, grace_ms=1000, **options) as played:
                yield played

    def ask(self, played, path):
        return played.service.get(path, headers={"Authorization": "Bearer " + KEY})

    def live(self, played):
        """Tests that end well, badly and not at all, and a reload between them."""
        host = played.play(plain=imapd.healthy_plain(played.context()), tls=imapd.healthy_tls(played.context()))
        silent = played.play(plain=[imapd.silence()])
        closed = played.name(net.fresh_address())
        path = played.service.test_path
        for turn in range(2):
            report = self.check_report(self.ask(played, path(host.name, transcript="true")))
            self.assertEqual(report["verdict"], "ok", report["findings"])
            self.assertEqual(self.check_report(self.ask(played, path(closed)))["verdict"], "unreachable")
            self.assertEqual(self.check_report(self.ask(played, path("nowhere.play.test")))["verdict"], "unreachable")
            self.check_report(self.ask(played, path("localhost", address="::1")))
            self.check_report(self.ask(played, path(silent.name, timeout_ms=1000)))
            self.problem(self.ask(played, path("192.0.2.1")), 403, "target_not_allowed")
            self.problem(played.service.get(path(host.name)), 401, "unauthorized")
            for other in ("/healthz", "/readyz", "/openapi.yaml", "/v1/capabilities", "/metrics"):
                self.assertEqual(self.ask(played, other).status, 200)
            with played.service.connect() as gone:
                gone.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" %
                             (path(silent.name).encode(), KEY.encode()))
            if turn == 0:
                played.service.process.send_signal(signal.SIGHUP)
                service.wait_until(lambda: played.service.events("reloaded"), 10 * service.slowness(),
                                   "the log says reloaded")

    def check_confined(self, pid):
        """The confinement itself: what the process is, and that no file system is left to write to."""
        with open("/proc/%d/status" % pid, encoding="ascii") as status:
            facts = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        self.assertEqual(facts["Uid"].split(), [str(NOBODY)] * 4)
        self.assertEqual(facts["Gid"].split(), [str(NOBODY)] * 4)
        self.assertEqual(facts["Groups"].strip(), "")
        self.assertEqual(facts["NoNewPrivs"], "1")
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(facts[kind], 16), 0, kind)
        with open("/proc/%d/mountinfo" % pid, encoding="utf-8") as mounts:
            # Of mounts in the same place the last one is seen.
            options = {fields[4]: fields[5].split(",") for fields in (line.split() for line in mounts)}
        self.assertEqual([point for point, given in options.items() if "ro" not in given], [])

    @needs_confinement
    def test_no_rights_and_nowhere_to_write(self):
        with self.confined() as played:
            self.check_confined(played.service.process.pid)
            self.live(played)
            played.service.stop()  # SIGTERM, exit status 0
            self.assertEqual(len(played.service.events("stopped")), 1)

    def trace(self, played_by, **options):
        """The trace of a service from its start to its end, while `played_by` plays with it."""
        path = os.path.join(self.folder, "trace")
        # The tracer stands aside (-D), so that signals for the service reach the service.
        with self.confined("strace", "-D", "-f", "-s", "200", "-o", path, **options) as played:
            pid = played.service.process.pid
            played_by(played)
            played.service.stop()
            service.wait_until(lambda: self.ended(path, pid), 10 * service.slowness(), "the trace ends")
        return Trace(path, self.program)

    @staticmethod
    def ended(path, pid):
        with open(path, encoding="utf-8", errors="replace") as lines:
            return re.search(r"^%d +\+\+\+ exited with 0 \+\+\+$" % pid, lines.read(), re.MULTILINE) is not None

    def check_trace(self, trace):
        """What the unit promises or forbids, of each call."""
        self.assertLessEqual({"execve", "bind", "listen", "accept4", "connect", "sendmsg", "exit_group"}, trace.names())
        self.assertEqual(trace.names() - allowed_calls(), set(), "not in the unit's SystemCallFilter")
        for arguments in trace.of("open", "openat", "openat2"):
            self.assertFalse(WRITING & set(re.findall(r"\w+", arguments.split(", ", 1)[-1])), arguments)
        self.assertEqual(len(trace.of("execve")), 1)
        for arguments in trace.of("clone", "clone3", "fork", "vfork"):
            self.assertIn("CLONE_THREAD", arguments)
            self.assertNotIn("CLONE_NEW", arguments)
        self.assertLessEqual(trace.families(), set(" ".join(unit_values("RestrictAddressFamilies")).split()))
        # MemoryDenyWriteExecute=yes
        for arguments in trace.of("mmap"):
            self.assertFalse("PROT_WRITE" in arguments and "PROT_EXEC" in arguments, arguments)
        for arguments in trace.of("mprotect"):
            self.assertNotIn("PROT_EXEC", arguments)

    @needs_systemd
    @needs_trace
    @needs_confinement
    def test_calls_of_a_whole_life(self):
        trace = self.trace(self.live, environment={"NOTIFY_SOCKET": "@imap-test-nobody"})
        self.assertIn("READY=1", " ".join(trace.of("sendto")))
        self.check_trace(trace)
        self.assertEqual(trace.families(), set(" ".join(unit_values("RestrictAddressFamilies")).split()),
                         "each address family that is allowed is needed")

    @needs_systemd
    @needs_trace
    @needs_confinement
    def test_calls_with_the_roots_and_resolver_of_the_system(self):
        def ask(played):
            host = played.play(tls=imapd.healthy_tls(played.context()))
            report = self.check_report(self.ask(played, played.service.test_path(host.address)))
            self.assertEqual(report["ports"][1]["certificate"]["chain_errors"], ["unknown_issuer"])

        self.check_trace(self.trace(ask, dns_server=None, trust_file=None))

    @needs_systemd
    @needs_trace
    def test_calls_with_a_log_file(self):
        """The drop-in gives the log a place to be written to; the calls that this takes are the unit's own."""
        trace, log = os.path.join(self.folder, "trace-log"), os.path.join(self.folder, "log")
        with unittest.mock.patch.dict(os.environ, IMAP_TESTD_WRAPPER="strace -D -f -s 200 -o " + trace), \
                unittest.mock.patch.object(service, "Service", service.FileService):
            with stage.Stage(log_file=log) as played:
                pid = played.service.process.pid
                os.rename(log, log + ".1")
                played.service.process.send_signal(signal.SIGHUP)
                service.wait_until(lambda: os.path.exists(log), 10 * service.slowness(), "the new file")
                played.service.stop()
                service.wait_until(lambda: self.ended(trace, pid), 10 * service.slowness(), "the trace ends")
        calls = Trace(trace, service.binary())
        self.assertEqual(len([call for call in calls.of("openat") if log in call]), 2)
        self.assertEqual(calls.names() - allowed_calls(), set(), "not in the unit's SystemCallFilter")

    @needs_systemd
    @needs_trace
    def test_calls_of_the_reload_command(self):
        """ExecReload runs inside the sandbox too."""
        command = unit_values("ExecReload")[0].split()
        path = os.path.join(self.folder, "reload")
        sleeper = subprocess.Popen(["/bin/sleep", "60"])
        try:
            command = [str(sleeper.pid) if word == "$MAINPID" else word for word in command]
            subprocess.run(["strace", "-f", "-o", path, *command], check=True)
            self.assertEqual(sleeper.wait(10), -signal.SIGHUP)
        finally:
            sleeper.kill()
            sleeper.wait()
        trace = Trace(path, command[0])
        self.assertIn("kill", trace.names())
        self.assertEqual(trace.names() - allowed_calls(), set(), "not in the unit's SystemCallFilter")


if __name__ == "__main__":
    case.main()

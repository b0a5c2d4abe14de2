"""The Debian package, from the file to the purge: see tests/package/run, which builds it and makes the base."""
import gzip
import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import unittest

import machine

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("PACKAGE_BUILD", os.path.join(TOP, "build", "package"))
BASE = os.path.join(BUILD, "base.tar")

NAME = "imap-testd"
CONFFILE = "/etc/default/imap-testd"
UNITS = "/usr/lib/systemd/system/"
PROGRAM = "/usr/bin/imap-testd"
PAGE = "/usr/share/man/man8/imap-testd.8.gz"
NOBODY = 65534
EXPOSURE = 1.5  # as tests/real/test_privileges.py
BEGUN = time.monotonic()
LOAD_SECONDS = 60  # more than any upgrade takes: the asker is told when to end


def output_of(*command):
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


def package():
    """The package that was built."""
    (found,) = [name for name in os.listdir(BUILD) if name.endswith(".deb")]
    return os.path.join(BUILD, found)


def field(path, name):
    return output_of("dpkg-deb", "--field", path, name).strip()


def wait_until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not in %d s: %s" % (seconds, what))
        time.sleep(0.05)


def make_next(folder):
    """The same package with a higher version and another line in its conffile."""
    tree = os.path.join(folder, "tree")
    subprocess.run(["dpkg-deb", "-R", package(), tree], check=True)
    control = os.path.join(tree, "DEBIAN", "control")
    with open(control, encoding="utf-8") as text:
        fields = text.read()
    version = field(package(), "Version")
    with open(control, "w", encoding="utf-8") as text:
        text.write(fields.replace("\nVersion: %s\n" % version, "\nVersion: %s+next\n" % version))
    with open(tree + CONFFILE, "a", encoding="utf-8") as text:
        text.write("\n# A line of the next version.\n")
    path = os.path.join(folder, "next.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, path], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return path


class Case(unittest.TestCase):
    maxDiff = None

    def shows(self, text):
        print("    %6.1f s  %s" % (time.monotonic() - BEGUN, text), flush=True)


class FileTest(Case):
    """The package as a file."""

    def units(self):
        return [name for name in os.listdir(os.path.join(TOP, "deploy")) if name.endswith((".service", ".socket"))]

    def examples(self):
        deploy = os.path.join(TOP, "deploy")
        for kind in ("imap-testd.service.d", "logrotate", "prometheus", "grafana"):
            for folder, _, names in os.walk(os.path.join(deploy, kind)):
                yield from (os.path.relpath(os.path.join(folder, name), deploy) for name in names
                            if not name.endswith("_test.yaml"))
        yield from ("nginx.conf", "nginx-main.conf", "nginx-tls.conf", "nginx-upstream.conf")

    def pages(self):
        return [name for name in os.listdir(os.path.join(TOP, "docs")) if name.endswith((".md", ".svg"))]

    def test_fields(self):
        with open(os.path.join(TOP, "CMakeLists.txt"), encoding="utf-8") as text:
            version = re.search(r"^project\(imap-testd VERSION (\S+)", text.read(), re.MULTILINE).group(1)
        self.assertEqual((field(package(), "Package"), field(package(), "Version")), (NAME, version))
        self.assertEqual(field(package(), "Architecture"), output_of("dpkg", "--print-architecture").strip())
        depends = {word.split(" ")[0] for word in field(package(), "Depends").split(", ")}
        self.assertEqual(depends, {"ca-certificates", "procps", "libc-ares2", "libc6", "libgnutls30", "libhiredis0.14", "libidn2-0",
                                   "libjansson4", "libmicrohttpd12", "libsodium23", "libuv1"})

    def test_files_and_modes(self):
        found = {}
        for line in output_of("dpkg-deb", "--contents", package()).splitlines():
            mode, owner, _, _, _, path = line.split(None, 5)
            self.assertEqual(owner, "root/root", line)
            if mode.startswith("d"):
                self.assertEqual(mode, "drwxr-xr-x", line)
            else:
                found[path[1:]] = mode
        documents = "/usr/share/doc/imap-testd/"
        expected = [CONFFILE, PROGRAM, PAGE, *(UNITS + name for name in self.units()),
                    *(documents + name for name in ("NEWS.md.gz", "README.md", "SECURITY.md", "changelog.gz",
                                                    "copyright")),
                    *(documents + "docs/" + name for name in self.pages()),
                    *(documents + "examples/" + name for name in self.examples())]
        self.assertEqual(found, {path: "-rwxr-xr-x" if path == PROGRAM else "-rw-r--r--" for path in expected})

    def test_control_files(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["dpkg-deb", "--control", package(), folder], check=True)
            self.assertEqual(set(os.listdir(folder)),
                             {"conffiles", "control", "md5sums", "postinst", "prerm", "postrm"})
            with open(os.path.join(folder, "conffiles"), encoding="utf-8") as text:
                self.assertEqual(text.read(), CONFFILE + "\n")
            scripts = [os.path.join(folder, name) for name in ("postinst", "prerm", "postrm")]
            self.assertEqual(subprocess.run(["shellcheck", "--shell=sh", *scripts], check=False).returncode, 0)

    def test_lintian(self):
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", package()],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, encoding="utf-8")
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.shows("lintian: no error, no warning")

    def test_it_comes_out_the_same_again(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", folder], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with open(os.path.join(folder, os.path.basename(package())), "rb") as again, open(package(), "rb") as first:
                self.assertTrue(again.read() == first.read())


class LifeTest(Case):
    """A package is installed, started, upgraded, removed and purged: in a chroot first, then under systemd."""

    @classmethod
    def setUpClass(cls):
        cls.machine = cls.enterClassContext(machine.Machine(BASE))
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.first = cls.machine.take(package())
        cls.next = cls.machine.take(make_next(folder))
        # The base has nothing of what the package depends on.
        printed = cls.machine.apt("install", cls.first)
        if "libmicrohttpd12" not in printed:
            raise AssertionError(printed)
        cls.machine.apt("purge", NAME)

    def installed(self):
        return self.machine.says("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", NAME)

    def read(self, inside):
        with open(self.machine.path(inside), encoding="utf-8") as text:
            return text.read()

    def change_conffile(self, line):
        with open(self.machine.path(CONFFILE), "a", encoding="utf-8") as text:
            text.write(line + "\n")
        return self.read(CONFFILE)

    def left(self, before):
        """Files that are there now and were not, were and are not, or have another mode; and what bears the name."""
        return sorted(dict(self.machine.files().items() ^ before.items())) + self.machine.named(NAME)


    def test_1_without_systemd(self):
        """In a chroot, as where an image is built: nothing is started, everything else is done."""
        before = self.machine.files()

        printed = self.machine.apt("install", self.first)
        self.assertNotRegex(printed, r"(?i)error|fail|warning")
        self.assertEqual(self.installed(), "ii " + field(package(), "Version"))
        self.assertTrue(self.machine.has("/etc/systemd/system/multi-user.target.wants/imap-testd.service"))
        self.check_page()
        self.check_start()
        self.check_unit()

        changed = self.change_conffile("IMAP_TEST_CACHE_SECONDS=60")
        self.machine.run("/var/lib/dpkg/info/imap-testd.postinst", "configure", field(package(), "Version"))
        self.machine.apt("install", self.next)
        self.assertEqual(self.installed(), "ii %s+next" % field(package(), "Version"))
        self.assertEqual(self.read(CONFFILE), changed)
        self.shows("upgraded, the changed conffile was kept")

        self.machine.apt("remove", NAME)
        self.assertFalse(self.machine.has(PROGRAM))
        self.assertEqual(self.read(CONFFILE), changed)
        self.machine.apt("install", self.first)
        self.assertEqual(self.read(CONFFILE), changed)
        self.machine.apt("purge", NAME)
        self.assertEqual(self.left(before), [])
        self.shows("removed, installed again, purged: nothing is left")

    def check_page(self):
        with gzip.open(self.machine.path(PAGE), "rt", encoding="utf-8") as packed, \
                tempfile.NamedTemporaryFile("w", suffix=".8", encoding="utf-8") as page:
            page.write(packed.read())
            page.flush()
            done = subprocess.run(["man", "--warnings", "-l", page.name], capture_output=True, check=True,
                                  encoding="utf-8", env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
        self.assertEqual(done.stderr, "")
        self.assertIn("IMAP_TEST_MAX_IN_FLIGHT", done.stdout)
        self.assertIn(UNITS + "imap-testd.service", done.stdout)

    def check_start(self):
        """The program as the unit starts it, by a user without rights, on a free port."""
        (start,) = re.findall(r"^ExecStart=(.*)$", self.read(UNITS + "imap-testd.service"), re.MULTILINE)
        self.assertEqual(shlex.split(start)[0], PROGRAM)
        command = ["/usr/sbin/chroot", "--userspec=%d:%d" % (NOBODY, NOBODY), self.machine.root, *shlex.split(start)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8",
                              env={"IMAP_TEST_LISTEN": "127.0.0.1:0"}) as running:
            try:
                for line in running.stderr:
                    event = json.loads(line)
                    if event["event"] == "listening":
                        break
                self.assertGreater(event["trusted_roots"], 100)
                connection = http.client.HTTPConnection(event["address"], timeout=10)
                connection.request("GET", "/healthz")
                self.assertEqual(connection.getresponse().status, 200)
                connection.close()
            finally:
                running.terminate()
            running.stderr.read()
            self.assertEqual(running.wait(20), 0)
        self.shows("%s answers /healthz as user %d, and ends with status 0" % (start, NOBODY))

    def check_unit(self):
        for unit in os.listdir(os.path.join(self.machine.root, UNITS[1:])):
            if unit.startswith(NAME) and os.path.isfile(self.machine.path(UNITS + unit)):
                done = self.machine.run("systemd-analyze", "--man=no", "verify", UNITS + unit, check=False)
                self.assertEqual((unit, done.returncode, done.stdout), (unit, 0, ""))
        told = self.machine.says("systemd-analyze", "security", "--no-pager", "--offline=true",
                                 UNITS + "imap-testd.service")
        level = re.search(r"Overall exposure level for imap-testd\.service: ([0-9.]+) (\w+)", told)
        self.shows(level.group(0))
        self.assertLessEqual(float(level.group(1)), EXPOSURE)

    def active(self, unit):
        return self.machine.says("systemctl", "is-active", unit)

    def main_pid(self):
        return int(self.machine.says("systemctl", "show", "--property=MainPID", "--value", "imap-testd.service"))

    def sockets(self):
        names = os.listdir(self.machine.path(UNITS))
        return [name for name in names if name.startswith(NAME) and name.endswith(".socket")]

    def check_running(self):
        self.assertEqual(self.active("imap-testd.service"), "active")
        for socket in self.sockets():
            self.assertEqual(self.active(socket), "active")
        wait_until(lambda: self.machine.ask("/readyz"), "the service answers /readyz")
        self.assertEqual(self.machine.says("systemctl", "list-units", "--failed", "--no-legend", "--plain"), "")

    def test_2_under_systemd(self):
        """Booted as in a container of its own, without a network but loopback."""
        self.machine.run("dpkg", "--purge", NAME)
        why = self.machine.boot()
        if why is not None:
            self.skipTest("no systemd can be booted here:\n" + why)
        before = self.machine.files()
        self.machine.apt("install", self.first)
        self.check_running()
        status = self.machine.says("cat", "/proc/%d/status" % self.main_pid())
        self.assertRegex(status, r"(?m)^CapEff:\s+0+$")
        self.assertRegex(status, r"(?m)^NoNewPrivs:\s+1$")
        self.assertRegex(status, r"(?m)^Seccomp:\s+2$")
        self.assertNotRegex(status, r"(?m)^Uid:\s+0\b")
        self.shows("installed: enabled, started inside its sandbox, answers /readyz")
        self.check_upgrade()
        self.check_the_operators_word()
        if self.sockets():
            self.check_start_by_socket()

        self.machine.apt("remove", NAME)
        self.assertEqual(self.active("imap-testd.service"), "inactive")
        self.assertFalse(self.machine.ask("/healthz"))
        self.machine.apt("purge", NAME)
        self.assertEqual(self.left(before), [])
        for listing in (["list-unit-files"], ["list-units", "--all"]):
            self.assertEqual(self.machine.says("systemctl", *listing, "--no-legend", NAME + "*"), "")
        self.shows("removed and purged: stopped, nothing is left")

    def check_upgrade(self):
        """Under load. With a socket unit all requests are answered; without one those of the restart are refused."""
        pid = self.main_pid()
        asker = self.machine.asker("/healthz", LOAD_SECONDS)
        time.sleep(1)
        self.machine.apt("install", self.next)
        wait_until(lambda: self.main_pid() not in (0, pid), "the service was restarted")
        time.sleep(1)
        counted = machine.answers(asker)
        self.assertEqual(self.installed(), "ii %s+next" % field(package(), "Version"))
        self.assertIn("A line of the next version.", self.read(CONFFILE))
        self.shows("upgraded and restarted under load: %d requests answered, failed: %s" %
                   (counted["ok"], counted["failed"] or "none"))
        self.assertGreater(counted["ok"], 100)
        if self.sockets():
            self.assertEqual(counted["failed"], {})
        self.check_running()

    def check_the_operators_word(self):
        """What the operator stopped and disabled stays so at an upgrade; variables of the conffile count."""
        units = [*self.sockets(), "imap-testd.service"]
        self.machine.run("systemctl", "disable", "--now", *units)
        self.machine.apt("install", "--allow-downgrades", self.first)
        for unit in units:
            self.assertEqual((unit, self.active(unit)), (unit, "inactive"))
            self.assertEqual(self.machine.says("systemctl", "is-enabled", unit), "disabled")
        self.change_conffile("IMAP_TEST_LOG_LEVEL=loud")
        self.machine.run("systemctl", "enable", *units)
        self.machine.run("systemctl", "start", "imap-testd.service", check=False)
        wait_until(lambda: self.active("imap-testd.service") == "failed", "a wrong option keeps it from starting")
        log = self.machine.says("journalctl", "--no-pager", "--unit=imap-testd.service", "--output=cat")
        self.assertIn('IMAP_TEST_LOG_LEVEL: "loud"', log)
        with open(self.machine.path(CONFFILE), "w", encoding="utf-8") as text:
            text.write("IMAP_TEST_LOG_LEVEL=debug\n")
        self.machine.run("systemctl", "reset-failed", *units)
        for unit in units:
            self.machine.run("systemctl", "start", unit)
        self.check_running()
        self.shows("what the operator disables stays so at an upgrade; a wrong option is named in the journal")

    def check_start_by_socket(self):
        self.machine.run("systemctl", "stop", "imap-testd.service")
        self.assertEqual(self.active("imap-testd.service"), "inactive")
        self.assertTrue(self.machine.ask("/healthz"))
        self.assertEqual(self.active("imap-testd.service"), "active")
        self.shows("stopped: the first request starts it again through its socket")


if __name__ == "__main__":
    unittest.main(verbosity=2)

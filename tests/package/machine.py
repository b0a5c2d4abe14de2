"""A root file system of its own, made from the base: commands in it, by chroot or under a systemd that is booted."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
BOOT_SECONDS = 60
HALT_SECONDS = 60

# What dpkg, apt and the system itself write while packages come and go.
OF_THE_SYSTEM = ("/dev", "/proc", "/run", "/sys", "/tmp", "/root", "/var/cache", "/var/lib/apt", "/var/lib/dpkg",
                 "/var/log", "/var/tmp", "/var/lib/systemd", "/etc/resolv.conf", "/etc/hosts", "/etc/ld.so.cache")


class Machine:
    """Use as a context manager. Until boot() commands run in a chroot, where no systemd runs."""

    def __init__(self, base):
        self.folder = tempfile.mkdtemp(prefix="imap-testd-package-", dir="/var/tmp")
        self.root = os.path.join(self.folder, "root")
        self.container = None
        self.leader = None
        try:
            os.mkdir(self.root)
            # A device node more or less is no matter; /dev comes from outside where it is needed.
            subprocess.run(["tar", "-xf", base, "-C", self.root, "--numeric-owner", "--exclude=./dev/*"], check=True)
            for path in ("/etc/resolv.conf", "/etc/hosts"):
                shutil.copyfile(path, self.root + path)
        except BaseException:
            self.remove()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.halt()
        self.remove()

    def remove(self):
        shutil.rmtree(self.folder)

    def path(self, inside):
        return self.root + inside

    def has(self, inside):
        return os.path.lexists(self.path(inside))

    def take(self, path):
        """Copies a file in; returns its path there."""
        shutil.copy(path, self.path("/root/"))
        return "/root/" + os.path.basename(path)

    def command(self, *command):
        if self.leader:
            return ["nsenter", "--target", str(self.leader), "--all", "--", *command]
        return ["unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c",
                'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"', self.root,
                *command]

    def run(self, *command, check=True):
        done = subprocess.run(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=ENVIRONMENT, encoding="utf-8", check=False)
        if check and done.returncode != 0:
            raise AssertionError("%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stdout))
        return done

    def says(self, *command):
        return self.run(*command, check=False).stdout.strip()

    def apt(self, *arguments):
        """What it and the scripts of packages print. Nothing is written through to a disk: it lives for minutes."""
        words = ("confdef", "confold", "unsafe-io")
        options = ["Dpkg::Use-Pty=0", *("Dpkg::Options::=--force-" + word for word in words)]
        return self.run("apt-get", "-y", "-q", "--no-install-recommends",
                        *(part for option in options for part in ("-o", option)), *arguments).stdout

    def files(self):
        """Every file with its mode, but for what belongs to the system."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            inside = folder[len(self.root):] or "/"
            folders[:] = [name for name in folders if os.path.join(inside, name) not in OF_THE_SYSTEM]
            for name in names + folders:
                path = os.path.join(inside, name)
                if path not in OF_THE_SYSTEM:
                    found[path] = oct(os.lstat(self.path(path)).st_mode)
        return found

    def named(self, word):
        """Everything with the word in its name, but for what was taken in."""
        found = []
        for folder, folders, names in os.walk(self.root):
            inside = folder[len(self.root):] or "/"
            folders[:] = [name for name in folders if os.path.join(inside, name) != "/root"]
            found += [os.path.join(inside, name) for name in names + folders if word in name]
        return sorted(found)

    # Under systemd

    def boot(self):
        """Returns None, or why it could not be booted."""
        command = ["systemd-nspawn", "--quiet", "--directory", self.root, "--boot", "--private-network",
                   "--register=no", "--console=pipe"]
        if not os.path.isdir("/run/systemd/system"):
            command.append("--keep-unit")
        log = os.path.join(self.folder, "console")
        with open(log, "wb") as console:
            self.container = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console,
                                              stderr=subprocess.STDOUT)
        end = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end and self.container.poll() is None:
            if self.find_leader() and self.says("systemctl", "is-system-running") in ("running", "degraded"):
                return None
            time.sleep(0.1)
        self.halt()
        with open(log, encoding="utf-8", errors="replace") as console:
            return console.read()[-2000:]

    def find_leader(self):
        listing = "/proc/%d/task/%d/children" % (self.container.pid, self.container.pid)
        with open(listing, encoding="ascii") as children:
            pids = children.read().split()
        self.leader = int(pids[0]) if pids else None
        return self.leader

    def halt(self):
        if not self.container:
            return
        if self.container.poll() is None:
            self.container.terminate()  # an orderly shutdown of what is inside
            try:
                self.container.wait(HALT_SECONDS)
            except subprocess.TimeoutExpired:
                self.container.kill()
        self.container.wait()
        self.container = self.leader = None

    def asker(self, path, seconds):
        """A process that asks the service in there, see ask.py; the program is the one of this machine."""
        return subprocess.Popen(["nsenter", "--target", str(self.leader), "--net", "--", sys.executable,
                                 os.path.join(HERE, "ask.py"), path, str(seconds)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, encoding="utf-8")

    def ask(self, path):
        """Whether one request was answered with 200."""
        return answers(self.asker(path, 0))["ok"] == 1


def answers(asker):
    """Ends an asker; what it counted."""
    out, _ = asker.communicate()
    return json.loads(out)

"""Real IMAP servers beside Dovecot: Courier, Cyrus and GNU Mailutils, run from where unpack_servers.sh put them, each
with a configuration and a directory of its own. Nothing of them is installed."""
import getpass
import grp
import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import case
import certs
import net
import service
import stage

ROOT = os.path.join(service.ROOT, "build", "servers")
LIBRARIES = (os.path.join(ROOT, "usr/lib", platform.machine() + "-linux-gnu"), os.path.join(ROOT, "usr/lib"))

COURIER_WORDS = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE"

CYRUS = """configdirectory: {dir}/conf
proc_path: {dir}/conf/proc
mboxname_lockpath: {dir}/conf/lock
defaultpartition: default
partition-default: {dir}/mail
cyrus_user: {user}
cyrus_group: {group}
servername: cyrus.test
sasl_mech_list: PLAIN LOGIN
tls_server_cert: {cert}
tls_server_key: {key}
"""

CYRUS_SERVICES = """START {{
}}
SERVICES {{
  imap cmd="{program} -C {dir}/imapd.conf" listen="{address}:{imap}" prefork=1 maxchild={maxchild}
  imaps cmd="{program} -s -C {dir}/imapd.conf" listen="{address}:{imaps}" prefork=1 maxchild={maxchild}
}}
EVENTS {{
}}
"""

MAILUTILS = """mode daemon;
foreground yes;
pidfile {dir}/pid;
max-children {maxchild};
logging {{ syslog no; }};
tls-file-checks {{ key-file "none"; cert-file "none"; ca-file "none"; }};
tls {{ ssl-certificate-file {cert}; ssl-key-file {key}; }};
{more}
server {address}:{imap} {{ tls-mode {tls_mode}; }};
server {address}:{imaps} {{ tls-mode connection; }};
"""


def path(name):
    found = os.path.join(ROOT, name)
    if not os.access(found, os.X_OK):
        raise RuntimeError("%s is not there; run tests/lib/unpack_servers.sh" % found)
    return found


class Server:
    """One server on one address. `ports`: (plain port, TLS port). `leaf`: its certificate, of certs.py."""

    def __init__(self, address, ports, leaf, **settings):
        self.address, (self.imap, self.imaps), self.leaf = address, ports, leaf
        self.dir = tempfile.mkdtemp(prefix="imap-test-server-")
        os.chmod(self.dir, 0o755)
        self._processes = []
        self._log = open(os.path.join(self.dir, "log"), "w+", encoding="utf-8", errors="replace")
        try:
            self.start(**settings)
            for port in (self.imap, self.imaps):
                self._await(port)
        except BaseException:
            self.stop()
            raise

    def start(self, **settings):
        raise NotImplementedError

    def run(self, *command, **environment):
        self._processes.append(subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": ":".join(LIBRARIES), **environment}))

    def write(self, name, text, mode=0o644):
        name = os.path.join(self.dir, name)
        with open(name, "w", encoding="ascii") as out:
            out.write(text)
        os.chmod(name, mode)
        return name

    def _await(self, port):
        end = time.monotonic() + 20
        while True:
            if any(process.poll() is not None for process in self._processes):
                raise RuntimeError("%s did not start: %s" % (type(self).__name__, self.log()))
            try:
                with socket.create_connection((self.address, port), timeout=5) as probe:
                    if port == self.imaps or probe.recv(1):
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                raise RuntimeError("%s does not answer on port %d: %s" % (type(self).__name__, port, self.log()))
            time.sleep(0.05)

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def stop(self):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what it left behind, in the session made for it
            except ProcessLookupError:
                pass
            process.wait()
        self._processes = []
        self._log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Courier(Server):
    """tls_required: no logins before TLS. per_address: connections to each port from one address.
    cert: another certificate file. broken_tls: the program that speaks TLS does not start."""

    def start(self, tls_required=True, per_address=20, cert=None, broken_tls=False):
        if cert is None:
            with open(self.leaf.key_file, encoding="ascii") as key, \
                    open(self.leaf.chain_file("full"), encoding="ascii") as chain:
                cert = self.write("imapd.pem", key.read() + chain.read())
        couriertls = path("usr/bin/couriertls")
        if broken_tls:
            couriertls = self.write("couriertls", "#!/nonexistent/interpreter\n", 0o755)
        # For STARTTLS it becomes the user "courier", which its package would make; here it stays who it is.
        passwd = self.write("passwd", "courier:x:%d:%d::/:/bin/false\n" % (os.geteuid(), os.getegid()))
        common = {"LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_PASSWD": passwd,
                  "NSS_WRAPPER_GROUP": self.write("group", "courier:x:%d:\n" % os.getegid()),
                  "COURIERTLS": couriertls, "TLS_CERTFILE": cert, "TLS_VERIFYPEER": "NONE",
                  "IMAP_CAPABILITY": COURIER_WORDS, "IMAP_CAPABILITY_TLS": COURIER_WORDS + " AUTH=PLAIN",
                  "IMAP_ACL": "1", "IMAP_IDLE_TIMEOUT": "60"}
        listen = [path("usr/sbin/couriertcpd"), "-address=" + self.address, "-maxprocs=40",
                  "-maxperip=%d" % per_address, "-nodnslookup", "-noidentlookup"]
        login = [path("usr/lib/courier/courier/imaplogin"), path("usr/bin/imapd"), "Maildir"]
        self.run(*listen, str(self.imap), *login, **common, IMAP_STARTTLS="YES",
                 IMAP_TLS_REQUIRED="1" if tls_required else "0")
        self.run(*listen, str(self.imaps), couriertls, "-server", "-tcpd", *login, **common, IMAP_TLS="1")


class Cyrus(Server):
    """maxchild: processes, which are connections, of each port. settings: lines of imapd.conf."""

    def start(self, maxchild=10, **settings):
        # It refuses to serve as root.
        user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
        for name in ("conf", "conf/proc", "conf/lock", "conf/socket", "mail"):
            os.mkdir(os.path.join(self.dir, name))
            if os.geteuid() == 0:
                shutil.chown(os.path.join(self.dir, name), user, group)
        text = CYRUS.format(dir=self.dir, user=user, group=group, cert=self.leaf.chain_file("full"),
                            key=self.leaf.key_file)
        config = self.write("imapd.conf", text + "".join("%s: %s\n" % pair for pair in settings.items()))
        services = self.write("cyrus.conf", CYRUS_SERVICES.format(
            program=path("usr/lib/cyrus/bin/imapd"), dir=self.dir, address=self.address, imap=self.imap,
            imaps=self.imaps, maxchild=maxchild))
        self.run(path("usr/lib/cyrus/bin/master"), "-C", config, "-M", services, "-p",
                 os.path.join(self.dir, "pid"), "-D")


class Mailutils(Server):
    """tls_mode: of the plain port, in its own words. preauth: everybody is logged in at once."""

    def start(self, tls_mode="ondemand", maxchild=20, preauth=False):
        more = ""
        if preauth:
            more = 'preauth "prog://%s";' % self.write("whoami", "#!/bin/sh\necho %s\n" % getpass.getuser(), 0o755)
        config = self.write("imap4d.conf", MAILUTILS.format(
            dir=self.dir, maxchild=maxchild, cert=self.leaf.chain_file("full"), key=self.leaf.key_file, more=more,
            address=self.address, imap=self.imap, imaps=self.imaps, tls_mode=tls_mode))
        self.run(path("usr/sbin/imap4d"), "--no-config", "--config-file", config)


class Case(case.Case):
    """A service, and other servers beside it; OPTIONS go to the service."""

    OPTIONS = {}

    @classmethod
    def setUpClass(cls):
        cls.stage = stage.Stage(**cls.OPTIONS)
        cls.addClassCleanup(cls.stage.stop)
        cls.leaf = certs.trusted().leaf("*.play.test")

    def start(self, kind, **settings):
        """The server and its name."""
        address = net.fresh_address()
        server = kind(address, (self.stage.imap, self.stage.imaps), self.leaf, **settings)
        self.addCleanup(server.stop)
        return server, self.stage.name(address)

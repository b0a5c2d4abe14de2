"""A real Dovecot with a configuration, directory and addresses of its own; nothing of the system's is touched."""
import getpass
import grp
import os
import shutil
import socket
import subprocess
import tempfile
import time

import net

PROGRAMS = ("dovecot", "/usr/sbin/dovecot")

# Services that change root or user by default; an ordinary user can do neither.
OWN_RIGHTS = """
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
service imap-login {{
  chroot =
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""

CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/run
instance_name = {name}
log_path = {dir}/log
protocols = imap
listen = {listen}
mail_location = maildir:{dir}/mail/%u
default_vsz_limit = 1G
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={owner} gid={owners} home={dir}/mail/%u
}}
service imap-login {{
{login}
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
"""


LOGIN = {"service_count": 0, "process_min_avail": 1, "process_limit": 2}

PASSWORD = "never-used"


def program():
    for candidate in PROGRAMS:
        found = shutil.which(candidate)
        if found:
            return found
    raise RuntimeError("Dovecot is not installed: apt-get install dovecot-imapd")


def certificate(leaf, chain="full"):
    """The settings that make Dovecot use a certificate of certs.py."""
    return {"ssl_cert": "<" + leaf.chain_file(chain), "ssl_key": "<" + leaf.key_file}


class Dovecot:
    """One instance on any number of addresses.

    ports      (plain port, TLS port); 0 for the TLS port: no such listener
    settings   of the whole instance
    login      of the processes that talk to clients before the login
    sites      address -> settings of that address alone (certificate, greeting, ...)
    """

    def __init__(self, ports, settings, sites, environment=None, login=None):
        self.imap, self.imaps = ports
        self.sites = sites
        self._dir = tempfile.mkdtemp(prefix="imap-test-dovecot-")
        os.chmod(self._dir, 0o755)
        os.mkdir(os.path.join(self._dir, "run"), 0o755)
        os.mkdir(os.path.join(self._dir, "mail"))
        os.chmod(os.path.join(self._dir, "mail"), 0o777)  # of whoever a mail user is
        self._login = {**LOGIN, **(login or {})}
        self._process = None
        self._start(settings, environment or {})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _start(self, settings, environment):
        path = os.path.join(self._dir, "dovecot.conf")
        try:
            with open(path, "w", encoding="utf-8") as out:
                out.write(self._config(settings, environment))
            self._process = subprocess.Popen([program(), "-F", "-c", path], stdin=subprocess.DEVNULL,
                                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self._await()
        except BaseException:
            self.stop()
            raise

    def _config(self, settings, environment):
        root = os.geteuid() == 0
        user, group = getpass.getuser(), grp.getgrgid(os.getegid()).gr_name
        text = CONFIG.format(dir=self._dir, name=os.path.basename(self._dir), listen=", ".join(self.sites),
                             imap=self.imap, imaps=self.imaps, password=PASSWORD,
                             owner="nobody" if root else user, owners="nogroup" if root else group,
                             login="\n".join("  %s = %s" % pair for pair in self._login.items()))
        if not root:
            text += OWN_RIGHTS.format(user=user, group=group)
        if environment:
            text += "import_environment = %s\n" % " ".join("%s=%s" % pair for pair in environment.items())
        text += "".join("%s = %s\n" % pair for pair in settings.items())
        for address, own in self.sites.items():
            text += "local %s {\n%s}\n" % (address, "".join("  %s = %s\n" % pair for pair in own.items()))
        return text

    def _await(self):
        end = time.monotonic() + 20
        ports = [port for port in (self.imap, self.imaps) if port]
        for address in self.sites:
            for port in ports:
                self._await_port(address, port, end)

    def _await_port(self, address, port, end):
        while True:
            if self._process.poll() is not None:
                raise RuntimeError("Dovecot did not start: %s" % self.log())
            try:
                with socket.create_connection((address, port), timeout=5) as probe:
                    if port != self.imap or probe.recv(1):
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                raise RuntimeError("Dovecot does not answer on %s port %d: %s" % (address, port, self.log()))
            time.sleep(0.05)

    def log(self):
        text = ""
        if self._process and self._process.poll() is not None:
            text = self._process.stdout.read().decode(errors="replace")
        try:
            with open(os.path.join(self._dir, "log"), encoding="utf-8", errors="replace") as log:
                return text + log.read()
        except OSError:
            return text

    def stop(self):
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        shutil.rmtree(self._dir, ignore_errors=True)


def start(ports=None, settings=None, sites=None, environment=None, login=None):
    """The usual instance: STARTTLS and TLS, no plaintext login."""
    usual = {"ssl": "yes", "disable_plaintext_auth": "yes", "login_greeting": "Test bench ready."}
    usual.update(settings or {})
    return Dovecot(ports or tuple(net.fresh_ports(2)), usual, sites, environment, login)

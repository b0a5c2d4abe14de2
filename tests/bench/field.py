"""The processes of the benchmark, each on a loopback address of its own: servers, resolver, the service, its peer."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dovecot  # noqa: E402
import net  # noqa: E402

KINDS = ("ecdsa", "rsa")
HOSTS = 500
NETWORK = "127.0.5.0/24"
DOVECOT = {"ecdsa": "127.0.5.1", "rsa": "127.0.5.2"}
BLACKBOX, RESOLVER, SERVICE = "127.0.5.8", "127.0.5.9", "127.0.5.10"
MANY = {"ecdsa": "127.0.5.11", "rsa": "127.0.5.12"}
SILENT = {"silent": "127.0.5.13", "handshake": "127.0.5.14"}
# Several, so that a million connections find a free port each.
PLAIN = ["127.0.5.%d" % last for last in range(20, 28)]
DESCRIPTORS = 20000
PATIENCE_MS = 300000
EXPORTER = "prometheus-blackbox-exporter"

BLACKBOX_MODULE = """
  {kind}_{service}:
    prober: tcp
    timeout: 120s
    tcp:
      preferred_ip_protocol: ip4
      {tls}
      tls_config: {{ca_file: {trust}, server_name: mail.{kind}.bench.test}}
      query_response:
        - expect: '^\\* OK'{starttls}
        - send: c CAPABILITY
        - expect: ^c OK
        - send: d LOGOUT
        - expect: ^d OK
"""
BLACKBOX_STARTTLS = """
        - send: a CAPABILITY
        - expect: ^a OK
        - send: b STARTTLS
        - expect: ^b OK
        - starttls: true"""


BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release")


def built(variable, path):
    """A program that was built: where the variable says, else in the build that tests/bench/run makes."""
    found = os.environ.get(variable) or os.path.normpath(os.path.join(BUILD, path))
    if not os.path.exists(found):
        raise RuntimeError("%s is not built: tests/bench/run does" % found)
    return found


def program(name):
    return os.path.join(built("IMAP_TESTD_BENCH", "tests/bench"), name)


def numbers(line):
    """The key=value pairs of a line, as numbers."""
    return {key: float(value) for key, value in re.findall(r"(\w+)=(-?[0-9.]+)", line)}


def has_blackbox():
    return shutil.which(EXPORTER) is not None


class Process:
    """One that this program starts and ends. `ready`: it prints a line when it is."""

    def __init__(self, command, ready=False, environment=None, log=None):
        self._log = log and open(log, "w", encoding="utf-8")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment,
                                         stdout=subprocess.PIPE if ready else subprocess.DEVNULL,
                                         stderr=self._log or None)
        self.pid = self._process.pid
        if ready and self._process.stdout.readline().strip() != b"ready":
            self.stop()
            raise RuntimeError("%s did not start" % command[0])

    def alive(self):
        return self._process.poll() is None

    def wait(self):
        return self._process.wait()

    def stop(self):
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        if self._log:
            self._log.close()

    def status(self, name):
        """A number of /proc/PID/status, kB where it is memory."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
            return int(re.search(r"^%s:\s+(\d+)" % name, status.read(), re.M).group(1))

    def memory_kb(self):
        return self.status("VmRSS")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def switches(self):
        """How often its threads have been put to run, waking or interrupted, since they began."""
        total = 0
        for task in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/status" % (self.pid, task), encoding="ascii") as status:
                total += sum(int(count) for count in re.findall(r"ctxt_switches:\s+(\d+)", status.read()))
        return total

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def await_http(process, url, seconds=60):
    end = time.monotonic() + seconds
    while process.alive() and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("no answer from %s" % url)


class Service(Process):
    """The program under test, with nothing between two tests: no cache, no limits. `wrapper` runs in front of it."""

    def __init__(self, field, wrapper=(), log=None, **options):
        port = net.fresh_port()
        self.base = "http://%s:%d" % (SERVICE, port)
        settings = {
            "listen": "%s:%d" % (SERVICE, port), "dns-server": field.resolver_address, "trust-file": field.trust,
            "allow-target": NETWORK, "imap-port": field.imap, "imaps-port": field.imaps, "cache-seconds": 0,
            "client-rate": 0, "target-rate": 0, "io-timeout-ms": PATIENCE_MS, "deadline-ms": PATIENCE_MS,
            "dns-timeout-ms": PATIENCE_MS, "connect-timeout-ms": PATIENCE_MS, "grace-ms": 0,
        }
        settings.update({name.replace("_", "-"): value for name, value in options.items()})
        command = [*wrapper, built("IMAP_TESTD", "imap-testd")]
        for name, value in settings.items():
            if value is not None:
                command += ["--" + name, str(value)]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("IMAP_TEST_")}
        super().__init__(command, environment=variables, log=log or os.devnull)
        try:
            await_http(self, self.base + "/healthz")
        except BaseException:
            self.stop()
            raise

    def url(self, host, address=None):
        """Of a test of the host; at the address, without asking the resolver, where one is given."""
        return "%s/v1/imap-test?host=%s%s" % (self.base, host, "&address=" + address if address else "")


class Blackbox(Process):
    """blackbox_exporter; a test is two requests to it, one for each port."""

    def __init__(self, field):
        config, port = os.path.join(field.folder, "blackbox.yml"), net.fresh_port()
        self.base, self._field = "http://%s:%d" % (BLACKBOX, port), field
        with open(config, "w", encoding="ascii") as out:
            out.write("modules:")
            for kind in KINDS:
                out.write(BLACKBOX_MODULE.format(kind=kind, service="imap", tls="tls: false", trust=field.trust,
                                                 starttls=BLACKBOX_STARTTLS))
                out.write(BLACKBOX_MODULE.format(kind=kind, service="imaps", tls="tls: true", trust=field.trust,
                                                 starttls=""))
        super().__init__([EXPORTER, "--config.file=" + config, "--log.level=error",
                          "--web.listen-address=%s:%d" % (BLACKBOX, port)], log=os.devnull)
        try:
            await_http(self, self.base + "/")
        except BaseException:
            self.stop()
            raise

    def urls(self, kind, address):
        return ["%s/probe?module=%s_%s&target=%s:%d" % (self.base, kind, service, address, port)
                for service, port in (("imap", self._field.imap), ("imaps", self._field.imaps))]


class Field:
    """Certificates, resolver and servers, ready to be tested. Use as a context manager."""

    def __init__(self, hosts=HOSTS):
        net.raise_descriptor_limit(DESCRIPTORS)
        self.folder = tempfile.mkdtemp(prefix="imap-test-bench-")
        os.chmod(self.folder, 0o755)
        self.imap, self.imaps = net.fresh_ports(2)
        self.trust = os.path.join(self.folder, "roots.pem")
        self._servers = []
        self._kinds_without_hosts = list(MANY)
        try:
            self._make_certificates(hosts)
            self._start()
        except BaseException:
            self.stop()
            raise

    def _make_certificates(self, hosts):
        with open(self.trust, "wb") as roots:
            for kind in KINDS:
                os.mkdir(self.chains(kind))
                subprocess.run([program("chains"), self.chains(kind), kind, str(hosts), DOVECOT[kind]], check=True)
                with open(os.path.join(self.chains(kind), "root.pem"), "rb") as root:
                    roots.write(root.read())

    def chains(self, kind):
        return os.path.join(self.folder, kind)

    def _start(self):
        port = net.fresh_port()
        self.resolver_address = "%s:%d" % (RESOLVER, port)
        zones = ["mail.%s.bench.test=%s" % pair for pair in DOVECOT.items()]
        zones += ["%s.bench.test=%s" % pair for pair in MANY.items()]
        zones += ["%s.bench.test=%s" % pair for pair in SILENT.items()]
        zones.append("plain.bench.test=" + ",".join(PLAIN))
        self._servers.append(Process([program("resolver"), RESOLVER, str(port), *zones], ready=True))
        sites = {address: {"ssl_cert": "<%s/chain.pem" % self.chains(kind), "ssl_key": "<%s/key.pem" % self.chains(kind)}
                 for kind, address in DOVECOT.items()}
        self._servers.append(dovecot.start(ports=(self.imap, self.imaps), sites=sites, settings={
            "default_client_limit": 40000, "default_vsz_limit": "4G",
        }, login={"process_min_avail": 2, "process_limit": 2, "client_limit": 9000, "vsz_limit": "4G"}))
        for mode, address in SILENT.items():
            self.start_peer(mode, "-", address)
        self.start_peer("plain", "-", *PLAIN)

    def start_peer(self, mode, chains, *addresses):
        peer = Process([program("peer"), mode, str(self.imap), str(self.imaps), chains, *addresses], ready=True)
        self._servers.append(peer)
        return peer

    def start_many_hosts(self):
        """Unless they run already."""
        while self._kinds_without_hosts:
            kind = self._kinds_without_hosts.pop()
            self.start_peer("hosts", self.chains(kind), MANY[kind])

    def bare(self, name, address, count, concurrency, wrapper=(), **options):
        """The bare loop: what it printed."""
        command = [*wrapper, program("bare"), self.trust, name, address, str(self.imap), str(self.imaps), str(count),
                   str(concurrency)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **options)
        if done.returncode != 0:
            raise RuntimeError("the bare loop failed: %s" % done.stdout)
        return numbers(done.stdout)

    def stop(self):
        for server in reversed(self._servers):
            server.stop()
        self._servers = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def load_command(count, concurrency, urls, match=None, process=None, seconds=60, pause_ms=None, first=0):
    command = [program("load"), "-s", str(seconds), "-n", str(first)]
    command += ["-m", match] if match else []
    command += ["-p", str(process.pid)] if process else []
    command += ["-i", str(pause_ms)] if pause_ms else []
    return command + [str(count), str(concurrency), *urls]


def try_load(*arguments, **options):
    """An HTTP load of which some may fail: what it printed."""
    return numbers(subprocess.run(load_command(*arguments, **options), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True, check=False).stdout)


def load(*arguments, **options):
    """An HTTP load that must succeed as a whole: what it printed."""
    done = subprocess.run(load_command(*arguments, **options), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("the load failed: %s" % done.stdout)
    return numbers(done.stdout)

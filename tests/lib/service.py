"""The program under test as a process: started on a free port, asked over HTTP, stopped with SIGTERM."""
import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CANDIDATES = ("build/asan/imap-testd", "build/dev/imap-testd", "build/imap-testd")

SANITIZER_REPORT = re.compile(r"ERROR: AddressSanitizer|runtime error:|LeakSanitizer|WARNING: ThreadSanitizer"
                              r"|AddressSanitizer:DEADLYSIGNAL|==\d+== *ERROR SUMMARY: [1-9]")
SANITIZER_DEFAULTS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66",
}


def binary():
    """The program to test: IMAP_TESTD, else the first one built in this tree."""
    named = os.environ.get("IMAP_TESTD")
    candidates = [named] if named else [os.path.join(ROOT, path) for path in CANDIDATES]
    for path in candidates:
        if os.access(path, os.X_OK):
            return path
    raise RuntimeError("no program to test at %s; build it or name it in IMAP_TESTD" % " or ".join(candidates))


def wrapper():
    return shlex.split(os.environ.get("IMAP_TESTD_WRAPPER", ""))


def sanitized():
    """Whether the program carries a sanitizer, which makes it slower and bigger."""
    with open(binary(), "rb") as program:
        code = program.read()
    return b"__asan_init" in code or b"__tsan_init" in code


def slowness():
    """By how much limits of time are to be stretched for this program."""
    named = os.environ.get("IMAP_TESTD_SLOWNESS")
    if named:
        return float(named)
    if wrapper():
        return 12.0
    return 3.0 if sanitized() else 1.0


def activated(command, descriptors):
    """The command with these descriptors as 3 and those that follow, and its own process id in LISTEN_PID."""
    # By way of numbers that are neither of the old nor of the new ones.
    spare = max(descriptors) + len(descriptors) + 10
    moves = ["%d<&%d" % (spare + index, number) for index, number in enumerate(descriptors)]
    moves += ["%d<&-" % number for number in descriptors]
    moves += ["%d<&%d" % (3 + index, spare + index) for index in range(len(descriptors))]
    moves += ["%d<&-" % (spare + index) for index in range(len(descriptors))]
    return ["/bin/bash", "-c", "exec %s\nexport LISTEN_PID=$$\nexec \"$@\"" % " ".join(moves), "bash", *command]


class Answer:
    """One HTTP answer. Header names in lower case; `fields` has every line, `headers` the first one of a name."""

    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.fields = [(name.lower(), value) for name, value in headers]
        self.headers = dict(reversed(self.fields))

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "%d %r %r" % (self.status, self.headers, self.body[:400])


class Service:
    """Options as keywords, `_` for `-`; a list repeats the option, None leaves it out. Use as a context manager.
    `environment` holds variables for the program beside those of the tests; `descriptors` is the limit it starts
    with, and cannot raise. `sockets` are passed to it as a service manager does, as pairs of a name and a socket.

    Rates and the cache are off unless given, so that no test is answered from another one's result. Time limits
    ending in _ms are passed as given: stretch them with slowness() where the program itself has to be in time.
    """

    def __init__(self, environment=None, descriptors=None, sockets=(), **options):
        settings = {"listen": None if sockets else "127.0.0.1:0", "cache_seconds": 0, "client_rate": "0/60", "target_rate": "0/60"}
        settings.update(options)
        self.lines = []
        self._ready = threading.Event()
        self._address = None
        command = wrapper() + [binary()]
        if descriptors:
            command = ["prlimit", "--nofile=%d:%d" % (descriptors, descriptors)] + command
        for name, value in settings.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if one is not None:
                    command += ["--" + name.replace("_", "-"), str(one)]
        variables = {name: value for name, value in os.environ.items()
                     if not name.startswith("IMAP_TEST_")}
        for name, value in SANITIZER_DEFAULTS.items():
            variables.setdefault(name, value)
        variables.update(environment or {})
        if sockets:
            command = activated(command, [sock.fileno() for _, sock in sockets])
            variables.update(LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(name for name, _ in sockets))
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=variables,
                                        pass_fds=[sock.fileno() for _, sock in sockets])
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._ready.wait(10 * slowness()) or self._address is None:
            self.kill()
            raise RuntimeError("%s did not start listening:\n%s" % (shlex.join(command), self.log()))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    # The process

    def _read_log(self):
        for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(line)
            if self._address is None:
                self._note_address(line)
        self._ready.set()

    def _note_address(self, line):
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and event.get("event") == "listening":
            host, _, port = event["address"].rpartition(":")
            self._address = (host, int(port))
            self._ready.set()

    @property
    def address(self):
        return self._address

    def log(self):
        return "\n".join(self.lines)

    def events(self, name):
        """The lines of the log with this event, as objects."""
        found = []
        for line in self.lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == name:
                found.append(event)
        return found

    def peak_memory_kib(self):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self, seconds=None):
        """SIGTERM; the program must end with status 0 and without a complaint of a sanitizer."""
        if self.process.returncode is None:
            self.terminate()
        self.finish(seconds)

    def finish(self, seconds=None):
        """What stop() demands of a program that was told to end already."""
        try:
            status = self.process.wait(seconds or 15 * slowness())
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the program did not end after SIGTERM:\n" + self.log()) from None
        self._end_log()
        if SANITIZER_REPORT.search(self.log()):
            raise AssertionError("a sanitizer complained:\n" + self.log())
        if status != 0:
            raise AssertionError("exit status %d instead of 0:\n%s" % (status, self.log()))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._end_log()

    def _end_log(self):
        """Closing a stream that a thread still reads would wait for ever, should a child hold the other end."""
        self._reader.join(5)
        if not self._reader.is_alive():
            self.process.stderr.close()

    # HTTP

    def connect(self, timeout=None, source=None):
        """A connection, from another address of this machine where one is given."""
        return socket.create_connection(self._address, timeout or 60 * slowness(), (source, 0) if source else None)

    def request(self, method, path, headers=None, body=None, timeout=None):
        connection = http.client.HTTPConnection(*self._address, timeout=timeout or 60 * slowness())
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    @staticmethod
    def test_path(host, **parameters):
        return "/v1/imap-test?" + urllib.parse.urlencode({"host": host, **parameters}, safe=":,[]")

    def test(self, host, **parameters):
        return self.get(self.test_path(host, **parameters))

    def raw(self, data, count=1, timeout=None):
        """Sends bytes as they are and reads up to `count` answers."""
        answers = []
        with self.connect(timeout) as sock:
            sock.sendall(data)
            stream = sock.makefile("rb")
            while len(answers) < count:
                answer = read_answer(stream)
                if answer is None:
                    break
                answers.append(answer)
        return answers


class FileService(Service):
    """Its log stands in a file, in either form; what it says on standard error is in `lines`."""

    def _read_log(self):
        path = self.command[self.command.index("--log-file") + 1]
        while self.process.poll() is None and self._address is None:
            with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as log:
                listening = re.search(r"listening.*?(127\.[\d.]+):(\d+)", log.read())
                if listening:
                    self._address = (listening[1], int(listening[2]))
            time.sleep(0.01)
        self._ready.set()
        super()._read_log()


def read_answer(stream, method="GET"):
    """One answer to a request of this method from a stream, None where it ended before."""
    try:
        status_line = stream.readline()
    except ConnectionResetError:
        return None
    if not status_line:
        return None
    status = int(status_line.split()[1])
    headers = []
    while (line := stream.readline()) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    length = dict((name.lower(), value) for name, value in headers).get("content-length")
    if method == "HEAD" or status == 204:
        body = b""
    else:
        body = stream.read(int(length)) if length is not None else stream.read()
    return Answer(status, headers, body)


def wait_until(condition, seconds, what):
    """Polls until the condition holds; AssertionError where it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within %.1f s: %s" % (seconds, what))
        time.sleep(0.01)

"""`imap-testd --health-check`: what a container's health check hears of a service that lives, stops, is not there, or
does not behave."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import net
import service
import stage

SLOW = service.slowness()
LIMIT_S = 3.0


class Odd:
    """Accepts connections and writes `pieces` to each, one every `pause` seconds; then closes it, or, with `hold`,
    stays."""

    def __init__(self, *pieces, pause=0.0, hold=False):
        self.pieces, self.pause, self.hold = pieces, pause, hold
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                with peer, contextlib.suppress(OSError):
                    self.requests.append(peer.recv(4096))
                    for piece in self.pieces:
                        time.sleep(self.pause)
                        peer.sendall(piece)
                    while self.hold and peer.recv(4096):
                        pass


class HealthTest(case.Case):
    def check(self, *arguments, environment=None):
        """Exit status, standard output and error, seconds."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("IMAP_TEST_")}
        variables.update(service.SANITIZER_DEFAULTS)
        variables.update(environment or {})
        begun = time.monotonic()
        done = subprocess.run(service.wrapper() + [service.binary(), "--health-check", *arguments], env=variables,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True,
                              timeout=30 * SLOW)
        return done.returncode, done.stdout, done.stderr, time.monotonic() - begun

    def alive(self, address, *arguments, **options):
        status, out, err, _ = self.check(*arguments, **options)
        self.assertEqual((status, out, err), (0, "%s is alive\n" % address, ""))

    def dead(self, why, *arguments):
        status, out, err, seconds = self.check(*arguments)
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"\Aimap-testd: \S+ is not alive: .*%s.*\n\Z" % why)
        return seconds

    def test_alive(self):
        with service.Service() as played:
            address = "%s:%d" % played.address
            self.alive(address, "--listen", address)
            self.alive(address, environment={"IMAP_TEST_LISTEN": address})
            self.alive(address, "--listen", address, "--listen", "127.0.0.1:1")

    def test_a_wildcard_is_asked_on_loopback(self):
        for wildcard, loopback in (("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")):
            with service.Service(listen="%s:0" % loopback) as played:
                port = played.address[1]
                self.alive("%s:%d" % (loopback, port), environment={"IMAP_TEST_LISTEN": "%s:%d" % (wildcard, port)})

    def test_api_keys_are_not_needed(self):
        with tempfile.NamedTemporaryFile("w") as keys:
            keys.write("a-key-of-the-health-test\n")
            keys.flush()
            with service.Service(api_key_file=keys.name) as played:
                self.alive("%s:%d" % played.address, "--listen", "%s:%d" % played.address)

    def test_one_that_is_full_or_stops_is_alive(self):
        with stage.Stage(max_in_flight=1, io_timeout_ms=60000, drain_ms=int(3000 * SLOW), grace_ms=100) as here:
            address = "%s:%d" % here.service.address
            host = here.play([imapd.silence()])
            with here.service.connect() as busy:
                busy.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % here.service.test_path(
                    host.name, ports=here.imap).encode())
                service.wait_until(lambda: here.service.get("/readyz").status == 503, 5 * SLOW, "full")
                self.alive(address, "--listen", address)
                here.service.terminate()
                service.wait_until(lambda: here.service.events("stopping"), 5 * SLOW, "stopping")
                self.alive(address, "--listen", address)
                busy.recv(65536)
        self.dead("Connection refused", "--listen", address)

    def test_nobody_there(self):
        self.dead("Connection refused", "--listen", "127.0.0.1:%d" % net.fresh_port())

    def test_stopped_process(self):
        """The kernel takes the connection, the program does nothing."""
        with service.Service() as played:
            address = "%s:%d" % played.address
            played.process.send_signal(signal.SIGSTOP)
            try:
                seconds = self.dead("timed out", "--listen", address)
            finally:
                played.process.send_signal(signal.SIGCONT)
        self.assertGreater(seconds, LIMIT_S - 0.1)
        self.assertLess(seconds, LIMIT_S + 2 * SLOW)

    def test_odd_answers(self):
        for why, odd in (("not 200", Odd(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")),
                         ("not 200", Odd(b"* OK this is no HTTP server\r\n")),
                         ("without an answer", Odd()),
                         ("without an answer", Odd(b"HTTP/1.1 20")),
                         ("timed out", Odd(hold=True)),
                         ("timed out", Odd(*[b"x"] * 9, pause=0.5, hold=True))):
            with self.subTest(odd.pieces), odd:
                self.assertLess(self.dead(why, "--listen", odd.address), LIMIT_S + 2 * SLOW)
        with Odd(b"HTTP/1.1", b" 200", b" OK", b"\r\n", pause=0.2, hold=True) as odd:
            self.alive(odd.address, "--listen", odd.address)
        self.assertEqual(odd.requests,
                         [b"GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % odd.address.encode()])

    def test_usage(self):
        for words, arguments in (("port.*0.0.0.0:0.*--listen", ("--listen", "0.0.0.0:0")),
                                 ("takes no value", ("--health-check=true",)),
                                 ("--check.*--health-check", ("--check", "imap.example.com")),
                                 ("is not an IP address", ("--listen", "localhost:8080"))):
            with self.subTest(arguments):
                status, out, err, _ = self.check(*arguments)
                self.assertEqual((status, out), (2, ""))
                self.assertRegex(err, r"\Aimap-testd: .*%s.*\n\Z" % words)

    def test_the_environment_alone_does_not_ask(self):
        """It is the service's as well, which would never serve."""
        with service.Service(environment={"IMAP_TEST_HEALTH_CHECK": "true"}) as played:
            self.assertEqual(played.get("/healthz").status, 200)


if __name__ == "__main__":
    case.main()

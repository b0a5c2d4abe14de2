"""The end of the service under load, and what it does with more work than it takes."""
import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import service
import stage

SLOW = service.slowness()
GRACE_MS = int(2500 * SLOW)


class Client(threading.Thread):
    """One request in a thread; `answer` is None where the connection ended without one."""

    def __init__(self, target, path):
        super().__init__(daemon=True)
        self.target, self.path = target, path
        self.answer = None
        self.error = None
        self.start()

    def run(self):
        try:
            self.answer = self.target.get(self.path)
        except (OSError, http.client.HTTPException) as error:
            self.error = error


class StopTest(case.Case):
    def load(self, here, able, silent):
        """Requests under way: `able` of a host that takes a second, `silent` of one that never answers."""
        context = here.context()
        late = [imapd.sleep(1.0)]
        able_host = here.play(late + imapd.healthy_plain(context), late + imapd.healthy_tls(context))
        silent_host = here.play([imapd.silence()], [imapd.hello(), imapd.sleep(30)])
        clients = ([Client(here.service, here.service.test_path(able_host.name)) for _ in range(able)],
                   [Client(here.service, here.service.test_path(silent_host.name)) for _ in range(silent)])
        # A connection counts as soon as the script of its test has begun.
        service.wait_until(lambda: len(able_host.connections()) == 2 * able and
                           len(silent_host.connections()) == 2 * silent, 20 * SLOW, "all tests under way")
        return clients

    def test_every_accepted_request_is_answered(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                self.stop_under_load(number)

    def in_time(self, play):
        """Plays what has to be done within a part of the quarter of a second for which idle connections are left open;
        `play` tells how long it needed. On a busy machine that may take some attempts."""
        for _ in range(8):
            if play() < 0.15:
                return
        self.fail("this machine is too busy for this test")

    def stop_under_load(self, number):
        self.in_time(lambda: self.stop_once_under_load(number))

    def stop_once_under_load(self, number):
        with stage.Stage(grace_ms=GRACE_MS, io_timeout_ms=60000, deadline_ms=60000) as here:
            kept = [self.kept(here) for _ in range(4)]
            able, silent = self.load(here, 20, 10)
            begin = time.monotonic()
            here.service.process.send_signal(number)
            asked = self.ask_while_stopping(kept, here)
            if asked >= 0.15:
                here.service.kill()
                return asked
            self.check_stopping(kept, here)
            for client in able + silent:
                client.join(GRACE_MS / 1000 + 10 * SLOW)
            here.service.finish()
            took = time.monotonic() - begin
            for client in able:
                self.assertIsNotNone(client.answer, client.error)
                report = self.check_report(client.answer)
                self.assertEqual(report["verdict"], "ok", "a test that could have ended was cut")
            for client in silent:
                self.assertIsNotNone(client.answer, client.error)
                if client.answer.status != 503:
                    self.check_report(client.answer)
                else:
                    self.problem(client.answer, 503, "shutting_down")
                    self.assertIn("retry-after", client.answer.headers)
            self.assertGreaterEqual(took, 0.8)
            self.assertLess(took, GRACE_MS / 1000 + 3 * SLOW)
            return asked

    def kept(self, here):
        """A connection that was asked on before, and is kept."""
        connection = here.service.connect()
        self.assertEqual(self.ask(connection, "/readyz").status, 200)
        return connection

    @staticmethod
    def ask(connection, path):
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        with connection.makefile("rb") as stream:
            return service.read_answer(stream)

    @staticmethod
    def ask_while_stopping(kept, here):
        """Asks on all kept connections but the last; returns how long after the signal was taken that was."""
        begin = time.monotonic()
        while not here.service.events("stopping"):
            begin = time.monotonic()
            time.sleep(0.001)
        time.sleep(0.02)
        for connection, path in zip(kept, ("/readyz", "/healthz", here.service.test_path("localhost"))):
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        return time.monotonic() - begin

    def check_stopping(self, kept, here):
        """While stopping: not ready, what is asked on an open connection is done, and it is closed then. So is one that
        stays idle, and none is opened any more."""
        for connection, status in zip(kept, (503, 200, 200, None)):
            with connection, connection.makefile("rb") as stream:
                answer = service.read_answer(stream)
                self.assertEqual(answer and answer.status, status, answer)
                if answer:
                    self.assertEqual(answer.headers.get("connection"), "close")
                if status == 503:
                    self.problem(answer, 503, "shutting_down")
                    self.assertIn("retry-after", answer.headers)
                self.assertEqual(stream.read(1), b"")
        with self.assertRaises(ConnectionRefusedError):
            here.service.connect()
        self.assertIsNone(here.service.process.poll(), "it ended before its tests did")

    def test_idle_service_stops_at_once(self):
        with stage.Stage(grace_ms=30000) as here:
            self.assertEqual(here.service.get("/healthz").status, 200)
            connections = [here.service.connect() for _ in range(3)]  # idle clients hold nothing up
            begin = time.monotonic()
            here.service.terminate()
            here.service.finish()
            self.assertLess(time.monotonic() - begin, 2 * SLOW)
            for connection in connections:
                connection.close()

    def test_requests_that_never_come_to_their_end_do_not_hold_it_up(self):
        with stage.Stage() as here:
            head = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
            socks = [here.service.connect() for _ in range(20)]
            for index, sock in enumerate(socks):
                sock.sendall(head[:len(head) - index])
                if index % 2:
                    sock.close()
            time.sleep(0.3 * SLOW)
            began = time.monotonic()
            here.service.stop()
            self.assertLess(time.monotonic() - began, 2 * SLOW)
            self.assertEqual(here.service.events("answers_left_unwritten"), [])
            for sock in socks:
                sock.close()

    def test_second_signal_ends_the_waiting(self):
        """But not the order: all are answered."""
        for drain_ms, number in ((0, signal.SIGTERM), (60000, signal.SIGINT)):
            with self.subTest(drain_ms=drain_ms), \
                    stage.Stage(grace_ms=60000, drain_ms=drain_ms, io_timeout_ms=60000, deadline_ms=60000) as here:
                _, silent = self.load(here, 0, 5)
                begin = time.monotonic()
                here.service.terminate()
                time.sleep(0.5 * SLOW)
                self.assertIsNone(here.service.process.poll())
                here.service.process.send_signal(number)
                for client in silent:
                    client.join(20 * SLOW)
                    self.assertIsNotNone(client.answer, client.error)
                here.service.finish()
                self.assertLess(time.monotonic() - begin, 5 * SLOW)

    def test_draining(self):
        """Not ready, but everything is done as before, on new connections too; each is closed behind its answer."""
        drain_ms = int(1500 * SLOW)
        with stage.Stage(drain_ms=drain_ms) as here:
            kept = self.kept(here)
            host = here.play(imapd.healthy_plain(here.context()), imapd.healthy_tls(here.context()))
            begin = time.monotonic()
            here.service.terminate()
            service.wait_until(lambda: here.service.get("/readyz").status == 503, drain_ms / 2000, "it is not ready")
            answers = [here.service.get(here.service.test_path(host.name)), here.service.get("/v1/capabilities"),
                       self.ask(kept, "/healthz")]
            self.assertLess(time.monotonic() - begin, drain_ms / 1000, "too slow a machine for this test")
            self.assertEqual([(answer.status, answer.headers["connection"]) for answer in answers], [(200, "close")] * 3)
            kept.close()
            here.service.finish()
            self.assertGreaterEqual(time.monotonic() - begin, drain_ms / 1000)
            with self.assertRaises(ConnectionRefusedError):
                here.service.connect()

    def test_who_waits_at_the_socket_is_let_in(self):
        """Callers that the kernel has connected, and the service has not noticed yet when it is told to stop."""
        with stage.Stage() as here:
            here.service.process.send_signal(signal.SIGSTOP)
            connections = [here.service.connect() for _ in range(300)]
            for connection in connections:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            here.service.terminate()
            here.service.process.send_signal(signal.SIGCONT)
            for connection in connections:
                with connection, connection.makefile("rb") as stream:
                    answer = service.read_answer(stream)
                    self.assertEqual(answer and answer.status, 200)
            here.service.finish()

    def test_who_has_connected_is_waited_for(self):
        """A connection that was opened before the signal, and asks a moment after it."""
        self.in_time(self.connect_and_ask_late)

    def connect_and_ask_late(self):
        with stage.Stage() as here:
            connections = [here.service.connect() for _ in range(30)]
            begin = time.monotonic()
            here.service.terminate()
            time.sleep(0.05)
            for connection in connections:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            took = time.monotonic() - begin
            for connection in connections:
                with connection, connection.makefile("rb") as stream:
                    answer = service.read_answer(stream)
                    self.assertTrue(took >= 0.15 or (answer and answer.status == 200), answer)
            here.service.finish()
        return took

    def test_signals_that_come_together(self):
        """A reload that the end overtakes, and one that comes too late."""
        for signals in ((signal.SIGHUP, signal.SIGTERM), (signal.SIGTERM, signal.SIGHUP, signal.SIGHUP),
                        (signal.SIGHUP, signal.SIGINT, signal.SIGHUP)):
            with self.subTest(signals=signals), stage.Stage(drain_ms=200) as here:
                host = here.play(imapd.healthy_plain(here.context()), imapd.healthy_tls(here.context()))
                client = Client(here.service, here.service.test_path(host.name))
                service.wait_until(host.connections, 10 * SLOW, "the test has begun")
                for number in signals:
                    here.service.process.send_signal(number)
                client.join(20 * SLOW)
                self.assertIsNotNone(client.answer, client.error)
                self.assertEqual(self.check_report(client.answer)["verdict"], "ok")
                here.service.finish()
                self.assertEqual(len(here.service.events("stopped")), 1)


class OverloadTest(case.Case):
    def test_more_than_the_limit_is_refused_and_the_rest_goes_on(self):
        with stage.Stage(max_in_flight=2, io_timeout_ms=60000, deadline_ms=60000) as here:
            gate = threading.Event()
            steps = [lambda connection: gate.wait(30)]
            held = here.play(steps + imapd.healthy_plain(here.context()))
            path = here.service.test_path(held.name, ports=str(here.imap))
            clients = [Client(here.service, path) for _ in range(2)]
            service.wait_until(lambda: len(held.connections()) == 2, 10 * SLOW, "two tests under way")
            for _ in range(3):
                answer = here.service.get(path)
                self.problem(answer, 503, "overloaded")
                self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
            self.assertEqual(here.service.get("/healthz").status, 200)
            self.assertEqual(len(held.connections()), 2, "a refused test connected nevertheless")
            gate.set()
            for client in clients:
                client.join(20 * SLOW)
                self.assertEqual(self.check_report(client.answer)["verdict"], "ok")
            self.assertEqual(self.check_report(here.service.get(path))["verdict"], "ok", "room was not given back")


class StartTest(case.Case):
    """Wrong options end the program with status 2 and one clear line."""

    def test_wrong_options(self):
        for options in ({"workers": "0"}, {"imap_port": "70000"}, {"io_timeout_ms": "soon"}, {"no_such_option": "1"},
                        {"allow_target": "127.0.0.0/33"}, {"trust_file": "/nonexistent/roots.pem"},
                        {"listen": "127.0.0.1:99999"}):
            with self.subTest(options=options):
                with self.assertRaises(RuntimeError) as caught:
                    service.Service(**options).stop()
                self.assertRegex(str(caught.exception), "did not start listening")
        self.assertEqual(self.exit_status("--workers", "0"), 2)
        self.assertEqual(self.exit_status("--no-such-option"), 2)

    def test_told_to_end_while_it_starts(self):
        """Whatever it is at: it ends in order, or before it has begun with anything."""
        ended = set()
        for ms in range(0, int(60 * SLOW), int(3 * SLOW)):
            process = subprocess.Popen(service.wrapper() + [service.binary(), "--listen", "127.0.0.1:0"],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(ms / 1000)
            process.terminate()
            with process, contextlib.suppress(subprocess.TimeoutExpired):
                _, log = process.communicate(timeout=20 * SLOW)
            process.kill()
            self.assertIn(process.returncode, (0, -signal.SIGTERM), log)
            self.assertIsNone(service.SANITIZER_REPORT.search(log.decode()), log)
            self.assertEqual(b'"stopped"' in log, process.returncode == 0, log)
            ended.add(process.returncode)
        self.assertIn(0, ended, "it was always too early")

    def test_version_and_help(self):
        self.assertEqual(self.exit_status("--version"), 0)
        self.assertEqual(self.exit_status("--help"), 0)

    @staticmethod
    def exit_status(*arguments):
        return subprocess.run(service.wrapper() + [service.binary(), *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=20 * SLOW, check=False).returncode


if __name__ == "__main__":
    case.main()

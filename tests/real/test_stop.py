"""The end of the service under load, and what it does with more work than it takes."""
import http.client
import os
import signal
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

    def stop_under_load(self, number):
        with stage.Stage(grace_ms=GRACE_MS, io_timeout_ms=60000, deadline_ms=60000) as here:
            idle = here.service.connect()
            idle.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            idle_stream = idle.makefile("rb")
            self.assertEqual(service.read_answer(idle_stream).status, 200)
            able, silent = self.load(here, 20, 10)
            begin = time.monotonic()
            here.service.process.send_signal(number)
            self.check_refusals(idle, idle_stream, here)
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

    def check_refusals(self, idle, stream, here):
        """While stopping: not ready, and new work on an open connection is refused."""
        time.sleep(0.2 * SLOW)
        path = here.service.test_path("127.0.0.1").encode()
        for request, code in ((b"GET /readyz", None), (b"GET " + path, "shutting_down")):
            idle.sendall(request + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = service.read_answer(stream)
            if answer is None:  # closed after the first refusal
                self.assertEqual(code, "shutting_down")
                break
            self.assertEqual(answer.status, 503, answer)
            if code:
                self.problem(answer, 503, code)
                self.assertIn("retry-after", answer.headers)
        idle.close()

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

    def test_second_signal_does_not_break_the_stop(self):
        with stage.Stage(grace_ms=int(1000 * SLOW), io_timeout_ms=60000, deadline_ms=60000) as here:
            _, silent = self.load(here, 0, 5)
            here.service.terminate()
            time.sleep(0.1)
            here.service.terminate()
            for client in silent:
                client.join(20 * SLOW)
                self.assertIsNotNone(client.answer, client.error)
            here.service.finish()


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

    def test_version_and_help(self):
        self.assertEqual(self.exit_status("--version"), 0)
        self.assertEqual(self.exit_status("--help"), 0)

    @staticmethod
    def exit_status(*arguments):
        import subprocess
        return subprocess.run(service.wrapper() + [service.binary(), *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=20 * SLOW, check=False).returncode


if __name__ == "__main__":
    case.main()

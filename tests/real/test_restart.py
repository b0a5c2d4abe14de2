"""Restarts under load: the listening socket stays open with whoever started the service, as it does with systemd's
socket activation, and no request is lost, whoever asks and however long its test takes.

The clients retry nothing. They ask at a fixed rate, whether the answers come or not.
"""
import asyncio
import collections
import contextlib
import itertools
import os
import select
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import net
import proxy
import service
import stage

SLOW = service.slowness()
RESTARTS = 10
# Of a program that a sanitizer slows down the same is asked more slowly.
RATE = int(200 / SLOW)
# Time between restarts, in which the new process is at work.
PAUSE_S = 1.5
# How long a kept connection is left alone between two requests: longer than the service waits at its end.
IDLE_S = 0.6
# One request in so many is a whole test.
TEST_EVERY = 10


class Restarted(stage.Stage):
    """A stage whose service is started on a socket that stays open, and can be started anew on it."""

    def __init__(self, **options):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        options = {"trusted_proxy": "127.0.0.1/32", "max_in_flight": 2000, **options}
        self.start_ms = []
        super().__init__(sockets=[("http", self.socket)], **options)

    def restart(self):
        """Stops the process, waits for its end, and starts the next: as a service manager does."""
        self.service.stop()
        begin = time.monotonic()
        self.service = service.Service(**self.settings)
        self.start_ms.append((time.monotonic() - begin) * 1000)

    def stop(self, properly=True):
        try:
            super().stop(properly)
        finally:
            self.socket.close()


class Load:
    """Asks at a rate until stopped, each request from an address of a row of callers. `keep`: a connection on which an
    answer came is asked on again by the next request that has none, else each request has one of its own."""

    def __init__(self, address, paths, rate, keep=False):
        self.address, self.paths, self.rate, self.keep = address, itertools.cycle(paths), rate, keep
        self.sources = itertools.cycle([net.fresh_address() for _ in range(200)])
        self.kept = collections.deque()
        self.reused = 0
        self.outcomes = collections.Counter()
        self.failures = []
        self.slowest = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    async def _run(self):
        tasks = set()
        begin = time.monotonic()
        for number in itertools.count():
            if self._end.is_set():
                break
            await asyncio.sleep(max(0.0, begin + number / self.rate - time.monotonic()))
            task = asyncio.create_task(self._request(next(self.paths), next(self.sources)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        while tasks:
            await asyncio.gather(*list(tasks))
        for _, _, writer in self.kept:
            writer.close()

    async def _request(self, path, source):
        begin = time.monotonic()
        try:
            outcome = await asyncio.wait_for(self._ask(path, source), 60 * SLOW)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            outcome = type(error).__name__
        self.slowest = max(self.slowest, time.monotonic() - begin)
        self.outcomes[outcome] += 1
        if outcome != 200:
            self.failures.append((path, outcome))

    async def _connection(self, source):
        """One that has been idle for a while and, as far as can be seen, is still open; else a new one."""
        while self.kept and time.monotonic() - self.kept[0][0] > IDLE_S:
            _, reader, writer = self.kept.popleft()
            look = select.poll()
            look.register(writer.get_extra_info("socket"), select.POLLIN)
            if not reader.at_eof() and not look.poll(0):
                self.reused += 1
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self.address, local_addr=(source, 0))

    async def _ask(self, path, source):
        reader, writer = await self._connection(source)
        keep = False
        try:
            writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (
                path.encode(), b"" if self.keep else b"Connection: close\r\n"))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                          if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            keep = self.keep and b"\r\nconnection: close\r\n" not in head
            return int(head.split()[1])
        finally:
            if keep:
                self.kept.append((time.monotonic(), reader, writer))
            else:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


class RestartTest(case.Case):
    def paths(self, played, plain=(), tls=()):
        """What is asked for: mostly cheap things, and a whole test now and then."""
        context = played.context()
        host = played.play(list(plain) + imapd.healthy_plain(context), list(tls) + imapd.healthy_tls(context))
        cheap = ["/healthz", "/v1/capabilities", "/healthz"]
        return list(itertools.islice(itertools.cycle(cheap), TEST_EVERY - 1)) + [service.Service.test_path(host.name)]

    def restart_under(self, played, load, restarts=RESTARTS):
        time.sleep(0.5)
        for _ in range(restarts):
            played.restart()
            time.sleep(PAUSE_S)

    def judge(self, load, played, least, what, bearable=()):
        print("%s: %d restarts, %d requests at %d/s, slowest %.2f s, start %.0f ms (longest), %s%s" % (
            what, len(played.start_ms), sum(load.outcomes.values()), load.rate, load.slowest, max(played.start_ms),
            dict(load.outcomes), "" if SLOW == 1 else "; slower than 200/s, because the program carries a sanitizer"),
            file=sys.stderr)
        self.assertEqual([failure for failure in load.failures if failure not in bearable], [])
        self.assertGreater(load.outcomes[200], least)

    @unittest.skipUnless(proxy.nginx(), "nginx is not installed")
    def test_through_nginx(self):
        with Restarted() as played, proxy.Proxy(played.service.address) as front:
            with Load(front.address, self.paths(played), RATE) as load:
                self.restart_under(played, load)
            errors = [line for line in front.access_log() if '"status":200' not in line]
            self.judge(load, played, RATE * RESTARTS * PAUSE_S * 0.8, "through nginx")
            self.assertEqual(errors, [])

    def test_without_a_proxy(self):
        with Restarted() as played:
            with Load(played.service.address, self.paths(played), RATE) as load:
                self.restart_under(played, load)
            self.judge(load, played, RATE * RESTARTS * PAUSE_S * 0.8, "without a proxy")

    def test_connections_that_are_kept(self):
        """Each is asked on again after it was idle for a while: some are just then closed, and none with a request."""
        with Restarted() as played:
            with Load(played.service.address, ["/healthz"], RATE, keep=True) as load:
                self.restart_under(played, load)
            # HTTP/1.1 has no means against a request that crosses the end of its connection on the way (RFC 9112 section
            # 9.3.1); on loopback that is a matter of microseconds.
            crossed = [("/healthz", error) for error in ("IncompleteReadError", "ConnectionResetError")]
            self.judge(load, played, RATE * RESTARTS * PAUSE_S * 0.8, "on kept connections (%d times)" % load.reused,
                       crossed)
            self.assertLessEqual(len(load.failures), 2)
            self.assertGreater(load.reused, RATE * RESTARTS * PAUSE_S * 0.5)

    @unittest.skipUnless(proxy.nginx(), "nginx is not installed")
    def test_while_tests_take_their_time(self):
        """Each test takes a second or two, so that a restart waits for those under way, and callers wait for it."""
        late = [imapd.sleep(1.0)]
        with Restarted(grace_ms=20000) as played, proxy.Proxy(played.service.address) as front:
            with Load(front.address, self.paths(played, late, late + [imapd.sleep(1.0)]), RATE) as load:
                self.restart_under(played, load, 5)
            self.judge(load, played, RATE * 5 * PAUSE_S * 0.8, "with tests of two seconds")
            self.assertGreater(load.slowest, 1.9)


if __name__ == "__main__":
    case.main()

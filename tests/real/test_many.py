"""A thousand tests at a time against a server that never says a word: all end at their limit, nobody else waits.

IMAP_TESTD_MANY sets another number of tests, IMAP_TESTD_MANY_TIMEOUT_MS another limit than the program's default.
"""
import asyncio
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import certs
import dovecot
import imapd
import net
import service
import stage

MEMORY_KIB = 100 * 1024


def settings():
    """How many tests, and the limit in ms (None: the program's default of ten seconds)."""
    count, limit = (100, None) if service.wrapper() else (1000, None)
    count = int(os.environ.get("IMAP_TESTD_MANY", count))
    limit = os.environ.get("IMAP_TESTD_MANY_TIMEOUT_MS", limit)
    return count, None if limit is None else int(limit)


async def ask(address, path):
    """One request on a connection of its own: (status, headers and body, seconds)."""
    begin = time.monotonic()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
    data = await reader.read(-1)
    writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
    return service.Answer(int(lines[0].split()[1]), headers, body), time.monotonic() - begin


class ManyTest(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.count, limit = settings()
        net.raise_descriptor_limit(4 * cls.count + 500)
        cls.limit_seconds = (limit or 10000) / 1000
        # Only where the program is slow by nature may its deadline be later than the default.
        cls.stage = stage.Stage(io_timeout_ms=limit, workers=2, deadline_ms=None)
        cls.addClassCleanup(cls.stage.stop)
        cls.tarpit = imapd.Tarpit([cls.stage.imap, cls.stage.imaps])
        cls.addClassCleanup(cls.tarpit.stop)
        address = net.fresh_address()
        cls.healthy = cls.stage.name(address)
        server = dovecot.start(ports=(cls.stage.imap, cls.stage.imaps), sites={address: {}},
                               settings=dovecot.certificate(certs.trusted().leaf("*.play.test")))
        cls.addClassCleanup(server.stop)

    def test_thousand_silent_tests(self):
        silent, beside = asyncio.run(self.run_all())
        peak = self.stage.service.peak_memory_kib()
        print("%d tests: %.1f to %.1f s, at most %d connections held; beside them %d tests of Dovecot, "
              "slowest %.0f ms; peak memory %.1f MiB" %
              (len(silent), min(s for _, s in silent), max(s for _, s in silent), self.tarpit.most, len(beside),
               max(s for _, s in beside) * 1000, peak / 1024), file=sys.stderr)
        self.check_silent([answer for answer, _ in silent])
        self.assertEqual(self.tarpit.accepted, 2 * self.count, "one connection for each port of each test")
        self.assertGreaterEqual(self.tarpit.most, 2 * self.count, "they were not all under way at once")
        self.assertGreaterEqual(len(beside), 5)
        for answer, seconds in beside:
            self.assertEqual(self.check_report(answer)["verdict"], "ok")
            self.assertLess(seconds, service.slowness())
        if not service.sanitized() and not service.wrapper():
            self.assertLess(peak, MEMORY_KIB)
        service.wait_until(lambda: self.tarpit.open == 0, 5 * service.slowness(), "all connections closed")

    async def run_all(self):
        path = self.stage.service.test_path(self.tarpit.address)
        tasks = []
        for _ in range(self.count):
            tasks.append(asyncio.create_task(ask(self.stage.service.address, path)))
            if len(tasks) % 50 == 0:
                await asyncio.sleep(0.02)
        deadline = time.monotonic() + 5 * service.slowness()
        while self.tarpit.open < 2 * self.count and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        beside = []
        path = self.stage.service.test_path(self.healthy)
        until = time.monotonic() + max(1.0, self.limit_seconds - 4)
        while time.monotonic() < until and not any(task.done() for task in tasks):
            beside.append(await ask(self.stage.service.address, path))
            await asyncio.sleep(0.25)
        return await asyncio.gather(*tasks), beside

    def check_silent(self, answers):
        self.assertEqual(len(answers), self.count)
        for number, answer in enumerate(answers):
            self.assertEqual(answer.status, 200, answer)
            # The contract in full for a few, what matters here for all: checking takes longer than testing.
            report = self.check_report(answer) if number % 50 == 0 else answer.json()
            plain, tls = report["ports"]
            self.assertEqual((plain["error"]["code"], plain["error"]["phase"]), ("read_timeout", "greeting"))
            self.assertEqual((tls["error"]["code"], tls["error"]["phase"]), ("read_timeout", "tls"))
            self.assertGreaterEqual(report["duration_ms"], self.limit_seconds * 1000 * 0.98)
            self.assertLess(report["duration_ms"], self.limit_seconds * 1000 + 2500 * service.slowness())


if __name__ == "__main__":
    case.main()

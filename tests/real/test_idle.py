"""A service that nobody wants anything of sleeps."""
import contextlib
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import redisd
import stage
from service import sanitized, wait_until

IDLE_SECONDS = 3


class IdleTest(case.Case):
    def setUp(self):
        self.stage = stage.Stage()
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service

    def wake_ups(self):
        """How often each thread has gone to sleep so far."""
        tasks = "/proc/%d/task" % self.service.process.pid
        counts = {}
        for task in os.listdir(tasks):
            with open("%s/%s/status" % (tasks, task), encoding="ascii") as status:
                counts[task] = int(dict(line.split(":", 1) for line in status)["voluntary_ctxt_switches"])
        return counts

    def connections(self):
        fds = "/proc/%d/fd" % self.service.process.pid
        sockets = 0
        for fd in os.listdir(fds):
            with contextlib.suppress(FileNotFoundError):  # closed since they were listed
                sockets += os.readlink(os.path.join(fds, fd)).startswith("socket:")
        return sockets - 1

    def assert_sleeps(self):
        before = self.wake_ups()
        time.sleep(IDLE_SECONDS)
        self.assertEqual(self.wake_ups(), before)

    def test_from_the_start(self):
        self.assertEqual(self.service.get("/healthz").status, 200)
        wait_until(lambda: not self.connections(), 10, "the connection to be closed")
        time.sleep(0.5)
        self.assert_sleeps()

    def test_with_a_caller_that_asks_nothing(self):
        sock = self.service.connect()
        self.addCleanup(sock.close)
        time.sleep(1)
        self.assert_sleeps()


class IdleSharedTest(IdleTest):
    """With a store that replicas share, and nobody who asks."""

    def setUp(self):
        self.redis = redisd.Redis()
        self.addCleanup(self.redis.stop)
        self.stage = stage.Stage(shared_cache=self.redis.url)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service
        wait_until(lambda: self.redis.clients() == 2, 10, "the links of both workers")

    def connections(self):
        return super().connections() - 2

    def test_without_the_store(self):
        self.redis.kill()
        time.sleep(0.5)
        self.assert_sleeps()


if __name__ == "__main__":
    if sanitized():
        sys.exit(0)  # its runtime has a thread that wakes
    unittest.main()

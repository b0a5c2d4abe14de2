"""A crowd: what stands ready for one before it comes, and that it goes as fast as it came."""
import contextlib
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import imapd
import net
import service
import stage

TESTS = 3000
CROWD = 320


class RoomTest(case.Case):
    def test_the_table_of_descriptors_is_as_large_as_it_may_have_to_be(self):
        """The kernel has a thread that makes it larger wait for tens of milliseconds."""
        net.raise_descriptor_limit(4 * TESTS)
        with service.Service(max_in_flight=TESTS) as program:
            with open("/proc/%d/status" % program.process.pid, encoding="ascii") as status:
                size = int(re.search(r"^FDSize:\s+(\d+)", status.read(), re.M).group(1))
        self.assertGreaterEqual(size, 3 * TESTS)


class LeavingTest(case.Case):
    def setUp(self):
        net.raise_descriptor_limit(4 * CROWD + 500)
        self.stage = stage.Stage(io_timeout_ms=60000, deadline_ms=60000)
        self.addCleanup(self.stage.stop)
        self.service = self.stage.service
        self.tarpit = imapd.Tarpit([self.stage.imap, self.stage.imaps])
        self.addCleanup(self.tarpit.stop)

    def test_all_are_gone_soon(self):
        """They are let go a few at a time; each few as soon as the few before are gone."""
        request = "GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self.service.test_path(self.tarpit.address)
        with contextlib.ExitStack() as stack:
            for _ in range(CROWD):
                stack.enter_context(self.service.connect()).sendall(request.encode())
            service.wait_until(lambda: self.tarpit.open == 2 * CROWD, 60 * service.slowness(), "all under way")
        service.wait_until(lambda: len(self.service.events("request")) == CROWD, 8 * service.slowness(),
                           "all to be gone")
        self.assertEqual({event["aborted"] for event in self.service.events("request")}, {"client"})
        service.wait_until(lambda: self.tarpit.open == 0, 10 * service.slowness(), "all tests to be cut")
        self.assertEqual(self.service.get("/healthz").status, 200)


if __name__ == "__main__":
    unittest.main()

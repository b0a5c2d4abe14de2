"""What stands ready for a crowd before it comes."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import case
import net
import service

TESTS = 3000


class RoomTest(case.Case):
    def test_the_table_of_descriptors_is_as_large_as_it_may_have_to_be(self):
        """The kernel has a thread that makes it larger wait for tens of milliseconds."""
        net.raise_descriptor_limit(4 * TESTS)
        with service.Service(max_in_flight=TESTS) as program:
            with open("/proc/%d/status" % program.process.pid, encoding="ascii") as status:
                size = int(re.search(r"^FDSize:\s+(\d+)", status.read(), re.M).group(1))
        self.assertGreaterEqual(size, 3 * TESTS)


if __name__ == "__main__":
    unittest.main()

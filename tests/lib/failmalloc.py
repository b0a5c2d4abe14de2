"""Makes allocations of a running program fail: the other end of failmalloc.c, through a file that both map."""
import mmap
import os
import tempfile

HEAD = "failmalloc: this allocation fails"
WORDS = ("armed", "countdown", "failed", "blocks", "bytes")  # of 64 bits each
ONE, ALL_FROM_THERE = 1, 2


class FailMalloc:
    """`library` is the built failmalloc.c; `environment` goes to the program."""

    def __init__(self, library):
        descriptor, self._path = tempfile.mkstemp(prefix="failmalloc-")
        os.truncate(descriptor, mmap.PAGESIZE)
        self._map = mmap.mmap(descriptor, mmap.PAGESIZE)
        os.close(descriptor)
        self._words = memoryview(self._map).cast("q")
        self.environment = {"LD_PRELOAD": library, "FAILMALLOC": self._path}

    def close(self):
        self._words.release()
        self._map.close()
        os.unlink(self._path)

    def arm(self, number, how=ONE):
        """The allocation with this number from now on, 1 the next, fails."""
        self._words[WORDS.index("failed")] = 0
        self._words[WORDS.index("countdown")] = number
        self._words[WORDS.index("armed")] = how

    def disarm(self):
        """Returns how many were made to fail."""
        self._words[WORDS.index("armed")] = 0
        return self.failed()

    def failed(self):
        return self._words[WORDS.index("failed")]

    def alive(self):
        """(blocks, bytes)"""
        return self._words[WORDS.index("blocks")], self._words[WORDS.index("bytes")]


def stacks(lines):
    """Of each first failure told in the program's log: its callers, innermost first, as "library(function+offset)"."""
    found = []
    for line in lines:
        if line == HEAD:
            found.append([])
        elif found and line.startswith("/") and "failmalloc" not in line:
            found[-1].append(os.path.basename(line.partition("[")[0]))
    return found

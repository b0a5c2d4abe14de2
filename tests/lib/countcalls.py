"""Counts a running program's calls into the TLS library: the other end of countcalls.c, through a file both map."""
import collections
import mmap
import os
import tempfile

Counts = collections.namedtuple("Counts", "chains signatures imports")  # of 64 bits each


class CountCalls:
    """`library` is the built countcalls.c; `environment` goes to the program."""

    def __init__(self, library):
        descriptor, self._path = tempfile.mkstemp(prefix="countcalls-")
        os.truncate(descriptor, mmap.PAGESIZE)
        self._map = mmap.mmap(descriptor, mmap.PAGESIZE)
        os.close(descriptor)
        self._words = memoryview(self._map).cast("q")
        self._last = self.total()
        self.environment = {"LD_PRELOAD": library, "COUNTCALLS": self._path}

    def close(self):
        self._words.release()
        self._map.close()
        os.unlink(self._path)

    def total(self):
        return Counts(*self._words[:len(Counts._fields)])

    def since(self):
        """What was counted since this was asked last."""
        last, self._last = self._last, self.total()
        return Counts(*(new - old for new, old in zip(self._last, last)))

"""A process that reads pieces of a file beside the one that trains.

Python runs one thread at a time, and each of many small reads would wait until the training lets go of it.
This process has an interpreter of its own: this file, run as a script, which imports nothing of dianne and
ends with whoever asks. A question is n, width and n places, all int64; the answer is n * width bytes.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import weakref
from array import array
from contextlib import suppress
from threading import Lock

_PIPE = 1 << 20  # bytes that a pipe should hold: a batch, so that its answer comes in one piece


class Fetcher:
    """Reads pieces of a file in a process of its own; several threads may ask.

    Args:
        handle: of the open file.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, handle: int):
        command = [sys.executable, "-I", "-S", __file__, str(handle)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0, pass_fds=[handle])
        assert self._process.stdin
        assert self._process.stdout
        self._ask, self._answer = self._process.stdin.fileno(), self._process.stdout.fileno()
        with suppress(OSError):  # a system that allows less
            fcntl.fcntl(self._answer, fcntl.F_SETPIPE_SZ, _PIPE)
        self._lock = Lock()
        weakref.finalize(self, _end, self._process)

    def pieces(self, starts: list[int], width: int) -> bytearray:
        """So many bytes from each of some places, one behind the other.

        Raises:
            OSError: the process is gone: the file ends before, or cannot be read.
        """
        with self._lock:
            try:
                _write(self._ask, array("q", [len(starts), width, *starts]).tobytes())
                return _read(self._answer, len(starts) * width)
            except BaseException:  # somebody interrupts: the rest would be taken for the next answer
                self._process.kill()
                self._process.wait()
                raise


def _end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def _write(handle: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _read(handle: int, size: int) -> bytearray:
    found, have = bytearray(size), 0
    while have < size:
        step = os.readv(handle, [memoryview(found)[have:]])
        if not step:
            raise OSError("the process at the other end is gone")
        have += step
    return found


def _serve(handle: int) -> None:
    while True:
        count, width = array("q", bytes(_read(0, 16)))
        found = memoryview(bytearray(count * width))
        for number, start in enumerate(array("q", bytes(_read(0, 8 * count)))):
            piece = found[number * width : (number + 1) * width]
            if os.preadv(handle, [piece], start) < width:
                raise OSError("the file ends before")
        _write(1, found)  # type: ignore[arg-type]


if __name__ == "__main__":
    with suppress(OSError, KeyboardInterrupt):  # whoever asks is gone, or reads by itself and sees why not
        _serve(int(sys.argv[1]))

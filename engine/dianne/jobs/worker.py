"""The process that runs one submitted job: `python -m dianne.jobs.worker ID`, in the workspace.

Whatever it prints is the job's log. It holds the job's lock while it lives, so that nobody runs the job a
second time, and needs no runtime: it goes on if that is gone, and the next one finds it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dianne.compiler import put_off
from dianne.errors import DianneError
from dianne.jobs.ending import end, ending_of
from dianne.jobs.entry import RUNNING, Entry
from dianne.jobs.lock import hold
from dianne.jobs.queue import Queue
from dianne.workspace import Folder

if TYPE_CHECKING:
    from types import FrameType


def main(identifier: str) -> int:
    """Run a job that waits; returns the exit code."""
    queue = Queue(Folder(Path()))
    if not hold(queue.folder, identifier):
        return 0  # another worker runs it
    entry = _begin(queue, identifier)
    if entry is None:
        return 0
    try:
        with _noting(queue, identifier), _stopping(gently=entry.kind == "learn") as asked:
            from dianne.jobs.work import work

            work(queue.folder, entry, asked)
    except DianneError as error:
        print(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped at once")
        return 130
    return 0


def _begin(queue: Queue, identifier: str) -> Entry | None:
    """Take a waiting job over; None if it waits no more."""
    with queue.database.writing() as session:
        taken = session.execute(
            "UPDATE jobs SET status = ?, pid = ?, attempts = attempts + 1 WHERE id = ? AND status = 'queued'",
            (RUNNING, os.getpid(), identifier),
        ).rowcount
    return queue.get(identifier) if taken else None


@contextmanager
def _noting(queue: Queue, identifier: str) -> Iterator[None]:
    """Note how the job ended, unless its own record did: it failed before that began."""
    try:
        yield
    except BaseException as error:
        if queue.get(identifier).status == RUNNING:
            with queue.database.writing() as session:
                end(session, identifier, *ending_of(error))
        raise


@contextmanager
def _stopping(gently: bool) -> Iterator[Callable[[], str]]:
    """Let SIGTERM end a job: gently after its iteration, as whoever asks is told; the second time at once."""
    received: list[str] = []

    def stop(number: int, _: FrameType | None) -> None:
        if received or not gently:
            raise KeyboardInterrupt
        received.append(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, stop)
    yield lambda: "".join(received)


if __name__ == "__main__":
    put_off()
    sys.exit(main(sys.argv[1]))

"""Keeps the checkpoints of a running job: takes them between iterations, writes them beside the training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from dianne.document import display
from dianne.errors import UsageError
from dianne.jobs import lock
from dianne.jobs.checkpoint import Checkpoint, finish, snapshot, write
from dianne.workspace import Folder


def place_of(folder: Folder, job: str) -> Path:
    """Where a job's checkpoints are."""
    return folder.state / "jobs" / job


class Keeper:
    """Writes the checkpoints of one job. One that cannot be written never stops the job.

    Args:
        place: the folder of the job.
        recipe: what the job is.
        interval: seconds between checkpoints; 0 for none at all.
        note: told once if one cannot be written.
    """

    def __init__(self, place: Path, recipe: Mapping[str, Any], interval: float, note: Callable[[str], None]):
        self.place = place
        self.recipe = recipe
        self.interval = interval
        self.note = note
        self.told = False
        self.next = 0.0  # when, on the clock of `perf_counter`; the first one at once
        self.threads = ThreadPoolExecutor(1, "checkpoint")
        self.writing: Future[None] | None = None

    def offer(self, iteration: int, state: Callable[[], Mapping[str, Any]], now: bool = False) -> None:
        """Take a checkpoint between two iterations if it is time, or `now`."""
        if not self.interval or not (now or time.perf_counter() >= self.next):
            return
        if self.writing and not (now or self.writing.done()):
            return  # a slow disk: this one is left out
        self._wait()
        found = snapshot(Checkpoint(self.recipe, iteration, state()))
        self.writing = self.threads.submit(write, self.place, found)
        self.next = time.perf_counter() + self.interval

    def finish(self, iteration: int) -> None:
        """The job is done: its checkpoints go, and a note stays."""
        self._wait()
        if self.interval:
            self.writing = self.threads.submit(finish, self.place, self.recipe, iteration)

    def close(self) -> None:
        """Wait for what is being written."""
        self._wait()
        self.threads.shutdown()

    def _wait(self) -> None:
        writing, self.writing = self.writing, None
        try:
            if writing:
                writing.result()
        except OSError as error:
            if not self.told:
                self.told = True
                place = display(self.place)
                self.note(f"{place}: a checkpoint cannot be written: {error.strerror}; the job goes on")


@contextmanager
def running(folder: Folder, job: str) -> Iterator[None]:
    """Hold the lock of a job; nothing is held where the workspace cannot be written.

    Raises:
        UsageError: another process runs it.
    """
    before = lock.held(folder, job)
    mine = True
    with suppress(OSError):
        mine = lock.hold(folder, job)
    if not mine:
        raise UsageError(f"the job {job} is running; it can be resumed once it has ended")
    try:
        yield
    finally:
        if not before:
            lock.release(folder, job)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads: what several add up is rounded in another order than what one does."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""The runtime of a workspace seen from outside: whether it runs, how it is started and ended."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from dianne.document import display
from dianne.errors import DianneError, UsageError
from dianne.jobs.lock import of_runtime
from dianne.jobs.resources import Capacity, machine
from dianne.jobs.schedule import Room
from dianne.runtime.places import log_of_runtime
from dianne.runtime.process import Runtime
from dianne.runtime.serving import Listening, served
from dianne.workspace import SAFE_PATH, Folder

SOON = 10.0  # seconds in which a runtime has started or ended
_started: list[subprocess.Popen[bytes]] = []  # kept: Python would complain that they outlive us


@dataclass(frozen=True)
class Status:
    """A runtime that runs.

    Attributes:
        pid: of its process.
        started: seconds since 1970 (UTC).
        cpus: cores that the jobs of each kind share.
        gpus: graphics cards that they share.
    """

    pid: int
    started: float
    cpus: float
    gpus: int


def status(folder: Folder) -> Status | None:
    """The runtime of a workspace, None if there is none."""
    try:
        with of_runtime(folder).open("rb") as file:
            if _take(file.fileno(), fcntl.LOCK_SH):
                return None
            return Status(**json.loads(file.read()))
    except FileNotFoundError:
        return None
    except ValueError:  # it is just starting
        time.sleep(0.05)
        return status(folder)


def _take(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _alone(folder: Folder, room: Room) -> Iterator[None]:
    """Be the runtime of a workspace; raises UsageError if there is one."""
    folder.state.mkdir(parents=True, exist_ok=True)
    handle = os.open(of_runtime(folder), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _take(handle, fcntl.LOCK_EX):
            time.sleep(0.1)  # somebody may just have looked
            if not _take(handle, fcntl.LOCK_EX):
                raise UsageError("this workspace has a runtime already; see `dianne runtime status`")
        about = Status(os.getpid(), time.time(), room.cpus, len(room.cards))
        os.truncate(handle, 0)
        os.write(handle, json.dumps(asdict(about)).encode())
        yield
        os.truncate(handle, 0)
    finally:
        os.close(handle)


def serve(folder: Folder, capacity: Capacity, listening: Listening, say: Callable[[str], None]) -> None:
    """Be the runtime of a workspace until SIGTERM or SIGINT.

    Args:
        folder: the workspace.
        capacity: what it may use.
        listening: where it can be reached.
        say: is told what happens.

    Raises:
        UsageError: there is one already.
        DianneError: the workspace cannot be written.
    """
    has = machine()
    cards = range(len(has.gpus) if capacity.gpus is None else min(capacity.gpus, len(has.gpus)))
    room = Room(capacity.cpus or has.cpus, tuple(cards))
    try:
        with _alone(folder, room):
            say(f"working the queue of {folder.root.absolute()} with {room}")
            with served(folder, listening, say):
                Runtime(folder, room, say).run()
            say("ended; jobs that run go on")
    except OSError as error:
        raise DianneError(f"{display(folder.state)}: cannot be written: {error.strerror}") from error


def ensure(folder: Folder) -> Status:
    """The runtime of a workspace, started in the background if there is none.

    Raises:
        DianneError: it does not start.
    """
    found = status(folder)
    if found:
        return found
    log = log_of_runtime(folder)
    folder.state.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *SAFE_PATH, "-m", "dianne", "serve"],
            cwd=folder.root, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    _started.append(process)
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        ended = process.poll() is not None
        found = status(folder)
        if found:  # ours, or that of somebody who was quicker
            return found
        if ended:
            break
        time.sleep(0.05)
    raise DianneError(f"the runtime does not start; see {display(log)}")


def ensure_for(folder: Folder, job: str) -> None:
    """See that there is a runtime for a job that waits.

    Raises:
        DianneError: it does not start; the job waits for the next.
    """
    try:
        ensure(folder)
    except DianneError as error:
        raise DianneError(f"the job {job} is queued, but {error}") from error


def stop(folder: Folder) -> Status:
    """End the runtime of a workspace; jobs that run go on. Returns what it was.

    Raises:
        UsageError: there is none.
        DianneError: it does not end.
    """
    found = status(folder)
    if found is None:
        raise UsageError("this workspace has no runtime")
    os.kill(found.pid, signal.SIGTERM)
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        if status(folder) is None:
            for process in _started:
                if process.pid == found.pid:
                    process.wait(SOON)
            return found
        time.sleep(0.05)
    raise DianneError(
        f"the runtime (process {found.pid}) does not end; see {display(log_of_runtime(folder))}"
    )

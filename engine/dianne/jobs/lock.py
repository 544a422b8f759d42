"""The lock that a process holds while it runs a job; it goes with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
import time

from dianne.workspace import Folder

_held: dict[str, int] = {}  # by path, of this process
_GLANCE = 0.05  # seconds for which `held`, in another process, may have the lock


def hold(folder: Folder, job: str) -> bool:
    """Take the lock of a job until this process ends, or `release`; False if another process has it.

    Raises:
        OSError: its folder cannot be made.
    """
    place = folder.state / "jobs" / job
    key = str(place.absolute())
    if key in _held:
        return True
    place.mkdir(parents=True, exist_ok=True)
    handle = os.open(place, os.O_RDONLY)
    for _ in range(2):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_GLANCE)
        else:
            _held[key] = handle
            return True
    os.close(handle)
    return False


def release(folder: Folder, job: str) -> None:
    """Give the lock of a job back, if this process has it."""
    handle = _held.pop(str((folder.state / "jobs" / job).absolute()), None)
    if handle is not None:
        os.close(handle)


def held(folder: Folder, job: str) -> bool:
    """Whether some process, this one maybe, runs a job."""
    place = folder.state / "jobs" / job
    if str(place.absolute()) in _held:
        return True
    try:
        handle = os.open(place, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False

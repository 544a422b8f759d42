"""Locks that a process holds while it runs a job, or is the runtime; they go with it, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from dianne.workspace import Folder

_held: dict[str, int] = {}  # by path, of this process
_GLANCE = 0.05  # seconds for which `held`, in another process, may have the lock


def hold(folder: Folder, job: str) -> bool:
    """Take the lock of a job until this process ends, or `release`; False if another process has it.

    Raises:
        OSError: its folder cannot be made.
    """
    key = _key(folder, job)
    if key in _held:
        return True
    Path(key).mkdir(parents=True, exist_ok=True)
    handle = os.open(key, os.O_RDONLY)
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
    handle = _held.pop(_key(folder, job), None)
    if handle is not None:
        os.close(handle)


def held(folder: Folder, job: str) -> bool:
    """Whether some process, this one maybe, runs a job."""
    return _key(folder, job) in _held or held_by_others(folder, job)


def held_by_others(folder: Folder, job: str) -> bool:
    """Whether another process runs a job."""
    if _key(folder, job) in _held:
        return False
    return _locked(_key(folder, job))


def has_runtime(folder: Folder) -> bool:
    """Whether the workspace has a runtime, this process maybe."""
    return _locked(str(of_runtime(folder)))


def of_runtime(folder: Folder) -> Path:
    """The file whose lock the runtime of a workspace holds."""
    return folder.state / "runtime.lock"


def _locked(path: str) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _key(folder: Folder, job: str) -> str:
    return str((folder.state / "jobs" / job).absolute())

"""The bell of a workspace's runtime, a named pipe: whoever has something for the runtime to do rings it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dianne.workspace import Folder


def place(folder: Folder) -> Path:
    """Where the bell is."""
    return folder.state / "runtime.bell"


def ring(folder: Folder) -> None:
    """Wake the runtime up; without one, nothing happens: it looks around when it starts."""
    with suppress(OSError):  # no pipe, nobody listening, or it rings already
        handle = os.open(place(folder), os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(handle, b"!")
        finally:
            os.close(handle)


def listen(folder: Folder) -> int:
    """A handle that can be read once somebody rings; close it.

    Raises:
        OSError: the pipe cannot be made.
    """
    path = place(folder)
    if not path.is_fifo():
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)  # a writer too, so that it never ends

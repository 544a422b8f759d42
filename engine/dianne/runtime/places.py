"""Where the files of a workspace's runtime are."""

from __future__ import annotations

import os
from pathlib import Path

from dianne.workspace import Folder

LONGEST = 100  # characters of a socket's path that every system takes


def log_of_runtime(folder: Folder) -> Path:
    """Where a runtime in the background prints."""
    return folder.state / "runtime.log"


def socket_of(folder: Folder) -> Path:
    """The user's own way in; where that is too long for a socket, as it is called from here."""
    path = (folder.state / "runtime.sock").absolute()
    return path if len(str(path)) <= LONGEST else Path(os.path.relpath(path))

"""Where the files of a workspace's runtime are."""

from __future__ import annotations

import os
from pathlib import Path

from dianne.workspace import Folder


def log_of_runtime(folder: Folder) -> Path:
    """Where a runtime in the background prints."""
    return folder.state / "runtime.log"


def socket_of(folder: Folder) -> Path:
    """The user's own way in, by the shorter of its names: systems take about 100 characters."""
    path = (folder.state / "runtime.sock").absolute()
    return min(path, Path(os.path.relpath(path)), key=lambda name: len(str(name)))

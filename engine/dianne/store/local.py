"""A store in a folder on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from dianne.document import display
from dianne.store.files import Change, Found
from dianne.workspace import alone_in

CHUNK = 1 << 20  # bytes read at once


class LocalFiles:
    """Files below a folder, which is made when something is written; see `Files`.

    A file is written beside its place, brought to the disk, and renamed. A tag moves under the lock of its
    folder, which ends with the process that holds it, however that ends.
    """

    def __init__(self, root: Path):
        self.root = root

    def name(self, path: str = "") -> str:
        """The path, relative to the working directory where it lies inside."""
        return display(self.root / path)

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return (self.root / path).read_bytes()

    def digest(self, path: str) -> str:
        """The sha256 of a file."""
        found = hashlib.sha256()
        with (self.root / path).open("rb") as file:
            while piece := file.read(CHUNK):
                found.update(piece)
        return found.hexdigest()

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.root / path).is_file()

    def below(self, folder: str) -> list[Found]:
        """All files in a folder, by path."""
        return sorted(_walk(self.root / folder, f"{folder}/" if folder else ""), key=lambda found: found.path)

    def write(self, path: str, content: bytes) -> None:
        """Put a file in place; one that is there and spoilt is mended."""
        place = self.root / path
        _make(place.parent)
        with alone_in(place.parent):  # so that gc does not remove it after we have found it
            if place.is_file() and place.read_bytes() == content:
                with suppress(PermissionError):  # somebody else's file is replaced by our own
                    os.utime(place)
                    return
            _replace(place, content)

    def update(self, path: str, change: Change) -> None:
        """Change a file under the lock of its folder."""
        place = self.root / path
        _make(place.parent)
        with alone_in(place.parent):
            before = place.read_bytes() if place.is_file() else None
            after = change(before)
            if after is None:
                place.unlink(missing_ok=True)
                _sync(place.parent)
            elif after != before:
                _replace(place, after)

    def remove(self, path: str, before: float) -> bool:
        """Remove a file, if it is still as old as it was."""
        place = self.root / path
        with alone_in(place.parent):
            if place.is_file() and _modified(place.stat()) > before:
                return False
            place.unlink(missing_ok=True)
            return True

    def alone(self) -> AbstractContextManager[None]:
        """Hold the lock of a folder that no writer locks."""
        return alone_in(self.root / "manifests")


def _walk(folder: Path, prefix: str) -> Iterator[Found]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            with suppress(FileNotFoundError):  # a temporary file that is in its place by now
                status = entry.stat()
                yield Found(prefix + entry.name, status.st_size, _modified(status))


def _modified(status: os.stat_result) -> float:
    return max(status.st_mtime, status.st_ctime)  # a copy may keep the old time, but came to this disk later


def _make(folder: Path) -> None:
    """Make a folder, and bring its name to the disk."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _replace(path: Path, content: bytes) -> None:
    """Put content in place in one step: a reader sees the old file or the new one, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # mkstemp hides its files from everyone else
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # the file is in place, and not every file system can do this
            os.fsync(handle)
    finally:
        os.close(handle)

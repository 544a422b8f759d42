"""A store behind a URL: anything that fsspec opens.

On S3 and what speaks its protocol, a tag moves by a conditional write: it is made only if the tag still is
what was read. Elsewhere the tag is read once more just before it is written, which leaves a moment in which
one of two writers can be lost.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

from dianne.errors import UsageError
from dianne.store.files import GRACE, Change, Found
from dianne.store.local import CHUNK

_ATTEMPTS = 1000  # of one update, before a server that refuses all of them is given up
_LOST = {
    "PreconditionFailed",
    "ConditionalRequestConflict",
    "412",
    "409",
}  # for: not as it was read
_FAULTS = {"botocore.exceptions": ("BotoCoreError", "ClientError"), "aiohttp": ("ClientError",)}
_alone = threading.RLock()  # for places without conditional writes: at least threads wait for each other


class RemoteFiles:
    """Files below a URL; see `Files`.

    Args:
        url: such as s3://bucket/prefix.
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the place in it."""
        import fsspec

        try:
            found: tuple[Any, str] = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            extra = " (or: pip install 'dianne[s3]')" if self.url.startswith("s3") else ""
            raise UsageError(f"{self.url}: {error}{extra}") from error
        except ValueError as error:
            raise UsageError(f"{self.url}: {error}") from error
        return found

    @property
    def _conditional(self) -> bool:
        protocol = self._opened[0].protocol
        return "s3" in ((protocol,) if isinstance(protocol, str) else protocol)

    def _place(self, path: str) -> str:
        return f"{self._opened[1]}/{path}"

    def name(self, path: str = "") -> str:
        """The file's URL."""
        return f"{self.url}/{path}".rstrip("/")

    def read(self, path: str) -> bytes:
        """The content of a file."""
        with _as_oserror(path):
            content: bytes = self._opened[0].cat_file(self._place(path))
        return content

    def digest(self, path: str) -> str:
        """The sha256 of a file."""
        found = hashlib.sha256()
        with _as_oserror(path), self._opened[0].open(self._place(path), "rb", block_size=8 * CHUNK) as file:
            while piece := file.read(8 * CHUNK):
                found.update(piece)
        return found.hexdigest()

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return self._info(path) is not None

    def below(self, folder: str) -> list[Found]:
        """All files in a folder, by path."""
        base = self._place("")
        with _as_oserror(folder):
            found = self._opened[0].find(self._place(folder), detail=True)
        return [
            Found(place[place.index(base) + len(base) :], int(info["size"] or 0), _modified(info))
            for place, info in sorted(found.items())
        ]

    def write(self, path: str, content: bytes) -> None:
        """Put a file in place, unless it is there and young."""
        info = self._info(path)
        young = info is not None and _modified(info) > time.time() - GRACE / 2
        if info is None or info["size"] != len(content) or not young:
            with _as_oserror(path):
                self._opened[0].pipe_file(self._place(path), content)

    def update(self, path: str, change: Change) -> None:
        """Change a file, again and again until no other writer was quicker."""
        for attempt in range(_ATTEMPTS):
            info = self._info(path)  # before the content: if it moves in between, the write is refused
            before = None if info is None else self._read_if_there(path)
            if info is None or before is not None:
                after = change(before)
                if after == before or self._swap(path, info, before, after):
                    return
            time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))
        raise OSError(errno.EAGAIN, f"other writers were quicker {_ATTEMPTS} times")

    def _swap(self, path: str, info: Any, before: bytes | None, after: bytes | None) -> bool:
        """Write what shall follow if the file is what it was; whether it was."""
        place = self._place(path)
        fs = self._opened[0]
        if not self._conditional or after is None:
            with _alone, _as_oserror(path):
                if self._read_if_there(path) != before:
                    return False
                if after is None:
                    fs.rm_file(place)
                else:
                    fs.pipe_file(place, after)
                return True
        condition = {"IfMatch": info["ETag"]} if info else {"IfNoneMatch": "*"}
        try:
            with _as_oserror(path):
                fs.pipe_file(place, after, **condition)
        except OSError as error:
            response = getattr(error.__cause__, "response", {})
            if isinstance(error, FileExistsError | FileNotFoundError) or (
                response.get("Error", {}).get("Code") in _LOST
            ):
                return self._read_if_there(path) == after  # written, but the answer was lost on its way
            raise
        return True

    def remove(self, path: str, before: float) -> bool:
        """Remove a file, if it is still as old as it was."""
        info = self._info(path)
        if info is not None and _modified(info) > before:
            return False
        if info is not None:
            with _as_oserror(path):
                self._opened[0].rm_file(self._place(path))
        return True

    def alone(self) -> AbstractContextManager[None]:
        """Nobody can be held off there; the age of files is what protects them."""
        return nullcontext()

    def _info(self, path: str) -> Any:
        with _as_oserror(path):
            try:
                return self._opened[0].info(self._place(path))
            except FileNotFoundError:
                return None

    def _read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None


def _modified(info: Any) -> float:
    """When a file was written; now, where the place does not say, so that it never counts as old."""
    keys = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")
    found = next((info[key] for key in keys if info.get(key)), None)
    if isinstance(found, str):
        found = datetime.datetime.fromisoformat(found.replace("Z", "+00:00"))
    if isinstance(found, datetime.datetime):
        return found.timestamp()
    return float(found) if found is not None else time.time()


@contextmanager
def _as_oserror(path: str) -> Iterator[None]:
    """Give all faults of a server as OSError with a reason."""
    try:
        yield
    except FileNotFoundError as error:
        told = str(error).rstrip(".") if error.__cause__ else os.strerror(errno.ENOENT)  # else a bare path
        raise FileNotFoundError(errno.ENOENT, told, path) from error
    except OSError:
        raise
    except _faults() as error:
        raise OSError(errno.EIO, " ".join(str(error).split())) from error


def _faults() -> tuple[type[Exception], ...]:
    """What the libraries raise by which servers are reached, as far as they are imported by now."""
    return tuple(
        getattr(sys.modules[module], name)
        for module, names in _FAULTS.items()
        if module in sys.modules
        for name in names
    )

"""Files that are mapped because they do not fit into memory; packed ones are unpacked into the cache."""

from __future__ import annotations

import gzip
import hashlib
import json
import mmap
import os
import shutil
import time
import weakref
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from dianne.data.archives import holds, located, members
from dianne.data.descriptor import Described
from dianne.data.fetcher import Fetcher
from dianne.data.files import (
    DataError,
    Progress,
    TooLargeError,
    cache,
    check_archive,
    check_file,
    contents,
    found,
)
from dianne.data.memory import limit_of
from dianne.data.remember import SETTLED, remembered
from dianne.document import display
from dianne.workspace import Folder

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
_SEVERAL = 16  # pieces that are worth asking another process


def identity_of(path: Path) -> str:
    """Path, size and times of the last changes of a file."""
    return _stamp(path, path.stat())[0]


def _stamp(path: Path, about: os.stat_result) -> tuple[str, int]:
    text = f"{path.resolve()} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
    return text, max(about.st_mtime_ns, about.st_ctime_ns)


class CacheError(DataError):
    """The cache has no room for a file, or cannot be written."""


def settle(changed: int) -> None:
    """Wait until a file's next change would show in its times: the clock has ticked since the last one.

    What is found out about a file, or made from it, is kept for as long as these stay the same.
    """
    wait = (changed + SETTLED - time.time_ns()) / 1e9
    if 0 < wait <= SETTLED / 1e9:
        time.sleep(wait)


class MappedFile:
    """A file whose bytes have addresses, so that arrays can be laid over them, and that is read in pieces.

    Raises:
        OSError: it cannot be opened.

    Attributes:
        buffer: its bytes, read only; what is touched counts as memory of the process.
        identity: as `identity_of` tells it.
        changed: when that was, in ns; a later change within the same tick of the clock would not show.
    """

    def __init__(self, path: Path):
        self.handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.handle)
        self.buffer = mmap.mmap(self.handle, 0, access=mmap.ACCESS_READ)
        self.path = path
        self._fetcher: Fetcher | None = None
        self.identity, self.changed = _stamp(path, os.fstat(self.handle))

    def address(self) -> int:
        """Of its first byte."""
        import numpy as np  # here, so that files can be fetched and checked without

        return int(np.frombuffer(self.buffer, np.uint8).__array_interface__["data"][0])

    def pieces(self, starts: list[int], width: int) -> bytearray:
        """So many bytes from each of some places, one behind the other.

        Raises:
            DataError: the file cannot be read, or was cut since it was opened.
        """
        if len(starts) >= _SEVERAL:
            try:
                self._fetcher = self._fetcher or Fetcher(self.handle)
                return self._fetcher.pieces(starts, width)
            except OSError:
                pass  # they are read here, and what is wrong is seen
            except BaseException:
                self._fetcher = None  # it ended when it was interrupted; the next read starts another
                raise
        try:
            data = bytearray().join([os.pread(self.handle, width, start) for start in starts])
            if len(data) < width * len(starts):  # large pieces may come in several
                data = bytearray().join([self._whole(start, width) for start in starts])
        except OSError as error:
            raise DataError(f"{display(self.path)}: cannot be read: {error.strerror or error}") from error
        return data

    def _whole(self, start: int, width: int) -> bytes:
        parts, have = [], 0
        while have < width:
            parts.append(os.pread(self.handle, width - have, start + have))
            have += len(parts[-1])
            if not parts[-1]:
                size = os.fstat(self.handle).st_size
                raise DataError(
                    f"{display(self.path)}: ends at byte {size:,}; it was cut while it was in use"
                )
        return b"".join(parts)


Blob = bytes | MappedFile
"""The content of a file."""


def check(folder: Folder, described: Described, names: list[str], progress: Progress | None = None) -> None:
    """Fetch the files of a dataset that are not here yet, and compare all of them with their checksums."""
    try:
        contents(folder, described, names, progress, limit_of(None))
    except TooLargeError:
        mapped(folder, described, names, progress)


def mapped(
    folder: Folder, described: Described, names: list[str], progress: Progress | None = None
) -> dict[str, Blob]:
    """The files of a dataset by name, as `files.contents` gives them, but mapped; empty ones are bytes.

    Raises:
        DataError: as `files.contents`; or the cache has no room for what must be unpacked.
    """
    archives = [holds(name)[0] for name in names]
    paths = found(folder, described, archives, progress)
    try:
        return {name: _mapped(described, name, paths[holds(name)[0]]) for name in names}
    except (OSError, ValueError) as error:
        raise DataError(f"{described.name}: its files cannot be mapped: {error}") from error


def _mapped(described: Described, name: str, path: Path) -> Blob:
    archive, inside = holds(name)
    settle(_stamp(path, path.stat())[1])
    if inside:
        _once(described, archive, path, lambda: check_archive(described, archive, path))
        path = converted(f"{identity_of(path)} {inside}", lambda part: _extract(path, inside, part))
    if not path.stat().st_size:
        return b""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    plain = converted(identity_of(path), lambda part: _unpack(path, part)) if packed else path
    if not inside:
        _once(described, name, path, lambda: check_file(described, name, path, plain))
    return MappedFile(plain) if plain.stat().st_size else b""


def _once(described: Described, name: str, path: Path, check: Callable[[], None]) -> None:
    """Compare a file with its checksum, unless that was done since it changed."""
    source = described.descriptor.files.get(name)
    if source:
        identity, changed = _stamp(path, path.stat())

        def find() -> str:
            check()
            return "right"

        remembered("checksum", f"{identity} {source!r}", find, changed)


def _unpack(path: Path, part: Path) -> None:
    with gzip.open(path) as content, part.open("wb") as file:
        shutil.copyfileobj(content, file, _CHUNK)


def _extract(path: Path, inside: str, part: Path) -> None:
    for _, size, content in members(path, inside.__eq__):
        with part.open("wb") as file:
            while True:
                with located(path):
                    chunk = content.read(_CHUNK)
                if not chunk:
                    break
                file.write(chunk)
        if part.stat().st_size < size:
            raise DataError(f"{display(path)}: is cut off or no archive ({inside} is not whole); delete it")
    if not part.exists():
        raise DataError(f"{display(path)}: holds no file {inside}")


_END = 16  # digits at the very end: where that begins


def seal(file: BinaryIO, about: object) -> None:
    """Write behind the content of a conversion what must be known of it."""
    at = file.tell()
    file.write(json.dumps(about).encode() + f"{at:{_END}}".encode())


def sealed(file: MappedFile) -> Any:
    """What `seal` wrote."""
    return json.loads(file.buffer[int(file.buffer[-_END:]) : -_END])


def conversion(identity: str) -> Path:
    """Where a file that was made from others is, or would be."""
    return cache() / ".converted" / hashlib.sha256(identity.encode()).hexdigest()[:32]


def converted(identity: str, write: Callable[[Path], None]) -> Path:
    """A file of the cache that was made from others, now or before.

    Args:
        identity: of what it is made from, and how.
        write: writes the file to a path; it is put in its place once it is whole.

    Raises:
        DataError: what it is made from is spoilt.
        CacheError: it cannot be written.
    """
    path = conversion(identity)
    if path.is_file():
        return path
    part = path.with_name(f"{path.name}.{os.getpid()}")
    source = identity.split(" ")[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # whole on the disk before it has its name
        return part.replace(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{display(Path(source))}: is cut off or no gzip file ({error}); delete it"
        ) from error
    except OSError as error:
        raise CacheError(
            f"{display(path.parent)}: cannot be written: {error.strerror or error}; name another folder in "
            "DIANNE_CACHE"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)

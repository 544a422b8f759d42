"""Files inside archives, read in memory: nothing is unpacked, so nothing can land where it should not."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from dianne.document import display
from dianne.errors import DataError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MAX_BYTES = 16 << 30  # of all files in one archive; STL-10, the largest that ships, has 3.1 GB
MAX_FILES = 5_000_000
_CHUNK = 1 << 20
Members = Iterator[tuple[str, bytes]]
_FAULTS = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


def is_archive(name: str) -> bool:
    """Whether a file of that name holds other files."""
    return name.lower().endswith(SUFFIXES)


def holds(name: str) -> tuple[str, str]:
    """Archive and member of a name such as `images.zip/train/one.bin`; no member for plain files."""
    parts = name.split("/")
    for count in range(1, len(parts)):
        if is_archive(parts[count - 1]):
            return "/".join(parts[:count]), "/".join(parts[count:])
    return name, ""


def read_members(path: Path, wanted: Callable[[str], bool], most: int | None = None) -> Members:
    """The files in an archive that are wanted, by name, in the order in which they stand there.

    Args:
        path: of the archive.
        wanted: tells by a file's name.
        most: bytes that all files in it may have; MAX_BYTES if left out.

    Raises:
        DataError: it is no whole archive; a file in it is too large, a link, or leaves the archive's folder.
    """
    try:
        with path.open("rb") as file:
            members = _in_zip if file.read(4) in (b"PK\3\4", b"PK\5\6") else _in_tar
            file.seek(0)
            yield from members(file, _Limit(path, MAX_BYTES if most is None else most), wanted)
    except _FAULTS as error:
        raise DataError(f"{display(path)}: is cut off or no archive ({error}); delete it") from error


def _in_zip(file: BinaryIO, limit: _Limit, wanted: Callable[[str], bool]) -> Members:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            link = stat.S_ISLNK(member.external_attr >> 16)
            limit.admit(member.filename, member.file_size, "is a link" if link else "")
            if not member.is_dir() and wanted(member.filename):
                with archive.open(member) as content:
                    yield member.filename, content.read(member.file_size)


def _in_tar(file: BinaryIO, limit: _Limit, wanted: Callable[[str], bool]) -> Members:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            odd = "is a link" if member.issym() or member.islnk() else "is a device" if member.isdev() else ""
            limit.admit(member.name, member.size, odd)
            content = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if content:
                data = content.read()
                if len(data) < member.size:
                    raise EOFError(f"{member.name} ends after {len(data):,} of {member.size:,} bytes")
                yield member.name, data
        while archive.fileobj and archive.fileobj.read(_CHUNK):
            pass  # the checksum of a .gz stands behind all


class _Limit:
    """What one archive may hold."""

    def __init__(self, path: Path, most: int):
        self.path, self.most = path, most
        self.bytes = self.files = 0

    def admit(self, name: str, size: int, odd: str) -> None:
        """Count a member in; raises DataError if it must not be there."""
        self.bytes += size
        self.files += 1
        inside = PurePosixPath(name.replace("\\", "/"))
        drive = inside.parts[:1] and inside.parts[0].endswith(":")
        if inside.is_absolute() or ".." in inside.parts or drive:
            odd = "leaves the archive's folder"
        if odd:
            raise DataError(f"{display(self.path)}: its file {name!r} {odd}; nothing of it was read")
        if self.bytes > self.most or self.files > MAX_FILES:
            raise DataError(
                f"{display(self.path)}: holds more than {self.most:,} bytes or {MAX_FILES:,} files; unpack "
                "it yourself if you trust it"
            )

"""Files inside archives, read in memory: nothing is unpacked, so nothing can land where it should not."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from dianne.document import display
from dianne.errors import DataError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".npz")
MAX_BYTES = 16 << 30  # of all files in one archive; STL-10, the largest that ships, has 3.1 GB
MAX_FILES = 5_000_000
_CHUNK = 1 << 20
Members = Iterator[tuple[str, int, BinaryIO]]
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


def read_members(
    path: Path,
    wanted: Callable[[str], bool],
    admit: Callable[[str, int], None] = lambda *_: None,
    most: int | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files in an archive that are wanted, in the order in which they stand there.

    Args:
        path: the archive.
        wanted: asked of every name.
        admit: told name and size of what will be read; raises if that is too much.
        most: as for `members`.

    Raises:
        DataError: as `members`.
    """
    for name, size, content in members(path, wanted, most):
        admit(name, size)
        with located(path):
            data = content.read(size)
        if len(data) < size:
            raise _cut(path, f"{name} ends after {len(data):,} of {size:,} bytes")
        yield name, data


def members(path: Path, wanted: Callable[[str], bool], most: int | None = None) -> Members:
    """Names, sizes and open contents of the files in an archive that are wanted; read each before the next.

    Args:
        path: of the archive.
        wanted: tells by a file's name.
        most: bytes that all files in it may have; MAX_BYTES if left out.

    Raises:
        DataError: it is no whole archive; a file in it is too large, a link, or leaves the archive's folder.
    """
    with located(path), path.open("rb") as file:
        inside = _in_zip if file.read(4) in (b"PK\3\4", b"PK\5\6") else _in_tar
        file.seek(0)
        yield from inside(file, _Limit(path, MAX_BYTES if most is None else most), wanted)


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Whatever goes wrong with the content of an archive becomes a DataError that names it."""
    try:
        yield
    except _FAULTS as error:
        raise _cut(path, str(error)) from error


def _cut(path: Path, reason: str) -> DataError:
    reason = reason.partition("\n")[0].rstrip(":")  # of a tar every packing that it might have follows
    return DataError(f"{display(path)}: is cut off or no archive ({reason}); delete it, and get it again")


def _in_zip(file: BinaryIO, limit: _Limit, wanted: Callable[[str], bool]) -> Members:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            link = stat.S_ISLNK(member.external_attr >> 16)
            limit.admit(member.filename, member.file_size, "is a link" if link else "")
            if not member.is_dir() and wanted(member.filename):
                with archive.open(member) as content:
                    yield member.filename, member.file_size, cast(BinaryIO, content)


def _in_tar(file: BinaryIO, limit: _Limit, wanted: Callable[[str], bool]) -> Members:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            odd = "is a link" if member.issym() or member.islnk() else "is a device" if member.isdev() else ""
            limit.admit(member.name, member.size, odd)
            content = archive.extractfile(member) if member.isfile() and wanted(member.name) else None
            if content:
                yield member.name, member.size, cast(BinaryIO, content)
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

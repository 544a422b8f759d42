"""Finding the files of a dataset; those that are nowhere are fetched.

They are looked for beside the descriptor (or in its `dir`), in the workspace's `datasets/`, in every folder
of DIANNE_DATASETS and in the user's cache; in each either directly or in a folder named after the dataset,
plain or with .gz. What is found is checked against the descriptor's checksums, so a spoilt file or a web page
in its place never passes for data. `images.zip/train/one.bin` is a file inside an archive.
"""

from __future__ import annotations

import gzip
import io
import os
from functools import partial
from pathlib import Path

from dianne.data.archives import holds, read_members
from dianne.data.checksums import GZIP_FAULTS, GZIP_MAGIC, Digester, digest_of, digester, is_packed, mismatch
from dianne.data.descriptor import Described, Source
from dianne.data.fetching import Progress as Progress
from dianne.data.fetching import fetch
from dianne.document import display
from dianne.errors import DataError as DataError
from dianne.errors import listing
from dianne.workspace import Folder

_PIECE = 1 << 22  # bytes that are unpacked together


def cache() -> Path:
    """The folder where fetched files are kept: DIANNE_CACHE, else the system's place for caches."""
    own = os.environ.get("DIANNE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(base) / "dianne" / "datasets"


def places(folder: Folder) -> list[Path]:
    """The folders searched for data files, in order."""
    extra = [Path(part) for part in os.environ.get("DIANNE_DATASETS", "").split(os.pathsep) if part]
    return [folder.root / "datasets", *extra, cache()]


def locate(folder: Folder, dataset: str, name: str, beside: Path | None = None) -> Path | None:
    """The path of a data file, plain or with .gz, or of a folder; None if it is nowhere.

    Args:
        folder: the workspace.
        dataset: its name.
        name: of the file or folder.
        beside: a folder to look in first.
    """
    plain = name.removesuffix(".gz")
    inside = [beside / dataset, beside] if beside else []
    inside += [path for place in places(folder) for path in (place / dataset, place)]
    for path in inside:
        for candidate in (path / plain, path / f"{plain}.gz"):
            if candidate.exists():
                return candidate
    return None


def home(described: Described) -> Path:
    """Where a descriptor's files are looked for first: its `dir`, else the folder that it stands in."""
    return described.path.parent / (described.descriptor.dir or "")


class TooLargeError(DataError):
    """Files do not fit into the memory that they may take; none of them was read as a whole.

    Args:
        where: the file that is too much.
        size: bytes up to its end.
    """

    def __init__(self, where: str, size: int):
        self.where, self.size = where, size
        super().__init__(f"{where}: is too large for the memory that it may take")


class Room:
    """Memory for files.

    Args:
        most: bytes; None for as much as there is.
    """

    def __init__(self, most: int | None = None):
        self.most = most
        self.taken = 0

    def take(self, where: str, size: int) -> None:
        """Count a file in; raises TooLargeError if it does not fit."""
        self.taken += size
        if self.most is not None and self.taken > self.most:
            raise TooLargeError(where, self.taken)


def contents(
    folder: Folder,
    described: Described,
    names: list[str],
    progress: Progress | None = None,
    most: int | None = None,
) -> dict[str, bytes]:
    """The bytes of a dataset's files by name, without the .gz around them; fetches what is missing.

    Args:
        folder: the workspace.
        described: the dataset.
        names: of the files.
        progress: told of downloads.
        most: bytes that all of them may take in memory.

    Raises:
        TooLargeError: they take more.
        DataError: files are nowhere and cannot be fetched, or are spoilt; names all of them, the places
            searched, and a dataset that needs no files.
    """
    room = Room(most)
    wanted = {name: holds(name) for name in names}
    paths = found(folder, described, [archive for archive, _ in wanted.values()], progress)
    plain = [name for name, (_, member) in wanted.items() if not member]
    for name in plain:
        room.take(display(paths[name]), _size(paths[name]))
    whole = {name: _checked(described, name, paths[name], room) for name in plain}
    for archive in {archive for archive, member in wanted.values() if member}:
        inside = {member: name for name, (outside, member) in wanted.items() if outside == archive}
        check_archive(described, archive, paths[archive])
        for member, data in read_members(paths[archive], inside.__contains__, room.take):
            whole[inside.pop(member)] = _opened(display(paths[archive] / member), data, room)
        if inside:
            raise DataError(f"{display(paths[archive])}: holds no file {next(iter(inside))}")
    return {name: whole[name] for name in names}


def found(
    folder: Folder, described: Described, names: list[str], progress: Progress | None = None
) -> dict[str, Path]:
    """The paths of a dataset's files and folders by name; fetches what is missing, raises as `contents`."""
    paths = {name: locate(folder, described.name, name, home(described)) for name in names}
    missing = [name for name, path in paths.items() if path is None]
    faults: list[str] = []
    for name in missing:
        source = described.descriptor.files.get(name)
        if source is None:
            faults.append(f"{name} has no address in {display(described.path)}")
            break
        try:
            inside = _file_name(source, name).removeprefix(f"{described.name}/")
            paths[name] = fetch(source, cache() / described.name / inside, progress)
        except DataError as error:
            faults.append(str(error))
            break  # the next file would wait for the same dead mirrors
    if faults:
        raise DataError(_missing(folder, described, [n for n in missing if not paths[n]], faults))
    return {name: path for name, path in paths.items() if path}


def _missing(folder: Folder, described: Described, missing: list[str], faults: list[str]) -> str:
    searched = "".join(f"\n    {display(place)}/" for place in places(folder))
    reasons = "".join(f"\n    {fault}" for fault in faults)
    return (
        f"{described.name}: the file{'s' if len(missing) > 1 else ''} {listing(missing)} could not be found\n"
        f"  looked in (also in a folder {described.name}/ there):{searched}\n"
        f"  could not be downloaded:{reasons}\n"
        f"  put the files into one of these places, name their folder in DIANNE_DATASETS, or start with "
        f"the dataset Digits, which needs no files"
    )


def check_archive(described: Described, name: str, path: Path) -> None:
    """Compare an archive as it was downloaded with its checksum; raises DataError."""
    source = described.descriptor.files.get(name)
    if source is None:
        return
    kind, expected = ("sha256", source.sha256) if source.sha256 else ("md5", source.md5)
    digest = digest_of(path, kind)
    if digest != expected:
        raise _not_declared(described, path, kind, digest, expected)


def _checked(described: Described, name: str, path: Path, room: Room) -> bytes:
    raw = _read(path)
    data = _opened(display(path), raw, room, packed=path.suffix == ".gz")
    _check(described, name, path, raw.startswith(GZIP_MAGIC), digester(data), digester(raw))
    return data


def check_file(described: Described, name: str, path: Path, plain: Path) -> None:
    """Compare a file with its checksums, without reading it into memory; raises DataError.

    Args:
        described: the dataset.
        name: of the file.
        path: as it was downloaded.
        plain: without a .gz around it.
    """
    _check(described, name, path, path != plain, partial(digest_of, plain), partial(digest_of, path))


def _check(
    described: Described, name: str, path: Path, packed: bool, of_content: Digester, of_file: Digester
) -> None:
    source = described.descriptor.files.get(name)
    fault = mismatch(source, packed, of_content, of_file) if source else None
    if fault:
        raise _not_declared(described, path, *fault)


def _not_declared(
    described: Described, path: Path, kind: str, digest: str, expected: str | None
) -> DataError:
    return DataError(
        f"{display(path)}: is not the file that {described.name} declares: its content has the "
        f"{kind} {digest}, expected {expected}; delete it, and it is fetched again"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{display(path)}: cannot be read: {error.strerror or error}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{display(path)}: cannot be read: {error.strerror or error}") from error


def _opened(where: str, data: bytes, room: Room, packed: bool = False) -> bytes:
    if not (packed or data.startswith(GZIP_MAGIC)):
        return data
    chunks = []
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while chunk := file.read(_PIECE):
                room.take(where, len(chunk))
                chunks.append(chunk)
    except GZIP_FAULTS as error:
        raise DataError(f"{where}: is cut off or no gzip file ({error}); delete it") from error
    return b"".join(chunks)


def _file_name(source: Source, name: str) -> str:
    return f"{name}.gz" if is_packed(source.urls[0]) and not name.endswith(".gz") else name

"""Finding the files of a dataset, and fetching those that are nowhere.

They are looked for in the workspace's `datasets/`, in every folder of DIANNE_DATASETS and in the user's
cache; in each either directly or in a folder named after the dataset, plain or with .gz. What is found is
checked against the descriptor's sha256, so a spoilt file or a web page in its place never passes for data.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from dianne.data.descriptor import Described, Source
from dianne.document import display
from dianne.errors import DianneError, listing
from dianne.workspace import Folder

TIMEOUT = 5.0  # seconds without an answer, after which a mirror is given up
_CHUNK = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_FAULTS = (EOFError, zlib.error, gzip.BadGzipFile)
Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all if known


class DataError(DianneError):
    """A dataset's files are missing or spoilt."""


def cache() -> Path:
    """The folder where fetched files are kept: DIANNE_CACHE, else the system's place for caches."""
    own = os.environ.get("DIANNE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) if own else Path(base) / "dianne" / "datasets"


def places(folder: Folder) -> list[Path]:
    """The folders searched for data files, in order."""
    extra = [Path(part) for part in os.environ.get("DIANNE_DATASETS", "").split(os.pathsep) if part]
    return [folder.root / "datasets", *extra, cache()]


def locate(folder: Folder, dataset: str, name: str) -> Path | None:
    """The path of a data file, plain or with .gz, or None."""
    plain = name.removesuffix(".gz")
    for place in places(folder):
        for inside in (place / dataset, place):
            for candidate in (inside / plain, inside / f"{plain}.gz"):
                if candidate.is_file():
                    return candidate
    return None


def contents(
    folder: Folder, described: Described, names: list[str], progress: Progress | None = None
) -> dict[str, bytes]:
    """The bytes of a dataset's files by name, without the .gz around them; fetches what is missing.

    Raises:
        DataError: files are nowhere and cannot be fetched, or are spoilt; names all of them, the places
            searched, and a dataset that needs no files.
    """
    found = {name: locate(folder, described.name, name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    faults: list[str] = []
    for name in missing:
        source = described.descriptor.files.get(name)
        if source is None:
            faults.append(f"{name} has no address in {display(described.path)}")
            break
        try:
            found[name] = fetch(source, cache() / described.name / _file_name(source, name), progress)
        except DataError as error:
            faults.append(str(error))
            break  # the next file would wait for the same dead mirrors
    if faults:
        raise DataError(_missing(folder, described, [n for n in missing if not found[n]], faults))
    return {name: _checked(described, name, path) for name, path in found.items() if path}


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


def _checked(described: Described, name: str, path: Path) -> bytes:
    data = _unpacked(path)
    source = described.descriptor.files.get(name)
    if source is not None:
        digest = hashlib.sha256(data).hexdigest()
        if digest != source.sha256:
            raise DataError(
                f"{display(path)}: is not the file that {described.name} declares: its content has the "
                f"sha256 {digest}, expected {source.sha256}; delete it, and it is fetched again"
            )
    return data


def _unpacked(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else _without_gzip(data)
    except _GZIP_FAULTS as error:
        raise DataError(f"{display(path)}: is cut off or no gzip file ({error}); delete it") from error
    except OSError as error:
        raise DataError(f"{display(path)}: cannot be read: {error.strerror or error}") from error


def _without_gzip(data: bytes) -> bytes:
    """The content, whether or not a .gz is around it."""
    return gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data


def _file_name(source: Source, name: str) -> str:
    return f"{name}.gz" if source.urls[0].endswith(".gz") and not name.endswith(".gz") else name


# ---------------------------------------------------------------------------------------------- fetching


def fetch(source: Source, target: Path, progress: Progress | None = None) -> Path:
    """Download a file from the first mirror that gives the right content.

    A part that an interrupted download left is continued; the file appears only when it is whole and right.
    Of several processes that fetch into one folder, one does and the others wait.

    Args:
        source: addresses and checksum.
        target: where the file goes; `.gz` is added or taken off as the content has it.
        progress: told how far it is.

    Returns:
        The path of the file.

    Raises:
        DataError: no mirror gave the right content (says what each one did), or it cannot be written.
    """
    part = target.with_name(target.name + ".part")
    plain = target.with_name(target.name.removesuffix(".gz"))
    packed = target.with_name(f"{plain.name}.gz")
    with _alone_in(target.parent):
        for present in (plain, packed):
            if present.is_file():
                return present
        faults = []
        for url in source.urls:
            fault = _fetch_from(url, source, part, progress)
            if not fault:
                with part.open("rb") as file:
                    kept = packed if file.read(2) == _GZIP_MAGIC else plain
                return part.replace(kept)
            faults.append(f"{url}: {fault}")
    raise DataError("\n    ".join(faults))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be."""
    with _written():
        folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _written() -> Iterator[None]:
    """Writing to the cache: what fails here is not the mirror's fault."""
    try:
        yield
    except OSError as error:
        place = display(Path(error.filename)) if error.filename else "the cache"
        raise DataError(
            f"{place}: cannot be written: {error.strerror}; name another folder in DIANNE_CACHE"
        ) from error


def _fetch_from(url: str, source: Source, part: Path, progress: Progress | None) -> str:
    """Fetch into `part`; says what went wrong, or nothing."""
    if not _is_address(url):
        return "is no address; write one such as https://example.org/images.gz"
    try:
        continued = _download(url, part, progress)
        fault = _wrong_with(part, url, source)
        if fault and continued:  # the part was of another file, or packed in another way
            part.unlink()
            _download(url, part, progress)
            fault = _wrong_with(part, url, source)
    except urllib.error.HTTPError as error:
        return f"the server answered {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return _reason(error.reason)
    except HTTPException as error:
        return f"the answer broke off ({type(error).__name__})"
    except OSError as error:
        return _reason(error)
    if fault:
        part.unlink()
    return fault


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        plain = url.isascii() and " " not in url
        return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _wrong_with(part: Path, url: str, source: Source) -> str:
    data = part.read_bytes()
    if url.endswith(".gz") and not data.startswith(_GZIP_MAGIC):
        return "its content is no gzip file"
    try:
        digest = hashlib.sha256(_without_gzip(data)).hexdigest()
    except _GZIP_FAULTS:
        return "its content is no whole gzip file"
    if digest != source.sha256:
        return f"its content has the sha256 {digest[:12]}…, expected {source.sha256[:12]}…"
    return ""


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} seconds"
    return str(getattr(error, "strerror", None) or error)


def _download(url: str, part: Path, progress: Progress | None) -> bool:
    """Fetch the rest of a file; tells whether there was a part that it went on from."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing comes behind the part: it is whole, or not of this file
            raise
        error.close()
        return True
    with response:
        continued = bool(response.status == 206)
        length = response.headers.get("Content-Length")
        done = have if continued else 0
        total = int(length) + done if length else None
        with _written():
            file = part.open("ab" if continued else "wb")
        with file:
            while chunk := response.read(_CHUNK):
                with _written():
                    file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(part.name.removesuffix(".part"), done, total)
    if total is not None and done < total:
        raise OSError(f"the connection broke off after {done:,} of {total:,} bytes")
    return continued

"""Fetching data files from their mirrors: continued after a break, checked before they have their name."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from dianne.data.archives import is_archive
from dianne.data.checksums import GZIP_FAULTS, GZIP_MAGIC, digester, is_packed, mismatch
from dianne.data.descriptor import Source
from dianne.document import display
from dianne.errors import DataError
from dianne.workspace import alone_in

TIMEOUT = 5.0  # seconds without an answer, after which a mirror is given up
Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all if known
_CHUNK = 1 << 16


def _without_gzip(data: bytes) -> bytes:
    """The content, whether or not a .gz is around it."""
    return gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data


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
    with _alone(target.parent):
        for present in (plain, packed):
            if present.is_file():
                return present
        faults = []
        for url in source.urls:
            fault = _fetch_from(url, source, part, progress)
            if not fault:
                with part.open("rb") as file:
                    kept = packed if file.read(2) == GZIP_MAGIC else plain
                return part.replace(kept)
            faults.append(f"{url}: {fault}")
    raise DataError("\n    ".join(faults))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with _written():
        folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        yield


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
        error.close()
        if 300 <= error.code < 400:  # urllib gave up following it
            return "the server sends in circles, or to what is no web address"
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
    if is_packed(url) and not data.startswith(GZIP_MAGIC):
        return "its content is no gzip file"
    try:
        content = data if is_archive(part.stem) else _without_gzip(data)
    except GZIP_FAULTS:
        return "its content is no whole gzip file"
    fault = mismatch(source, data.startswith(GZIP_MAGIC), digester(content), digester(data))
    if fault:
        kind, digest, expected = fault
        return f"its content has the {kind} {digest[:12]}…, expected {expected[:12]}…"
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

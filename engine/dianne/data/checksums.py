"""Checksums of data files, and the .gz around them."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

from dianne.data.descriptor import Source

GZIP_MAGIC = b"\x1f\x8b"
GZIP_FAULTS = (EOFError, zlib.error, gzip.BadGzipFile)
Digester = Callable[[str], str]  # of sha256 or md5 to the digest
_CHUNK = 1 << 16


def digest_of(path: Path, kind: str) -> str:
    """The sha256 or md5 of a file."""
    with path.open("rb") as file:
        digest = hashlib.new(kind, usedforsecurity=False)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digester(data: bytes) -> Digester:
    """Of some bytes."""
    return lambda kind: hashlib.new(kind, data, usedforsecurity=False).hexdigest()


def is_packed(url: str) -> bool:
    """Whether there is a .gz around a file, by its address without what that asks of the server (?...)."""
    return url.partition("?")[0].endswith(".gz")


def mismatch(
    source: Source, packed: bool, of_content: Digester, of_file: Digester
) -> tuple[str, str, str] | None:
    """Which checksum is wrong: its kind, what it is and what it should be.

    Args:
        source: the checksums.
        packed: whether there is a .gz around the file.
        of_content: the digest of its content, without that.
        of_file: the digest of the file as it lies there.
    """
    unpacked_by_hand = is_packed(source.urls[0]) and not packed
    kinds = [("sha256", source.sha256, of_content)]
    if not unpacked_by_hand:  # an md5 is that of the download
        kinds.append(("md5", source.md5, of_file))
    for kind, expected, digester in kinds:
        digest = digester(kind) if expected else None
        if expected and digest and digest != expected:
            return kind, digest, expected
    return None

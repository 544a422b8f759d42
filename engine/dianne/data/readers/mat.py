"""MATLAB's .mat files of level 5, as far as arrays of real numbers go.

scipy.io reads more, but spoilt files make it crash the process.
Source: MathWorks, MAT-File Format (R2023b), chapter 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from dianne.data.files import DataError

Array = np.ndarray[Any, Any]
_TYPES = {
    1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8",
}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
_HEADER = 128
_MAX_BYTES = 8 << 30  # of one array


def parse_mat(data: bytes, name: str) -> dict[str, Array]:
    """The arrays of real numbers in a file by name, of the types in which they are stored.

    Args:
        data: the file's content.
        name: for messages.

    Raises:
        DataError: it is no such file, or cut off; names the byte.
    """
    if len(data) < _HEADER or data[124:128] != b"\0\1IM":
        raise DataError(
            f"{name}: is no .mat file of level 5: its header ends with {data[124:128].hex(' ')!r}"
        )
    arrays: dict[str, Array] = {}
    for at, kind, body in _elements(data, _HEADER, name):
        where = f"{name}: byte {at:,}"
        if kind == _COMPRESSED:
            unpacked = _unpacked(body, where)
            kind, body = next(((k, b) for _, k, b in _elements(unpacked, 0, where)), (0, b""))
        if kind == _MATRIX:
            arrays.update(_matrix(body, where))
    return arrays


def _unpacked(body: bytes, where: str) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, _MAX_BYTES)
    except zlib.error as error:
        raise DataError(f"{where}: cannot be unpacked ({error})") from error
    if not inflater.eof:
        raise DataError(f"{where}: is cut off, or larger than {_MAX_BYTES:,} bytes")
    return data


def _elements(data: bytes, at: int, where: str) -> Iterator[tuple[int, int, bytes]]:
    """Place, type and content of one element after the other."""
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        start, length = at + 8, size
        if kind >> 16:  # a small one: its content stands in the tag
            kind, size, start, length = kind & 0xFFFF, kind >> 16, at + 4, 4
        if start + size > len(data) or size > length:
            raise DataError(f"{where}: byte {at:,}: expected {size:,} bytes, found {len(data) - start:,}")
        yield at, kind, data[start : start + size]
        end = start + length
        at = end if kind == _COMPRESSED else end + -end % 8  # others begin at multiples of 8
    if at < len(data):
        raise DataError(f"{where}: byte {at:,}: expected 8 bytes or none, found {len(data) - at:,}")


def _matrix(body: bytes, where: str) -> dict[str, Array]:
    """An array by its name; none, if it holds no real numbers."""
    parts = [(kind, content) for _, kind, content in _elements(body, 0, where)]
    if len(parts) != 4 or len(parts[1][1]) % 4 or parts[3][0] not in _TYPES:
        return {}
    shape = np.frombuffer(parts[1][1], "<i4").tolist()
    kind = np.dtype(_TYPES[parts[3][0]])
    expected, content = prod(shape) * kind.itemsize, parts[3][1]
    if min(shape, default=-1) < 0 or len(content) != expected:
        raise DataError(f"{where}: holds {len(content):,} bytes, but its shape {shape} asks for {expected:,}")
    values = np.frombuffer(content, kind).reshape(shape[::-1]).T  # stored column by column
    return {parts[2][1].decode("latin-1"): values}

"""IDX files, the format of MNIST."""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError
from dianne.data.mapping import Blob
from dianne.data.readers.making import READERS, made, misfit, pairs
from dianne.data.readers.opening import Opening, bytes_of
from dianne.data.rows import Array

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse_idx(blob: Blob, name: str) -> Array:
    """An IDX file: 0 0 type rank, big-endian extents, values.

    Args:
        blob: the file's content.
        name: for messages.

    Raises:
        DataError: the header is wrong, or there are fewer or more values than it says.
    """
    content = bytes_of(blob)
    data = content[: 4 + 4 * 255].tobytes()
    if (
        len(data) < 4
        or data[:2] != b"\0\0"
        or data[2] not in _IDX_TYPES
        or not data[3]
        or len(data) < 4 + 4 * data[3]
    ):
        raise DataError(f"{name}: is no IDX file: it begins with {data[:4].hex(' ') or 'nothing'}")
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    kind = np.dtype(_IDX_TYPES[data[2]])
    body = content[4 + 4 * data[3] :]
    expected = prod(shape) * kind.itemsize
    if len(body) != expected:
        raise DataError(
            f"{name}: holds {len(body):,} bytes of values, but its header {list(shape)} asks for {expected:,}"
        )
    return body.view(kind).reshape(shape)


@READERS.register("IDX")
def read_idx(opening: Opening) -> Dataset:
    """Images and class indices in IDX files, one file behind the other; greyscale gets one plane."""
    described, descriptor = opening.described, opening.described.descriptor
    names = [name for pair in pairs(described) for name in pair]
    blobs = opening.blobs(names)
    arrays = {name: parse_idx(blob, name) for name, blob in blobs.items()}
    images = _alike(described, [(name, arrays[name]) for name in descriptor.inputs])
    targets = _alike(described, [(name, arrays[name]) for name in descriptor.targets])
    if images[0].ndim == 3:
        images = [image[:, None] for image in images]  # (n, 1, height, width)
    if descriptor.transposed:
        if images[0].ndim < 4:
            message = f"transposed: needs images, but the samples are {list(images[0].shape[1:])}"
            raise misfit(described, "transposed", message)
        images = [image.swapaxes(-1, -2) for image in images]
    inputs = opening.joined(images, [blobs[name] for name in descriptor.inputs])
    return made(described, inputs, opening.joined(targets, [blobs[name] for name in descriptor.targets]))


def _alike(described: Described, arrays: list[tuple[str, Array]]) -> list[Array]:
    """Arrays (n, ...) of files; raises DataError if samples differ in shape."""
    if len({array.shape[1:] for _, array in arrays}) > 1:
        found = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in arrays)
        raise DataError(f"{described.name}: its files hold samples of different shapes: {found}")
    return [array for _, array in arrays]

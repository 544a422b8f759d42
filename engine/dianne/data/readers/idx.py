"""IDX files, the format of MNIST."""

from __future__ import annotations

import struct
from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, contents
from dianne.data.readers.making import READERS, made, misfit, pairs, tensor
from dianne.workspace import Folder

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse_idx(data: bytes, name: str) -> np.ndarray[Any, Any]:
    """An IDX file: 0 0 type rank, big-endian extents, values.

    Args:
        data: the file's content.
        name: for messages.

    Raises:
        DataError: the header is wrong, or there are fewer or more values than it says.
    """
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
    body = data[4 + 4 * data[3] :]
    expected = prod(shape) * kind.itemsize
    if len(body) != expected:
        raise DataError(
            f"{name}: holds {len(body):,} bytes of values, but its header {list(shape)} asks for {expected:,}"
        )
    return np.frombuffer(body, kind).reshape(shape)


@READERS.register("IDX")
def read_idx(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Images and class indices in IDX files, one file behind the other; greyscale gets one plane."""
    descriptor = described.descriptor
    names = [name for pair in pairs(described) for name in pair]
    arrays = {
        name: parse_idx(data, name) for name, data in contents(folder, described, names, progress).items()
    }
    inputs = _joined(described, {name: arrays[name] for name in descriptor.inputs})
    targets = _joined(described, {name: arrays[name] for name in descriptor.targets})
    if inputs.dim() == 3:
        inputs = inputs.unsqueeze(1)  # (n, 1, height, width)
    if descriptor.transposed:
        if inputs.dim() < 4:
            message = f"transposed: needs images, but the samples are {list(inputs.shape[1:])}"
            raise misfit(described, "transposed", message)
        inputs = inputs.transpose(-1, -2).contiguous()
    return made(described, inputs, targets)


def _joined(described: Described, arrays: dict[str, np.ndarray[Any, Any]]) -> Tensor:
    """Arrays (n, ...) of one shape, one behind the other."""
    if len({array.shape[1:] for array in arrays.values()}) > 1:
        found = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in arrays.items())
        raise DataError(f"{described.name}: its files hold samples of different shapes: {found}")
    return tensor(np.concatenate(list(arrays.values())))

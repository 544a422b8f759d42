"""Readers of dataset types: from files, or from a library, to tensors."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, contents
from dianne.errors import ConfigError, Problem, UsageError, suggest
from dianne.registry import Registry
from dianne.workspace import Folder

Reader = Callable[[Folder, Described, Progress | None], Dataset]
READERS: Registry[Reader] = Registry("dataset type")
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def open_dataset(folder: Folder, described: Described, progress: Progress | None = None) -> Dataset:
    """Read a dataset whole.

    Raises:
        ConfigError: its type is unknown.
        DataError: files are missing or spoilt.
    """
    dataset = reader_of(described)(folder, described, progress)
    frame, pad = described.descriptor.frame, described.descriptor.pad
    inputs = _framed(dataset.inputs, frame) if frame else dataset.inputs
    inputs = functional.pad(inputs, (pad, pad, pad, pad)) if pad else inputs
    return replace(dataset, inputs=inputs)


def reader_of(described: Described) -> Reader:
    """The reader of a descriptor's type.

    Raises:
        ConfigError: its type is unknown.
    """
    try:
        return READERS.get(described.descriptor.type)
    except UsageError as error:
        where = described.document.where(("type",))
        raise ConfigError(described.document.source, [Problem(where, str(error))]) from error


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
    names = [*descriptor.inputs, *descriptor.targets]
    if not descriptor.inputs or len(descriptor.inputs) != len(descriptor.targets):
        message = f"type IDX needs as many 'targets' as 'inputs', found {len(descriptor.inputs)} inputs and "
        message += f"{len(descriptor.targets)} targets"
        where = described.document.where(("inputs",), of_key=True)
        raise ConfigError(described.document.source, [Problem(where, message)])
    arrays = {
        name: parse_idx(data, name) for name, data in contents(folder, described, names, progress).items()
    }
    inputs = _joined(described, {name: arrays[name] for name in descriptor.inputs})
    targets = _joined(described, {name: arrays[name] for name in descriptor.targets})
    if inputs.dim() == 3:
        inputs = inputs.unsqueeze(1)  # (n, 1, height, width)
    return _made(described, inputs, targets)


def _joined(described: Described, arrays: dict[str, np.ndarray[Any, Any]]) -> Tensor:
    """Arrays (n, ...) of one shape, one behind the other."""
    if len({array.shape[1:] for array in arrays.values()}) > 1:
        found = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in arrays.items())
        raise DataError(f"{described.name}: its files hold samples of different shapes: {found}")
    return _tensor(np.concatenate(list(arrays.values())))


def _misfit(described: Described, key: str, message: str) -> ConfigError:
    where = described.document.where((key,), of_key=key not in described.document.data)
    return ConfigError(described.document.source, [Problem(where, message)])


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))


def _made(described: Described, inputs: Tensor, targets: Tensor) -> Dataset:
    """A dataset, shaped as its descriptor asks and checked."""
    descriptor, labels = described.descriptor, described.labels
    if descriptor.input_dims:
        if prod(descriptor.input_dims) != prod(inputs.shape[1:]):
            found, dims = list(inputs.shape[1:]), descriptor.input_dims
            message = f"inputDims: the files hold samples of {found}, which is not {dims}"
            raise _misfit(described, "inputDims", message)
        inputs = inputs.reshape(len(inputs), *descriptor.input_dims)
    for key in ("frame", "pad"):
        if getattr(descriptor, key) and inputs.dim() != 4:
            found = list(inputs.shape[1:])
            raise _misfit(
                described, key, f"{key}: needs images [planes, height, width], but the samples are {found}"
            )
    if not len(inputs):
        raise DataError(f"{described.name}: holds no samples")
    if len(inputs) != len(targets):
        raise DataError(f"{described.name}: has {len(inputs):,} inputs, but {len(targets):,} targets")
    if not labels:
        return Dataset(described.name, inputs, targets)
    classes = targets.to(torch.int64)
    if not torch.equal(classes.to(targets.dtype), targets):
        odd = targets[classes.to(targets.dtype) != targets][0]
        raise DataError(f"{described.name}: its targets are classes, but the files hold {float(odd):g}")
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= len(labels):
        raise DataError(
            f"{described.name}: its targets are the classes {low} to {high}, but it has {len(labels)} labels"
        )
    return Dataset(described.name, inputs, classes, labels)


@READERS.register("sklearn")
def read_sklearn(folder: Folder, described: Described, progress: Progress | None) -> Dataset:  # noqa: ARG001
    """A dataset that comes inside scikit-learn; pixels are stored as uint8, 255 for the largest value."""
    import sklearn.datasets  # here, because it takes a second that other datasets need not pay

    found = [name for name in dir(sklearn.datasets) if name.startswith("load_")]
    alone = [name for name in found if _needs_nothing(getattr(sklearn.datasets, name))]
    loader = described.descriptor.loader
    if loader is None:
        raise _misfit(described, "loader", "type sklearn needs a 'loader', such as load_digits")
    if loader not in found:
        raise _misfit(
            described, "loader", f"scikit-learn has no loader '{loader}'{suggest(loader, alone, 'loaders')}"
        )
    if loader not in alone:
        raise _misfit(
            described,
            "loader",
            f"scikit-learn's '{loader}' gives no samples by itself; loaders: {', '.join(alone)}",
        )
    bunch = getattr(sklearn.datasets, loader)()
    if "images" in bunch:
        pixels = torch.from_numpy(bunch["images"]).to(torch.float32)
        inputs = (pixels * (255 / pixels.max())).round().to(torch.uint8).unsqueeze(1)
    else:
        inputs = torch.from_numpy(bunch["data"]).to(torch.float32)
    targets = torch.from_numpy(bunch["target"])
    return _made(described, inputs, targets if described.labels else targets.to(torch.float32))


def _needs_nothing(loader: Callable[..., Any]) -> bool:
    """Whether a function of sklearn.datasets gives numbers without being told a file or a name."""
    required = [p for p in inspect.signature(loader).parameters.values() if p.default is p.empty]
    return not required and "images" not in loader.__name__


def _framed(images: Tensor, frame: list[int]) -> Tensor:
    """Images (n, c, h, w) cropped in the middle to the frame's ratio of sides, then scaled to it."""
    height, width = images.shape[2:]
    scale = min(width / frame[1], height / frame[0])
    crop = int(frame[0] * scale), int(frame[1] * scale)
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    middle = images[:, :, top : top + crop[0], left : left + crop[1]].to(torch.float32)
    scaled = functional.interpolate(middle, size=frame, mode="bilinear", align_corners=True)
    return scaled.round().to(torch.uint8) if images.dtype == torch.uint8 else scaled

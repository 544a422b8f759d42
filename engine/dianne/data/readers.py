"""Readers of dataset types: from files, or from a library, to tensors."""

from __future__ import annotations

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
    kind = described.descriptor.type
    try:
        reader = READERS.get(kind)
    except UsageError as error:
        where = described.document.where(("type",))
        raise ConfigError(described.document.source, [Problem(where, str(error))]) from error
    dataset = reader(folder, described, progress)
    frame, pad = described.descriptor.frame, described.descriptor.pad
    inputs = _framed(dataset.inputs, frame) if frame else dataset.inputs
    inputs = functional.pad(inputs, (pad, pad, pad, pad)) if pad else inputs
    return replace(dataset, inputs=inputs)


def parse_idx(data: bytes, name: str) -> np.ndarray[Any, Any]:
    """An IDX file: 0 0 type rank, big-endian extents, values.

    Args:
        data: the file's content.
        name: for messages.

    Raises:
        DataError: the header is wrong, or there are fewer or more values than it says.
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES or len(data) < 4 + 4 * data[3]:
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
    inputs = _tensor(np.concatenate([arrays[name] for name in descriptor.inputs]))
    targets = _tensor(np.concatenate([arrays[name] for name in descriptor.targets])).to(torch.int64)
    if inputs.dim() == 3:
        inputs = inputs.unsqueeze(1)  # (n, 1, height, width)
    if descriptor.input_dims:
        inputs = inputs.reshape(len(inputs), *_fitting(described, tuple(inputs.shape[1:])))
    return _checked(described, inputs, targets)


def _fitting(described: Described, found: tuple[int, ...]) -> list[int]:
    dims = described.descriptor.input_dims or []
    if prod(dims) != prod(found):
        where = described.document.where(("inputDims",))
        message = f"inputDims: the files hold samples of {list(found)}, which is not {dims}"
        raise ConfigError(described.document.source, [Problem(where, message)])
    return dims


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))


def _checked(described: Described, inputs: Tensor, targets: Tensor) -> Dataset:
    if len(inputs) != len(targets):
        raise DataError(f"{described.name}: has {len(inputs):,} inputs, but {len(targets):,} targets")
    labels = described.labels
    if labels and len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < len(labels):
        found = f"{int(targets.min())} to {int(targets.max())}"
        raise DataError(
            f"{described.name}: its targets are the classes {found}, but it has {len(labels)} labels"
        )
    return Dataset(described.name, inputs, targets, labels)


@READERS.register("sklearn")
def read_sklearn(folder: Folder, described: Described, progress: Progress | None) -> Dataset:  # noqa: ARG001
    """A dataset that comes inside scikit-learn; pixels are stored as uint8, 255 for the largest value."""
    import sklearn.datasets  # here, because it takes a second that other datasets need not pay

    loaders = [name for name in dir(sklearn.datasets) if name.startswith("load_")]
    loader = described.descriptor.loader or ""
    if loader not in loaders:
        where = described.document.where(("loader",))
        message = f"scikit-learn has no loader '{loader}'{suggest(loader, loaders, 'loaders')}"
        raise ConfigError(described.document.source, [Problem(where, message)])
    bunch = getattr(sklearn.datasets, loader)()
    if "images" in bunch:
        pixels = torch.from_numpy(bunch["images"]).to(torch.float32)
        inputs = (pixels * (255 / pixels.max())).round().to(torch.uint8).unsqueeze(1)
    else:
        inputs = torch.from_numpy(bunch["data"]).to(torch.float32)
    targets = torch.from_numpy(bunch["target"])
    return _checked(described, inputs, targets.to(torch.int64 if described.labels else torch.float32))


def _framed(images: Tensor, frame: list[int]) -> Tensor:
    """Images (n, c, h, w) cropped in the middle to the frame's ratio of sides, then scaled to it."""
    height, width = images.shape[2:]
    scale = min(width / frame[1], height / frame[0])
    crop = int(frame[0] * scale), int(frame[1] * scale)
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    middle = images[:, :, top : top + crop[0], left : left + crop[1]].to(torch.float32)
    scaled = functional.interpolate(middle, size=frame, mode="bilinear", align_corners=True)
    return scaled.round().to(torch.uint8) if images.dtype == torch.uint8 else scaled

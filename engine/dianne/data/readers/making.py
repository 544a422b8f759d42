"""What all readers share: where they register, and the dataset at their end."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress
from dianne.errors import ConfigError, Problem
from dianne.registry import Registry
from dianne.workspace import Folder

Reader = Callable[[Folder, Described, Progress | None], Dataset]
READERS: Registry[Reader] = Registry("dataset type")


def misfit(described: Described, key: str, message: str) -> ConfigError:
    """The fault that a key of a descriptor does not fit its data, or is missing."""
    where = described.document.where((key,), of_key=key not in described.document.data)
    return ConfigError(described.document.source, [Problem(where, message)])


def tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """A copy of an array."""
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))


def made(described: Described, inputs: Tensor, targets: Tensor) -> Dataset:
    """A dataset, shaped as its descriptor asks and checked.

    Args:
        described: what the user wrote.
        inputs: (n, ...).
        targets: (n, ...); with labels (n,) numbers of classes.

    Raises:
        ConfigError: the samples have another shape than the descriptor says.
        DataError: inputs and targets do not belong together, or targets are no classes.
    """
    descriptor, labels = described.descriptor, described.labels
    if descriptor.input_dims:
        if prod(descriptor.input_dims) != prod(inputs.shape[1:]):
            found, dims = list(inputs.shape[1:]), descriptor.input_dims
            message = f"inputDims: the files hold samples of {found}, which is not {dims}"
            raise misfit(described, "inputDims", message)
        inputs = inputs.reshape(len(inputs), *descriptor.input_dims)
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

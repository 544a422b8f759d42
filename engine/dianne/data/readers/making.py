"""What all readers share: where they register, and the dataset at their end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, contents
from dianne.errors import ConfigError, Problem
from dianne.registry import Registry
from dianne.workspace import Folder

Reader = Callable[[Folder, Described, Progress | None], Dataset]
READERS: Registry[Reader] = Registry("dataset type")


def misfit(described: Described, key: str, message: str) -> ConfigError:
    """The fault that a key of a descriptor does not fit its data, or is missing."""
    where = described.document.where((key,), of_key=key not in described.document.data)
    return ConfigError(described.document.source, [Problem(where, message)])


def classes_of(described: Described) -> list[str]:
    """The labels of a type whose targets are classes: declared, or the numbers below `targetDims`.

    Raises:
        ConfigError: there is neither.
    """
    descriptor = described.descriptor
    if described.labels:
        return described.labels
    if not descriptor.target_dims:
        message = f"type {descriptor.type} needs 'labels', or 'targetDims: [classes]'"
        raise misfit(described, "labels", message)
    return [str(index) for index in range(prod(descriptor.target_dims))]


def with_labels(folder: Folder, described: Described, progress: Progress | None) -> Described:
    """The descriptor with the labels of its `labelsFile`, a line each; that of a text is its vocabulary.

    Raises:
        DataError: the file is missing or is no text, or has fewer lines than `targetDims` asks for.
    """
    descriptor = described.descriptor
    name, kind = descriptor.labels_file, descriptor.type.lower()
    if not name or described.labels or kind == "charsequencedataset":
        return described
    try:
        text = contents(folder, described, [name], progress)[name].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: byte {error.start:,}: is no UTF-8 text") from error
    labels = [line.strip() for line in text.splitlines() if line.strip()]
    count = prod(descriptor.target_dims) if descriptor.target_dims else len(labels)
    if len(labels) < max(count, 1):
        raise DataError(f"{name}: holds {len(labels):,} labels, expected {max(count, 1):,}, one a line")
    return replace(described, descriptor=descriptor.model_copy(update={"labels": labels[:count]}))


def pairs(described: Described) -> list[tuple[str, str]]:
    """Files of inputs, each with its file of targets.

    Raises:
        ConfigError: there are none, or not as many of the one as of the other.
    """
    inputs, targets = described.descriptor.inputs, described.descriptor.targets
    if not inputs or len(inputs) != len(targets):
        message = (
            f"needs as many 'targets' as 'inputs', found {len(inputs)} inputs and {len(targets)} targets"
        )
        raise misfit(described, "inputs", f"type {described.descriptor.type} {message}")
    return list(zip(inputs, targets, strict=True))


def tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """A copy of an array."""
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))


def made(described: Described, inputs: Tensor, targets: Tensor, labels: list[str] | None = None) -> Dataset:
    """A dataset, shaped as its descriptor asks and checked.

    Args:
        described: what the user wrote.
        inputs: (n, ...).
        targets: (n, ...); with labels (n,) numbers of classes.
        labels: names of the classes, if they are not in the descriptor.

    Raises:
        ConfigError: the samples have another shape than the descriptor says.
        DataError: inputs and targets do not belong together, or targets are no classes.
    """
    descriptor = described.descriptor
    labels = described.labels or labels
    if descriptor.input_dims:
        if prod(descriptor.input_dims) != prod(inputs.shape[1:]):
            found, dims = list(inputs.shape[1:]), descriptor.input_dims
            message = f"inputDims: the files hold samples of {found}, which is not {dims}"
            raise misfit(described, "inputDims", message)
        inputs = inputs.reshape(len(inputs), *descriptor.input_dims)
    if not len(inputs):
        raise DataError(f"{described.name}: holds no samples")
    if descriptor.no_samples and len(inputs) != descriptor.no_samples:
        raise DataError(
            f"{described.name}: holds {len(inputs):,} samples, expected {descriptor.no_samples:,} (noSamples)"
        )
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


def of_arrays(
    described: Described, inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any] | None
) -> Dataset:
    """A dataset of numbers: uint8 are pixels, others are taken as they are.

    Args:
        described: what the user wrote.
        inputs: (n, ...).
        targets: (n, ...), or None if each sample is its own; raises as `made`.

    Raises:
        DataError: a value is no finite number, or classes are missing.
    """
    values = tensor(inputs if inputs.dtype == np.uint8 else _finite(described, "inputs", inputs))
    values = values.unsqueeze(1) if values.dim() == 1 else values
    if targets is None:
        if described.labels:
            raise misfit(described, "labels", "labels: there are no targets; name them under 'targets'")
        own = made(described, values, torch.empty(len(values), 0))
        return replace(own, autoencode=True)
    if described.labels:
        if prod(targets.shape[1:]) != 1:
            raise DataError(
                f"{described.name}: targets: expected the number of a class for each sample, found "
                f"{list(targets.shape[1:])}"
            )
        return made(described, values, tensor(_finite(described, "targets", targets.reshape(-1))))
    return made(described, values, tensor(_finite(described, "targets", targets)))


def _finite(described: Described, what: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Numbers as float32; raises DataError if one is none, or too large for it."""
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        place = np.unravel_index(int(finite.ravel().argmin()), array.shape)
        raise DataError(
            f"{described.name}: {what}: sample {int(place[0]):,}: expected a number, found {array[place]}"
        )
    return values

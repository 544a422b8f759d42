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
from dianne.data.files import DataError
from dianne.data.mapping import Blob
from dianne.data.ragged import Ragged
from dianne.data.readers.opening import Opening
from dianne.data.remember import remembered
from dianne.data.rows import Array, Rows, Samples, chunks_of, in_memory
from dianne.errors import ConfigError, Problem
from dianne.registry import Registry

Reader = Callable[[Opening], Dataset]
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


def with_labels(opening: Opening) -> Opening:
    """The same, with the labels of the `labelsFile`, a line each; that of a text is its vocabulary.

    Raises:
        DataError: the file is missing or is no text, or has fewer lines than `targetDims` asks for.
    """
    described, descriptor = opening.described, opening.described.descriptor
    name, kind = descriptor.labels_file, descriptor.type.lower()
    if not name or described.labels or kind == "charsequencedataset":
        return opening
    try:
        text = opening.contents([name])[name].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: byte {error.start:,}: is no UTF-8 text") from error
    labels = [line.strip() for line in text.splitlines() if line.strip()]
    count = prod(descriptor.target_dims) if descriptor.target_dims else len(labels)
    if len(labels) < max(count, 1):
        raise DataError(f"{name}: holds {len(labels):,} labels, expected {max(count, 1):,}, one a line")
    named = descriptor.model_copy(update={"labels": labels[:count]})
    return replace(opening, described=replace(described, descriptor=named))


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


def made(described: Described, inputs: Samples, targets: Samples, labels: list[str] | None = None) -> Dataset:
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
    if descriptor.input_dims and not isinstance(inputs, Ragged):
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
    targets = in_memory(targets)
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


Part = tuple[list[Array], list[Blob]]
"""Arrays (n, ...) of one shape, and the files over which they lie, if any."""


def of_arrays(opening: Opening, inputs: Part, targets: Part | None) -> Dataset:
    """A dataset of numbers: uint8 are pixels, others are taken as they are.

    Args:
        opening: what the user wrote.
        inputs: (n, ...).
        targets: (n, ...), or None if each sample is its own; raises as `made`.

    Raises:
        DataError: a value is no finite number, or classes are missing.
    """
    described = opening.described
    arrays, blobs = inputs
    if arrays[0].ndim == 1:
        inputs = [array[:, None] for array in arrays], blobs
    pixels = all(array.dtype == np.uint8 for array in arrays)
    values = opening.joined(*inputs) if pixels else _finite(opening, "inputs", inputs)
    if targets is None:
        if described.labels:
            raise misfit(described, "labels", "labels: there are no targets; name them under 'targets'")
        own = made(described, values, torch.empty(len(values), 0))
        return replace(own, autoencode=True)
    if described.labels:
        dims = targets[0][0].shape[1:]
        if prod(dims) != 1:
            raise DataError(
                f"{described.name}: targets: expected the number of a class for each sample, found "
                f"{list(dims)}"
            )
        targets = [array.reshape(-1) for array in targets[0]], targets[1]
    return made(described, values, _finite(opening, "targets", targets))


def _finite(opening: Opening, what: str, part: Part) -> Samples:
    """Numbers as float32; raises DataError if one is none, or too large for it."""
    values = opening.joined(*part, torch.float32)

    def check() -> str:
        at = 0
        for chunk in chunks_of(values):
            if not chunk.isfinite().all():
                place = int(chunk.isfinite().flatten().byte().argmin())
                row, inside = divmod(place, chunk[0].numel())
                found = _at(part[0], at + row).ravel()[inside]
                raise DataError(
                    f"{opening.described.name}: {what}: sample {at + row:,}: expected a number, found {found}"
                )
            at += len(chunk)
        return "numbers"

    if isinstance(values, Rows):
        remembered("finite", values.identity(), check, values.changed)
    else:
        check()
    return values


def _at(arrays: list[Array], row: int) -> Array:
    """A row of arrays that stand one behind the other."""
    for array in arrays:
        if row < len(array):
            return array[row : row + 1]
        row -= len(array)
    raise IndexError(row)

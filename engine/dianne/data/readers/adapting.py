"""What a descriptor asks to do with samples once they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dianne.data.adapters.images import framed
from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.ragged import Ragged
from dianne.data.readers.making import misfit
from dianne.data.rows import Changed, Rows, Samples, chosen


def adapted(dataset: Dataset, described: Described) -> Dataset:
    """A dataset after the keys `frame`, `pad`, `standardize`, `sequential` and `shuffle`.

    Raises:
        ConfigError: one of them does not fit the samples.
    """
    descriptor, inputs = described.descriptor, dataset.inputs
    for key in ("frame", "pad"):
        if getattr(descriptor, key) and inputs.dim() != 4:
            found = list(dataset.input_dims)
            message = f"{key}: needs images [planes, height, width], but the samples are {found}"
            raise misfit(described, key, message)
    if descriptor.frame:
        inputs = _each(inputs, partial(framed, size=(descriptor.frame[0], descriptor.frame[1])), "frame")
    if descriptor.pad:
        inputs = _each(inputs, partial(functional.pad, pad=[descriptor.pad] * 4), "pad")
    if descriptor.standardize:
        if isinstance(inputs, Rows):
            message = (
                "standardize: needs the table in memory; raise memoryLimit, or take the adapter normalise"
            )
            raise misfit(described, "standardize", message)
        if inputs.dim() != 2 or not inputs.is_floating_point():
            message = f"standardize: needs a table of numbers, but the samples are {list(dataset.input_dims)}"
            raise misfit(described, "standardize", message)
        inputs = _standardized(inputs)
    sequential = dataset.sequential or descriptor.sequential
    dataset = replace(dataset, inputs=inputs, sequential=sequential)
    if descriptor.shuffle is None:
        return dataset
    if sequential:
        message = "shuffle: the samples follow each other in time; in another order they would not"
        raise misfit(described, "shuffle", message)
    # RandomState's stream is the one that numpy promises never to change.
    order = torch.from_numpy(np.random.RandomState(descriptor.shuffle % 2**32).permutation(len(dataset)))
    return replace(dataset, inputs=chosen(inputs, order), targets=chosen(dataset.targets, order))


def _each(images: Samples, function: Callable[[Tensor], Tensor], key: str) -> Samples:
    """Images behind a function: all at once, or each batch of those that are not in memory."""
    if isinstance(images, Tensor):
        return function(images)
    if isinstance(images, Ragged):
        return torch.cat([function(images.image(index)[None]) for index in range(len(images))])
    dims = tuple(function(images[:1]).shape[1:])
    return Changed(images, function, dims, f"{key} {list(dims)}")


def _standardized(table: Tensor) -> Tensor:
    """(n, columns) with mean 0 and deviation 1 in each column; constant columns become 0."""
    values = table.double()
    mean, deviation = values.mean(0), values.std(0, correction=0)
    varies = deviation > 1e-9 * mean.abs()  # else it is the rounding of the mean that differs
    return torch.where(varies, (values - mean) / deviation, 0).float()

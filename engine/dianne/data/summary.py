"""What a dataset holds, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dianne.data.adapters.adapter import Shape
from dianne.data.adapters.values import moments
from dianne.data.dataset import Batch, Dataset
from dianne.data.rows import in_memory

_CHUNK = 4096  # samples that are looked at together


@dataclass(frozen=True)
class Values:
    """The values of all inputs or all targets, as they are in batches; missing ones (NaN) do not count.

    Attributes:
        mean: of each plane or column.
        deviation: as many; that of a population.
        low: the smallest value.
        high: the largest value.
        missing: how many values are not a number.
    """

    mean: list[float]
    deviation: list[float]
    low: float
    high: float
    missing: int


@dataclass(frozen=True)
class Summary:
    """What a dataset holds.

    Attributes:
        samples: how many.
        counts: samples by class, if it has classes.
        inputs: their values.
        targets: their values, unless they are classes or the inputs themselves.
        checksum: the fingerprint that is stored with weights, sha256.
    """

    samples: int
    input_dims: Shape
    target_dims: Shape
    counts: dict[str, int] | None
    inputs: Values
    targets: Values | None
    checksum: str


def summarize(dataset: Dataset) -> Summary:
    """Look at all samples of a dataset, some at a time."""
    counts = None
    if dataset.labels:
        found = torch.bincount(in_memory(dataset.targets).flatten().long(), minlength=len(dataset.labels))
        counts = dict(zip(dataset.labels, found.tolist(), strict=True))
    others = not dataset.labels and not dataset.autoencode
    return Summary(
        len(dataset), dataset.input_dims, dataset.target_dims, counts,
        _values(dataset, "input", dataset.input_dims),
        _values(dataset, "target", dataset.target_dims) if others else None,
        dataset.fingerprint(),
    )  # fmt: skip


def _values(dataset: Dataset, part: str, dims: Shape) -> Values:
    ends: list[tuple[float, float, int]] = []

    def chunks() -> Iterator[Tensor]:
        for at in range(0, len(dataset), _CHUNK):
            batch: Batch = dataset.batch(slice(at, at + _CHUNK))
            values: Tensor = getattr(batch, part)
            there = values[~values.isnan()]
            if len(there):
                ends.append((float(there.min()), float(there.max()), values.numel() - len(there)))
            else:
                ends.append((float("inf"), float("-inf"), values.numel()))
            yield values

    mean, deviation = moments(chunks(), dims)
    lows, highs, missing = zip(*ends, strict=True)
    return Values(mean.tolist(), deviation.tolist(), min(lows), max(highs), sum(missing))

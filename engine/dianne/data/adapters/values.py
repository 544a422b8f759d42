"""Adapters that change the values of inputs: binarize, normalise, noise."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from dianne.data.adapter_options import AdapterOptions
from dianne.data.adapters.adapter import Adapter, Draws, Pair, Shape, as_floats
from dianne.errors import UsageError


class Binarize(Adapter):
    """Inputs above a threshold become 1, all others 0."""

    def __init__(self, threshold: float, dims: Shape):
        self.threshold = threshold
        self.dims = dims

    def __call__(self, pair: Pair, draws: Draws) -> Pair:  # noqa: ARG002
        """Inputs of 0 and 1."""
        return Pair((as_floats(pair.inputs) > self.threshold).float(), pair.targets)


class StochasticBinarize(Adapter):
    """Inputs become 1 with themselves as the probability, drawn anew whether or not anything is augmented."""

    def __init__(self, dims: Shape):
        self.dims = dims

    def __call__(self, pair: Pair, draws: Draws) -> Pair:
        """Inputs of 0 and 1."""
        inputs = as_floats(pair.inputs)
        drawn = torch.rand(inputs.shape, generator=draws.generator)
        return Pair((drawn < inputs).float(), pair.targets)


class Normalise(Adapter):
    """Shifts and scales every plane of images, or every column of a table.

    Args:
        mean: one for each plane or column; one in all for [h, w].
        deviation: as many, above 0.
        dims: shape of one input.
        name: of the dataset.

    Raises:
        UsageError: they are statistics of samples of another shape.
    """

    def __init__(self, mean: list[float], deviation: list[float], dims: Shape, name: str):
        count = channels(dims)
        if len(mean) != count:
            raise UsageError(
                f"normalise: the samples of {name} are {list(dims)}, but the weights learned from samples "
                f"with {len(mean)} planes or columns"
            )
        self.mean, self.deviation, self.dims = mean, deviation, dims
        ones = [1] * (len(dims) - 1) if count > 1 else [1] * len(dims)
        self._shift, self._scale = (torch.tensor(v).view(-1, *ones) if count > 1 else torch.tensor(v[0])
                                    for v in (mean, deviation))  # fmt: skip

    def __call__(self, pair: Pair, draws: Draws) -> Pair:  # noqa: ARG002
        """Inputs with mean 0 and deviation 1."""
        return Pair((as_floats(pair.inputs) - self._shift) / self._scale, pair.targets)


def channels(dims: Shape) -> int:
    """How many planes or columns have statistics of their own."""
    return 1 if len(dims) in (0, 2) else dims[0]


def statistics(chunks: Iterable[Tensor], dims: Shape) -> tuple[list[float], list[float]]:
    """Mean and deviation (that of a population) of each plane or column, with which they are normalised.

    What does not vary has the deviation 1 here; values that are missing (NaN) do not count.

    Args:
        chunks: (b, *dims) float32, all samples in turn.
        dims: shape of one sample.
    """
    mean, deviation = moments(chunks, dims)
    varies = deviation > 1e-9 * mean.abs()  # else it is the rounding of the mean that differs
    return mean.tolist(), torch.where(varies, deviation, 1.0).tolist()


def moments(chunks: Iterable[Tensor], dims: Shape) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each plane or column, (channels,) float64 each; arguments as `statistics`."""
    count = channels(dims)
    number, total, squares = (torch.zeros(count).double() for _ in range(3))
    first: Tensor | None = None
    for chunk in chunks:
        values = chunk.reshape(len(chunk), count, -1).double()
        if first is None:
            first = values.nanmean((0, 2), keepdim=True).nan_to_num()  # so that squares stay small, and exact
        number += (~values.isnan()).sum((0, 2))
        values = (values - first).nan_to_num()
        total += values.sum((0, 2))
        squares += values.square().sum((0, 2))
    assert first is not None
    mean = total / number
    return mean + first.flatten(), (squares / number - mean.square()).clamp(min=0).sqrt()


class Noise(Adapter):
    """Adds normal noise to inputs, then sets a share of their values to 0; only while learning."""

    def __init__(self, options: AdapterOptions, dims: Shape):
        self.deviation, self.drop = options.encoder_noise, options.encoder_drop
        self.dims = dims

    def __call__(self, pair: Pair, draws: Draws) -> Pair:
        """Noisy inputs; targets stay clean."""
        if not draws.learning:
            return pair
        inputs = as_floats(pair.inputs)
        if self.deviation:
            inputs = inputs + self.deviation * torch.randn(inputs.shape, generator=draws.generator)
        if self.drop:
            inputs = inputs * (draws.uniform(*inputs.shape) >= self.drop)
        return Pair(inputs, pair.targets)

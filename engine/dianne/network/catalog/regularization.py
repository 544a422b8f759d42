"""Modules that steady learning: normalisation, and noise that is dropped in evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import PositiveFloat, PositiveInt

Shape = tuple[int, ...]
Rate = Annotated[float, Field(ge=0, lt=1)]


@MODULES.register("Dropout")
class Dropout(nn.Dropout):
    """In training, sets each value to 0 with probability `rate` and divides the others by 1 - rate.

    Source: Srivastava et al. (2014), Dropout, JMLR 15.

    Args:
        rate: probability of dropping a value.
    """

    def __init__(self, rate: Rate):
        super().__init__(rate)


@MODULES.register("DropPath")
class DropPath(nn.Module):
    """In training, sets a whole sample to 0 with probability `rate`; the others stay as they are.

    Source: Larsson et al. (2017), FractalNet, arXiv:1605.07648.

    Args:
        rate: probability of dropping a sample.
    """

    def __init__(self, rate: Rate):
        super().__init__()
        self.rate = rate

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> the same."""
        if not self.training or not self.rate:
            return input
        keep = torch.rand(len(input), *[1] * (input.dim() - 1), device=input.device) >= self.rate
        return input * keep


@MODULES.register("BatchNormalization")
class BatchNormalization(nn.Module):
    """Each feature (or plane) shifted and scaled to mean 0 and variance 1 over the batch, then w x + b.

    Evaluation uses running statistics: running = 0.9 running + 0.1 batch. epsilon is 1e-5.

    Shapes: [size] or [size, ...] -> the same.
    Source: Ioffe and Szegedy (2015), arXiv:1502.03167.

    Args:
        size: features or planes; inferred.
    """

    inferred = ("size",)

    def __init__(self, size: PositiveInt):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The number of features or planes."""
        return {"size": shape[0]}

    def forward(self, input: Tensor) -> Tensor:
        """(b, size, ...) -> the same."""
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return functional.batch_norm(input, mean, variance, self.weight, self.bias, self.training)


@MODULES.register("LRN")
class LocalResponseNormalization(nn.Module):
    """Each value divided by (k + alpha m)^beta, m the mean square of `size` planes around its own.

    Shapes: [planes, ...] -> the same.
    Source: Krizhevsky et al. (2012), ImageNet classification, section 3.3.

    Args:
        size: planes that are averaged.
        alpha: weight of the mean square.
        beta: exponent.
        k: what is divided by where all is 0.
    """

    def __init__(self, size: PositiveInt, alpha: float = 1e-4, beta: float = 0.75, k: PositiveFloat = 1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(b, planes, ...) -> the same."""
        if input.dim() < 3:
            raise ValueError(f"takes samples of [planes, ...], found {list(input.shape[1:])}")
        before = (self.size - 1) // 2
        squares = input.square().flatten(2)  # (b, planes, rest)
        padded = functional.pad(squares, (0, 0, before, self.size - 1 - before))
        mean = padded.unfold(1, self.size, 1).mean(-1).view_as(input)
        return input / (self.k + self.alpha * mean) ** self.beta


class _Statistics(nn.Module):
    """Statistics of the data, found once before learning and stored with the weights.

    Args:
        mean: of all values; found in the data if neither is given.
        stdev: standard deviation of all values.
    """

    fits: ClassVar[str]
    """Whose statistics: "input" or "target"."""

    def __init__(self, mean: float | None = None, stdev: PositiveFloat | None = None):
        super().__init__()
        given = mean is not None or stdev is not None
        self.register_buffer("mean", torch.tensor(0.0 if mean is None else mean))
        self.register_buffer("stdev", torch.tensor(1.0 if stdev is None else stdev))
        self.register_buffer("fitted", torch.tensor(given))

    def fit(self, values: Iterable[Tensor]) -> None:
        """Take mean and deviation (n - 1 in the divisor) over all values of some tensors."""
        count, mean, squares = 0, 0.0, 0.0  # squares of distances from the mean (Welford 1962, by chunks)
        for chunk in values:
            wide = chunk.double()
            size, centre = wide.numel(), float(wide.mean())
            squares += float((wide - centre).square().sum())
            squares += (centre - mean) ** 2 * count * size / (count + size)
            count += size
            mean += (centre - mean) * size / count
        variance = squares / max(count - 1, 1)
        self.get_buffer("mean").fill_(mean)
        self.get_buffer("stdev").fill_(variance**0.5 or 1.0)  # all values equal: leave their scale alone
        self.get_buffer("fitted").fill_(True)


@MODULES.register("Normalization")
class Normalization(_Statistics):
    """(x - mean) / stdev, with one mean and one deviation for all values of the inputs.

    Without `mean` and `stdev` they are found in the samples that are learned from, before learning begins.
    """

    fits = "input"

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> the same."""
        return (input - self.get_buffer("mean")) / self.get_buffer("stdev")


@MODULES.register("Denormalization")
class Denormalization(_Statistics):
    """x stdev + mean, with one mean and one deviation for all values of the targets; see Normalization."""

    fits = "target"

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> the same."""
        return input * self.get_buffer("stdev") + self.get_buffer("mean")

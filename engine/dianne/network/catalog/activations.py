"""Functions applied to every value, and the two that normalise a sample. Shapes stay as they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import PositiveFloat


@MODULES.register("Sigmoid")
class Sigmoid(nn.Sigmoid):
    """1 / (1 + exp(-x)), in (0, 1)."""


@MODULES.register("Tanh")
class Tanh(nn.Tanh):
    """The hyperbolic tangent, in (-1, 1)."""


@MODULES.register("ReLU")
class ReLU(nn.ReLU):
    """max(x, 0)."""

    def __init__(self) -> None:
        super().__init__()


@MODULES.register("LeakyReLU")
class LeakyReLU(nn.LeakyReLU):
    """x above 0, leakyness * x below.

    Args:
        leakyness: slope below 0.
    """

    def __init__(self, leakyness: float = 0.01):
        super().__init__(leakyness)


@MODULES.register("ELU")
class ELU(nn.ELU):
    """x above 0, alpha (exp(x) - 1) below.

    Args:
        alpha: minus the limit far below 0.
    """

    def __init__(self, alpha: float = 1.0):
        super().__init__(alpha)


@MODULES.register("SELU")
class SELU(nn.SELU):
    """Scaled ELU that keeps mean and variance: Klambauer et al. (2017), arXiv:1706.02515."""

    def __init__(self) -> None:
        super().__init__()


@MODULES.register("SoftPlus")
class SoftPlus(nn.Softplus):
    """log(1 + exp(beta x)) / beta, always above 0.

    Args:
        beta: sharpness of the bend.
    """

    def __init__(self, beta: PositiveFloat = 1.0):
        super().__init__(beta)


@MODULES.register("GELU")
class GELU(nn.GELU):
    """x times the share of a standard normal below x: Hendrycks and Gimpel (2016), arXiv:1606.08415."""

    def __init__(self) -> None:
        super().__init__()


@MODULES.register("SiLU")
class SiLU(nn.SiLU):
    """x sigmoid(x)."""

    def __init__(self) -> None:
        super().__init__()


@MODULES.register("PReLU")
class PReLU(nn.PReLU):
    """x above 0, a x below, with one learned a for the module; it starts at 0.25.

    Source: He et al. (2015), arXiv:1502.01852.
    """

    def __init__(self) -> None:
        super().__init__()


@MODULES.register("Threshold")
class Threshold(nn.Module):
    """x above a threshold, a fixed value elsewhere.

    Args:
        thresh: the threshold.
        val: the value at and below it.
    """

    def __init__(self, thresh: float, val: float):
        super().__init__()
        self.thresh, self.val = thresh, val

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> the same."""
        return functional.threshold(input, self.thresh, self.val)


@MODULES.register("Softmax")
class Softmax(nn.Module):
    """Values above 0 that sum to 1 over the first dimension of a sample (its classes or planes)."""

    def forward(self, input: Tensor) -> Tensor:
        """(b, n, ...) -> the same."""
        return torch.softmax(input, dim=1)


@MODULES.register("LogSoftmax")
class LogSoftmax(nn.Module):
    """The natural logarithm of Softmax, in nats."""

    def forward(self, input: Tensor) -> Tensor:
        """(b, n, ...) -> the same."""
        return functional.log_softmax(input, dim=1)

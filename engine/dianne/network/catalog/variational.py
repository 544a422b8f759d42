"""Modules whose results describe a probability distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import PositiveInt

Shape = tuple[int, ...]
_ACTIVATIONS: dict[str, Any] = {
    "": None,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
}


def _activation(name: str, allowed: tuple[str, ...]) -> Any:
    if name.lower() not in allowed:
        words = ", ".join(word for word in allowed if word)
        raise ValueError(f"knows the activations {words}, found '{name}'")
    return _ACTIVATIONS[name.lower()]


@MODULES.register("MultivariateGaussian")
class MultivariateGaussian(nn.Module):
    """A Gaussian with independent dimensions: means, then standard deviations.

    It describes the distribution and draws nothing from it; `name.mean` and `name.stdev` are its halves.
    `after: [means, deviations]` takes them from two modules.

    Shapes: [..., 2 size] -> [..., 2 size], the first half means, the second half deviations (not variances,
    no logarithms).

    Args:
        mean_activation: none, Sigmoid or Tanh.
        stdev_activation: none, Sigmoid or SoftPlus; a deviation must be above 0.
        size: dimensions of the Gaussian; inferred.
    """

    joins = True
    inferred = ("size",)
    ports = ("mean", "stdev")

    def __init__(self, size: PositiveInt, mean_activation: str = "", stdev_activation: str = ""):
        super().__init__()
        self.size = size
        self.mean_activation = _activation(mean_activation, ("", "sigmoid", "tanh"))
        self.stdev_activation = _activation(stdev_activation, ("", "sigmoid", "softplus"))

    @classmethod
    def infer(cls, *shapes: Shape) -> dict[str, int]:
        """Half of the last dimension, or the last dimension of both."""
        if len(shapes) == 1 and shapes[0][-1] % 2 == 0:
            return {"size": shapes[0][-1] // 2}
        if len(shapes) == 2 and shapes[0] == shapes[1]:
            return {"size": shapes[0][-1]}
        found = ", ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"takes as many deviations as means, found {found}")

    def port(self, result: Tensor, name: str) -> Tensor:
        """One half of the result."""
        return result.chunk(2, dim=-1)[self.ports.index(name)]

    def forward(self, *inputs: Tensor) -> Tensor:
        """(b, ..., 2 size), or means and deviations (b, ..., size) -> (b, ..., 2 size)."""
        mean, stdev = inputs if len(inputs) == 2 else inputs[0].chunk(2, dim=-1)  # (b, ..., size) each
        if self.mean_activation:
            mean = self.mean_activation(mean)
        if self.stdev_activation:
            stdev = self.stdev_activation(stdev)
        return torch.cat((mean, stdev), dim=-1)


@MODULES.register("GaussianSampler")
class GaussianSampler(nn.Module):
    """A draw from independent Gaussians: mean + deviation * noise, with new noise each time.

    Shapes: [..., 2 size], means and then deviations -> [..., size].
    Source: Kingma and Welling (2014), arXiv:1312.6114 (the reparametrisation).

    Args:
        size: dimensions of the Gaussian; inferred.
    """

    inferred = ("size",)

    def __init__(self, size: PositiveInt):
        super().__init__()
        self.size = size

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """Half of the last dimension."""
        return MultivariateGaussian.infer(shape)

    def forward(self, input: Tensor) -> Tensor:
        """(b, ..., 2 size) -> (b, ..., size)."""
        mean, stdev = input.chunk(2, dim=-1)
        return mean + stdev * torch.randn_like(mean)

"""Modules whose results describe a probability distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import PositiveInt

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

    It describes the distribution and draws nothing from it.

    Shapes: [..., 2 size] -> [..., 2 size], the first half means, the second half deviations (not variances,
    no logarithms).

    Args:
        mean_activation: none, Sigmoid or Tanh.
        stdev_activation: none, Sigmoid or SoftPlus; a deviation must be above 0.
        size: dimensions of the Gaussian; inferred.
    """

    inferred = ("size",)

    def __init__(self, size: PositiveInt, mean_activation: str = "", stdev_activation: str = ""):
        super().__init__()
        self.size = size
        self.mean_activation = _activation(mean_activation, ("", "sigmoid", "tanh"))
        self.stdev_activation = _activation(stdev_activation, ("", "sigmoid", "softplus"))

    @classmethod
    def infer(cls, shape: tuple[int, ...]) -> dict[str, int]:
        """Half of the last dimension."""
        if shape[-1] % 2:
            raise ValueError(f"takes as many deviations as means, found {shape[-1]} values")
        return {"size": shape[-1] // 2}

    def forward(self, input: Tensor) -> Tensor:
        """(b, ..., 2 size) -> the same shape."""
        mean, stdev = input.chunk(2, dim=-1)  # (b, ..., size) each
        if self.mean_activation:
            mean = self.mean_activation(mean)
        if self.stdev_activation:
            stdev = self.stdev_activation(stdev)
        return torch.cat((mean, stdev), dim=-1)

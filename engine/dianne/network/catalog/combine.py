"""Modules that join the results of several others: `after: [a, b]`.

A fork needs no module: any number of modules may say `after: a`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dianne.network.catalog.registry import MODULES
from dianne.options import NonNegativeInt

Shape = tuple[int, ...]


def _same(shapes: tuple[Shape, ...]) -> None:
    if len(set(shapes)) > 1:
        raise ValueError(f"joins samples of one shape, found {', '.join(str(list(s)) for s in shapes)}")


class _Join(nn.Module):
    joins = True

    @classmethod
    def infer(cls, *shapes: Shape) -> dict[str, int]:
        """Nothing; all shapes must be equal."""
        _same(shapes)
        return {}


@MODULES.register("Accumulate")
class Accumulate(_Join):
    """The sum of what comes in, value by value."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors of one shape -> that shape."""
        return torch.stack(inputs).sum(0) if len(inputs) > 2 else sum(inputs[1:], inputs[0])


@MODULES.register("Average")
class Average(_Join):
    """The mean of what comes in, value by value."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors of one shape -> that shape."""
        return torch.stack(inputs).mean(0)


@MODULES.register("Multiply")
class Multiply(_Join):
    """The product of what comes in, value by value."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors of one shape -> that shape."""
        return torch.stack(inputs).prod(0)


@MODULES.register("Concat")
class Concat(nn.Module):
    """What comes in, side by side along one dimension.

    Args:
        dim: counted from the end, 0 for the last; 2 is the planes of [planes, height, width].
    """

    joins = True

    def __init__(self, dim: NonNegativeInt = 0):
        super().__init__()
        self.dim = dim

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors equal but for one dimension -> their concatenation."""
        shapes = [list(value.shape[1:]) for value in inputs]
        place = -1 - self.dim
        if any(len(shape) <= self.dim for shape in shapes):
            raise ValueError(f"there is no dimension {self.dim} from the end in {shapes}")
        rest = {tuple(n for i, n in enumerate(shape) if i != len(shape) + place) for shape in shapes}
        if len(rest) > 1:
            raise ValueError(f"joins samples that differ in one dimension only, found {shapes}")
        return torch.cat(inputs, dim=place)

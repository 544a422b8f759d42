"""Where samples come in and results leave, and the affine map."""

from __future__ import annotations

from math import prod
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import Label, PositiveInt

Shape = tuple[int, ...]


@MODULES.register("Input")
class Input(nn.Identity):
    """Where samples come in.

    Args:
        shape: of one sample, without the batch, such as [1, 28, 28]; in a network that is used inside
            another it can be left out.
    """

    def __init__(self, shape: Annotated[list[PositiveInt], Field(min_length=1)] | None = None):
        super().__init__()
        self.shape = shape


@MODULES.register("Output")
class Output(nn.Identity):
    """Where results leave.

    Args:
        labels: names of the values, such as the classes.
    """

    def __init__(self, labels: list[Label] | None = None):
        super().__init__()
        self.labels = labels or None


@MODULES.register("Linear")
class Linear(nn.Linear):
    """Affine map y = W x + b of all values of a sample; starts uniform in ±1/sqrt(input).

    Shapes: any shape of `input` values -> [output].

    Args:
        output: values that leave.
        input: values that come in; inferred.
    """

    inferred = ("input",)

    def __init__(self, output: PositiveInt, input: PositiveInt):  # DIANNE's word
        super().__init__(input, output)

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The number of values in a sample."""
        return {"input": prod(shape)}

    def forward(self, input: Tensor) -> Tensor:  # torch's word
        """(b, ...) -> (b, output)."""
        return functional.linear(input.flatten(1) if input.dim() > 2 else input, self.weight, self.bias)


@MODULES.register("Affine")
class Affine(nn.Module):
    """w x + b, value by value, with weights and biases of their own shape; starts as x.

    Shapes: [..., *shape] -> the same; an extent of 1 in `shape` holds for all values along that dimension.

    Args:
        shape: of w and b, such as [16, 1, 1] for one of each for 16 planes.
    """

    def __init__(self, shape: Annotated[list[PositiveInt], Field(min_length=1)]):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(*shape))
        self.bias = nn.Parameter(torch.zeros(*shape))

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> the same."""
        if self.weight.dim() >= input.dim():
            raise ValueError(f"{list(self.weight.shape)} has more dimensions than {list(input.shape[1:])}")
        return torch.addcmul(self.bias, input, self.weight)


@MODULES.register("Memory")
class Memory(nn.Identity):
    """Gives what came in one step earlier in time, zeros at first; the only way to go in a circle.

    Shapes: [size] -> [size].

    Args:
        size: values that are kept.
    """

    def __init__(self, size: PositiveInt):
        super().__init__()
        self.size = size

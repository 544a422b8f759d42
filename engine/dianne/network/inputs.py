"""What the networks of a job take in, for strategies that have to make it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from torch import nn

from dianne.errors import UsageError

Shape = tuple[int, ...]


def input_shapes(network: nn.Module) -> Mapping[str, Shape]:
    """The shape of a sample for each input of a job's network, in the order of its arguments."""
    shapes: Mapping[str, Shape] = network.inputs  # type: ignore[assignment]  # it is a Graph
    return shapes


def noise_shape(generator: nn.Module, generator_dim: int | None = None) -> Shape:
    """The shape of the noise that a generator takes.

    Args:
        generator: a network of a job.
        generator_dim: number of values, if an option `generatorDim` says so.

    Raises:
        UsageError: it has several inputs, or takes another number of values.
    """
    shapes = input_shapes(generator)
    if len(shapes) != 1:
        found = ", ".join(shapes)
        raise UsageError(f"the generator must have one input, the noise; found {len(shapes)}: {found}")
    (shape,) = shapes.values()
    if generator_dim not in (None, prod(shape)):
        raise UsageError(f"generatorDim is {generator_dim}, but the generator takes noise of {list(shape)}")
    return shape

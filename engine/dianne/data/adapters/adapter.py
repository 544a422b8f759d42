"""What an adapter is, and the state of its draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dianne.errors import UsageError

Shape = tuple[int, ...]


class Pair(NamedTuple):
    """Inputs (b, *input_dims) and targets (b, ...) as they are stored: uint8 stands for 0 to 1."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Draws:
    """Where an adapter's random numbers come from.

    Attributes:
        generator: the stream of augmentation.
        learning: whether samples are augmented; if not, adapters take the middle of what they could draw.
    """

    generator: torch.Generator
    learning: bool

    def uniform(self, *shape: int) -> Tensor:
        """`shape` float32 from 0 to below 1; 1/2 everywhere where nothing is augmented."""
        if not self.learning:
            return torch.full(shape, 0.5)
        return torch.rand(shape, generator=self.generator)


class Adapter(ABC):
    """Changes batches of samples, whole batches at once.

    Attributes:
        dims: shape of one input behind it.
    """

    dims: Shape

    @abstractmethod
    def __call__(self, pair: Pair, draws: Draws) -> Pair:
        """Inputs and targets behind it; what comes in is left as it is."""


class Geometry(Adapter):
    """An adapter that moves the pixels of images: those of the target too, if it is an image as the input is.

    Args:
        key: the option that asks for it.
        dims: shape of one input, [h, w] or [planes, h, w].
        both: whether the target is an image of the same shape.
        name: of the dataset.

    Raises:
        UsageError: samples of this shape are no images.
    """

    def __init__(self, key: str, dims: Shape, both: bool, name: str):
        if len(dims) not in (2, 3):
            raise UsageError(
                f"{key} needs images [height, width] or [planes, height, width], but the samples of {name} "
                f"are {list(dims)}"
            )
        self.dims = dims
        self.both = both
        self.height, self.width = dims[-2:]

    def __call__(self, pair: Pair, draws: Draws) -> Pair:
        """The same move for inputs and for targets that are images."""
        drawn = self.draw(len(pair.inputs), draws)
        inputs = self.move(pair.inputs, drawn)
        return Pair(inputs, self.move(pair.targets, drawn) if self.both else pair.targets)

    @abstractmethod
    def draw(self, count: int, draws: Draws) -> tuple[Tensor, ...]:
        """What is drawn for `count` samples."""

    @abstractmethod
    def move(self, images: Tensor, drawn: tuple[Tensor, ...]) -> Tensor:
        """Images (b, [c,] h, w) of any type, moved; of the same type."""


def as_floats(values: Tensor) -> Tensor:
    """Stored values as float32: uint8 from 0 to 1, floats as they are."""
    return values.to(torch.float32).div_(255) if values.dtype == torch.uint8 else values.to(torch.float32)


def rows(values: Tensor, like: Tensor) -> Tensor:
    """(b,) values with as many dimensions as `like` (b, ...), to be combined with it."""
    return values.view(-1, *[1] * (like.dim() - 1))

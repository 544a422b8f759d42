"""Images of different sizes: side by side in one store, and in a batch those of one size together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from dianne.data.adapters.adapter import Adapter, Draws, Pair, Shape, as_floats
from dianne.data.rows import Array, Rows, Samples
from dianne.errors import UsageError


@dataclass(frozen=True)
class Groups:
    """Images of a batch, those of one size together.

    Attributes:
        count: of all images.
        places: for each size the (g,) places of its images in the batch.
        images: for each size (g, planes, height, width).
    """

    count: int
    places: list[Tensor]
    images: list[Tensor]

    def __len__(self) -> int:
        return self.count


class Ragged(Rows):
    """Images [planes, height, width] of different sizes.

    A batch of them is no tensor but `Groups`; an adapter `PerSize` makes a tensor of it.

    Args:
        pixels: (bytes,) uint8 of all images, one behind the other.
        starts: (n,) where each image begins.
        sizes: (n, 2) height and width of each.
        planes: of all.
        floats: whether they are read as numbers from 0 to 1, as targets are.
    """

    def __init__(self, pixels: Samples, starts: Array, sizes: Array, planes: int, floats: bool = False):
        self.pixels, self.starts, self.sizes = pixels, starts, sizes
        self.planes, self.floats = planes, floats
        self.dtype = torch.float32 if floats else torch.uint8
        self.shape = (len(starts), planes, -1, -1)
        self.kinds, kind = np.unique(sizes, axis=0, return_inverse=True)
        self.kind = kind.reshape(-1)  # of each image

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        """`Groups` of the images at (b,) indices."""
        where = np.arange(len(self))[indices if isinstance(indices, slice) else indices.numpy()]
        found = Groups(len(where), [], [])
        for kind in np.unique(self.kind[where]):
            places = np.flatnonzero(self.kind[where] == kind)
            found.places.append(torch.from_numpy(places))
            # Views in a row cost less than an index for each byte.
            images = torch.stack([self.image(index) for index in where[places]])
            found.images.append(as_floats(images) if self.floats else images)
        return cast(Tensor, found)

    def image(self, index: int) -> Tensor:
        """The pixels [planes, height, width] of one image."""
        height, width = self.sizes[index]
        start, size = int(self.starts[index]), self.planes * int(height) * int(width)
        return self.pixels[start : start + size].view(self.planes, int(height), int(width))

    def read(self, indices: Tensor) -> Tensor:
        """As `rows[indices]`."""
        return self[indices]

    def choose(self, index: Tensor | slice | list[int]) -> Ragged:
        """Of the same store."""
        where = index if isinstance(index, slice) else np.asarray(index)
        return Ragged(self.pixels, self.starts[where], self.sizes[where], self.planes, self.floats)

    def each(self) -> Iterator[Tensor]:
        """(1, planes, height, width), one image after the other."""
        images = (self.image(index)[None] for index in range(len(self)))
        return (as_floats(image) if self.floats else image for image in images)

    def chunks(self) -> Iterator[Tensor]:
        """Sizes, then the pixels of one image after the other."""
        yield torch.from_numpy(np.ascontiguousarray(self.sizes))
        yield from self.each()

    @property
    def changed(self) -> int:
        """As of the store."""
        return self.pixels.changed if isinstance(self.pixels, Rows) else 0

    def identity(self) -> str:
        """That of the store, and which images of it."""
        source = self.pixels.identity() if isinstance(self.pixels, Rows) else ""
        about = hashlib.sha256(self.starts.tobytes() + self.sizes.tobytes()).hexdigest()
        return f"{source}\n{about} {self.floats}" if source else ""


def differing(name: str, sizes: Array) -> UsageError:
    """The fault that images have no common size, and what to do."""
    pixels = sizes.prod(1)
    (low, wide), (high, most) = sizes[pixels.argmin()], sizes[pixels.argmax()]
    return UsageError(
        f"the images of {name} differ in size, from {low} x {wide} to {high} x {most}; bring them to one: "
        "frame=height,width scales them, cropWidth and cropHeight cut a window out, and `size` in the "
        "descriptor scales them once"
    )


class PerSize(Adapter):
    """Adapters of images in front of one that brings all of them to one size: each size has its own.

    Args:
        name: of the dataset.
        sizes: (kinds, 2) all heights and widths.
        planes: of the images.
        makers: make an adapter for images of some shape, in the order in which they are applied.
    """

    def __init__(self, name: str, sizes: Array, planes: int, makers: Sequence[Any]):
        self.name, self.sizes, self.planes, self.makers = name, sizes, planes, list(makers)
        self.stacks: dict[Shape, list[Adapter]] = {}
        for size in sizes.tolist():
            shape: Shape = (planes, *size)
            stack: list[Adapter] = []
            for make in makers:
                stack.append(make(stack[-1].dims if stack else shape))
            self.stacks[shape] = stack
        self.both = any(getattr(stack[0], "both", False) for stack in self.stacks.values())
        self.ends = {stack[-1].dims for stack in self.stacks.values()}

    def behind(self, maker: Any) -> PerSize:
        """The same with one more adapter."""
        return PerSize(self.name, self.sizes, self.planes, [*self.makers, maker])

    @property
    def dims(self) -> Shape:  # type: ignore[override]  # it may not be known yet
        """Shape of the images behind all; raises UsageError if they still differ."""
        if len(self.ends) > 1:
            raise differing(self.name, self.sizes)
        return next(iter(self.ends))

    def __call__(self, pair: Pair, draws: Draws) -> Pair:
        """One tensor of inputs, and of targets if these are images too."""
        groups, masks = cast(Groups, pair.inputs), pair.targets
        inputs, targets = torch.empty(0), (torch.empty(0) if self.both else masks)
        for number, (places, images) in enumerate(zip(groups.places, groups.images, strict=True)):
            if self.both:
                part = Pair(images, cast(Groups, masks).images[number])
            else:
                part = Pair(images, masks[places] if isinstance(masks, Tensor) else images)
            for adapter in self.stacks[tuple(images.shape[1:])]:
                part = adapter(part, draws)
            inputs = _put(inputs, len(groups), places, part.inputs)
            targets = _put(targets, len(groups), places, part.targets) if self.both else masks
        return Pair(inputs, targets if isinstance(targets, Tensor) else inputs)


def _put(whole: Tensor, count: int, places: Tensor, values: Tensor) -> Tensor:
    if not len(whole):
        whole = values.new_empty(count, *values.shape[1:])
    whole[places] = values
    return whole

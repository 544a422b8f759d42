"""The same values in another shape, parts of them, or copies scaled to another size."""

from __future__ import annotations

from math import prod
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import NonNegativeInt, PositiveFloat, PositiveInt

Shape = tuple[int, ...]


def _given(*values: int | float | None) -> tuple[int | float, ...]:
    """The values up to the first that is left out."""
    kept = []
    for value in values:
        if value is None:
            break
        kept.append(value)
    return tuple(kept)


def _sizes(dims: tuple[int | None, ...], what: str) -> Shape:
    sizes = tuple(int(size) for size in _given(*dims))
    if not sizes:
        raise ValueError(f"needs {what}")
    return sizes


def resize(value: Tensor, size: Shape) -> Tensor:
    """Planes (b, c, h, w) scaled to a height and width: bilinear, corners aligned, no blur when shrinking."""
    if tuple(value.shape[2:]) == size:
        return value
    return functional.interpolate(value, size=size, mode="bilinear", align_corners=True)


@MODULES.register("Reshape")
class Reshape(nn.Module):
    """The values of a sample in another shape.

    Args:
        shape: of a sample afterwards, such as [28, 28].
        dim0: the first extent, in place of `shape`.
        dim1: the second.
        dim2: the third.
        dim3: the fourth.
    """

    def __init__(
        self,
        shape: Annotated[list[PositiveInt], Field(min_length=1)] | None = None,
        dim0: PositiveInt | None = None,
        dim1: PositiveInt | None = None,
        dim2: PositiveInt | None = None,
        dim3: PositiveInt | None = None,
    ):
        super().__init__()
        self.shape = (
            tuple(shape) if shape else _sizes((dim0, dim1, dim2, dim3), "a 'shape', such as [28, 28]")
        )

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> (b, *shape)."""
        if prod(input.shape[1:]) != prod(self.shape):
            found = list(input.shape[1:])
            own = list(self.shape)
            raise ValueError(f"{own} holds {prod(own)} values, but {found} has {prod(found)}")
        return input.reshape(input.shape[0], *self.shape)  # len() would fix the batch in exports


@MODULES.register("Permute")
class Permute(nn.Module):
    """The dimensions of a sample in another order.

    Args:
        order: of the dimensions, counted from 0; [2, 0, 1] makes [planes, height, width] of
            [height, width, planes].
    """

    def __init__(self, order: Annotated[list[NonNegativeInt], Field(min_length=1)]):
        super().__init__()
        self.order = tuple(order)

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> (b, ...)."""
        if sorted(self.order) != list(range(input.dim() - 1)):
            raise ValueError(f"{list(self.order)} is no order of the dimensions of {list(input.shape[1:])}")
        return input.permute(0, *(1 + axis for axis in self.order))


@MODULES.register("Narrow")
class Narrow(nn.Module):
    """A part of a sample: along each dimension the values from `index` to `index + size`.

    Args:
        index0: where the part begins in the first dimension.
        size0: its extent there.
        index1: where it begins in the second dimension; all of it if left out, as for the third.
        size1: its extent there.
        index2: where it begins in the third dimension.
        size2: its extent there.
    """

    def __init__(
        self,
        index0: NonNegativeInt,
        size0: PositiveInt,
        index1: NonNegativeInt | None = None,
        size1: PositiveInt | None = None,
        index2: NonNegativeInt | None = None,
        size2: PositiveInt | None = None,
    ):
        super().__init__()
        pairs = ((index0, size0), (index1, size1), (index2, size2))
        if any((index is None) != (size is None) for index, size in pairs):
            raise ValueError("every index needs its size, and every size its index")
        self.parts = [(index, size) for index, size in pairs if index is not None and size is not None]

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> (b, ...) of the sizes."""
        shape = list(input.shape[1:])
        if len(self.parts) > len(shape) or any(
            index + size > extent for (index, size), extent in zip(self.parts, shape, strict=False)
        ):
            wanted = ", ".join(f"{index} to {index + size}" for index, size in self.parts)
            raise ValueError(f"takes {wanted} out of {shape}, which has less")
        for dim, (index, size) in enumerate(self.parts, start=1):
            input = input.narrow(dim, index, size)
        return input


@MODULES.register("Zeropad")
class Zeropad(nn.Module):
    """Zeros on both sides of the last dimensions.

    Args:
        dim0: zeros on each side of the first of these dimensions; the last given is for the last dimension.
        dim1: of the second.
        dim2: of the third.
    """

    def __init__(
        self, dim0: NonNegativeInt, dim1: NonNegativeInt | None = None, dim2: NonNegativeInt | None = None
    ):
        super().__init__()
        self.pad = _sizes((dim0, dim1, dim2), "dim0")

    def forward(self, input: Tensor) -> Tensor:
        """(b, ..., n) -> (b, ..., n + 2 dim)."""
        if len(self.pad) > input.dim() - 1:
            raise ValueError(f"pads {len(self.pad)} dimensions, found {list(input.shape[1:])}")
        sides = [side for pad in reversed(self.pad) for side in (pad, pad)]
        return functional.pad(input, sides)


@MODULES.register("Invert")
class Invert(nn.Module):
    """1 - x."""

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> the same."""
        return 1 - input


@MODULES.register("Scale")
class Scale(nn.Module):
    """Images scaled to another size: bilinear with aligned corners.

    Shapes: [height, width] or [planes, height, width] -> the same with other extents. One plane becomes as
    many as `dim0` of three asks for, each a copy.

    Args:
        dim0: target extent of the first dimension; two or three are given, or factors.
        dim1: of the second.
        dim2: of the third.
        factor0: multiplies the extent of the first dimension; the results are cut to whole numbers.
        factor1: of the second.
        factor2: of the third.
    """

    def __init__(
        self,
        dim0: PositiveInt | None = None,
        dim1: PositiveInt | None = None,
        dim2: PositiveInt | None = None,
        factor0: PositiveFloat | None = None,
        factor1: PositiveFloat | None = None,
        factor2: PositiveFloat | None = None,
    ):
        super().__init__()
        self.dims = tuple(int(size) for size in _given(dim0, dim1, dim2))
        self.factors = _given(factor0, factor1, factor2) if not self.dims else ()
        if len(self.dims or self.factors) not in (2, 3):
            raise ValueError("needs dim0 and dim1 (and dim2), or factor0 and factor1 (and factor2)")

    def forward(self, input: Tensor) -> Tensor:
        """(b, [c,] h, w) -> (b, [c,] h', w')."""
        shape = tuple(input.shape[1:])
        if len(shape) not in (2, 3) or len(self.dims or self.factors) > len(shape) + bool(self.dims):
            raise ValueError(
                f"takes samples of [height, width] or [planes, height, width], found {list(shape)}"
            )
        size = self.dims or tuple(
            int(extent * factor)
            for extent, factor in zip(shape[-len(self.factors) :], self.factors, strict=True)
        )
        images = input.unsqueeze(1) if len(shape) == 2 else input
        scaled = resize(images, size[-2:])
        if len(size) == 3:
            if scaled.shape[1] not in (1, size[0]):
                raise ValueError(f"cannot make {size[0]} planes of {scaled.shape[1]}")
            return scaled.expand(-1, int(size[0]), -1, -1)
        return scaled.squeeze(1) if len(shape) == 2 else scaled


@MODULES.register("Frame")
class Frame(nn.Module):
    """Images cropped in the middle to a ratio of sides, then scaled to a size: bilinear, aligned corners.

    Shapes: [height, width] or [planes, height, width] -> [dim0, dim1] or [dim0, dim1, dim2].

    Args:
        dim0: height, or planes where three are given.
        dim1: width, or height where three are given.
        dim2: width.
    """

    def __init__(self, dim0: PositiveInt, dim1: PositiveInt, dim2: PositiveInt | None = None):
        super().__init__()
        self.dims = _sizes((dim0, dim1, dim2), "dim0 and dim1")

    def forward(self, input: Tensor) -> Tensor:
        """(b, [c,] h, w) -> (b, *dims)."""
        shape = tuple(input.shape[1:])
        if len(shape) not in (2, 3):
            raise ValueError(
                f"takes samples of [height, width] or [planes, height, width], found {list(shape)}"
            )
        images = input.unsqueeze(1) if len(shape) == 2 else input
        height, width = self.dims[-2:]
        scale = min(shape[-1] / width, shape[-2] / height)
        crop = int(height * scale), int(width * scale)
        top, left = (shape[-2] - crop[0]) // 2, (shape[-1] - crop[1]) // 2
        framed = resize(images[:, :, top : top + crop[0], left : left + crop[1]], (height, width))
        if len(self.dims) == 2:
            return framed.squeeze(1) if len(shape) == 2 else framed
        planes = self.dims[0]
        if framed.shape[1] < planes and framed.shape[1] != 1:
            raise ValueError(f"cannot make {planes} planes of {framed.shape[1]}")
        return framed[:, :planes] if framed.shape[1] >= planes else framed.expand(-1, planes, -1, -1)

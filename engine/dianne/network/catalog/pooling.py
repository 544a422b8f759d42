"""Pooling in one, two and three dimensions, and its inverse."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog import windows
from dianne.network.catalog.registry import MODULES
from dianne.options import NonNegativeInt, PositiveInt

Shape = tuple[int, ...]
Window = Annotated[int, Field(ge=-1)]


class _Pooling(nn.Module):
    """Windows.

    Args:
        width: window along the last axis (time, for one dimension); -1 for all of it.
        height: given for two dimensions and more.
        depth: given for three dimensions.
        stride_x: step along the width; the window's if left out, as for the others.
        stride_y: step along the height.
        stride_z: step along the depth.
        pad_x: cells added on both sides of the width, at most half the window.
        pad_y: cells added on both sides of the height.
        pad_z: cells added on both sides of the depth.
    """

    def __init__(
        self,
        width: Window,
        height: Window | None = None,
        depth: Window | None = None,
        stride_x: PositiveInt | None = None,
        stride_y: PositiveInt | None = None,
        stride_z: PositiveInt | None = None,
        pad_x: NonNegativeInt = 0,
        pad_y: NonNegativeInt = 0,
        pad_z: NonNegativeInt = 0,
    ):
        super().__init__()
        self.window = windows.window(width, height, depth)
        if 0 in self.window:
            raise ValueError("a window of 0; write a size, or -1 for all there is")
        self.axes = len(self.window)
        self.step = (stride_z, stride_y, stride_x)[3 - self.axes :]
        self.pad = windows.along(self.axes, pad_x, pad_y, pad_z)
        if any(pad > size // 2 for pad, size in zip(self.pad, self.window, strict=True) if size > 0):
            raise ValueError(f"a pad of {list(self.pad)} is more than half the window {list(self.window)}")

    def sizes(self, extent: Shape) -> tuple[Shape, Shape]:
        """Windows and strides for an extent: -1 is the whole of it, a stride the window's unless given."""
        size = tuple(length if one == -1 else one for one, length in zip(self.window, extent, strict=True))
        windows.check_room(size, self.pad, extent)
        return size, tuple(step or one for step, one in zip(self.step, size, strict=True))


@MODULES.register("MaxPooling")
class MaxPooling(_Pooling):
    """The largest value in each window; padding never wins.

    `name.indices` are the places of these values, for a MaxUnpooling.

    Shapes: as Convolution; each extent n becomes floor((n + 2 pad - window) / stride) + 1.
    """

    ports = ("values", "indices")
    indices = False

    def use_ports(self) -> None:
        """Give indices too."""
        self.indices = True

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(b, planes, ...) -> (b, planes, ...)."""
        value = windows.enter(self.axes, input)
        size, stride = self.sizes(tuple(value.shape[2:]))
        compute: Any = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[self.axes - 1]
        if not self.indices:
            return windows.leave(self.axes, compute(value, size, stride, self.pad))
        values, places = compute(value, size, stride, self.pad, return_indices=True)
        return windows.leave(self.axes, values), windows.leave(self.axes, places)


@MODULES.register("MaxUnpooling")
class MaxUnpooling(_Pooling):
    """Each value at the place where a MaxPooling of the same windows found it, zeros elsewhere.

    `after: [values, pool.indices]`.

    Shapes: as MaxPooling; each extent n becomes (n - 1) stride + window - 2 pad.
    """

    joins = True

    @classmethod
    def infer(cls, *shapes: Shape) -> dict[str, int]:
        """Nothing; takes values and their places."""
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ValueError("takes values and the indices of a MaxPooling: 'after: [values, pool.indices]'")
        return {}

    def forward(self, values: Tensor, indices: Tensor) -> Tensor:
        """(b, planes, ...) and indices of the same shape -> (b, planes, ...)."""
        value, place = windows.enter(self.axes, values), windows.enter(self.axes, indices)
        if -1 in self.window:
            raise ValueError("cannot undo a window of -1; write its size")
        stride = tuple(step or one for step, one in zip(self.step, self.window, strict=True))
        compute: Any = (
            functional.max_unpool1d, functional.max_unpool2d, functional.max_unpool3d,
        )[self.axes - 1]  # fmt: skip
        return windows.leave(self.axes, compute(value, place.long(), self.window, stride, self.pad))


@MODULES.register("AvgPooling")
class AvgPooling(_Pooling):
    """The mean of each window; padded cells do not count.

    Shapes: as MaxPooling.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(b, planes, ...) -> (b, planes, ...)."""
        value = windows.enter(self.axes, input)
        size, stride = self.sizes(tuple(value.shape[2:]))
        compute: Any = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[self.axes - 1]
        return windows.leave(self.axes, compute(value, size, stride, self.pad, count_include_pad=False))


@MODULES.register("MaskedMaxPooling")
class MaskedMaxPooling(nn.Module):
    """The largest value of each group of values, where values outside the group count as 0.

    Shapes: any shape of `noInputs` values -> [groups + 1]; the last group is of those in no other group.

    Args:
        masks: groups of indices from 0, `0,2,4;1,3,5`.
        no_inputs: values that come in; inferred.
    """

    inferred = ("no_inputs",)

    def __init__(self, masks: str, no_inputs: PositiveInt):
        super().__init__()
        groups = [_indices(group, no_inputs) for group in masks.split(";")]
        rest = set(range(no_inputs)) - {index for group in groups for index in group}
        mask = torch.zeros(len(groups) + 1, no_inputs, device="cpu")
        for row, group in enumerate([*groups, sorted(rest)]):
            mask[row, group] = 1
        self.register_buffer("mask", mask, persistent=False)

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The number of values in a sample."""
        return {"no_inputs": torch.Size(shape).numel()}

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> (b, groups + 1)."""
        mask = self.get_buffer("mask").to(input)
        return (input.flatten(1).unsqueeze(1) * mask).amax(2)


def _indices(text: str, size: int) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"masks: expected groups of indices such as 0,2;1,3, found '{text}'") from None
    if not all(0 <= index < size for index in found):
        raise ValueError(f"masks: the indices go from 0 to {size - 1}, found '{text}'")
    return found

"""What convolution and pooling have in common: windows that slide along one, two or three dimensions.

Width and x mean the last dimension, height and y the one before, depth and z the one before that. In one
dimension time comes before the planes: [time, planes].
"""

from __future__ import annotations

from torch import Tensor

Shape = tuple[int, ...]
_AXES = {1: "[time, planes]", 2: "[planes, height, width]", 3: "[planes, depth, height, width]"}


def window(width: int, height: int | None, depth: int | None) -> Shape:
    """The extent of a window, the last axis last; which sizes are given tells the number of dimensions."""
    if depth is not None:
        return (depth, height or 1, width)
    return (width,) if height is None else (height, width)


def along(axes: int, x: int, y: int, z: int) -> Shape:
    """Values for the last `axes` dimensions, the last one last."""
    return (z, y, x)[3 - axes :]


def planes(shape: Shape) -> int:
    """The number of planes of a sample."""
    return shape[-1] if len(shape) == 2 else shape[0]


def enter(axes: int, value: Tensor) -> Tensor:
    """(b, sample) as torch's functions want it: (b, planes, ...).

    Raises:
        ValueError: the sample has another number of dimensions.
    """
    if value.dim() != axes + 2:
        raise ValueError(f"takes samples of {_AXES[axes]}, found {list(value.shape[1:])}")
    return value.transpose(1, 2) if axes == 1 else value


def leave(axes: int, value: Tensor) -> Tensor:
    """The way back from `enter`."""
    return value.transpose(1, 2) if axes == 1 else value


def check_room(size: Shape, pad: Shape, extent: Shape) -> None:
    """Refuse a window that is larger than what it slides along."""
    if any(one > length + 2 * p for one, p, length in zip(size, pad, extent, strict=True)):
        raise ValueError(f"a window of {list(size)} does not fit into {list(extent)}")

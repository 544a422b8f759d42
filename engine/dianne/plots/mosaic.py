"""Many images in one picture, each of their pixels a whole number of the screen's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dianne.errors import UsageError
from dianne.plots.style import DPI, head

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 900  # pixels, about, of the longer side
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 30, 74, 62  # pixels around the images
_MOST = 20_000_000  # pixels of all images
_NARROWEST = 560  # pixels; a title needs them
Images = NDArray[Any]


def is_image(shape: Sequence[int]) -> bool:
    """Whether a sample is a picture: [h, w], [1, h, w] or [3, h, w]."""
    return (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))) and min(shape[-2:]) > 1


def as_images(samples: Images, source: str) -> Images:
    """Samples as (n, h, w, 3), 0 is black and 1 white; where values lie outside, they are scaled together.

    Raises:
        UsageError: they are no pictures, or not finite.
    """
    shape = samples.shape[1:]
    if not is_image(shape):
        raise UsageError(
            f"{source} gives results of {list(shape)}, which are no pictures: "
            f"[height, width], [1, height, width] or [3, height, width]"
        )
    if not np.isfinite(samples).all():
        raise UsageError(f"{source} gives values that are not finite; they have no colour")
    planes = samples.reshape(len(samples), -1, *shape[-2:])  # (n, 1 or 3, h, w)
    low, high = float(planes.min()), float(planes.max())
    if low < 0 or high > 1:
        planes = (planes - low) / ((high - low) or 1)
    colours: Images = np.broadcast_to(planes, (len(planes), 3, *shape[-2:])).transpose(0, 2, 3, 1)
    return colours


@dataclass(frozen=True)
class Mosaic:
    """Images side by side.

    Attributes:
        canvas: (H, W, 3) colours, white between the images.
        rows: the middle of each row, in pixels from the top.
        columns: the middle of each column, in pixels from the left.
    """

    canvas: Images
    rows: list[float]
    columns: list[float]


def mosaic(tiles: Images, gaps: Sequence[int] | int = 0) -> Mosaic:
    """Put images together.

    Args:
        tiles: (rows, columns, h, w, 3).
        gaps: pixels between columns; a list has those below each row but the last, and columns get the least.

    Raises:
        UsageError: they are so many that nobody could look at them.
    """
    rows, columns, height, width, _ = tiles.shape
    if rows * columns * height * width > _MOST:
        raise UsageError(
            f"{rows * columns:,} images of {height} x {width} pixels are too many for one picture; draw fewer"
        )
    below = [gaps] * (rows - 1) if isinstance(gaps, int) else list(gaps)
    beside = gaps if isinstance(gaps, int) else min(gaps, default=0)
    tops = np.cumsum([0, *(height + gap for gap in below)])
    lefts = np.arange(columns) * (width + beside)
    canvas = np.ones((tops[-1] + height, lefts[-1] + width, 3))
    for top, row in zip(tops, tiles, strict=True):
        for left, tile in zip(lefts, row, strict=True):
            canvas[top : top + height, left : left + width] = tile
    return Mosaic(canvas, (tops + (height - 1) / 2).tolist(), (lefts + (width - 1) / 2).tolist())


def show(made: Mosaic, title: str, below: str, bottom: int = _BOTTOM) -> tuple[Figure, Axes]:
    """A figure of images without ticks, and its axes; one unit is a pixel of the images.

    Args:
        made: the images.
        title: above them.
        below: the quieter line below the title.
        bottom: pixels of room below the images.
    """
    from matplotlib.figure import Figure

    height, width = made.canvas.shape[:2]
    scale = max(1, round(_SIZE / max(height, width)))
    high, wide = height * scale, width * scale
    full_width = max(_LEFT + wide + _RIGHT, _NARROWEST)
    full_height = bottom + high + _TOP
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI)
    place = (_LEFT / full_width, bottom / full_height, wide / full_width, high / full_height)
    axes = figure.add_axes(place)
    axes.imshow(made.canvas, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    head(axes, title, below)
    return figure, axes


def thinned(count: int, most: int) -> slice:
    """Every so many of `count` values, so that there is room for their labels."""
    return slice(None, None, -(-count // most))

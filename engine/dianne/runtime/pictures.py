"""Results as pictures."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dianne.errors import UsageError

_TILE = 112  # pixels; small images are enlarged by a whole number to about this size
_GAP = 6  # pixels of white between images


def pixels_of(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Values as pixels (n, 1 or 3, h, w).

    Args:
        images: (n, h, w) grey, (n, 1, h, w) grey or (n, 3, h, w) red, green, blue; 0 is black and 1 white.
            Where values lie outside, the smallest becomes black and the largest white.

    Raises:
        UsageError: results of this shape are no images.
    """
    shape = images.shape[1:]
    if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))) or min(shape[-2:]) < 2:
        raise UsageError(
            f"results of {list(shape)} are no pictures: a .png needs [height, width], [1, height, width] or "
            f"[3, height, width]; write numbers to a .npy or .json file instead"
        )
    if not np.isfinite(images).all():
        raise UsageError("results hold values that are not finite; a .png cannot show them")
    colours = images.reshape(len(images), -1, *shape[-2:])  # (n, 1 or 3, h, w)
    low, high = float(colours.min()), float(colours.max())
    if low < 0 or high > 1:
        colours = (colours - low) / ((high - low) or 1)
    return np.round(colours * 255).astype(np.uint8)


def picture(image: NDArray[Any]) -> Image.Image:
    """One image, a pixel for each value; takes and raises as `pixels_of`, without the n."""
    (pixels,) = pixels_of(image[None])
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def grid(images: NDArray[Any]) -> Image.Image:
    """A square grid of images, row by row; takes and raises as `pixels_of`."""
    pixels = pixels_of(images)
    factor = max(1, _TILE // max(pixels.shape[-2:]))
    pixels = pixels.repeat(factor, axis=2).repeat(factor, axis=3)
    height, width = pixels.shape[2:]
    columns = ceil(sqrt(len(pixels)))
    rows = ceil(len(pixels) / columns)
    size = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3)
    canvas = np.full(size, 255, np.uint8)
    for index, image in enumerate(pixels):
        top = _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return Image.fromarray(canvas)

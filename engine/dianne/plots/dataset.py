"""Samples of a dataset with their labels."""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np

from dianne.plots.mosaic import as_images, mosaic, show
from dianne.plots.style import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dianne.data.dataset import Batch


@look()
def draw(name: str, batch: Batch, indices: list[int], labels: list[str]) -> Figure:
    """Images side by side, each above its label.

    Args:
        name: of the dataset.
        batch: the samples.
        indices: (b) which ones they are.
        labels: (b) what to write below each.

    Raises:
        UsageError: they are no images, or too many.
    """
    images = as_images(batch.input.numpy(), name)
    count, height, width = images.shape[:3]
    columns = ceil(sqrt(count))
    rows = ceil(count / columns)
    gap = max(2, height // 5)  # the labels need room
    tiles = np.ones((rows * columns, height + gap, width, 3))
    tiles[:count, :height] = images
    made = mosaic(tiles.reshape(rows, columns, height + gap, width, 3), max(1, width // 14))
    picture, axes = show(made, name, f"samples {_range(indices)}", bottom=24)
    size = min(10.0, 70 / columns)
    for place, label in enumerate(labels):
        middle = made.columns[place % columns], made.rows[place // columns] + height / 2
        axes.text(*middle, label, ha="center", va="center", fontsize=size)
    return picture


def _range(indices: list[int]) -> str:
    first, last = indices[0], indices[-1]
    if indices == list(range(first, last + 1)):
        return f"{first:,} to {last:,}"
    return ", ".join(f"{index:,}" for index in indices[:8]) + (", …" if len(indices) > 8 else "")

"""Samples above what is left of them after a way through encoder and decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dianne.data.files import Progress
from dianne.errors import UsageError
from dianne.plots.mosaic import Images, as_images, mosaic, show
from dianne.plots.options import ReconstructOptions
from dianne.plots.stored import Floats, decode, encode, like, open_pair, open_samples
from dianne.plots.style import COLOURS, QUIET, figure, head, look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IMAGES, _POINTS = 10, 1000  # drawn unless the user says how many
_MOST_IMAGES = 400
_COLUMNS = 10
_NEAR, _FAR = 2, 8  # pixels of the images between rows


@look()
def draw(
    folder: Folder, networks: str, dataset: str, options: ReconstructOptions, fetching: Progress | None = None
) -> Figure:
    """Rows of originals above their reconstructions; for points in a plane, a scatter of both.

    Raises:
        DianneError: networks, tag or data are missing or do not fit, or samples are of neither kind.
    """
    encoder, decoder = open_pair(folder, networks, options.tag)
    data = open_samples(folder, dataset, options.range, fetching)
    plane = data.input_dims == (2,)
    count = options.samples or (len(data) if options.range else _POINTS if plane else _IMAGES)
    if not plane and count > _MOST_IMAGES:
        fewer = f"give samples={_MOST_IMAGES} or fewer"
        raise UsageError(f"{count:,} images are too many for one picture; {fewer}")
    samples = data.batch(slice(0, count)).input
    codes = encode(encoder, samples)
    results = like(decode(decoder, codes.values, encoder.name), decoder.name, data)
    error = float(((results.reshape(len(samples), -1) - samples.flatten(1).numpy()) ** 2).mean())
    title = f"{dataset} through {networks}:{options.tag}"
    number = f"{len(samples):,} sample{'s' * (len(samples) > 1)}"
    below = f"mean squared error {error:.4f} over {number}"
    if plane:
        return _scatter(samples.numpy(), results, title, below)
    originals = as_images(samples.numpy(), dataset)
    tiles, gaps = pairs(originals, as_images(results, decoder.name), _COLUMNS)
    made = mosaic(tiles, gaps)
    picture, axes = show(made, title, below, bottom=24)
    axes.set_yticks(made.rows, ["original", "decoded"] * (len(made.rows) // 2))
    return picture


def pairs(originals: Images, decoded: Images, columns: int) -> tuple[Images, list[int]]:
    """Rows of originals, each above its reconstructions, and the gaps below all rows but the last.

    Args:
        originals: (n, h, w, 3).
        decoded: (n, h, w, 3).
        columns: at most so many in a row; what is missing in the last row is white.

    Returns:
        (rows, columns, h, w, 3), and rows - 1 numbers of pixels.
    """
    columns = min(columns, len(originals))
    rows = -(-len(originals) // columns)
    tiles = np.ones((rows, 2, columns, *originals.shape[1:]))
    for place, images in enumerate((originals, decoded)):
        full = np.ones((rows * columns, *originals.shape[1:]))
        full[: len(images)] = images
        tiles[:, place] = full.reshape(rows, columns, *originals.shape[1:])
    gaps = [_NEAR, _FAR] * rows
    return tiles.reshape(2 * rows, columns, *originals.shape[1:]), gaps[:-1]


def _scatter(samples: Floats, results: Floats, title: str, below: str) -> Figure:
    picture = figure(7, 6.4)
    axes = picture.add_subplot()
    size = float(np.clip(9000 / len(samples), 6, 36))
    ways = np.stack([samples, results], axis=1)  # (n, 2, 2)
    axes.plot(ways[..., 0].T, ways[..., 1].T, color=QUIET, linewidth=0.6, alpha=0.35, zorder=1)
    for points, label, colour in ((samples, "original", "#b8c0c8"), (results, "decoded", COLOURS[0])):
        axes.scatter(points[:, 0], points[:, 1], s=size, color=colour, label=label, linewidths=0, zorder=2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="value 0", ylabel="value 1")
    axes.legend(loc="upper right", bbox_to_anchor=(1, -0.095), ncols=2, borderaxespad=0)
    head(axes, title, below)
    return picture

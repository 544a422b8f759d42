"""What a decoder makes of all places of its latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dianne.plots.mosaic import as_images, mosaic, show, thinned
from dianne.plots.options import ManifoldOptions
from dianne.plots.stored import Floats, Mapping, check_dims, open_mapping, texts
from dianne.plots.style import COLOURS, QUIET, figure, head, look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = 20  # along an axis, at most


@look()
def draw(folder: Folder, decoder: str, options: ManifoldOptions) -> Figure:
    """A grid of decoded points, as dense as a standard normal is; a row for one latent dimension.

    Results of two values are drawn as the curve, or the bent grid, that they lie on.

    Raises:
        DianneError: network or tag are missing, or results are neither pictures nor points.
    """
    network = open_mapping(folder, decoder, options.tag)
    dims = options.dims or (0, 1)[: network.takes]
    check_dims(network.name, dims, network.takes)
    values = quantiles(options.n)
    results = network(grid(values, dims, network.takes))
    if results.shape[1:] == (2,):
        return _draw_plane(network, results, values, dims)
    images = as_images(results, network.name)
    rows = len(values) if len(dims) == 2 else 1
    made = mosaic(images.reshape(rows, len(values), *images.shape[1:]))
    others = "; the other dimensions are 0" if network.takes > len(dims) else ""
    picture, axes = show(
        made,
        f"{network.name}: what it makes of each place",
        f"as dense as a standard normal, its middle 95%{others}",
    )
    some = thinned(len(values), _LABELS)
    marks = texts(values)
    axes.set_xticks(made.columns[some], marks[some])
    axes.set_xlabel(f"latent dimension {dims[0]}")
    if len(dims) == 2:
        axes.set_yticks(made.rows[::-1][some], marks[some])
        axes.set_ylabel(f"latent dimension {dims[1]}")
    return picture


def quantiles(n: int) -> Tensor:
    """(n,) points between which a standard normal has equal shares, from its 2.5 to its 97.5 %."""
    shares = torch.linspace(0.025, 0.975, n, dtype=torch.float64)
    values: Tensor = torch.special.ndtri(shares)
    return values.float()


def grid(values: Tensor, dims: tuple[int, ...], size: int) -> Tensor:
    """Latent points (n, size) or (n * n, size): `values` along `dims`, 0 elsewhere.

    The first dimension grows to the right; the second, where there are two, upwards, row by row from the top.
    """
    n = len(values)
    points = torch.zeros(n ** len(dims), size)
    points[:, dims[0]] = values.repeat(n ** (len(dims) - 1))
    if len(dims) == 2:
        points[:, dims[1]] = values.flip(0).repeat_interleave(n)
    return points


def _draw_plane(network: Mapping, results: Floats, values: Tensor, dims: tuple[int, ...]) -> Figure:
    """The curve or the grid in the plane of the results."""
    from matplotlib.collections import LineCollection

    picture = figure(7.6, 6.4)
    axes = picture.add_subplot()
    n = len(values)
    across = results.reshape(-1, n, 2)  # each row a line along the first dimension
    for line in across.transpose(1, 0, 2) if len(dims) == 2 else ():
        axes.plot(line[:, 0], line[:, 1], color=COLOURS[-1], linewidth=0.7, alpha=0.6)
    for line in across:
        pieces = np.stack([line[:-1], line[1:]], axis=1)
        coloured = LineCollection(list(pieces), cmap="viridis", linewidths=2 if len(dims) == 1 else 1)
        coloured.set_array(((values[:-1] + values[1:]) / 2).numpy())
        drawn = axes.add_collection(coloured)
    if len(dims) == 1:
        axes.scatter(results[:, 0], results[:, 1], c=values.numpy(), cmap="viridis", s=22, zorder=3)
    bar = picture.colorbar(drawn, ax=axes, label=f"latent dimension {dims[0]}", pad=0.02)
    bar.outline.set_visible(False)
    axes.autoscale_view()
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="result 0", ylabel="result 1")
    if len(dims) == 2:
        axes.annotate(f"grey lines: latent dimension {dims[1]}", (0, 0), (0, -42), color=QUIET,
                      xycoords="axes fraction", textcoords="offset points")  # fmt: skip
    head(axes, f"{network.name}: the {'curve' if len(dims) == 1 else 'surface'} it lies on",
         f"{results.shape[0]:,} points, as dense as a standard normal")  # fmt: skip
    return picture

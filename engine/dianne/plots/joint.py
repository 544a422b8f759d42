"""Two dimensions of a code against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dianne.data.files import Progress
from dianne.errors import UsageError
from dianne.plots.latent import legend, scatter
from dianne.plots.options import JointOptions
from dianne.plots.stored import Floats, check_dims, encode, inputs_of, open_mapping, open_samples, subset
from dianne.plots.style import COLOURS, figure, head, look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 60


@look()
def draw(
    folder: Folder, encoder: str, dataset: str, options: JointOptions, fetching: Progress | None = None
) -> Figure:
    """A scatter of two code dimensions between their histograms.

    Raises:
        DianneError: network, tag or data are missing or do not fit, or the code has no such dimensions.
    """
    network = open_mapping(folder, encoder, options.tag)
    data = subset(open_samples(folder, dataset, options.range, fetching), options.samples, options.seed)
    codes = encode(network, inputs_of(data))
    if codes.values.shape[1] < 2:
        raise UsageError(f"{network.name} gives codes of one value; draw them by: dianne plot latent")
    check_dims(f"the code of {network.name}", options.dims, codes.values.shape[1])
    values = codes.values[:, list(options.dims)]
    picture = figure(8.2, 7.4)
    rooms = picture.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4), wspace=0.02, hspace=0.02)
    main = picture.add_subplot(rooms[1, 0])
    above = picture.add_subplot(rooms[0, 0], sharex=main)
    beside = picture.add_subplot(rooms[1, 1], sharey=main)
    scatter(main, values, data)
    along, up = (f"dimension {dim} of the code" for dim in options.dims)
    main.set(xlabel=along, ylabel=up)
    for axes, column, sideways in ((above, 0, False), (beside, 1, True)):
        log = sparse(values[:, column])
        axes.hist(
            values[:, column], bins=_BINS, color=COLOURS[0], log=log,
            orientation="horizontal" if sideways else "vertical",
        )  # fmt: skip
        axes.set(**{"xlabel" if sideways else "ylabel": f"samples{' (log)' * log}"})
        axes.tick_params(labelleft=not sideways, labelbottom=sideways)
    shares = [f"{float(near_zero(values[:, column]).mean()):.0%}" for column in (0, 1)]
    zeros = f"; {shares[0]} and {shares[1]} of the values are about 0" if sparse(values.ravel()) else ""
    head(above, f"{network.name} on {dataset}", f"{codes} of {len(data):,} samples{zeros}")
    if data.labels:
        corner = picture.add_subplot(rooms[0, 1])
        corner.set_axis_off()
        legend(picture, corner, data.labels, loc="center", ncols=2, handletextpad=0)
    return picture


def near_zero(values: Floats) -> NDArray[np.bool_]:
    """Which values are within 1 % of 0, measured by the largest of them."""
    near: NDArray[np.bool_] = np.abs(values) <= 0.01 * np.abs(values).max()
    return near


def sparse(values: Floats) -> bool:
    """Whether more than half of the values are about 0, so that their count would hide all others."""
    return bool(near_zero(values).mean() > 0.5)

"""Which classes a classifier takes for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dianne.data.descriptor import describe
from dianne.data.files import Progress
from dianne.errors import UsageError
from dianne.jobs import evaluate
from dianne.plots.options import ConfusionOptions
from dianne.plots.style import INK, QUIET, figure, head, look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RIGHT, _WRONG, _NONE = np.array([(0.31, 0.47, 0.65), (0.93, 0.49, 0.13), (0.97, 0.975, 0.98)])
_READABLE = 30  # classes, up to which the counts are written into the cells


@look()
def draw(
    folder: Folder, network: str, dataset: str, options: ConfusionOptions, fetching: Progress | None = None
) -> Figure:
    """The counts of a classification: rows are true classes, columns what the network found.

    Raises:
        DianneError: network, tag or data are missing or do not fit, or the dataset has no classes.
    """
    if not describe(folder, dataset).labels:
        raise UsageError(f"{dataset} has no classes to be confused")
    given = {"tag": options.tag, "range": options.range, "autoencode": False,
             "strategy": evaluate.FALLBACK_STRATEGY}  # fmt: skip
    found = evaluate.run(evaluate.prepare(folder, network, dataset, given), fetching)
    assert found.confusion is not None
    assert found.labels is not None
    counts = np.array(found.confusion)  # (true, found)
    classes = len(counts)
    picture = figure(8, 7.6)
    axes = picture.add_subplot()
    axes.imshow(cell_colours(counts))
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    shown = range(0, classes, -(-classes // _READABLE))
    axes.set_xticks(shown, [found.labels[kind] for kind in shown])
    axes.set_yticks(shown, [found.labels[kind] for kind in shown])
    axes.set(xlabel="class found", ylabel="true class")
    if classes <= _READABLE:
        _write_counts(axes, counts)
    right = int(np.trace(counts))
    head(
        axes,
        f"{network}:{options.tag} on {dataset}: {right / counts.sum():.2%} right",
        f"{right:,} of {counts.sum():,} samples on the diagonal; colours follow the logarithm of counts",
    )
    return picture


def cell_colours(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, n, 3) colours: blue on the diagonal, orange elsewhere, white for none, by the logarithm."""
    share = np.log1p(counts) / (np.log1p(counts.max()) or 1)
    full = np.where(np.eye(len(counts), dtype=bool)[..., None], _RIGHT, _WRONG)
    mixed: NDArray[np.float64] = _NONE + share[..., None] * (full - _NONE)
    return mixed


def _write_counts(axes: Axes, counts: NDArray[np.int64]) -> None:
    """Each count in its cell, and the share of right ones behind each row."""
    size = min(10.5, 130 / len(counts))
    dark = np.log1p(counts) / np.log1p(counts.max()) > 0.75
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if row == column and dark[row, column] else INK
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)
    right = len(counts) - 0.4
    axes.text(right, right, "right", va="top", color=QUIET, fontsize=size)
    for row, (own, total) in enumerate(zip(np.diag(counts), counts.sum(1), strict=True)):
        if total:
            axes.text(right, row, f"{own / total:.1%}", va="center", color=QUIET, fontsize=size)

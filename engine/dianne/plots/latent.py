"""Where an encoder puts the samples of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dianne.data.dataset import Dataset
from dianne.data.files import Progress
from dianne.errors import UsageError
from dianne.plots.options import LatentOptions
from dianne.plots.stored import Floats, classes_of, encode, inputs_of, open_mapping, open_samples, subset
from dianne.plots.style import COLOURS, colours, figure, head, look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = {"TSNE": 2000}  # its time grows faster than the samples
_NEIGHBOURS = 30  # the usual perplexity of t-SNE


@look()
def draw(
    folder: Folder, encoder: str, dataset: str, options: LatentOptions, fetching: Progress | None = None
) -> Figure:
    """A map of codes, coloured by class; a histogram for codes of one value.

    Raises:
        DianneError: network, tag or data are missing or do not fit.
    """
    network = open_mapping(folder, encoder, options.tag)
    data = open_samples(folder, dataset, options.range, fetching)
    data = subset(data, options.samples or _MOST.get(options.projection or "", 5000), options.seed)
    codes = encode(network, inputs_of(data))
    size = codes.values.shape[1]
    if size == 1 and options.projection:
        raise UsageError(f"{network.name} gives codes of one value, which need no projection")
    drawn = figure(8.4 if data.labels else 7.4, 6.8)
    axes = drawn.add_subplot()
    below = f"{codes} of {len(data):,} samples"
    if size == 1:
        histogram(axes, codes.values[:, 0], data)
    else:
        points, (along, up), how = _placed(codes.values, options)
        scatter(axes, points, data)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(xlabel=along, ylabel=up)
        if options.projection == "TSNE":
            axes.set(xticks=[], yticks=[])  # its distances have no unit
        below += how
    if data.labels:
        legend(drawn, axes, data.labels)
    head(axes, f"{network.name} on {dataset}", below)
    return drawn


# ------------------------------------------------------------------------------------------------- numbers


def _placed(codes: Floats, options: LatentOptions) -> tuple[Floats, tuple[str, str], str]:
    """Codes (n, z) as points (n, 2), the names of the two axes, and how it was done."""
    size = codes.shape[1]
    if options.projection == "TSNE":
        how = f", {size} dimensions laid out by t-SNE: only neighbourhoods mean something"
        return _neighbourhoods(codes, options.seed), ("t-SNE 1", "t-SNE 2"), how
    if size == 2 and options.projection is None:
        return codes, ("dimension 0 of the code", "dimension 1 of the code"), ""
    points, (first, second) = principal(codes)
    first_name, second_name = (
        f"{word} principal component ({share:.0%} of the variance)"
        for word, share in (("first", first), ("second", second))
    )
    return points, (first_name, second_name), f", {size} dimensions"


def principal(codes: Floats) -> tuple[Floats, list[float]]:
    """Codes (n, z) along the two directions of most variance, (n, 2), and the share of each.

    The largest part of each direction is positive, so that the same codes give the same picture.
    """
    centred = codes.astype(np.float64) - codes.mean(0, dtype=np.float64)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    if len(directions) < 2:
        raise UsageError("a projection needs two samples at least")
    largest = np.abs(directions[:2]).argmax(1)
    signs = np.sign(directions[[0, 1], largest])
    total = float((lengths**2).sum()) or 1.0
    points = (centred @ directions[:2].T * signs).astype(np.float32)
    return points, (lengths[:2] ** 2 / total).tolist()


def _neighbourhoods(codes: Floats, seed: int) -> Floats:
    """Codes (n, z) in a plane, (n, 2), by t-SNE (van der Maaten and Hinton, 2008)."""
    if len(codes) < 4:
        raise UsageError(f"t-SNE needs 4 samples at least, found {len(codes)}")
    if not codes.std(0).any():  # scikit-learn would crash
        raise UsageError("all codes are the same; t-SNE has nothing to lay out")
    from sklearn.manifold import TSNE

    neighbours = min(_NEIGHBOURS, (len(codes) - 1) / 3)
    found: Floats = TSNE(perplexity=neighbours, random_state=seed).fit_transform(codes)
    return found


# ------------------------------------------------------------------------------------------------- drawing


def scatter(axes: Axes, points: Floats, data: Dataset) -> None:
    """Points (n, 2) in the colours of their classes, in random order: none covers another."""
    order = np.random.default_rng(0).permutation(len(points))
    classes = classes_of(data)
    size = float(np.clip(40_000 / len(points), 8, 40))
    kinds: NDArray[np.int64] = classes[order] if classes is not None else np.zeros(len(points), np.int64)
    palette = np.array(colours(len(data.labels)) if data.labels else COLOURS[:1], dtype=object)
    axes.scatter(points[order, 0], points[order, 1], s=size, c=list(palette[kinds]), alpha=0.75, linewidths=0)


def histogram(axes: Axes, values: Floats, data: Dataset) -> None:
    """How often values (n,) occur, the classes on top of each other."""
    classes = classes_of(data)
    count = len(data.labels) if data.labels else 1
    parts = [values] if classes is None else [values[classes == kind] for kind in range(count)]
    axes.hist(parts, bins=60, stacked=True, color=list(colours(count)))
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="code", ylabel="samples")


def legend(drawn: Figure, axes: Axes, labels: list[str], **place: Any) -> None:
    """The classes and their colours, beside the axes or in another place; a bar where there are many."""
    if len(labels) <= len(COLOURS):
        from matplotlib.lines import Line2D

        dots = [
            Line2D([], [], marker="o", linestyle="", color=colour, label=label, markersize=7)
            for label, colour in zip(labels, colours(len(labels)), strict=True)
        ]
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        made = axes.legend(handles=dots, title="class", **(place or beside))
        made.set_in_layout(not place)  # elsewhere it must find room by itself
        return
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    count = len(labels)
    norm = BoundaryNorm(np.arange(count + 1) - 0.5, count)
    ticks = np.unique(np.linspace(0, count - 1, min(count, 20)).round().astype(int))
    bar = drawn.colorbar(
        ScalarMappable(norm, ListedColormap(list(colours(count)))), ax=axes, ticks=ticks, label="class"
    )
    bar.ax.set_yticklabels([labels[tick] for tick in ticks])

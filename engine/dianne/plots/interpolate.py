"""The way from one sample to another: straight in the data, and straight between their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from dianne.data.dataset import Dataset
from dianne.data.files import Progress
from dianne.data.rows import in_memory
from dianne.errors import UsageError
from dianne.plots.mosaic import as_images, mosaic, show
from dianne.plots.options import InterpolateOptions
from dianne.plots.stored import Floats, decode, encode, inputs_of, like, open_pair, open_samples, texts
from dianne.plots.style import COLOURS, figure, head, look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = ("mixed\nsamples", "mixed\ncodes")
_GAP = 2


@look()
def draw(
    folder: Folder, networks: str, dataset: str, options: InterpolateOptions, fetching: Progress | None = None
) -> Figure:
    """Two rows of images: the mean of two samples at every step, and what the mean of their codes decodes to.

    Raises:
        DianneError: networks, tag or data are missing or do not fit.
    """
    encoder, decoder = open_pair(folder, networks, options.tag)
    data = open_samples(folder, dataset, options.range, fetching)
    first, last = ends(data, options.first, options.last)
    two = data.batch(torch.tensor([first, last])).input
    codes = encode(encoder, two)
    straight = line(two.numpy(), options.steps)
    decoded = like(decode(decoder, line(codes.values, options.steps), encoder.name), decoder.name, data)
    title = f"{dataset} through {networks}:{options.tag}"
    below = f"from sample {_named(data, first)} to sample {_named(data, last)}"
    if data.input_dims == (2,):
        return _curves(inputs_of(data).numpy(), straight, decoded, title, below)
    rows = [as_images(straight, dataset), as_images(decoded, decoder.name)]
    made = mosaic(np.stack(rows), _GAP)
    picture, axes = show(made, title, below)
    axes.set_yticks(made.rows, _ROWS)
    axes.set_xticks(made.columns, texts(np.linspace(0, 1, options.steps)))
    axes.set_xlabel("share of the way")
    return picture


def ends(data: Dataset, first: int | None, last: int | None) -> tuple[int, int]:
    """The two samples: as given; the rest is filled up with the nearest ones of the same class.

    Raises:
        UsageError: an index is too large, or there is no other sample of that class.
    """
    for key, index in (("from", first), ("to", last)):
        if index is not None and index >= len(data):
            raise UsageError(f"{key}={index}: there are the samples 0 to {len(data) - 1:,}")
    if first is None:
        first = 0 if last is None else _partner(data, last, "from")
    return first, _partner(data, first, "to") if last is None else last


def _partner(data: Dataset, index: int, key: str) -> int:
    """The first sample of the same class that is not `index` itself; of any, where there are no classes."""
    targets = in_memory(data.targets)
    alike = targets == targets[index] if data.labels else torch.ones(len(data), dtype=torch.bool)
    others = [other for other in alike.nonzero()[:2, 0].tolist() if other != index]
    if not others:
        whose = f"of the class '{data.labels[int(targets[index])]}'" if data.labels else "at all"
        raise UsageError(f"there is no other sample {whose}; choose one by {key}=")
    return int(others[0])


def line(two: Floats, steps: int) -> Floats:
    """(steps, ...) from the first to the second of two (2, ...), both included."""
    share = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *[1] * (two.ndim - 1))
    way: Floats = two[0] * (1 - share) + two[1] * share
    return way


def _named(data: Dataset, index: int) -> str:
    kind = data.labels[int(data.targets[index : index + 1])] if data.labels else ""
    return f"{index:,}" + (f" (class {kind})" if data.labels else "")


def _curves(samples: Floats, straight: Floats, decoded: Floats, title: str, below: str) -> Figure:
    picture = figure(7, 6.4)
    axes = picture.add_subplot()
    axes.scatter(samples[:5000, 0], samples[:5000, 1], s=8, color="#d5dae0", linewidths=0)
    for way, name, colour in zip((straight, decoded), _ROWS, (COLOURS[-1], COLOURS[0]), strict=True):
        axes.plot(*way.T, color=colour, marker="o", markersize=5, label=name.replace("\n", " "))
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="value 0", ylabel="value 1")
    axes.legend(loc="upper right", bbox_to_anchor=(1, -0.095), ncols=2, borderaxespad=0)
    head(axes, title, below)
    return picture

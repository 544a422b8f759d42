"""How the loss of jobs went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dianne.errors import UsageError
from dianne.jobs.curves import Curve, Record, read_record
from dianne.plots.style import COLOURS, QUIET, figure, head, look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MANY = 200  # points; of more, a mean is drawn over the pale curve
_SHARES = ("accuracy", "top ")  # more of these is better: they have no place beside a loss
Values = NDArray[np.float64]


@look()
def draw(folder: Folder, jobs: Sequence[str]) -> Figure:
    """A panel for each term of the loss, over iterations; several jobs on top of each other.

    Args:
        folder: the workspace.
        jobs: each an identifier, the beginning of one, or `NETWORK:TAG`.

    Raises:
        UsageError: there is no such job, or it has noted nothing yet.
    """
    found = [read_record(folder, job) for job in jobs]
    records = list({record.id: record for record in found}.values())
    for record in records:
        if not record.terms:
            raise UsageError(f"the job {record.id} has noted no loss yet")
    names = panels(records)
    heights = [2.0, *[1.0] * (len(names) - 1)]
    picture = figure(8.6, 1.5 + 1.7 * sum(heights))
    rooms = picture.add_gridspec(len(names), 1, height_ratios=heights)
    every: list[Axes] = []
    for row, name in enumerate(names):
        axes = picture.add_subplot(rooms[row], sharex=every[0] if every else None)
        every.append(axes)
        _draw_panel(axes, name, records, names)
        axes.set_ylabel(name)
        axes.tick_params(labelbottom=row == len(names) - 1)
    every[-1].set_xlabel("iteration")
    every[0].set_xlim(left=0)
    every[0].xaxis.set_major_formatter("{x:,.0f}")
    title, below, labels = titles(records)
    head(every[0], title, below)
    _legend(every[0], records, labels)
    return picture


# ------------------------------------------------------------------------------------------------- numbers


def panels(records: Sequence[Record]) -> list[str]:
    """What has a panel: the terms, the loss before all others, and a first metric that is no loss."""
    names = dict.fromkeys(name for record in records for name in record.terms)
    order = sorted(names, key=lambda name: name != "loss")
    firsts = dict.fromkeys(next(iter(r.validations)) for r in records if r.validations)
    return order + [name for name in firsts if name not in names and name.startswith(_SHARES)]


def panel_of(metric: str, record: Record, names: Sequence[str]) -> str | None:
    """The panel that shows a metric: that of its name; that of the loss for the first metric."""
    if metric in names:
        return metric
    return names[0] if metric == next(iter(record.validations)) else None


def smooth(values: Values) -> Values:
    """The mean over a fiftieth of all values around each; over as many as there are at the ends."""
    kernel = np.ones(2 * (len(values) // 100) + 1)
    room = len(kernel) // 2
    spans = np.convolve(np.ones(len(values)), kernel)[room : room + len(values)]
    means: Values = np.convolve(values, kernel)[room : room + len(values)] / spans
    return means


def limits(curves: Sequence[Values], points: Sequence[Values]) -> tuple[float, float] | None:
    """Where a panel begins and ends, if its curves start so high that the rest would be flat; else None.

    Args:
        curves: at most the first twentieth of each is left out.
        points: seen in any case.
    """
    whole = np.concatenate([*curves, *points])
    later = np.concatenate([*(curve[len(curve) // 20 :] for curve in curves), *points])
    if not later.size:
        return None
    low, high = float(later.min()), float(later.max())
    if float(whole.max()) - low <= 3 * (high - low) or low == high:
        return None
    room = 0.08 * (high - low)
    return low - room, high + room


def titles(records: Sequence[Record]) -> tuple[str, str, list[str]]:
    """A title, a line below it, and a label for each job: what is common to all is said above."""
    told = [_told(record) for record in records]
    common = [column[0] if len(set(column)) == 1 else None for column in zip(*told, strict=True)]
    networks, dataset, strategy, tag = common
    title = " on ".join(part for part in (networks or "Loss", dataset) if part)
    below = ", ".join(part for part in (strategy, f"tag {tag}" if tag else "") if part)
    labels = [
        ", ".join(part for part, same in zip(parts, common, strict=True) if part and same is None)
        for parts in told
    ]
    twice = len(set(labels)) < len(labels)
    labels = [f"{label} {record.id[:8]}".strip() if twice else label
              for label, record in zip(labels, records, strict=True)]  # fmt: skip
    return title, below or f"{len(records)} jobs", labels


def _told(record: Record) -> tuple[str, str, str, str]:
    job = record.job
    networks = ", ".join(map(str, job.get("networks") or []))
    strategy = str(job.get("strategy") or "").removesuffix("LearningStrategy")
    tag = str((job.get("options") or {}).get("tag") or record.id[:8])
    return networks, str(job.get("dataset") or ""), strategy, tag


# ------------------------------------------------------------------------------------------------- drawing


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _draw_panel(axes: Axes, name: str, records: Sequence[Record], names: Sequence[str]) -> None:
    curves, points = [], []
    for record, colour in zip(records, _colours(len(records)), strict=True):
        if name in record.terms:
            curves.append(_draw_curve(axes, record.terms[name], colour))
        for metric, curve in record.validations.items():
            if panel_of(metric, record, names) == name:
                steps, values = _finite(curve)
                axes.plot(steps, values, color=colour, linestyle=":", linewidth=1,
                          marker="o", markersize=6, markeredgecolor="white", zorder=4)  # fmt: skip
                points.append(values)
    if (ends := limits(curves, points)) is not None:
        axes.set_ylim(*ends)


def _draw_curve(axes: Axes, curve: Curve, colour: str) -> Values:
    steps, values = _finite(curve)
    if len(values) <= _MANY:
        axes.plot(steps, values, color=colour, linewidth=1.6)
    else:
        axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.3)
        axes.plot(steps, smooth(values), color=colour, linewidth=1.8)
    return values


def _finite(curve: Curve) -> tuple[Values, Values]:
    """Iterations and values, without those that a logarithm or a division spoilt."""
    steps, values = np.array(curve.iterations, float), np.array(curve.values)
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def _legend(axes: Axes, records: Sequence[Record], labels: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    several = len(records) > 1
    handles = [
        Line2D([], [], color=colour, linewidth=2, label=label if several else "learning")
        for label, colour in zip(labels, _colours(len(records)), strict=True)
    ]
    validated = any(record.validations for record in records)
    if validated:
        metric = next(name for record in records for name in record.validations)
        colour = QUIET if several else COLOURS[0]
        handles.append(
            Line2D([], [], color=colour, linestyle=":", marker="o", label=f"validation ({metric})")
        )
    if several or validated:
        axes.legend(handles=handles, loc="upper right")

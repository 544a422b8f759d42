"""How all pictures look, and how they become files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dianne.document import display
from dianne.errors import DianneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
_PAD = 0.12  # inches around each part
INK = "#2f3640"
QUIET = "#7b8794"
LINES = "#e4e7eb"
COLOURS = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1",
    "#76b7b2", "#edc948", "#9c755f", "#34495e", "#a3a9b1",
)  # fmt: skip
_LOOK: dict[str, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#b8c0c8",
    "axes.labelcolor": INK,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 24,  # points; the line below the title stands in them
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": LINES,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "dianne",  # the same picture is the same file
}


@contextmanager
def look() -> Iterator[None]:
    """Everything drawn inside looks alike; also a decorator, `@look()`."""
    import matplotlib

    with matplotlib.rc_context(_LOOK):  # type: ignore[arg-type]  # its keys are checked when it runs
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; its parts make room for each other."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(h_pad=_PAD, w_pad=_PAD))


def head(axes: Axes, title: str, below: str) -> None:
    """A title, and a quieter line below it."""
    axes.set_title(title)
    axes.annotate(
        below, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", color=QUIET, va="bottom"
    )


def colours(count: int) -> Sequence[Any]:
    """A colour for each of `count` classes; of many, neighbours are alike."""
    if count <= len(COLOURS):
        return COLOURS[:count]
    import matplotlib

    return list(matplotlib.colormaps["viridis"].resampled(count)(range(count)))


def save(picture: Figure, out: str) -> None:
    """Write a picture, whole or not at all; the ending says how.

    Raises:
        DianneError: the file cannot be written.
    """
    path = Path(out)
    temporary = path.with_name(f".{path.name}.part")
    kind = path.suffix.lower().removeprefix(".")
    try:
        with look():
            picture.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else {})
        temporary.replace(path)
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)

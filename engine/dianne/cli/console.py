"""Where text goes: results to stdout, talk to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

results = Console(highlight=False, soft_wrap=True)
talk = Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str, style: str = "") -> None:
    """One plain line of talk; what a user named is never taken for markup."""
    talk.print(Text(message, style=style))


def show(message: str) -> None:
    """One plain line of results."""
    results.print(Text(message))


def show_json(value: Any, indent: int | None = None) -> None:
    """A result for machines, on one line unless an indent is given."""
    print(json.dumps(value, default=str, indent=indent))


def stream(*parts: Iterable[str]) -> None:
    """Text and a line end; as it is made where somebody watches, else at once."""
    for part in parts:
        for piece in part if results.is_terminal else ["".join(part)]:
            print(piece, end="", flush=results.is_terminal)
    print()


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A calm table without lines; columns named in `right` hold numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def row(made: Table, *cells: object) -> None:
    """Add a row of plain texts."""
    made.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))


def show_table(made: Table) -> None:
    """Print a table; its columns take the width that they need where nobody watches."""
    if results.is_terminal:
        results.print(made, soft_wrap=False)
    else:
        for line in _lines(made):
            print(line)


def _lines(made: Table) -> Iterator[str]:
    """A table as plain lines; for a thousand rows rich would need half a second."""
    columns = [[str(cell).split("\n") for cell in (column.header, *column.cells)] for column in made.columns]
    widths = [max(cell_len(line) for cell in cells for line in cell) for cells in columns]
    right = [column.justify == "right" for column in made.columns]
    for cells in zip(*columns, strict=True):
        for parts in zip_longest(*cells, fillvalue=""):
            blanks = [" " * (width - cell_len(part)) for part, width in zip(parts, widths, strict=True)]
            padded = [b + p if r else p + b for p, b, r in zip(parts, blanks, right, strict=True)]
            yield "  ".join(padded).rstrip()

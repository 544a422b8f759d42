"""The catalog on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from dianne.cli.console import row, show, show_json, show_table, table
from dianne.network.reference import Entry


def list_modules(entries: Iterable[Entry], as_json: bool) -> None:
    """One line for each type."""
    if as_json:
        show_json([asdict(entry) for entry in entries])
        return
    made = table("type", "what it does")
    for entry in entries:
        row(made, entry.name, entry.text.split("\n")[0])
    show_table(made)


def show_module(entry: Entry, as_json: bool) -> None:
    """All about one type."""
    if as_json:
        show_json(asdict(entry))
        return
    show(f"{entry.name}\n\n{entry.text}")
    if entry.results:
        show(f"\nparts of the result: {', '.join(f'name.{port}' for port in entry.results)}")
    if entry.arguments:
        show("")
        made = table("key", "kind", "default", "meaning")
        for argument in entry.arguments:
            default = "required" if argument.default is None else argument.default
            row(made, argument.key, argument.kind, default, argument.meaning)
        show_table(made)

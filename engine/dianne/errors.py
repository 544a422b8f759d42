"""What can go wrong through something the user did, and how it is said.

Every such fault is a `DianneError`; the command line prints its text and exits with its code, and never
shows a traceback for one. A text says where, what was found, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

MANY = 20  # more valid words than this are not listed in full


class DianneError(Exception):
    """A fault that the user can mend; its text is the whole explanation."""

    exit_code = 1


class UsageError(DianneError):
    """What was asked for does not exist or does not fit; nothing was started."""

    exit_code = 2


class DataError(DianneError):
    """A dataset's files are missing or spoilt."""


@dataclass(frozen=True)
class Problem:
    """One fault and its place, such as `networks/Mine.yaml:4:12` or `option 'batchSize'`."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(UsageError):
    """Every fault of a file or of a command line, found before any work starts.

    Args:
        source: what was read, as the user knows it.
        problems: at least one, in the order in which they stand in the source.
    """

    def __init__(self, source: str, problems: Iterable[Problem]):
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{source}: {count} problem{'s' if count > 1 else ''}"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


def suggest(word: str, known: Iterable[str], what: str = "known") -> str:
    """What to say after naming an unknown word: the nearest known one, or all of them.

    Args:
        word: what the user typed.
        known: the valid words; case and spaces are ignored in the search for the nearest.
        what: the heading of the full list.
    """
    names = sorted(set(known), key=lambda name: (name.lower(), name))
    if not names:
        return ""
    folded = {_fold(name): name for name in reversed(names)}
    matches = difflib.get_close_matches(_fold(word), folded, n=1, cutoff=0.6)
    if matches:
        return f"; did you mean '{folded[matches[0]]}'?"
    shown = names if len(names) <= MANY else [*names[:MANY], "…"]
    return f"; {what}: {', '.join(shown)}"


def _fold(word: str) -> str:
    return word.lower().replace(" ", "").replace("_", "")


def listing(names: Iterable[str]) -> str:
    """Quoted names in a row: `'a', 'b' and 'c'`."""
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"

"""Values that a sweep tries: `1e-4..1e-2`, `1e-4..1e-2:log`, `8..64:8`, `2,5,10`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from dianne.errors import UsageError

Value = int | float | str
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones if both are.

    Attributes:
        low: the smallest.
        high: the largest.
        log: whether small ones are as likely as large ones.
        step: what lies between two of them; None for all.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def ends(self) -> tuple[Value, ...]:
        """What has to fit for all to fit."""
        return self.low, self.high


@dataclass(frozen=True)
class Choices:
    """A few values, as they were written."""

    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """What has to fit for all to fit."""
        return self.values


Space = Range | Choices


def read_range(key: str, text: str) -> Range | None:
    """The range that a value means; None for one that is no range.

    Raises:
        UsageError: it looks like a range, and is none.
    """
    first, dots, rest = text.partition("..")
    last, _, detail = rest.partition(":")
    numbers = [bool(_NUMBER.fullmatch(end.strip())) for end in (first, last)]
    if not dots or not any(numbers):
        return None
    if not all(numbers):
        raise UsageError(f"{key}={text}: expected a range of two numbers, such as 1e-4..1e-2")
    whole = all(re.fullmatch(r"[+-]?\d+", end.strip()) for end in (first, last))
    low, high = (int(end) if whole else float(end) for end in (first, last))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"{key}={text}: a range goes from a smaller number to a larger one")
    if detail == "log":
        if low <= 0:
            raise UsageError(f"{key}={text}: a range with :log begins above 0")
        return Range(low, high, log=True)
    return Range(low, high, step=_step(key, text, detail, whole) if ":" in rest else None)


def _step(key: str, text: str, detail: str, whole: bool) -> int | float:
    fine = re.fullmatch(r"\d+", detail) if whole else _NUMBER.fullmatch(detail)
    step = (int(detail) if whole else float(detail)) if fine else 0
    if step <= 0:
        kind = "a whole number above 0" if whole else "a number above 0"
        raise UsageError(f"{key}={text}: after ':' comes log or a step, {kind}; found '{detail}'")
    return step


def read_choices(text: str) -> Choices | None:
    """The values in a list with commas; None if there are no two."""
    values = tuple(dict.fromkeys(part for found in text.split(",") if (part := found.strip())))
    return Choices(values) if len(values) > 1 else None

"""What an operator of ONNX is given, and where operators register."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dianne.interop.onnx.builder import Builder
from dianne.interop.onnx.formulas import recognise
from dianne.interop.onnx.values import Array, Formula, Result, Unmappable, Value

BATCH = 2**31 - 1
"""The size of a batch wherever a model computes with shapes: a prime that no network has for an extent."""


@dataclass
class Call:
    """One node.

    Attributes:
        operator: its name, `Conv`.
        hint: for the names of modules.
        inputs: values; None for those that are left out.
        outputs: names of the results; empty for those that are left out.
        attributes: by name.
        builder: takes modules.
        opset: version of the operators.
        fixed: the size of the batch, if the file fixes it.
        room: how many more values constants may have.
        once: for each input, whether only this node takes it.
    """

    operator: str
    hint: str
    inputs: list[Value | None]
    outputs: list[str]
    attributes: Mapping[str, Any]
    builder: Builder
    opset: int
    fixed: int | None
    room: int
    once: list[bool]

    def value(self, place: int) -> Value | None:
        """An input, or None."""
        return self.inputs[place] if place < len(self.inputs) else None

    def result(self, place: int = 0) -> Result:
        """An input that a module gives."""
        found = self.value(place)
        if isinstance(found, Formula):
            return self.known(found)
        if not isinstance(found, Result):
            what = "a constant" if isinstance(found, np.ndarray) else "no result of a module"
            raise Unmappable(f"input {place} is {what}")
        return found

    def plain(self, place: int = 0) -> Result:
        """An input with the batch as its first dimension."""
        found = self.result(place)
        if found.batch:
            raise Unmappable(f"takes the batch as dimension {found.batch}; here it is always the first")
        return found

    def constant(self, place: int) -> Array | None:
        """An input that does not depend on samples, or None if it is left out."""
        found = self.value(place)
        if found is not None and not isinstance(found, np.ndarray):
            raise Unmappable(f"input {place} must be a constant")
        return found

    def needed(self, place: int) -> Array:
        """As `constant`, for what cannot be left out."""
        found = self.constant(place)
        if found is None:
            raise Unmappable(f"has no input {place}")
        return found

    def option(self, key: str, place: int) -> Array | None:
        """What old versions have as an attribute and later ones as an input."""
        if key in self.attributes:
            return np.asarray(self.attributes[key])
        return self.constant(place)

    def numbers(self, key: str, place: int = -1) -> list[int] | None:
        """Whole numbers from an attribute, or from an input."""
        found = self.option(key, place) if place >= 0 else self.attributes.get(key)
        return None if found is None else [int(number) for number in np.asarray(found).ravel()]

    def real(self, key: str, default: float) -> float:
        """An attribute that is a number, as it was meant: it has the precision of float32."""
        return float(f"{float(self.attributes.get(key, default)):.7g}")

    def text(self, key: str, default: str) -> str:
        """An attribute that is a word."""
        found = self.attributes.get(key, default)
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    def only_first(self) -> None:
        """Refuse a node of which more than the first result is taken."""
        if any(self.outputs[1:]):
            raise Unmappable("more than its first result is taken")

    def known(self, formula: Formula) -> Result:
        """The module that computes a formula, if there is one."""
        return recognise(formula, self.builder, self.hint)


Operator = Callable[[Call], Any]
OPERATORS: dict[str, Operator] = {}
"""From an operator to a function that adds its modules and gives its results: one, or several in a tuple."""


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Decorator of the function for some operators."""

    def register(function: Operator) -> Operator:
        for name in names:
            assert name not in OPERATORS
            OPERATORS[name] = function
        return function

    return register

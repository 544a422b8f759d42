"""What flows between the operators of a model that is being read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Shape = tuple[int, ...]
Array = NDArray[Any]


class Unmappable(ValueError):  # noqa: N818 - it says what a network file cannot say, and is no mistake
    """An operator has no module here; the text continues "node (Operator): ..."."""


@dataclass(frozen=True)
class Result:
    """What a module gives.

    Attributes:
        ref: as in a file, `name` or `name.port`.
        shape: of a sample, without the batch.
        batch: at which place ONNX has the batch; 0 nearly always.
    """

    ref: str
    shape: Shape
    batch: int = 0

    def dims(self, batch: int) -> list[int]:
        """The shape as ONNX sees it, with a number for the batch."""
        return [*self.shape[: self.batch], batch, *self.shape[self.batch :]]

    def axis(self, axis: int) -> int:
        """The place in a sample of an axis as ONNX counts it, from either end.

        Raises:
            Unmappable: there is no such axis, or it is the batch.
        """
        rank = len(self.shape) + 1
        if not -rank <= axis < rank:
            raise Unmappable(f"axis {axis} of {rank} dimensions")
        axis %= rank
        if axis == self.batch:
            raise Unmappable("works along the batch")
        return axis - (axis > self.batch)


@dataclass(frozen=True)
class Formula:
    """A function of every single value, put together from operators that have no module of their own.

    Attributes:
        source: what it is a function of.
        compute: on an array.
        text: the operator that began it, for messages.
    """

    source: Result
    compute: Callable[[Array], Array]
    text: str


@dataclass(frozen=True)
class Comparison:
    """Where a result is above, or not above, a number."""

    source: Result
    above: bool
    number: float


Value = Result | Formula | Comparison | Array

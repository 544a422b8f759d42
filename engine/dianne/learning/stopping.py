"""Reasons to end a job before its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from dianne.learning.strategy import Terms
from dianne.options import FiniteFloat, NonNegativeFloat, NonNegativeInt, Options, PositiveInt


class StopOptions(Options):
    """When a job has learned enough."""

    minibatch_loss_threshold: FiniteFloat | None = None
    """Stop once the mean loss of the last `thresholdWindow` batches is this small."""
    threshold_window: PositiveInt = 10
    """Batches over which minibatchLossThreshold looks."""
    validation_loss_threshold: FiniteFloat | None = None
    """Stop once the first metric on validationSet is this good (this small, or, for accuracy, this large)."""
    patience: NonNegativeInt = 0
    """Stop after so many evaluations on validationSet that were no better than the best; 0 for never."""
    min_improvement: NonNegativeFloat = 0.0
    """How much better an evaluation must be to count as better."""


class BatchLosses:
    """Watches the losses of batches.

    Args:
        options: threshold and window.
    """

    def __init__(self, options: StopOptions):
        self.threshold = options.minibatch_loss_threshold
        self.losses: deque[float] = deque(maxlen=options.threshold_window)

    def add(self, terms: Terms) -> None:
        """Take in the terms of an iteration."""
        if self.threshold is not None:
            self.losses.append(float(terms["loss"]))

    def reason(self) -> str:
        """Why the job should end, or ""."""
        if self.threshold is None or len(self.losses) < (self.losses.maxlen or 1):
            return ""
        mean = sum(self.losses) / len(self.losses)
        if mean > self.threshold:
            return ""
        count = len(self.losses)
        return f"minibatchLossThreshold={self.threshold:g}: the last {count} losses average {mean:.4g}"

    def state_dict(self) -> dict[str, Any]:
        """The losses in the window."""
        return {"losses": list(self.losses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these losses."""
        self.losses.clear()
        self.losses.extend(state["losses"])


class Validations:
    """Watches the evaluations on the validation set.

    Args:
        options: threshold and patience.
        larger_is_better: whether the metric is better when it is larger.
        best: the best value so far, of an earlier job under the same tag.
    """

    def __init__(self, options: StopOptions, larger_is_better: bool, best: float | None = None):
        self.options = options
        self.sign = -1.0 if larger_is_better else 1.0
        self.best = best
        self.waited = 0
        self.last: float | None = None

    def add(self, value: float) -> bool:
        """Take in a value; tells whether it is the best so far."""
        self.last = value
        gain = None if self.best is None else self.sign * (self.best - value)
        better = value == value and (gain is None or gain > self.options.min_improvement)
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best = value
        return better

    def reason(self) -> str:
        """Why the job should end, or ""."""
        threshold, patience = self.options.validation_loss_threshold, self.options.patience
        if threshold is not None and self.last is not None and self.sign * (self.last - threshold) <= 0:
            return f"validationLossThreshold={threshold:g}: the last evaluation gives {self.last:.4g}"
        if patience and self.waited >= patience:
            last = f"last {self.waited} evaluations are" if self.waited > 1 else "last evaluation is"
            if self.best is None:
                return f"patience={patience}: the {last} not a number"
            return f"patience={patience}: the {last} no better than {self.best:.4g}"
        return ""

    def state_dict(self) -> dict[str, Any]:
        """The best value, the last one, and how many came since the best."""
        return {"best": self.best, "waited": self.waited, "last": self.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from these values."""
        self.best, self.waited, self.last = state["best"], state["waited"], state["last"]

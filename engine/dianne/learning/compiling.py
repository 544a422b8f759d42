"""Whether networks run compiled by torch.compile: always, never, or where it pays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import median
from typing import Any

import torch

WARM_UP = 10  # iterations that are not timed: the first ones, and those in which networks are compiled
TIMED = 50  # iterations that are
LEAST = 600.0  # seconds that a job must have left; compiling takes up to a minute
MOST = 128  # networks, and ways to call them, that one process compiles
GAIN = 0.95  # of the time that an iteration took: compiled ones must be faster than that


class Compiling:
    """Decides whether the networks of a job run compiled.

    Args:
        mode: "never", "always", or "auto": where enough of the job is left, and it is found to be faster.
        total: iterations of the job.
        note: tells the user what was decided.
    """

    def __init__(self, mode: str, total: int, note: Callable[[str], None]):
        self.mode = mode
        self.total = total
        self.note = note
        self.on = mode == "always"
        self._times: list[float] = []  # when iterations began, those that count in this phase
        self._eager = 0.0  # seconds of an iteration that is not compiled

    def choice(self, eager: Callable[..., Any], over_time: bool) -> Callable[..., Any]:
        """A function that is compiled while this is on; never one that runs over time, step by step."""
        if self.mode == "never":
            return eager
        if over_time:
            self.note(f"compile={self.mode}: networks with a state are not compiled")
            return eager
        compiled: Callable[..., Any] | None = None

        def run(*values: Any) -> Any:
            nonlocal compiled
            if not self.on:
                return eager(*values)
            compiled = compiled or _compiled(eager)
            return compiled(*values)

        return run

    def begin(self, iteration: int) -> None:
        """An iteration (from 0) begins; with "auto" this is where times are compared."""
        if self.mode != "auto":
            return
        self._times.append(time.perf_counter())
        if len(self._times) <= WARM_UP + TIMED:
            return
        counted = self._times[WARM_UP:]
        seconds = median(after - before for before, after in pairwise(counted))
        self._times.clear()
        if not self.on:
            self._eager = seconds
            self.on = seconds * (self.total - iteration) > LEAST
            self.mode = "auto" if self.on else "decided"
            return
        self.mode, self.on = "decided", seconds < GAIN * self._eager
        self.note(
            f"compile=auto: an iteration takes {seconds * 1000:.1f} ms compiled and "
            f"{self._eager * 1000:.1f} ms otherwise; the job goes on {'compiled' if self.on else 'as before'}"
        )

    def state_dict(self) -> dict[str, Any]:
        """What was decided; times are taken anew."""
        return {"mode": self.mode, "on": self.on and self.mode != "auto"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as it was decided."""
        self.mode, self.on = state["mode"], state["on"]

    def give_up(self, error: RuntimeError) -> bool:
        """Stop compiling for what torch says against it; False where nothing was compiled."""
        if not self.on:
            return False
        self.mode, self.on = "decided", False
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        self.note(f"torch.compile cannot compile this job, which goes on without: {reason}")
        return True


def _compiled(eager: Callable[..., Any]) -> Callable[..., Any]:
    """What runs compiled; loading the compiler takes seconds."""
    from torch._dynamo import config

    # Torch gives up on a function that it has compiled so often, and all networks share one.
    config.recompile_limit = MOST
    return torch.compile(eager)

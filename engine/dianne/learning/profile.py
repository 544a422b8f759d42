"""Where the time of a job goes: data, forward, backward, optimizer, reporting, store.

A job that is not profiled knows nothing of it: what is timed is wrapped from outside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from dianne.data.feeding import Feed
from dianne.data.sequences import Sequences
from dianne.learning.loop import Loop

PARTS = ("data", "forward", "backward", "optimizer", "reporting", "store")
TRACED = (10, 30)  # the iterations behind whose ends the trace begins and ends; fewer in a short job


class Profile:
    """Times the parts of a loop, and traces some of its iterations.

    Args:
        loop: that has not begun; what a strategy draws batches from is among its attributes.
        trace: the file of the trace, as chrome://tracing and Perfetto read it.

    Attributes:
        seconds: by part, and "other".
    """

    def __init__(self, loop: Loop, trace: Path):
        self.trace = trace
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's tracer tells stderr that it begins and ends
        self._profiler = profile(activities=activities)
        total = loop.options.max_iterations
        self._first, self._last = min(TRACED[0], total // 3), min(TRACED[1], max(total - 1, 1))
        self._tracing = False
        self._own = 0.0  # seconds that the trace itself took
        self._watch(loop)

    def _watch(self, loop: Loop) -> None:
        for update in loop.job.updates:
            update.capture = None  # a graph has no parts
            self._time("forward", update, "loss")
            self._time("backward", update, "differentiate")
            self._time("optimizer", update, "step")
        for value in vars(loop.strategy).values():
            if isinstance(value, Feed | Sequences):
                self._time_iterator(value)
        self._time("store", loop, "store")
        self._time("store", loop.good, "before")
        self._time("reporting", loop.watcher, "report")
        self._time("reporting", loop.watcher, "tick")
        self._tick, loop.watcher.tick = loop.watcher.tick, self._traced  # type: ignore[method-assign]
        if self._first == 0:
            self._profiler.start()
            self._tracing = True

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*values: Any, **more: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*values, **more)
            finally:
                self.seconds[part] += time.perf_counter() - begin

        return run

    def _time(self, part: str, owner: Any, name: str) -> None:
        setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _time_iterator(self, iterator: Any) -> None:
        """`next` looks at the class, so it is the iterator's class that changes."""
        kind = type(iterator)
        iterator.__class__ = type(kind.__name__, (kind,), {"__next__": self._timed("data", kind.__next__)})

    def _traced(self, iteration: int, terms: Any) -> None:
        self._tick(iteration, terms)
        begin = time.perf_counter()
        if iteration == self._first:
            self._profiler.start()
            self._tracing = True
        elif iteration == self._last:
            self._write()
        self._own += time.perf_counter() - begin

    def _write(self) -> None:
        if self._tracing:
            self._tracing = False
            self._profiler.stop()
            self.trace.parent.mkdir(parents=True, exist_ok=True)
            self._profiler.export_chrome_trace(str(self.trace))

    def close(self, seconds: float) -> dict[str, float]:
        """Seconds by part, of so many for the whole loop; writes the trace if the job was stopped in it."""
        self._write()
        return {**self.seconds, "other": max(seconds - self._own - sum(self.seconds.values()), 0.0)}

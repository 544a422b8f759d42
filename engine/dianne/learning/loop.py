"""The loop around a strategy: it counts, reports, stores, and stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from dianne.errors import UsageError
from dianne.learning.divergence import GoodWeights, copy_weights, first_bad_module
from dianne.learning.job import LearnJob
from dianne.learning.strategy import LearningStrategy, LearnProgress, Terms
from dianne.learning.update import DivergedError, checked_terms, refuse_infinite
from dianne.options import NonNegativeInt, Options, PositiveInt
from dianne.plugins import user_code

Weights = Mapping[str, Mapping[str, Tensor]]


class LoopOptions(Options):
    """How long a job learns, and when it reports and stores."""

    max_iterations: PositiveInt = 5000
    """Iterations: each is one call of the strategy."""
    trace: bool = False
    """Print a line at every report, beside the progress bar too."""
    trace_interval: PositiveInt = 1000
    """Iterations between reports."""
    sync_interval: NonNegativeInt = 1000
    """Iterations between moves of the tag to the newest weights; 0 for the end only."""
    store_interval: NonNegativeInt = 0
    """Iterations between snapshots that are kept under TAG@ITERATION; 0 for none."""


@dataclass(frozen=True)
class Report:
    """The state of a job after `iteration` iterations; terms as the strategy names them."""

    iteration: int
    terms: dict[str, float]
    seconds: float


@dataclass
class Outcome:
    """What a loop did.

    Attributes:
        iteration: how many iterations were completed.
        terms: of the last one.
        seconds: it took, storing included.
        history: the reports.
        stopped: the reason why it ended before its time, or "".
    """

    iteration: int = 0
    terms: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    history: list[Report] = field(default_factory=list)
    stopped: str = ""


class Watcher(Protocol):
    """Who follows a loop."""

    def tick(self, iteration: int, terms: Terms) -> None:
        """After every iteration; must be quick, and read terms rarely."""

    def report(self, report: Report) -> None:
        """Every `traceInterval` iterations, and at the end."""


Store = Callable[[Weights, int, dict[str, float], bool], bool]
"""Takes weights, iterations, terms, and whether it is a snapshot; tells whether the tag has the weights."""


class Loop:
    """Calls a strategy until the iterations are done, or someone stops it.

    Args:
        strategy: set up.
        job: the strategy's job.
        networks: by name, in the order of the roles.
        options: intervals and number of iterations.
        store: puts weights away.
        watcher: is told how it goes.
        stop: asked before every iteration; a reason ends the loop.
    """

    def __init__(
        self,
        strategy: LearningStrategy,
        job: LearnJob,
        networks: Mapping[str, nn.Module],
        options: LoopOptions,
        store: Store,
        watcher: Watcher,
        stop: Callable[[], str],
    ):
        self.strategy = strategy
        self.job = job
        self.networks = networks
        self.options = options
        self.store = store
        self.watcher = watcher
        self.stop = stop
        self.outcome = Outcome()
        self.good = GoodWeights(networks)
        self.terms: Terms = {}
        self.stored = 0  # the iteration whose weights the tag has
        self.begin = time.perf_counter()

    def run(self) -> Outcome:
        """Learn.

        Raises:
            DivergedError: a loss was not finite; the last good weights are stored.
        """
        last = self.options.max_iterations
        for i in range(last):
            self.outcome.stopped = self.stop()
            if self.outcome.stopped:
                break
            self.good.before(i)
            try:
                self.terms = self._iterate(i)
                self.good.after()
                self._finish_iteration(i + 1, i + 1 == last)
            except DivergedError as error:
                raise self._give_up(error, i) from error
        self._report()
        self.outcome.terms = numbers(self.terms)
        if self.outcome.iteration != self.stored:
            self._put(snapshot=False)
        self.outcome.seconds = time.perf_counter() - self.begin
        return self.outcome

    def _finish_iteration(self, done: int, last: bool) -> None:
        self.outcome.iteration = done
        self.watcher.tick(done, self.terms)
        if _due(self.options.trace_interval, done):
            self._report()
        if _due(self.options.store_interval, done):
            self._put(snapshot=True)
        if _due(self.options.sync_interval, done) or last:
            self._put(snapshot=False)

    def _report(self) -> None:
        """Tell how far it is, unless that was told already."""
        done, history = self.outcome.iteration, self.outcome.history
        if done and not (history and history[-1].iteration == done):
            history.append(Report(done, numbers(self.terms), time.perf_counter() - self.begin))
            self.watcher.report(history[-1])

    def _put(self, snapshot: bool) -> None:
        weights, done = self._weights(), self.outcome.iteration
        self.good.stored(done, weights)
        self.store(weights, done, numbers(self.terms), snapshot)
        self.stored = self.stored if snapshot else done

    def _iterate(self, i: int) -> Terms:
        with user_code(f"iteration {i + 1} of {type(self.strategy).__name__}"):
            progress = self.strategy.process_iteration(i)
        if not isinstance(progress, LearnProgress):
            found = type(progress).__name__
            raise UsageError(f"process_iteration must return a LearnProgress, found {found}")
        if "loss" not in progress.terms:
            found = ", ".join(progress.terms) or "no terms"
            raise UsageError(f"a LearnProgress must have the term 'loss', found {found}")
        terms = checked_terms(progress.terms)
        if terms["loss"].device.type == "cpu":
            refuse_infinite(float(terms["loss"]))
        return terms

    def _weights(self) -> Weights:
        """A copy of all weights, once they are known to be finite."""
        weights = {name: copy_weights(network) for name, network in self.networks.items()}
        for name, tensors in weights.items():
            for key, tensor in tensors.items():
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise DivergedError(f"{name}.{key} holds values that are not finite")
        return weights

    def _give_up(self, error: DivergedError, i: int) -> DivergedError:
        place = first_bad_module(self.networks, self.job.updates)
        began = f"; the first values that are not finite come from {place}" if place else ""
        kept = ""
        if self.good.iteration is not None:
            stored = self.store(self.good.weights, self.good.iteration, {}, False)
            place = f"those of iteration {self.good.iteration:,}, are under the tag"
            kept = f"the last good weights kept, {place}; " if stored else "nothing was stored; "
        return DivergedError(
            f"{error} in iteration {i + 1:,}{began}\n  {kept}"
            "try a smaller learningRate, or look for values in the data that are not finite"
        )


def _due(interval: int, done: int) -> bool:
    return interval > 0 and done % interval == 0


def numbers(terms: Terms) -> dict[str, float]:
    """Terms as numbers; waits for the device."""
    return {name: float(term) for name, term in terms.items()}

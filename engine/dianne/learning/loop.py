"""The loop around a strategy: it counts, reports, stores, and stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from pydantic import ValidationInfo, field_validator
from torch import Tensor, nn

from dianne.errors import UsageError
from dianne.learning.divergence import KEEP_INTERVAL, GoodWeights, copy_weights, first_bad_module
from dianne.learning.job import LearnJob
from dianne.learning.strategy import LearningStrategy, LearnProgress, Terms
from dianne.learning.trainer import Average
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
    nan_retry: NonNegativeInt = 0
    """How often to go back to the last good weights, with half the learning rate, after a loss of NaN."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged before the weights change."""

    @field_validator("accumulate")
    @classmethod
    def _some_steps(cls, accumulate: int, info: ValidationInfo) -> int:
        most = info.data.get("max_iterations", accumulate)
        if accumulate > most:
            raise ValueError(
                f"expected at most {most} (maxIterations), found {accumulate}; the weights would never change"
            )
        return accumulate


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

    def back(self, iteration: int) -> None:
        """The job goes on from the weights of an earlier iteration; what was told since does not count."""


Store = Callable[[Weights, int, dict[str, float], str], int | None]
"""Takes weights, iterations, terms, and what follows the tag's name ("", "@ema", "@ITERATION"); gives the
iteration of the weights that the tag has then: a later one if the job was there before it was interrupted,
None if the tag has none."""
RETRY_SHARE = 0.5  # of the learning rate that is left after a retry


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
        averages: moving averages of networks, by name.
        note: tells the user something.
        boundary: called between two iterations, when all that happens is done.
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
        averages: Mapping[str, Average] | None = None,
        note: Callable[[str], None] = lambda _: None,
        boundary: Callable[[], None] = lambda: None,
    ):
        self.strategy = strategy
        self.job = job
        self.networks = networks
        self.options = options
        self.store = store
        self.watcher = watcher
        self.stop = stop
        self.averages = averages or {}
        self.note = note
        self.boundary = boundary
        self.retries = 0
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
        i, last = self.outcome.iteration, self.options.max_iterations
        while i < last:
            self.boundary()
            self.outcome.stopped = self.stop()
            if self.outcome.stopped:
                break
            self.good.before(i)
            try:
                self.job.begin(i)
                self.terms = self._iterate(i)
                self.good.after()
                for average in self.averages.values():
                    average.step()
                self._finish_iteration(i + 1, i + 1 == last)
                i += 1
            except DivergedError as error:
                i = self._go_back(error, i)
        self._report()
        self.outcome.terms = numbers(self.terms)
        if self.outcome.iteration != self.stored:
            self._put()
        self.outcome.seconds = time.perf_counter() - self.begin
        return self.outcome

    def state_dict(self) -> dict[str, Any]:
        """How far it is, at a boundary."""
        outcome = self.outcome
        return {
            "iteration": outcome.iteration,
            "history": [asdict(report) for report in outcome.history],
            "terms": dict(self.terms),
            "retries": self.retries,
            "stored": self.stored,
            "good": self.good.state_dict(),
            "seconds": time.perf_counter() - self.begin,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the loop whose state it is would."""
        self.outcome.iteration = state["iteration"]
        self.outcome.history = [Report(**report) for report in state["history"]]
        self.terms, self.retries, self.stored = state["terms"], state["retries"], state["stored"]
        self.good.load_state_dict(state["good"])
        self.begin = time.perf_counter() - state["seconds"]

    def _finish_iteration(self, done: int, last: bool) -> None:
        self.outcome.iteration = done
        self.watcher.tick(done, self.terms)
        if _due(self.options.trace_interval, done):
            self._report()
        if _due(self.options.store_interval, done):
            self._put(f"@{done}")
        if _due(self.options.sync_interval, done) or last:
            self._put()

    def _report(self) -> None:
        """Tell how far it is, unless that was told already."""
        done, history = self.outcome.iteration, self.outcome.history
        if done and not (history and history[-1].iteration == done):
            history.append(Report(done, numbers(self.terms), time.perf_counter() - self.begin))
            self.watcher.report(history[-1])

    def _put(self, suffix: str = "") -> None:
        weights, done, terms = self._weights(), self.outcome.iteration, numbers(self.terms)
        self.good.stored(done, weights)
        self.store(weights, done, terms, suffix)
        if suffix:
            return
        self.stored = done
        if self.averages:
            averages = {name: average.put_in(weights[name]) for name, average in self.averages.items()}
            self.store(averages, done, terms, "@ema")

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
        refuse_infinite(terms, wait=i % KEEP_INTERVAL == 0)
        return terms

    def _weights(self) -> Weights:
        """A copy of all weights, once they are known to be finite."""
        weights = {name: copy_weights(network) for name, network in self.networks.items()}
        for name, tensors in weights.items():
            for key, tensor in tensors.items():
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise DivergedError(f"{name}.{key} holds values that are not finite")
        return weights

    def _go_back(self, error: DivergedError, i: int) -> int:
        """The iteration to go on with, from good weights; raises if there is no retry left."""
        place = first_bad_module(self.networks, self.job.updates)
        began = f"; the first values that are not finite {place}" if place else ""
        fault = f"{error} in iteration {i + 1:,}{began}"
        good = self.good.iteration
        if good is None or self.retries == self.options.nan_retry:
            raise DivergedError(f"{fault}\n  {self._keep_good()}{_REMEDY}") from error
        self.retries += 1
        self.note(
            f"{fault}; back to the weights of iteration {good:,}, with {RETRY_SHARE**self.retries:g} of the "
            f"learning rate (retry {self.retries} of {self.options.nan_retry})"
        )
        self.good.put_back()
        self.terms = {}
        self.job.begin_again(RETRY_SHARE)
        for average in self.averages.values():
            average.begin_again()
        self.outcome.history = [report for report in self.outcome.history if report.iteration <= good]
        self.outcome.iteration = good
        self.watcher.back(good)
        return good

    def _keep_good(self) -> str:
        """Store the last good weights; says what became of them."""
        good = self.good.iteration
        if good is None:
            return ""
        stored = self.store(self.good.weights, good, {}, "")
        if stored is None:
            return "nothing was stored; "
        if stored > good:
            return f"the tag keeps the weights of iteration {stored:,}, of before the job was interrupted; "
        return f"the last good weights kept, those of iteration {good:,}, are under the tag; "


_REMEDY = "try a smaller learningRate, or look for values in the data that are not finite"


def _due(interval: int, done: int) -> bool:
    return interval > 0 and done % interval == 0


def numbers(terms: Terms) -> dict[str, float]:
    """Terms as numbers; waits for the device."""
    return {name: float(term) for name, term in terms.items()}

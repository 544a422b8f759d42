"""The run of a sweep: trials are submitted, followed, given up, and the best is tagged."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from dianne.errors import UsageError
from dianne.jobs import lock
from dianne.jobs.ending import give_up
from dianne.jobs.entry import Entry
from dianne.jobs.prepare import plain
from dianne.jobs.queue import RESOURCES, Queue
from dianne.jobs.ranges import Choices, Space
from dianne.jobs.sweep import PreparedSweep, free_name, storage_of
from dianne.seeds import new_seed
from dianne.store import Store, history
from dianne.workspace import alone_in

optuna.logging.set_verbosity(optuna.logging.WARNING)
GLANCE = 0.2  # seconds between looks at trials
PATIENCE = 10.0  # seconds in which trials that are stopped have ended


@dataclass(frozen=True)
class Tried:
    """A trial.

    Attributes:
        number: counted from 0.
        status: "finished", "pruned", "failed", "stopped" or "running".
        value: the best of the metric so far; None if it was never evaluated.
        options: those that the sweep chose.
        job: its identifier; "" if its values did not fit, so that it could not begin.
        error: why it failed, else None.
    """

    number: int
    status: str
    value: float | None
    options: dict[str, Any]
    job: str
    error: str | None = None


Told = Callable[[Tried, str], None]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        name: of the sweep.
        metric: by which trials are compared; "" if none was evaluated.
        larger_is_better: whether larger values of it are.
        trials: the best first, those without a value last.
        tag: where the best weights are; "" if there are none.
        networks: those with that tag.
    """

    name: str
    metric: str
    larger_is_better: bool
    trials: list[Tried]
    tag: str
    networks: list[str]


def run(
    sweep: PreparedSweep,
    wake: Callable[[], object],
    told: Told = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> SweepResult:
    """Try until there are as many trials as wanted, and tag the best weights.

    Args:
        sweep: prepared.
        wake: sees that a runtime works the queue; called whenever there is something for it.
        told: is told of every trial that begins or is over, and by which metric trials are compared.
        stop: asked again and again; if it says so, trials that run are stopped; they go on with the sweep.

    Raises:
        UsageError: a sweep of this name runs already or tried something else, or no trial could begin.
    """
    with _study(sweep) as study:
        return _Run(sweep, study, wake, told).run(stop)


@contextmanager
def _study(sweep: PreparedSweep) -> Iterator[optuna.Study]:
    """What the sweep has tried; meanwhile no other process runs one of its name."""
    with alone_in(sweep.folder.state):  # others wait with their names, and with making the database
        if not (sweep.options.name or sweep.options.tag):
            sweep.name = free_name(sweep.folder, sweep.networks)
        claim = f"sweep-{hashlib.sha256(sweep.name.encode()).hexdigest()[:12]}"
        if not lock.hold(sweep.folder, claim):
            raise UsageError(
                f"the sweep '{sweep.name}' runs in another process; wait for it, or give another name=..."
            )
        study = optuna.create_study(
            storage=storage_of(sweep.folder), study_name=sweep.name, load_if_exists=True,
            direction="maximize" if sweep.larger_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner(),
        )  # fmt: skip
    try:
        yield study
    finally:
        lock.release(sweep.folder, claim)


class _Run:
    def __init__(self, sweep: PreparedSweep, study: optuna.Study, wake: Callable[[], object], told: Told):
        self.sweep, self.study, self.wake, self.told = sweep, study, wake, told
        self.queue = Queue(sweep.folder)
        self.metric = ""
        self.live: dict[str, _Live] = {}
        self._check_same()

    def _check_same(self) -> None:
        """A sweep that goes on tries the same as before."""
        sweep = self.sweep
        spaces = {key: repr(space) for key, space in sweep.spaces.items()}
        fixed = {key: plain(value) for key, value in sweep.fixed.items() if key not in RESOURCES}
        about = {"networks": sweep.networks, "dataset": sweep.dataset, "fixed": fixed, "spaces": spaces}
        text = json.dumps(about, default=str, sort_keys=True)
        before = self.study.user_attrs.get("about", text)
        if before != text:
            raise UsageError(
                f"the sweep '{sweep.name}' was of another job or other values; give it as it was, "
                "or choose another name=..."
            )
        self.study.set_user_attr("about", text)
        if "seed" not in self.study.user_attrs:
            drawn = sweep.options.seed if sweep.options.seed is not None else new_seed()
            self.study.set_user_attr("seed", drawn)

    def run(self, stop: Callable[[], bool]) -> SweepResult:
        trials = self.study.get_trials(deepcopy=False)
        self.metric = next((m for t in trials if (m := t.user_attrs.get("metric"))), "")
        try:
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    self._take_up(trial)
            while not stop() and (self.live or self._wanted()):
                while self._wanted() and len(self.live) < self.sweep.parallel:
                    self._start()
                self._look()
                time.sleep(GLANCE)
        finally:
            self._stop_all()
        return self._result()

    def _wanted(self) -> bool:
        return len(self.study.get_trials(deepcopy=False)) < self.sweep.options.trials

    def _start(self) -> None:
        """Submit one more trial; what it tries depends on the seed, its number and what others gave."""
        number = len(self.study.get_trials(deepcopy=False))
        seed = (self.study.user_attrs["seed"] + number) % 2**32
        self.study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = self.study.ask({key: _distribution(space) for key, space in self.sweep.spaces.items()})
        self._submit(trial)

    def _submit(self, trial: Trial) -> None:
        sweep = self.sweep
        tag = f"{sweep.name}/{trial.number}"
        options = {**sweep.fixed, **trial.params, "tag": tag}
        try:
            job = self.queue.submit("learn", sweep.networks, sweep.dataset, options)
        except UsageError as error:  # only the ends of a range were checked; another trial may fit
            trial.set_user_attr("error", str(error))
            self._tell(trial, TrialState.FAIL)
            return
        trial.set_user_attr("job", job)
        self._follow(trial, job)

    def _follow(self, trial: Trial, job: str) -> None:
        self.live[job] = _Live(trial)
        self.wake()
        self.told(self._tried(trial.number), self.metric)

    def _take_up(self, frozen: FrozenTrial) -> None:
        """Go on with a trial of an interrupted sweep, wherever its job is."""
        trial = Trial(self.study, frozen._trial_id)
        job = frozen.user_attrs.get("job")
        if job is None or not self.queue.knows(job):
            self._submit(trial)
            return
        if self.queue.get(job).status in ("stopped", "interrupted"):
            self.queue.resume(job)
        self._follow(trial, job)

    def _look(self) -> None:
        """See how the trials go, and which are over."""
        for job, live in list(self.live.items()):
            entry = self.queue.get(job)  # before its points: if it is over, they are all there
            if self._hopeless(job, live):
                self._prune(job)
            elif entry.over:
                fine = entry.status == "finished" and live.best is not None
                self._end(job, TrialState.COMPLETE if fine else TrialState.FAIL)

    def _hopeless(self, job: str, live: _Live) -> bool:
        """Report the evaluations that are new, one by one; whether others were better at that point."""
        for point in self.queue.progress(job, live.last):
            live.last = point.number
            if point.kind != "validation":
                continue
            name, value = next(iter(point.numbers.items()))
            self.metric = name
            live.trial.set_user_attr("metric", name)
            if not math.isnan(value):
                better = max if self.sweep.larger_is_better else min
                live.best = value if live.best is None else better(live.best, value)
                live.trial.set_user_attr("best", live.best)
            if point.iteration in live.reported:
                continue
            live.reported.add(point.iteration)
            live.trial.report(value, point.iteration)
            if live.trial.should_prune():
                return True
        return False

    def _end(self, job: str, state: TrialState) -> None:
        live = self.live.pop(job)
        self._tell(live.trial, state, live.best if state == TrialState.COMPLETE else None)

    def _tell(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        """Tell the study, and whoever follows, that a trial is over."""
        self.study.tell(trial.number, value, state)
        self.told(self._tried(trial.number), self.metric)

    def _prune(self, job: str) -> None:
        with suppress(UsageError):  # it has ended meanwhile
            self.queue.stop(job)
        with self.queue.database.writing() as session:
            give_up(session, job, self.sweep.name)
        self._end(job, TrialState.PRUNED)

    def _stop_all(self) -> None:
        """Stop what runs; in the study these trials stay open, and go on when the sweep does."""
        for job in self.live:
            with suppress(UsageError):
                self.queue.stop(job)
        until = time.monotonic() + PATIENCE
        while not all(self.queue.get(job).over for job in self.live) and time.monotonic() < until:
            time.sleep(GLANCE)

    def _tried(self, number: int) -> Tried:
        return _tried(self.study.get_trials(deepcopy=False)[number], self.queue)

    def _result(self) -> SweepResult:
        tried = [_tried(trial, self.queue) for trial in self.study.get_trials(deepcopy=False)]
        if tried and not any(trial.job for trial in tried):
            raise UsageError(f"no trial of the sweep '{self.sweep.name}' could begin; {tried[-1].error}")
        sign = -1 if self.sweep.larger_is_better else 1
        tried.sort(key=lambda trial: (trial.value is None, sign * (trial.value or 0.0)))
        networks = self._tag_best(next((trial for trial in tried if trial.status == "finished"), None))
        tag = self._best_tag if networks else ""
        return SweepResult(self.sweep.name, self.metric, self.sweep.larger_is_better, tried, tag, networks)

    @property
    def _best_tag(self) -> str:
        return self.sweep.options.tag or self.sweep.name

    def _tag_best(self, best: Tried | None) -> list[str]:
        """Tag the best weights of a trial; returns the networks that have some: others do not learn."""
        if best is None:
            return []
        store, source = Store(self.sweep.folder.models), f"{self.sweep.name}/{best.number}@best"
        stored = [name for name in self.sweep.networks if store.has(name, source)]
        history.tag(store, stored, source, [self._best_tag])
        return stored


@dataclass
class _Live:
    """A trial that is not over."""

    trial: Trial
    last: int = 0
    best: float | None = None

    def __post_init__(self) -> None:
        frozen = self.trial.study.get_trials(deepcopy=False)[self.trial.number]
        self.reported = set(frozen.intermediate_values)


_STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned"}


def _tried(trial: FrozenTrial, queue: Queue) -> Tried:
    job = trial.user_attrs.get("job", "")
    entry: Entry | None = queue.get(job) if job and queue.knows(job) else None
    status = _STATES.get(trial.state) or (entry.status if entry else "failed")
    error = (entry.error if entry else trial.user_attrs.get("error")) if status == "failed" else None
    return Tried(trial.number, status, trial.user_attrs.get("best"), dict(trial.params), job, error)


def _distribution(space: Space) -> BaseDistribution:
    if isinstance(space, Choices):
        return CategoricalDistribution(space.values)
    if isinstance(space.low, int) and isinstance(space.high, int):
        return IntDistribution(space.low, space.high, log=space.log, step=int(space.step or 1))
    return FloatDistribution(space.low, space.high, log=space.log, step=space.step)

"""Sweeps: a job is tried with many options, each trial a job of the queue, and the best is kept.

Optuna chooses what to try and which trials to give up; its study in `.dianne/sweeps.db` has what was tried,
so that a sweep that was interrupted goes on. All else about a trial is where it is of any job.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dianne.binding import Consumer, bind
from dianne.errors import UsageError
from dianne.jobs import learn
from dianne.jobs.entry import Entry
from dianne.jobs.prepare import layered, names_of, plain, typed
from dianne.jobs.queue import RESOURCES, Queue, notify
from dianne.jobs.ranges import Choices, Space, read_choices, read_range
from dianne.jobs.resources import Resources, filled, machine
from dianne.options import NonNegativeInt, Options, PositiveInt, keys
from dianne.seeds import new_seed
from dianne.store import Store, check_tag, history
from dianne.workspace import Folder

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as missing:
    raise UsageError("a sweep needs the extra `sweep`: pip install 'dianne[sweep]'") from missing

optuna.logging.set_verbosity(optuna.logging.WARNING)
GLANCE = 0.2  # seconds between looks at trials
PATIENCE = 10.0  # seconds in which trials that are stopped have ended


class SweepOptions(Options):
    """Options of the sweep itself."""

    trials: PositiveInt = 20
    """How many trials there are in the end."""
    name: str | None = None
    """Of the sweep; with the name of one that was interrupted, that one goes on."""
    tag: str | None = None
    """Where the best weights go; the name if left out."""
    parallel: PositiveInt | None = None
    """Trials that run at once; as many as the machine has room for if left out."""
    seed: NonNegativeInt | None = None
    """Of the choice of values, and of every trial."""


@dataclass(frozen=True)
class Tried:
    """A trial.

    Attributes:
        number: counted from 0.
        status: "finished", "pruned", "failed", "stopped" or "running".
        value: the best of the metric so far; None if it was never evaluated.
        options: those that the sweep chose.
        job: its identifier.
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


@dataclass
class PreparedSweep:
    """A sweep in which everything named was found, and every value fits."""

    folder: Folder
    name: str
    networks: list[str]
    dataset: str
    fixed: dict[str, Any]
    spaces: dict[str, Space]
    options: SweepOptions
    larger_is_better: bool
    parallel: int


# ----------------------------------------------------------------------------------------------- preparing


def prepare(
    folder: Folder, networks: str | Iterable[str], dataset: str, options: Mapping[str, Any]
) -> PreparedSweep:
    """Check a sweep as if all its trials began now.

    A value `a..b` is a range, and one with commas is a choice, unless the option takes it as it is.

    Raises:
        UsageError: something does not exist or fit, nothing is swept, or nothing would compare the trials.
    """
    spaces: dict[str, Space] = {
        k: found for k, v in options.items() if (found := read_range(k, str(plain(v))))
    }
    own = {key: options[key] for key in keys(SweepOptions) if key in options and key not in spaces}
    if "," in str(plain(own.get("seed", ""))):
        del own["seed"]
    chosen = bind("sweep", [Consumer("sweep", SweepOptions)], layered(typed(own)))
    sweep = chosen.of("sweep", SweepOptions)
    fixed = {key: value for key, value in options.items() if key not in own and key not in spaces}
    if sweep.seed is not None:
        fixed["seed"] = sweep.seed
    jobs = {key: value for key, value in fixed.items() if key not in ("cpus", "gpus")}
    prepared = _find_choices(folder, networks, dataset, jobs, spaces)
    if not spaces:
        raise UsageError("nothing varies; give an option a range or a choice: learningRate=1e-4..1e-2:log")
    for key, space in spaces.items():
        for end in space.ends[1:]:
            learn.prepare(folder, networks, dataset, {**jobs, **_first(spaces), key: end})
        fixed.pop(key, None)
    if prepared.evaluation is None:
        raise UsageError(
            "a sweep needs validationSet=... or split=..., samples that tell which trial is best"
        )
    name = sweep.name or sweep.tag or _free_name(folder)
    check_tag(f"{name}/{sweep.trials}@best")
    check_tag(sweep.tag or name)
    return PreparedSweep(
        folder, name, names_of(networks), dataset, fixed, spaces, sweep,
        prepared.evaluation.larger_is_better, sweep.parallel or _room(fixed),
    )  # fmt: skip


def _room(options: Mapping[str, Any]) -> int:
    """How many trials the machine runs at once."""
    asked = {key: options[key] for key in RESOURCES if key in options}
    bound = bind("sweep", [Consumer("resources", Resources)], layered(typed(asked)))
    has = machine()
    takes = filled(bound.of("resources", Resources), has)
    return max(1, int(has.cpus // takes.cpus)) if takes.cpus else has.cpus


def _first(spaces: Mapping[str, Space]) -> dict[str, Any]:
    return {key: space.ends[0] for key, space in spaces.items()}


def _find_choices(
    folder: Folder, networks: Any, dataset: str, jobs: dict[str, Any], spaces: dict[str, Space]
) -> learn.PreparedLearn:
    """Check the first of all values; lists that an option does not take as they are become choices."""
    lists = {k: found for k, v in jobs.items() if (found := read_choices(str(plain(v))))}
    while True:
        try:
            return learn.prepare(folder, networks, dataset, {**jobs, **_first(spaces)})
        except UsageError as error:
            refused = [
                key for key in lists if f"'{key}'" in str(error) or f"'{plain(jobs[key])}'" in str(error)
            ]
            if not refused:
                raise
            spaces |= {key: lists.pop(key) for key in refused}


def _place(folder: Folder) -> Path:
    return folder.state / "sweeps.db"


def _storage(folder: Folder) -> str:
    return f"sqlite:///{_place(folder)}"


def _free_name(folder: Folder) -> str:
    known = optuna.get_all_study_names(_storage(folder)) if _place(folder).exists() else []
    return next(name for n in range(1, len(known) + 2) if (name := f"sweep{n}") not in known)


# ------------------------------------------------------------------------------------------------- running


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
        UsageError: a sweep of this name tried something else.
    """
    _place(sweep.folder).parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=_storage(sweep.folder), study_name=sweep.name, load_if_exists=True,
        direction="maximize" if sweep.larger_is_better else "minimize",
        pruner=optuna.pruners.MedianPruner(),
    )  # fmt: skip
    return _Run(sweep, study, wake, told).run(stop)


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
        job = self.queue.submit("learn", sweep.networks, sweep.dataset, options)
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
        number = live.trial.number
        self.study.tell(number, live.best if state == TrialState.COMPLETE else None, state)
        self.told(self._tried(number), self.metric)

    def _prune(self, job: str) -> None:
        with suppress(UsageError):  # it has ended meanwhile
            self.queue.stop(job)
        with self.queue.database.writing() as session:
            notify(session, job, "INFO", f"given up: other trials of the sweep {self.sweep.name} were better")
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
    error = entry.error if entry and status == "failed" else None
    return Tried(trial.number, status, trial.user_attrs.get("best"), dict(trial.params), job, error)


def _distribution(space: Space) -> BaseDistribution:
    if isinstance(space, Choices):
        return CategoricalDistribution(space.values)
    if isinstance(space.low, int) and isinstance(space.high, int):
        return IntDistribution(space.low, space.high, log=space.log, step=int(space.step or 1))
    return FloatDistribution(space.low, space.high, log=space.log, step=space.step)

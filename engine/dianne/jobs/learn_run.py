"""The run of a learn job: data, weights, the loop, and what is stored when."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

from dianne.data.adapters.stack import statistics_of
from dianne.data.dataset import Dataset
from dianne.data.files import Progress
from dianne.data.options import view
from dianne.data.readers import open_dataset
from dianne.evaluation.strategy import Evaluation
from dianne.jobs.learn import LearnResult, LearnWatcher, PreparedLearn
from dianne.jobs.prepare import Member, criterion_of
from dianne.jobs.record import Recorder
from dianne.jobs.start import Start
from dianne.jobs.validate import Validator
from dianne.learning.begin import fit_statistics, freeze
from dianne.learning.divergence import copy_weights
from dianne.learning.execution import Execution
from dianne.learning.job import LearnJob, Rehearsal
from dianne.learning.loop import Loop, Report, Watcher, Weights
from dianne.learning.methods import METHODS
from dianne.learning.profile import Profile
from dianne.learning.schedules import SCHEDULES
from dianne.learning.stopping import BatchLosses
from dianne.learning.strategy import LearningStrategy, Terms
from dianne.learning.trainer import Average, Trainer
from dianne.plugins import StrategyError, user_code
from dianne.seeds import derive, new_seed
from dianne.store import Manifest, Store


class LearnRun:
    """The run of a prepared learn job.

    Args:
        job: prepared.
        watcher: is told how it goes.
        stop: asked before every iteration; a reason ends the job, its weights stored.
    """

    def __init__(self, job: PreparedLearn, watcher: LearnWatcher, stop: Callable[[], str] = lambda: ""):
        self.job = job
        self.watcher = watcher
        self.stop = stop
        self.store = Store(job.folder.models)
        self.seed = job.options.seed if job.options.seed is not None else new_seed()
        self.losses = BatchLosses(job.options)
        self.execution = Execution(job.options, job.options.max_iterations, watcher.note)
        self.validator: Validator | None = None

    def run(self) -> LearnResult:
        """Learn, and store the weights.

        Raises:
            DianneError: see its kinds; what was stored before stays.
        """
        job = self.job
        progress: Progress = self.watcher.fetching
        full = open_dataset(job.folder, job.described, progress)
        self.fingerprint = full.fingerprint()
        train = view(full, job.train, job.data)
        self.labels, self.statistics = train.labels, statistics_of(train)
        self.rehearse(train)
        start = Start(job, self.store, self.seed, self.watcher.note)
        self.graphs = start.graphs()
        self.before = start.before
        fit_statistics(self.graphs, train)
        freeze({(m.name, m.role): self.graphs[m.role] for m in job.team}, job.options.fixed)
        self.learning = {m.name: self.graphs[m.role] for m in job.team if m.trains}
        if job.validation:
            own = job.data.validation_set is None  # what `split` leaves
            chosen = job.data if own else job.data.model_copy(update={"split": None, "split_seed": 0})
            self.validator = self._validator(view(full, job.validation, chosen, self.statistics, rest=own))
        strategy, learn_job = self.set_up(train)
        self.watcher.start(job, getattr(learn_job.options, "batch_size", 0))
        loop = Loop(
            strategy, learn_job, self.learning, job.options, self._store, _Following(self), self._reason,
            self._averages(), learn_job.note,
        )  # fmt: skip
        entry = {**self._description(), "tag": job.tag}
        self.recorder = Recorder(job.folder, entry, job.options.max_iterations, self.watcher.note)
        profile = Profile(loop, self.recorder.path / "trace.json") if job.options.profile else None
        try:
            with self.execution.running():
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(derive(self.seed, "dropout"))
                    outcome = loop.run()
                if self.validator and outcome.iteration:
                    self.validator.validate(outcome.iteration)
        finally:
            self.recorder.flush()
        return LearnResult(
            job.identifier, job.tag, list(self.learning), outcome.iteration, outcome.terms, outcome.seconds,
            outcome.history, self.validator.found if self.validator else {}, outcome.stopped,
            profile.close(outcome.seconds) if profile else {},
        )  # fmt: skip

    def _reason(self) -> str:
        """Why the job should end now, or ""."""
        found = self.validator.values.reason() if self.validator else ""
        return self.stop() or self.losses.reason() or found

    def rehearse(self, train: Dataset) -> None:
        """One iteration without data: finds shapes that do not fit before any work is done."""
        networks = tuple(self.job.networks[member.name].build_without_data() for member in self.job.team)
        bound = self.job.bound
        options = bound.get(self.job.strategy.__name__)
        try:
            # The device of the strategy's own tensors, too, unless it names one.
            with (
                user_code(self.job.strategy.__name__),
                torch.random.fork_rng(devices=[]),
                torch.device("meta"),
            ):
                strategy = self.job.strategy()
                strategy.setup(Rehearsal(networks, options, train, criterion_of(bound, options)))
                strategy.process_iteration(0)
        except StrategyError as error:
            if "meta" not in str(error.__cause__):  # it looked at values, and there are none
                raise

    def set_up(self, train: Dataset) -> tuple[LearningStrategy, LearnJob]:
        """The strategy, ready for its first iteration, and what it sees."""
        bound = self.job.bound
        options: Any = bound.get(self.job.strategy.__name__)
        for graph in self.graphs.values():
            self.execution.place(graph)
        learn_job = LearnJob(
            tuple(self.graphs.values()), options, train, self.seed, self._trainer,
            sampling=bound.find(getattr(options, "sampling", "")),
            criterion=criterion_of(bound, options),
            accumulate=self.job.options.accumulate,
            execution=self.execution,
            note=self.watcher.note,
        )  # fmt: skip
        with user_code(f"setup of {self.job.strategy.__name__}"):
            strategy = self.job.strategy()
            strategy.setup(learn_job)
        return strategy, learn_job

    def _trainer(self, network: torch.nn.Module) -> Trainer | None:
        """The trainer of one network, as its options say; none where all is fixed."""
        if not any(weight.requires_grad for weight in network.parameters()):
            return None
        member = next(member for member in self.job.team if self.graphs[member.role] is network)
        bound, role = self.job.bound, member.role
        options = self.job.of_member(member)
        method: Any = bound.get(f"{role}.method")
        return Trainer(
            network,
            (METHODS.get(method.method), bound.get(f"{role}.{method.method}")),
            (SCHEDULES.get(options.schedule), bound.get(f"{role}.{options.schedule}")),
            options,
            self.job.options.max_iterations,
        )

    def _averages(self) -> dict[str, Average]:
        """Moving averages, of the networks that have one."""
        decays = [(m, ema) for m in self.job.team if m.trains and (ema := self.job.of_member(m).ema)]
        return {member.name: Average(self.graphs[member.role], ema) for member, ema in decays}

    def _validator(self, dataset: Dataset) -> Validator:
        """Evaluates while the job learns; goes on from the best that the tag has, if its weights do."""
        job, name = self.job, next(iter(self.learning))
        best: dict[str, float] = {}
        if self.before and self.store.has(name, f"{job.tag}@best"):
            best = self.store.manifest(name, f"{job.tag}@best").metrics

        def store_best(iteration: int, found: Evaluation) -> None:
            weights = {name: copy_weights(graph) for name, graph in self.learning.items()}
            self._store(weights, iteration, {}, "@best", found.metrics)

        begin = time.perf_counter()

        def told(iteration: int, found: Evaluation) -> None:
            self.recorder.validated(iteration, time.perf_counter() - begin, found.metrics)
            self.watcher.validated(iteration, found)

        return Validator(
            job, self.learning, dataset, self.seed, best, store_best, told, self.execution.evaluation
        )

    # ------------------------------------------------------------------------------------------- weights

    def _store(
        self, weights: Weights, iteration: int, terms: dict[str, float], suffix: str,
        metrics: dict[str, float] | None = None,
    ) -> bool:  # fmt: skip
        tag = self.job.tag
        if iteration == 0 and (self.before or any(self.store.has(name, tag) for name in weights)):
            has = self.before and all(self.store.has(name, tag) for name in weights)
            return bool(has) and not self.job.options.clean  # they have learned nothing in this job
        total = self.before + iteration
        if suffix == f"@{iteration}":
            suffix = f"@{total}"
        for member in self.job.team:
            if member.trains and member.name in weights:
                manifest = self._manifest(member, total, terms, metrics or {})
                self.store.put(tag + suffix, manifest, weights[member.name])
        return True

    def _manifest(
        self, member: Member, iteration: int, terms: dict[str, float], metrics: dict[str, float]
    ) -> Manifest:
        job, network = self.job, self.job.networks[member.name]
        parent = None if job.options.clean else job.origin(member)
        return Manifest(
            network=network.name,
            text=network.file.document.text,
            parameters=network.parameters,
            texts=network.texts(),
            overrides=network.overrides,
            job=self._description(),
            iteration=iteration,
            loss=terms,
            metrics=metrics,
            labels=self.labels,
            dataset=self._data(),
            versions={
                "dianne": importlib.metadata.version("dianne"),
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
            parent=self.store.resolve(network.name, parent) if parent else None,
        )

    def _data(self) -> dict[str, str]:
        """What the manifest says of the data; with `normalise` its statistics, for evaluations."""
        found = {"name": self.job.described.name, "fingerprint": self.fingerprint}
        if self.job.data.normalise:
            found["normalise"] = json.dumps(self.statistics)
        return found

    def _description(self) -> dict[str, Any]:
        """What the job was asked to do; enough to do it again."""
        job = self.job
        return {
            "id": job.identifier,
            "command": "learn",
            "networks": [member.name for member in job.team],
            "dataset": job.described.name,
            "strategy": job.strategy.__name__,
            "options": {key: _plain(value) for key, value in job.bound.given().items()},
            "seed": self.seed,
            "device": str(self.execution.device),
        }


class _Following(Watcher):
    """Passes everything on, records it, watches the losses, and validates when it is time."""

    def __init__(self, run: LearnRun):
        self.run = run
        self.begin = time.perf_counter()

    def tick(self, iteration: int, terms: Terms) -> None:
        run = self.run
        run.watcher.tick(iteration, terms)
        run.losses.add(terms)
        run.recorder.tick(iteration, time.perf_counter() - self.begin, terms)
        if run.validator and iteration % run.job.options.validation_interval == 0:
            run.validator.validate(iteration)

    def report(self, report: Report) -> None:
        self.run.watcher.report(report)

    def back(self, iteration: int) -> None:
        self.run.watcher.back(iteration)
        self.run.losses.losses.clear()
        if self.run.validator:
            self.run.validator.back(iteration)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))  # as a user writes it
    return value if isinstance(value, str | int | float | bool | None) else str(value)

"""The run of a learn job: data, weights, the loop, and what is stored when."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from dianne.data.adapters.stack import statistics_of
from dianne.data.dataset import Dataset
from dianne.data.files import Progress
from dianne.data.options import view
from dianne.data.readers import open_dataset
from dianne.evaluation.strategy import Evaluation
from dianne.jobs import track
from dianne.jobs.checkpoint import Checkpoint
from dianne.jobs.keep import Keep
from dianne.jobs.keeper import Keeper, place_of, running, threads
from dianne.jobs.learn import LearnResult, LearnWatcher, PreparedLearn
from dianne.jobs.prepare import criterion_of
from dianne.jobs.recipe import asked_of, check_data, recipe_of
from dianne.jobs.record import Recorder
from dianne.jobs.start import Start
from dianne.jobs.validate import Validator
from dianne.learning.begin import fit_statistics, freeze
from dianne.learning.divergence import copy_weights
from dianne.learning.execution import Execution
from dianne.learning.job import LearnJob, Rehearsal
from dianne.learning.loop import Loop, Outcome, Report, Watcher
from dianne.learning.methods import METHODS
from dianne.learning.profile import Profile
from dianne.learning.schedules import SCHEDULES
from dianne.learning.state import Attributes, load_module_state, module_state
from dianne.learning.stopping import BatchLosses
from dianne.learning.strategy import LearningStrategy, Terms
from dianne.learning.trainer import Average, Trainer
from dianne.plugins import StrategyError, user_code
from dianne.seeds import global_states, new_seed, set_global_states, streams
from dianne.store import Store


class LearnRun:
    """The run of a prepared learn job.

    Args:
        job: prepared.
        watcher: is told how it goes.
        stop: asked before every iteration; a reason ends the job, its weights stored.
        known: where the job stood, for one that goes on; without a state only what it started from, for one
            that is done again.
        until: iterations after which it ends, if before its own end.
    """

    def __init__(
        self,
        job: PreparedLearn,
        watcher: LearnWatcher,
        stop: Callable[[], str] = lambda: "",
        known: Checkpoint | None = None,
        until: int | None = None,
    ):
        self.job = job
        self.watcher = watcher
        self.stop = stop
        self.known = known
        self.until = until
        self.store = Store(job.folder.models)
        chosen = known.recipe["seed"] if known else job.options.seed
        self.seed: int = new_seed() if chosen is None else chosen
        self.losses = BatchLosses(job.options)
        where = {"device": known.recipe["device"]} if known else {}
        self.execution = Execution(
            job.options.model_copy(update=where), job.options.max_iterations, watcher.note
        )
        self.validator: Validator | None = None
        self.interrupted = False

    def run(self) -> LearnResult:
        """Learn, and store the weights.

        Raises:
            DianneError: see its kinds; what was stored before stays.
        """
        count = self.known.recipe["threads"] if self.known else None
        folder, identifier, total = self.job.folder, self.job.identifier, self.job.options.max_iterations
        asked = {**asked_of(self.job, self.seed), "tag": self.job.tag}
        with (
            running(folder, identifier),
            threads(count),
            self.execution.running(),
            Recorder(folder, asked, total, self.watcher.note) as self.recorder,
        ):
            if self.job.options.track:
                track.start(folder, identifier, self.job.options.track)
            result = self._run()
            self.recorder.ended(result.summary(), result.stopped if self.interrupted else "")
        return result

    def _run(self) -> LearnResult:
        train = self._open()
        with streams(self.seed, "dropout"):
            loop = self._set_up_all(train)
            if self.known and self.known.state:
                self._load_state_dict(self.known.state)
                self.watcher.resumed(loop.outcome.iteration, time.perf_counter() - loop.begin)
            trace = place_of(self.job.folder, self.job.identifier) / "trace.json"
            profile = Profile(loop, trace) if self.job.options.profile else None
            try:
                outcome = loop.run()
                if self.validator and outcome.iteration:
                    self.validator.validate(outcome.iteration)
                if not self.interrupted:
                    self.keeper.finish(outcome.iteration)
            finally:
                self.keeper.close()
        return self._result(outcome, profile)

    def _result(self, outcome: Outcome, profile: Profile | None) -> LearnResult:
        return LearnResult(
            self.job.identifier, self.job.tag, list(self.learning), outcome.iteration, outcome.terms,
            outcome.seconds, outcome.history, self.validator.found if self.validator else {}, outcome.stopped,
            profile.close(outcome.seconds) if profile else {},
        )  # fmt: skip

    # ------------------------------------------------------------------------------------- before it begins

    def _open(self) -> Dataset:
        """The samples to learn from, networks with their first weights, and what judges them."""
        job = self.job
        progress: Progress = self.watcher.fetching
        full = open_dataset(job.folder, job.described, progress, job.data.memory_limit)
        fingerprint = full.fingerprint()
        if self.known:
            check_data(self.known.recipe, fingerprint)
        train = view(full, job.train, job.data)
        self.rehearse(train)
        resumed = bool(self.known and self.known.state)
        starts = self.known.recipe["starts"] if self.known else None
        start = Start(job, self.store, self.seed, self.watcher.note, starts)
        self.graphs = start.blank() if resumed else start.graphs()
        if not resumed:
            fit_statistics(self.graphs, train)
        freeze({(m.name, m.role): self.graphs[m.role] for m in job.team}, job.options.fixed)
        self.learning = {m.name: self.graphs[m.role] for m in job.team if m.trains}
        best = self.known.recipe["best"] if self.known else self._best(start.before)
        manifests = starts or start.manifests
        self.recipe = recipe_of(job, self.seed, manifests, best, fingerprint, self.execution.device)
        self.keep = Keep(
            job, self.store, self.recipe, start.before, train.labels, statistics_of(train), resumed
        )
        self.keeper = Keeper(
            place_of(job.folder, job.identifier), self.recipe, job.options.checkpoint_interval,
            self.watcher.note,
        )  # fmt: skip
        if job.validation:
            own = job.data.validation_set is None  # what `split` leaves
            chosen = job.data if own else job.data.model_copy(update={"split": None, "split_seed": 0})
            rest = view(full, job.validation, chosen, statistics_of(train), rest=own)
            self.validator = self._validator(rest, best)
        return train

    def _set_up_all(self, train: Dataset) -> Loop:
        """The strategy and its loop, ready for the first iteration."""
        job = self.job
        self.strategy, self.learn_job = self.set_up(train)
        self.attributes = Attributes(self.strategy, self.learn_job.owned())
        self.averages = self._averages()
        self.watcher.start(job, getattr(self.learn_job.options, "batch_size", 0))
        self.loop = Loop(
            self.strategy, self.learn_job, self.learning, job.options, self.keep.store_weights,
            _Following(self), self._reason, self.averages, self.learn_job.note, self._boundary,
        )  # fmt: skip
        return self.loop

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
            self.execution.captures,
        )

    def _averages(self) -> dict[str, Average]:
        """Moving averages, of the networks that have one."""
        decays = [(m, ema) for m in self.job.team if m.trains and (ema := self.job.of_member(m).ema)]
        return {member.name: Average(self.graphs[member.role], ema) for member, ema in decays}

    def _best(self, before: int) -> dict[str, float]:
        """What is known of the weights under TAG@best, if the job goes on from those of the tag."""
        name, tag = next(iter(self.learning)), f"{self.job.tag}@best"
        found = self.job.validation and before and self.store.has(name, tag)
        return self.store.manifest(name, tag).metrics if found else {}

    def _validator(self, dataset: Dataset, best: Mapping[str, float]) -> Validator:
        """Evaluates while the job learns, and keeps the best weights."""

        def store_best(iteration: int, found: Evaluation) -> None:
            weights = {name: copy_weights(graph) for name, graph in self.learning.items()}
            self.keep.store_weights(weights, iteration, {}, "@best", found.metrics)

        def told(iteration: int, found: Evaluation) -> None:
            self.recorder.validated(iteration, time.perf_counter() - self.loop.begin, found.metrics)
            self.watcher.validated(iteration, found)

        return Validator(
            self.job, self.learning, dataset, self.seed, best, store_best, told, self.execution.evaluation
        )

    # --------------------------------------------------------------------------------------- while it learns

    def _reason(self) -> str:
        """Why the job should end now, or ""."""
        found = self.validator.values.reason() if self.validator else ""
        reason = self.stop() or ("dianne stop" if self.recorder.stopping else "")
        if reason:  # from outside: what is stored now is no step of the job, so the checkpoint comes first
            self.interrupted = True
            self.keeper.offer(self.loop.outcome.iteration, self._state_dict, now=True)
        elif self.loop.outcome.iteration == self.until:
            reason = f"reaching iteration {self.until:,}"
        return reason or self.losses.reason() or found

    def _boundary(self) -> None:
        self.keeper.offer(self.loop.outcome.iteration, self._state_dict)

    def _state_dict(self) -> dict[str, Any]:
        """All that decides how the job goes on."""
        attributes = self.attributes.state_dict()
        for problem in self.attributes.problems:
            self.learn_job.note(problem)
        return {
            "streams": global_states(),
            "networks": {role: module_state(graph) for role, graph in self.graphs.items()},
            "strategy": attributes,
            "job": self.learn_job.state_dict(),
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "losses": self.losses.state_dict(),
            "validator": self.validator and self.validator.state_dict(),
            "loop": self.loop.state_dict(),
            "before": self.keep.before,
        }

    def _load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the order counts, as some read what others hold."""
        for role, graph in self.graphs.items():
            load_module_state(graph, state["networks"][role])
        self.learn_job.load_state_dict(state["job"])
        self.attributes.load_state_dict(state["strategy"])
        for name, average in self.averages.items():
            average.load_state_dict(state["averages"][name])
        self.losses.load_state_dict(state["losses"])
        if self.validator:
            self.validator.load_state_dict(state["validator"])
        self.loop.load_state_dict(state["loop"])
        self.keep.before = state["before"]
        set_global_states(state["streams"])


class _Following(Watcher):
    """Passes everything on, records it, watches the losses, and validates when it is time."""

    def __init__(self, run: LearnRun):
        self.run = run

    def tick(self, iteration: int, terms: Terms) -> None:
        run = self.run
        run.watcher.tick(iteration, terms)
        run.losses.add(terms)
        run.recorder.tick(iteration, time.perf_counter() - run.loop.begin, terms)
        if run.validator and iteration % run.job.options.validation_interval == 0:
            run.validator.validate(iteration)

    def report(self, report: Report) -> None:
        self.run.watcher.report(report)

    def back(self, iteration: int) -> None:
        self.run.watcher.back(iteration)
        self.run.losses.losses.clear()
        if self.run.validator:
            self.run.validator.back(iteration)

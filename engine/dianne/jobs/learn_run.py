"""The run of a learn job: data, weights, the loop, and what is stored when."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from typing import Any

import torch

from dianne.data.dataset import Dataset
from dianne.data.files import Progress
from dianne.data.options import view
from dianne.data.readers import open_dataset
from dianne.evaluation.evaluator import evaluate
from dianne.evaluation.strategy import Evaluation, EvaluationStrategy
from dianne.jobs.learn import LearnResult, LearnWatcher, PreparedLearn
from dianne.learning.begin import fit_statistics, freeze
from dianne.learning.job import LearnJob, Rehearsal
from dianne.learning.loop import Loop, Report, Watcher, Weights
from dianne.learning.methods import METHODS
from dianne.learning.strategy import LearningStrategy, Terms
from dianne.network.graph import Graph
from dianne.network.network import Network
from dianne.plugins import StrategyError, user_code
from dianne.seeds import derive, new_seed
from dianne.store import Manifest, MisfitError, Store, load_weights


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
        self.validations: dict[int, Evaluation] = {}
        self.before = 0  # iterations that the weights had learned when this job began

    def run(self) -> LearnResult:
        """Learn, and store the weights.

        Raises:
            DianneError: see its kinds; what was stored before stays.
        """
        job = self.job
        progress: Progress = self.watcher.fetching
        full = open_dataset(job.folder, job.described, progress)
        self.fingerprint, self.labels = full.fingerprint(), full.labels
        train = view(full, job.train, job.data)
        self.validation = view(full, job.validation, job.data) if job.validation else None
        self._rehearse(train)
        self.graphs = self._start_weights()
        fit_statistics(self.graphs, train)
        freeze({(m.name, m.role): self.graphs[m.name] for m in job.team}, job.options.fixed)
        strategy, learn_job = self._set_up(train)
        self.watcher.start(job, getattr(learn_job.options, "batch_size", 0))
        loop = Loop(strategy, learn_job, self.graphs, job.options, self._store, _Validating(self), self.stop)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "dropout"))
            outcome = loop.run()
        return LearnResult(
            job.identifier, job.tag, list(self.graphs), outcome.iteration, outcome.terms,
            outcome.seconds, outcome.history, self.validations, outcome.stopped,
        )  # fmt: skip

    def _rehearse(self, train: Dataset) -> None:
        """One iteration without data: finds shapes that do not fit before any work is done."""
        networks = tuple(self.job.networks[member.name].build_without_data() for member in self.job.team)
        options = self.job.bound.get(self.job.strategy.__name__)
        try:
            with user_code(self.job.strategy.__name__), torch.random.fork_rng(devices=[]):
                strategy = self.job.strategy()
                strategy.setup(Rehearsal(networks, options, train))
                strategy.process_iteration(0)
        except StrategyError as error:
            if "meta tensor" not in str(error.__cause__):  # it looked at values, and there are none
                raise

    def _set_up(self, train: Dataset) -> tuple[LearningStrategy, LearnJob]:
        bound = self.job.bound
        roles = {self.graphs[member.name]: member.role for member in self.job.team}

        def optimizer(network: torch.nn.Module) -> torch.optim.Optimizer | None:
            role = roles[network]  # type: ignore[index]
            name = bound.get(f"{role}.method").method  # type: ignore[attr-defined]
            weights = [weight for weight in network.parameters() if weight.requires_grad]
            return METHODS.get(name).build(weights, bound.get(f"{role}.{name}")) if weights else None

        options = bound.get(self.job.strategy.__name__)
        sampling: Any = bound.get(options.sampling) if hasattr(options, "sampling") else None
        learn_job = LearnJob(tuple(self.graphs.values()), options, train, self.seed, optimizer, sampling)
        with user_code(f"setup of {self.job.strategy.__name__}"):
            strategy = self.job.strategy()
            strategy.setup(learn_job)
        return strategy, learn_job

    # ------------------------------------------------------------------------------------------- weights

    def _start_weights(self) -> dict[str, Graph]:
        """Networks with the weights of initTag, else of the tag as far as it has any, else new ones."""
        options, tag = self.job.options, self.job.tag
        graphs = self._new_graphs()
        if options.clean:
            return graphs
        if options.init_tag:
            self._load(graphs, options.init_tag)
            return graphs
        stored = {name: graph for name, graph in graphs.items() if self.store.has(name, tag)}
        if not stored:
            return graphs
        try:
            self._load(stored, tag)
        except MisfitError:
            self.watcher.note(
                f"the weights under '{tag}' are of another shape; starting from new ones "
                "(the old ones stay in the tag's history)"
            )
            return self._new_graphs()
        for name in graphs.keys() - stored.keys():
            self.watcher.note(f"{name} has no weights under '{tag}'; it starts from new ones")
        return graphs

    def _new_graphs(self) -> dict[str, Graph]:
        return {name: network.build(self.seed) for name, network in self.job.networks.items()}

    def _load(self, graphs: Mapping[str, Graph], tag: str) -> None:
        manifests = {name: self.store.manifest(name, tag) for name in graphs}
        for name, graph in graphs.items():
            load_weights(graph, self.store.weights(manifests[name]), f"{name}:{tag}")
        self.before = max(manifest.iteration for manifest in manifests.values())
        self.watcher.note(f"starting from '{tag}', which has learned {self.before:,} iterations")

    def _store(self, weights: Weights, iteration: int, terms: dict[str, float], snapshot: bool) -> bool:
        if iteration == 0 and (self.before or any(self.store.has(name, self.job.tag) for name in weights)):
            has = self.before and all(self.store.has(name, self.job.tag) for name in weights)
            return bool(has) and not self.job.options.clean  # they have learned nothing in this job
        total = self.before + iteration
        tag = f"{self.job.tag}@{total}" if snapshot else self.job.tag
        for name, tensors in weights.items():
            self.store.put(tag, self._manifest(self.job.networks[name], total, terms), tensors)
        return True

    def _manifest(self, network: Network, iteration: int, terms: dict[str, float]) -> Manifest:
        job = self.job
        parent = None if job.options.clean else job.options.init_tag
        return Manifest(
            network=network.name,
            text=network.file.document.text,
            parameters=network.parameters,
            texts=network.texts(),
            overrides=network.overrides,
            job={
                "id": job.identifier,
                "command": "learn",
                "networks": [member.name for member in job.team],
                "dataset": job.described.name,
                "strategy": job.strategy.__name__,
                "options": {key: _plain(value) for key, value in job.bound.given().items()},
                "seed": self.seed,
            },
            iteration=iteration,
            loss=terms,
            dataset={"name": job.described.name, "fingerprint": self.fingerprint},
            labels=self.labels,
            versions={
                "dianne": importlib.metadata.version("dianne"),
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
            parent=self.store.resolve(network.name, parent) if parent else None,
        )

    def validate(self, iteration: int) -> None:
        """Evaluate the current weights on the validation set."""
        job = self.job
        if job.evaluation is None or self.validation is None:
            return
        options = _shared_options(job.evaluation, job.bound.get(job.strategy.__name__))
        networks = tuple(self.graphs.values())
        found = evaluate(job.evaluation, networks, options, self.validation, self.seed)
        self.validations[iteration] = found
        self.watcher.validated(iteration, found)


class _Validating(Watcher):
    """Passes everything on, and validates when it is time."""

    def __init__(self, run: LearnRun):
        self.run = run

    def tick(self, iteration: int, terms: Terms) -> None:
        self.run.watcher.tick(iteration, terms)
        if iteration % self.run.job.options.validation_interval == 0:
            self.run.validate(iteration)

    def report(self, report: Report) -> None:
        self.run.watcher.report(report)


def _shared_options(evaluation: type[EvaluationStrategy], options: Any) -> Any:
    """The options of an evaluation, with the values that the learning strategy has for the same fields."""
    fields = set(evaluation.Options.model_fields) & set(type(options).model_fields) - {"batch_size"}
    return evaluation.Options(**{name: getattr(options, name) for name in fields})


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)

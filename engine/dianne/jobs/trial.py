"""Trying a strategy on made-up data: a few iterations that show what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dianne import plugins
from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described, Descriptor, Range
from dianne.data.options import view
from dianne.document import parse
from dianne.errors import DianneError, UsageError
from dianne.evaluation.evaluator import evaluate
from dianne.evaluation.strategy import EvaluationStrategy
from dianne.jobs.learn import LearnWatcher, PreparedLearn, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.jobs.prepare import check_number
from dianne.learning.begin import fit_statistics
from dianne.learning.strategy import LearningStrategy, LearnProgress
from dianne.learning.update import checked_terms, refuse_infinite
from dianne.network.graph import Graph
from dianne.network.network import Network
from dianne.plugins import user_code
from dianne.workspace import Folder

ITERATIONS = 2
SAMPLES = 64
FALLBACK_CLASSES = 10  # of the made-up data, where no network says how many


@dataclass
class Trial:
    """What a trial found.

    Attributes:
        strategy: its name.
        networks: by role.
        samples: shape of the made-up samples.
        checks: what was looked at, and the faults that were found; none where it is well.
    """

    strategy: str
    networks: dict[str, str]
    samples: list[int]
    checks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.checks.values())


def attempt(folder: Folder, name: str, networks: str | None, options: Mapping[str, Any]) -> Trial:
    """Try a strategy.

    Args:
        folder: the workspace.
        name: of the strategy.
        networks: names in the order of its roles; those of its `example`, or of its roles, if left out.
        options: of the job.

    Raises:
        UsageError: there is no such strategy, or no networks are known for it.
    """
    strategy = plugins.find(folder, name, plugins.LEARNING)
    if not issubclass(strategy, LearningStrategy):
        raise UsageError(
            f"{strategy.__name__} is no LearningStrategy: derive it from dianne.LearningStrategy"
        )
    example = {key: value for key, value in strategy.example.items() if networks is None}
    names = networks or example.pop("networks", None) or _by_role(folder, strategy)
    chosen = {"batchSize": 8, **example, **options, "strategy": name, "seed": 1, "device": "cpu"}
    if "batch_size" not in strategy.Options.model_fields:
        del chosen["batchSize"]
    chosen.pop("dataset", None)
    job = prepare(folder, names, _made_up(None), chosen)
    dataset = _samples(job)
    job = prepare(folder, names, _made_up(dataset.labels), chosen)
    trial = Trial(
        strategy.__name__, {member.role: member.name for member in job.team}, list(dataset.input_dims)
    )
    _look(trial, job, view(dataset, Range("all"), job.data))
    return trial


def _by_role(folder: Folder, strategy: type[LearningStrategy]) -> str:
    """Networks that are called as the roles are."""
    known = folder.files("networks")
    names = [role[:1].upper() + role[1:] for role in strategy.roles]
    if all(name in known for name in names):
        return ",".join(names)
    short = strategy.__name__.removesuffix(plugins.LEARNING)
    roles = ",".join(role.upper() for role in strategy.roles)
    raise UsageError(
        f"which networks should {strategy.__name__} be tried with? name them: "
        f"dianne strategies {short} {roles} --try"
    )


# ------------------------------------------------------------------------------------------- made-up data


def _made_up(labels: list[str] | None) -> Described:
    descriptor = Descriptor(name="made-up data", type="made-up", labels=labels)
    return Described(descriptor, Path("made-up data"), parse("type: made-up", "made-up data"))


def _samples(job: PreparedLearn) -> Dataset:
    """Noise in the shape of the largest input among the networks, with as many classes as the last gives.

    A single network that does not give the scores of classes gets noise as its targets. Adapters get what
    they work on: the classes that they keep, masks, or whole numbers.
    """
    networks = [job.networks[member.name] for member in job.team]
    shapes = [shape for network in networks for shape in network.inputs.values()]
    largest = max(shapes, key=prod)
    sequential = any(_has_state(network) for network in networks)
    dims = largest[-1:] if sequential else largest
    results = next(iter(networks[-1].outputs.values()))
    scores = len(results) <= 1 + sequential and results[-1] > 1
    generator = torch.Generator().manual_seed(1)
    count = SAMPLES * (8 if sequential else 1)
    inputs = torch.rand(count, *dims, generator=generator)
    if job.data.mask_to_class is not None:
        masks = torch.rand(count, *dims[-2:], generator=generator)
        return Dataset("made-up data", inputs, masks, sequential=sequential)
    if job.data.one_hot:
        numbers = torch.arange(count) % job.data.one_hot
        return Dataset("made-up data", inputs, numbers, sequential=sequential)
    if len(networks) == 1 and not scores:
        targets = torch.rand(count, *results, generator=generator)
        return Dataset("made-up data", inputs, targets, sequential=sequential)
    classes = results[-1] if scores else FALLBACK_CLASSES
    kept = job.data.labels
    labels = [*kept, "left out"] if kept else [str(label) for label in range(classes)]
    targets = torch.arange(count) % len(labels)
    return Dataset("made-up data", inputs, targets, labels, sequential=sequential)


def _has_state(network: Network) -> bool:
    return network.build_without_data().stateful


# ------------------------------------------------------------------------------------------------- checks


def _look(trial: Trial, job: PreparedLearn, dataset: Dataset) -> None:
    """Do all checks; a check that cannot go on ends the trial with what it found."""
    checks = trial.checks
    try:
        found = _Attempt(job, dataset)
        losses = found.run()
        checks["it runs, and every term of its loss is a number"] = []
    except DianneError as error:
        checks["it runs, and every term of its loss is a number"] = [str(error)]
        return
    checks["every weight that should learn gets a gradient"] = found.without_gradient()
    checks["networks learn in training mode, others run in evaluation mode"] = found.wrong_modes()
    checks["no network changes outside of its updates"] = found.changed()
    again = _Attempt(job, dataset).run()
    differ = "draw all random numbers with generator=job.noise, and batches from job.batches"
    checks["the same seed gives the same losses"] = (
        [] if again == losses else [f"found {losses[-1]:.6g} and {again[-1]:.6g}; {differ}"]
    )
    checks[f"{found.judge_name} judges what it has learned"] = found.judge()


class _Attempt:
    """A few iterations, watched."""

    def __init__(self, job: PreparedLearn, dataset: Dataset):
        self.job = job
        self.data = dataset
        self.judge_name = job.strategy.evaluation_for(None if dataset.autoencode else dataset.labels)
        self.run_of_job = LearnRun(job, LearnWatcher())
        self.modes: dict[str, set[bool]] = {}
        self.gradients: dict[int, float] = {}

    def run(self) -> list[float]:
        """The losses."""
        run, job = self.run_of_job, self.job
        run.rehearse(self.data)
        self.graphs = run.graphs = {m.role: job.networks[m.name].build(run.seed) for m in job.team}
        for member in job.team:
            if not member.trains:
                self.graphs[member.role].requires_grad_(False).eval()
        fit_statistics(self.graphs, self.data)
        self.before = {role: _values(graph) for role, graph in self.graphs.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            strategy, self.learn_job = run.set_up(self.data)
            with _Hooks(self.graphs, self.modes):
                return [self._iterate(strategy, i) for i in range(ITERATIONS)]

    def _iterate(self, strategy: LearningStrategy, i: int) -> float:
        self.learn_job.begin(i)
        with user_code(f"iteration {i + 1} of {type(strategy).__name__}"):
            progress = strategy.process_iteration(i)
        if not isinstance(progress, LearnProgress):
            found = type(progress).__name__
            raise UsageError(f"process_iteration must return a LearnProgress, found {found}")
        for update in self.learn_job.updates:
            for weight in update.weights:
                if weight.grad is not None:
                    size = float(weight.grad.abs().sum())
                    self.gradients[id(weight)] = self.gradients.get(id(weight), 0.0) + size
        terms = checked_terms(progress.terms)
        refuse_infinite(terms)
        return float(terms["loss"])

    def without_gradient(self) -> list[str]:
        """Weights that no update reaches."""
        found = []
        for member in self.job.team:
            graph = self.graphs[member.role]
            if member.trains and graph not in self.learn_job.trainers:
                remedy = "name it in `trains`, or its role in `untrained`"
                found.append(f"{member.role}: no update trains it; {remedy}")
                continue
            missing = [
                name
                for name, weight in graph.named_parameters()
                if weight.requires_grad
                and not self.gradients.get(id(weight))
                # The gradient of a single value may be 0: a shift of what is subtracted from itself.
                and not (weight.numel() == 1 and id(weight) in self.gradients)
            ]
            if member.trains and not any(self.gradients.get(id(weight)) for weight in graph.parameters()):
                found.append(f"{member.role}: gets no gradient at all; is the loss cut off from it?")
            else:
                found += [f"{member.role}.{name}: gets no gradient" for name in missing]
        return found

    def wrong_modes(self) -> list[str]:
        """Networks that ran in another mode than the engine put them in."""
        found = []
        for member in self.job.team:
            right = member.trains
            if (not right) in self.modes.get(member.role, set()):
                wrong, word = ("evaluation", "training") if right else ("training", "evaluation")
                found.append(f"{member.role}: ran in {wrong} mode; leave it in {word} mode")
        return found

    def changed(self) -> list[str]:
        """Networks that have other weights although no update trains them."""
        return [
            f"{role}: its weights change, but no update trains it"
            for role, graph in self.graphs.items()
            if graph not in self.learn_job.trainers and not _same(_values(graph), self.before[role])
        ]

    def judge(self) -> list[str]:
        """What is wrong with the evaluation of the result."""
        try:
            judge = plugins.find(self.job.folder, self.judge_name, plugins.EVALUATION)
            assert issubclass(judge, EvaluationStrategy)
            learned = [member for member in self.job.team if member.trains]
            check_number(judge, judge.roles, [member.name for member in learned])
            graphs = tuple(self.graphs[member.role] for member in learned)
            evaluate(judge, graphs, judge.Options(), self.data, 1)
        except DianneError as error:
            return [str(error)]
        return []


class _Hooks:
    """Notes in which mode networks run, while it is entered."""

    def __init__(self, graphs: Mapping[str, Graph], modes: dict[str, set[bool]]):
        self.graphs = graphs
        self.modes = modes

    def __enter__(self) -> None:
        self.handles = [
            graph.register_forward_pre_hook(self._note(role)) for role, graph in self.graphs.items()
        ]

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _note(self, role: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, _: self.modes.setdefault(role, set()).add(module.training)


def _values(graph: Graph) -> list[Tensor]:
    return [weight.detach().clone() for weight in graph.parameters()]


def _same(values: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(values, others, strict=True))

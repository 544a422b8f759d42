"""Evaluate jobs: stored networks are judged on a dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dianne import plugins
from dianne.binding import Bound, Consumer, bind
from dianne.criteria import CRITERIA
from dianne.data.adapter_options import adapter_keys
from dianne.data.adapters.stack import Statistics
from dianne.data.descriptor import Described, Range, describe
from dianne.data.files import Progress
from dianne.data.options import EvaluateDataOptions, view
from dianne.data.readers import open_dataset
from dianne.errors import UsageError
from dianne.evaluation.evaluator import evaluate
from dianne.evaluation.strategy import Evaluation, EvaluationOptions, EvaluationStrategy
from dianne.jobs.keeper import running
from dianne.jobs.prepare import (
    check_number,
    choose_range,
    criterion_of,
    given_options,
    labels_of,
    layered,
    names_of,
    new_identifier,
    plain,
    typed,
)
from dianne.jobs.record import Recorder
from dianne.learning.strategy import LearningStrategy
from dianne.network.graph import Graph
from dianne.network.resolve import restore
from dianne.options import FiniteFloat, NonNegativeInt, Options, default_of, keys
from dianne.store import FORMAT, Manifest, Store, check_tag, load_weights
from dianne.workspace import Folder

_ADAPTERS = adapter_keys() - {"split", "splitSeed"}  # an evaluation chooses its own samples
FALLBACK_STRATEGY = "ClassificationEvaluationStrategy"


class EvaluateOptions(Options):
    """Options of the job itself."""

    tag: str
    """Which weights are judged."""
    seed: NonNegativeInt = 0
    """Where the strategy's random numbers come from."""
    store_if_better: bool = False
    """Keep the weights under TAG@best if the first metric is better than what is there."""
    store_if_smaller_than: FiniteFloat | None = None
    """Keep the weights under TAG@best if the first metric is smaller than this."""
    store_if_larger_than: FiniteFloat | None = None
    """Keep the weights under TAG@best if the first metric is larger than this."""


@dataclass
class PreparedEvaluate:
    """An evaluation in which everything named was found and every option fits."""

    folder: Folder
    strategy: type[EvaluationStrategy]
    names: list[str]
    manifests: dict[str, Manifest]
    described: Described
    bound: Bound
    test: Range
    strategy_name: str
    given: dict[str, Any]
    identifier: str = field(default_factory=new_identifier)

    @property
    def options(self) -> EvaluateOptions:
        """The options of the job itself."""
        return self.bound.of("job", EvaluateOptions)


def prepare(
    folder: Folder, networks: str | Iterable[str], dataset: str, options: Mapping[str, Any]
) -> PreparedEvaluate:
    """Find and check everything that an evaluation names; raises UsageError as for learning."""
    names = names_of(networks)
    given = dict(options)
    described = describe(folder, dataset)
    store = Store(folder.models)
    tag = given.get("tag")
    if tag is None:
        known = ", ".join(store.tags(names[0])) or "none"
        raise UsageError(
            f"evaluate needs tag=..., to know which weights to judge; tags of {names[0]}: {known}"
        )
    manifests = {name: store.manifest(name, str(tag)) for name in names}
    job = next(iter(manifests.values())).job
    used: dict[str, Any] = job.get("options", {})
    learned: dict[str, Any] = {key: used[key] for key in (*_ADAPTERS, "criterion") if key in used}
    wanted = str(
        given.pop("strategy", "") or _judge_of(folder, job, labels_of(described, {**learned, **given}))
    )
    strategy = plugins.find(folder, wanted, plugins.EVALUATION)
    if not issubclass(strategy, EvaluationStrategy):
        raise UsageError(
            f"{strategy.__name__} is no EvaluationStrategy: derive it from dianne.EvaluationStrategy"
        )
    check_number(strategy, strategy.roles, names)
    learned = {key: used[key] for key in _inherited(strategy, {**used, **given}) if key in used}
    bound = bind(
        "evaluate",
        [
            Consumer("job", EvaluateOptions),
            Consumer(strategy.__name__, strategy.Options),
            Consumer("data", EvaluateDataOptions),
        ],
        layered((strategy.__name__, strategy.defaults), (f"tag {tag}", learned), typed(given)),
    )
    if _stores(bound.of("job", EvaluateOptions)) and not store.has(names[0], check_tag(str(tag))):
        raise UsageError(
            f"'{tag}' is no tag of {names[0]}: better weights are kept under TAG@best, so name a tag"
        )
    test = choose_range(bound, described, "testSet", "test")
    return PreparedEvaluate(
        folder,
        strategy,
        names,
        manifests,
        described,
        bound,
        test,
        plugins.name_of(strategy, wanted),
        dict(options),
    )


def _inherited(strategy: type[EvaluationStrategy], options: Mapping[str, Any]) -> set[str]:
    """The options in which an evaluation follows the job that made the weights."""
    known = set(keys(strategy.Options)) - set(keys(EvaluationOptions))
    if "criterion" in known:
        fallback = default_of(keys(strategy.Options)["criterion"])
        known |= set(keys(CRITERIA.get(str(plain(options.get("criterion", fallback)))).Options))
    return known | _ADAPTERS


def _judge_of(folder: Folder, job: Mapping[str, Any], labels: list[str] | None) -> str:
    """The evaluation that belongs to the strategy which made some weights."""
    name = str(job.get("strategy", ""))
    own = ":" in name and "package" not in job  # a package from elsewhere may not say what to import
    if not own and name not in plugins.strategies(folder):
        return FALLBACK_STRATEGY
    try:
        strategy = plugins.find(folder, name, plugins.LEARNING)
    except UsageError:  # its module is not here any more
        return FALLBACK_STRATEGY
    return strategy.evaluation_for(labels) if issubclass(strategy, LearningStrategy) else FALLBACK_STRATEGY


def stored_network(store: Store, manifest: Manifest, source: str) -> Graph:
    """A network with its stored weights, as it was when they were learned; in evaluation mode.

    Raises:
        StoreError: the weights are missing, spoilt, or do not fit.
    """
    network = restore(
        manifest.text, manifest.network, manifest.parameters, manifest.texts, manifest.overrides
    )
    graph = network.build(0)
    load_weights(graph, store.weights(manifest), source)
    graph.eval()
    return graph


def run(
    job: PreparedEvaluate,
    fetching: Progress | None = None,
    tick: Callable[[int], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Judge the networks; raises DianneError if data or weights are missing or do not fit."""
    asked = {
        "id": job.identifier, "command": "evaluate", "networks": job.names, "dataset": job.described.name,
        "strategy": job.strategy_name, "options": given_options(job.given), "tag": job.options.tag,
    }  # fmt: skip
    with running(job.folder, job.identifier), Recorder(job.folder, asked, 0, note) as recorder:
        begin = time.perf_counter()

        def follow(done: int) -> None:
            recorder.advance(done, time.perf_counter() - begin, {})
            tick(done)

        found = _run(job, fetching, recorder, follow)
        recorder.metrics = found.metrics
        recorder.ended(found.summary())
    return found


def _run(
    job: PreparedEvaluate, fetching: Progress | None, recorder: Recorder, tick: Callable[[int], None]
) -> Evaluation:
    store = Store(job.folder.models)
    tag = job.options.tag
    graphs = [stored_network(store, manifest, f"{name}:{tag}") for name, manifest in job.manifests.items()]
    data = job.bound.of("data", EvaluateDataOptions)
    full = open_dataset(job.folder, job.described, fetching, data.memory_limit)
    dataset = view(full, job.test, data, _statistics(job), rest=True)
    recorder.total = len(dataset)
    options: Any = job.bound.get(job.strategy.__name__)
    criterion = criterion_of(job.bound, options)
    found = evaluate(job.strategy, tuple(graphs), options, dataset, job.options.seed, tick, criterion)
    if _better(job, store, *next(iter(found.metrics.items()))):
        for name, manifest in job.manifests.items():
            parent = store.resolve(name, tag)
            best = replace(manifest, metrics=found.metrics, parent=parent, note="", format=FORMAT)
            store.put(_best_of(tag), best, store.weights(manifest))
        found.stored = _best_of(tag)
    return found


def _stores(options: EvaluateOptions) -> bool:
    """Whether the options ask to keep better weights."""
    limits = options.store_if_smaller_than, options.store_if_larger_than
    return options.store_if_better or any(limit is not None for limit in limits)


def _statistics(job: PreparedEvaluate) -> Statistics | None:
    """Those with which the samples were normalised that the networks learned from, if they were."""
    found = next((m.dataset["normalise"] for m in job.manifests.values() if "normalise" in m.dataset), None)
    if found is None:
        return None
    mean, deviation = json.loads(found)
    return mean, deviation


def _best_of(tag: str) -> str:
    return f"{tag.partition('@')[0]}@best"


def _better(job: PreparedEvaluate, store: Store, metric: str, value: float) -> bool:
    """Whether the options ask to keep weights that reach a value of a metric."""
    options, name = job.options, job.names[0]
    smaller, larger = options.store_if_smaller_than, options.store_if_larger_than
    if (smaller is not None and value < smaller) or (larger is not None and value > larger):
        return True
    if not options.store_if_better:
        return False
    best = _best_of(job.options.tag)
    before = store.manifest(name, best).metrics.get(metric) if store.has(name, best) else None
    if before is None:
        return value == value
    return value > before if job.strategy.larger_is_better else value < before

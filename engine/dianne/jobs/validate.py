"""Evaluations on the validation set while a job learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any

from dianne.data.dataset import Dataset
from dianne.evaluation.evaluator import evaluate
from dianne.evaluation.strategy import Evaluation
from dianne.jobs.learn import PreparedLearn
from dianne.jobs.prepare import criterion_of
from dianne.learning.stopping import Validations
from dianne.network.graph import Graph


class Validator:
    """Evaluates the current weights with the evaluation that belongs to the job's strategy.

    Args:
        job: with a validation set.
        networks: those that learn, by name.
        dataset: the validation set, adapted as the training set is.
        seed: of the job.
        best: what is known of the weights under the job's TAG@best.
        store_best: puts the current weights under TAG@best.
        told: is told about every evaluation.
        around: what is entered while weights are evaluated.
    """

    def __init__(
        self,
        job: PreparedLearn,
        networks: Mapping[str, Graph],
        dataset: Dataset,
        seed: int,
        best: Mapping[str, float],
        store_best: Callable[[int, Evaluation], None],
        told: Callable[[int, Evaluation], None],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        assert job.evaluation is not None
        self.strategy = job.evaluation
        self.job = job
        self.networks = tuple(networks.values())
        self.dataset = dataset
        self.seed = seed
        self.store_best = store_best
        self.told = told
        self.around = around
        self.found: dict[int, Evaluation] = {}
        self.values = Validations(job.options, self.strategy.larger_is_better)
        self.best = best
        self.options = self._shared_options()

    def _shared_options(self) -> Any:
        """The evaluation's options, with the job's values for the same keys."""
        learning = self.job.bound.get(self.job.strategy.__name__)
        fields = set(self.strategy.Options.model_fields) & set(type(learning).model_fields) - {"batch_size"}
        return self.strategy.Options(**{name: getattr(learning, name) for name in fields})

    def validate(self, iteration: int) -> None:
        """Evaluate the weights as they are after an iteration, unless that was done."""
        if iteration in self.found:
            return
        criterion = criterion_of(self.job.bound, self.options)
        with self.around():
            found = evaluate(
                self.strategy, self.networks, self.options, self.dataset, self.seed, criterion=criterion
            )
        metric, value = next(iter(found.metrics.items()))
        if self.values.best is None:
            self.values.best = self.best.get(metric)
        self.found[iteration] = found
        if self.values.add(value):
            self.store_best(iteration, found)
        self.told(iteration, found)

    def back(self, iteration: int) -> None:
        """Forget what was found after an iteration."""
        self.found = {done: found for done, found in self.found.items() if done <= iteration}

    def state_dict(self) -> dict[str, Any]:
        """What was found, and what it is compared with."""
        found = {i: replace(evaluation, outputs=None) for i, evaluation in self.found.items()}
        return {
            "found": {i: asdict(evaluation) for i, evaluation in found.items()},
            "best": dict(self.best),
            "values": self.values.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the validator whose state it is would."""
        self.found = {i: Evaluation(**evaluation) for i, evaluation in state["found"].items()}
        self.best = state["best"]
        self.values.load_state_dict(state["values"])

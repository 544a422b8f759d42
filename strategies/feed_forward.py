"""Learning from examples: a network's result is brought close to the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dianne import Batch, GradientOptions, Job, LearningStrategy, LearnProgress, Terms


class FeedForwardLearningStrategy(LearningStrategy):
    """Trains one network on samples and their targets.

    J = (1/b) sum_i criterion(network(x_i), t_i)

    On a dataset with classes the criterion is NLL unless the user names one, else MSE.
    """

    roles = ("network",)
    example = {"networks": "MLP", "dataset": "MNIST"}

    class Options(GradientOptions):
        """Batches, criterion and method."""

    @classmethod
    def defaults_for(cls, labels: list[str] | None) -> Mapping[str, Any]:
        """NLL for classes."""
        return {"criterion": "NLL"} if labels else {}

    @classmethod
    def evaluation_for(cls, labels: list[str] | None) -> str:
        """Accuracy for classes, else the criterion."""
        return "ClassificationEvaluationStrategy" if labels else "CriterionEvaluationStrategy"

    def setup(self, job: Job) -> None:
        """One update of the one network."""
        (self.network,) = job.networks
        self.batches = job.batches
        self.criterion = job.criterion()
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch) -> Terms:
        """The criterion, averaged over the batch."""
        return {"loss": self.criterion(self.network(batch.input), batch.target).mean()}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update."""
        return LearnProgress(i, self.update(next(self.batches)))

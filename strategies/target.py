"""Learning from another network: the distillation of Hinton et al. (2015), arXiv:1503.02531."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dianne import (
    Batch,
    GradientOptions,
    Job,
    LearningStrategy,
    LearnProgress,
    NonNegativeInt,
    Terms,
    UsageError,
    log_probabilities,
)


class TargetLearningStrategy(LearningStrategy):
    """Trains one network to give what another one gives.

    J = (1/b) sum_i criterion(trainee(x_i), target(x_i))

    The target does not learn and runs in evaluation mode; the targets of the dataset are not used. For NLL
    the target's results are probabilities, or their logarithms as a classifier gives them, so that J is the
    cross entropy in nats. With targetInterval the target is an older copy of the trainee. On a dataset with
    classes the criterion is NLL unless the user names one, else MSE.
    """

    roles = ("trainee", "target")
    example = {"networks": "MLP,LeNet5", "dataset": "MNIST", "target.initTag": "lenet5"}
    untrained = ("target",)

    class Options(GradientOptions):
        """Batches, criterion, method, and when the target follows."""

        target_interval: NonNegativeInt = 0
        """Iterations after which the target takes the trainee's weights; 0 for never."""

    @classmethod
    def defaults_for(cls, labels: list[str] | None) -> Mapping[str, Any]:
        """NLL for classes."""
        return {"criterion": "NLL"} if labels else {}

    @classmethod
    def evaluation_for(cls, labels: list[str] | None) -> str:
        """The trainee is judged alone: by accuracy for classes, else by the criterion."""
        return "ClassificationEvaluationStrategy" if labels else "CriterionEvaluationStrategy"

    def setup(self, job: Job) -> None:
        """One update of the trainee."""
        self.trainee, self.target = job.networks
        self.interval: int = job.options.target_interval
        if self.interval:
            self.check_copies()
        self.logarithmic = job.options.criterion == "NLL"
        self.batches = job.batches
        self.criterion = job.criterion()
        self.update = job.update(self.loss, trains=(self.trainee,))

    def check_copies(self) -> None:
        """Raise UsageError if the target cannot take the trainee's weights."""
        ours, theirs = (
            {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
            for network in (self.trainee, self.target)
        )
        if ours != theirs:
            name = next(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
            shapes = [str(list(found[name])) if name in found else "none" for found in (ours, theirs)]
            raise UsageError(
                f"targetInterval={self.interval} copies weights from the trainee to the target, so both must "
                f"be the same network; {name} is {shapes[0]} in the trainee and {shapes[1]} in the target"
            )

    def loss(self, batch: Batch) -> Terms:
        """The criterion against the target's results, averaged over the batch."""
        with torch.no_grad():
            wanted = self.target(batch.input)
            if self.logarithmic:
                wanted = log_probabilities(wanted).exp()
        return {"loss": self.criterion(self.trainee(batch.input), wanted).mean()}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update, and from time to time a new target."""
        terms = self.update(next(self.batches))
        if self.interval and (i + 1) % self.interval == 0:
            self.target.load_state_dict(self.trainee.state_dict())
        return LearnProgress(i, terms)

"""Judging a network by a criterion."""

from __future__ import annotations

import torch

from dianne import (
    Batch,
    CriterionName,
    Evaluation,
    EvaluationJob,
    EvaluationOptions,
    EvaluationStrategy,
    Means,
)


class CriterionEvaluationStrategy(EvaluationStrategy):
    """The mean of a criterion over all samples."""

    roles = ("network",)

    class Options(EvaluationOptions):
        """Which criterion."""

        criterion: CriterionName = "MSE"
        """How far a result is from its target."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        (self.network,) = job.networks
        self.name = job.options.criterion
        self.criterion = job.criterion()
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """One loss per sample."""
        result: torch.Tensor = self.network(batch.input)
        self.means.add(**{self.name: self.criterion(result, batch.target)})
        return result

    def result(self) -> Evaluation:
        """The mean."""
        return Evaluation(self.means.size, self.means.means())

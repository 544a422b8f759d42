"""Judging a network by a criterion."""

from __future__ import annotations

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

    def process_batch(self, batch: Batch) -> None:
        """One loss per sample."""
        self.means.add(**{self.name: self.criterion(self.network(batch.input), batch.target)})

    def result(self) -> Evaluation:
        """The mean."""
        return Evaluation(self.means.size, self.means.means())

"""Judging a classifier."""

from __future__ import annotations

import torch

from dianne import Batch, Evaluation, EvaluationJob, EvaluationOptions, EvaluationStrategy, Means, UsageError


class ClassificationEvaluationStrategy(EvaluationStrategy):
    """How often the largest result names the right class: accuracy, top 3, top 5 and all confusions."""

    roles = ("network",)
    larger_is_better = True

    class Options(EvaluationOptions):
        """Only the size of a batch."""

    def setup(self, job: EvaluationJob) -> None:
        """Needs a dataset with classes."""
        (self.network,) = job.networks
        if not job.labels:
            raise UsageError(
                "ClassificationEvaluationStrategy needs a dataset with classes; "
                "for other targets use strategy=CriterionEvaluationStrategy"
            )
        self.labels = job.labels
        self.means = Means()
        self.confusion = torch.zeros(len(self.labels), len(self.labels), dtype=torch.int64)

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Rank the results."""
        result: torch.Tensor = self.network(batch.input).flatten(1)  # (b, classes)
        if result.shape != batch.target.shape:
            raise UsageError(
                f"the network gives {result.shape[1]} values, but the dataset has {len(self.labels)} classes"
            )
        truth = batch.target.argmax(1)  # (b,)
        own = result.gather(1, truth.unsqueeze(1))  # (b, 1)
        rank = (
            (result > own).sum(1)
            + (result == own).int().cumsum(1).gather(1, truth.unsqueeze(1)).squeeze(1)
            - 1
        )
        rank[result.isnan().any(1)] = len(self.labels)  # nothing that is not a number is right
        tops = {f"top {n}": (rank < n).double() for n in (3, 5) if n < len(self.labels)}
        self.means.add(accuracy=(rank == 0).double(), **tops)
        cells = truth * len(self.labels) + result.argmax(1)
        self.confusion += torch.bincount(cells, minlength=self.confusion.numel()).view_as(self.confusion)
        return result

    def result(self) -> Evaluation:
        """Shares over all samples, and the counts."""
        return Evaluation(self.means.size, self.means.means(), self.confusion.tolist(), self.labels)

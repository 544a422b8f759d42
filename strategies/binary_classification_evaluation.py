"""Judging a network that says yes or no."""

from __future__ import annotations

import math

import torch

from dianne import (
    Batch,
    Evaluation,
    EvaluationJob,
    EvaluationOptions,
    EvaluationStrategy,
    Probability,
    UsageError,
)


class BinaryClassificationEvaluationStrategy(EvaluationStrategy):
    """How well a network tells two classes apart: accuracy, precision, recall and so on, and ROC AUC.

    From the counts of true and false positives and negatives (Fawcett 2006, Pattern Recognition Letters 27):
    precision = TP / (TP + FP), recall = TP / (TP + FN), specificity = TN / (TN + FP),
    f1 = 2 TP / (2 TP + FP + FN),
    mcc = (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)); each 0 where its divisor is.
    ROC AUC = P(a positive's score > a negative's), ties counting half; left out if a class is missing.

    Results and targets are one value each, positive above the threshold; or two, of which the second is that
    of the positive class, as probabilities or their logarithms. Targets are positive above 0.5.
    """

    roles = ("network",)
    larger_is_better = True

    class Options(EvaluationOptions):
        """Where yes begins."""

        threshold: Probability = 0.5
        """A result above it is a positive."""

    def setup(self, job: EvaluationJob) -> None:
        """Needs two classes, or targets of one value."""
        (self.network,) = job.networks
        if job.labels and len(job.labels) != 2:
            raise UsageError(
                f"BinaryClassificationEvaluationStrategy needs two classes, found {len(job.labels)}; "
                "use strategy=ClassificationEvaluationStrategy"
            )
        self.labels = job.labels or ["negative", "positive"]
        self.threshold = job.options.threshold
        self.scores: list[torch.Tensor] = []
        self.truths: list[torch.Tensor] = []

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Keep scores and truths."""
        result: torch.Tensor = self.network(batch.input)
        self.scores.append(self.values(result, "result"))
        self.truths.append(self.values(batch.target, "target")[:, -1] > 0.5)
        return result

    def values(self, given: torch.Tensor, what: str) -> torch.Tensor:
        """(b, 1) or (b, 2), in double precision."""
        values = given.flatten(1) if given.dim() > 1 else given.unsqueeze(1)
        if values.shape[1] > 2:
            raise UsageError(
                "BinaryClassificationEvaluationStrategy takes one value for each sample, or one for each of "
                f"two classes; found a {what} of {values.shape[1]}"
            )
        return values.double()

    def result(self) -> Evaluation:
        """The measures, and the counts [true class][named class]."""
        scores, truths = torch.cat(self.scores), torch.cat(self.truths)  # (n, 1 or 2), (n,)
        if scores.shape[1] == 2 and bool((scores <= 0).all()):
            scores = scores.exp()
        score = scores[:, -1]
        named = torch.where(score.isnan(), ~truths, score > self.threshold)  # no number is never right
        cells = torch.bincount(2 * truths.long() + named.long(), minlength=4)
        tn, fp, fn, tp = cells.tolist()
        metrics = {"accuracy": ratio(tp + tn, len(truths)), **measures(tn, fp, fn, tp)}
        if tp + fn and tn + fp and not bool(score.isnan().any()):
            metrics["ROC AUC"] = area(score, truths)
        return Evaluation(len(truths), metrics, [[tn, fp], [fn, tp]], self.labels)


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0


def measures(tn: int, fp: int, fn: int, tp: int) -> dict[str, float]:
    """What follows from the four counts."""
    return {
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "mcc": ratio(tp * tn - fp * fn, math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
    }


def area(scores: torch.Tensor, truths: torch.Tensor) -> float:
    """The area under the ROC curve of (n,) scores, from their ranks (Mann and Whitney 1947)."""
    _, place, count = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = (count.cumsum(0) - (count - 1) / 2)[place]  # from 1; equal scores share the mean of theirs
    positives = int(truths.sum())
    least = positives * (positives + 1) / 2
    return float(ranks[truths].sum() - least) / (positives * (len(truths) - positives))

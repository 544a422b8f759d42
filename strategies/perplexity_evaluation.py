"""Judging what a network expects next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dianne import (
    Batch,
    CriterionName,
    Dataset,
    Evaluation,
    EvaluationJob,
    EvaluationOptions,
    EvaluationStrategy,
    Means,
    PositiveInt,
    UsageError,
)


class PerplexityEvaluationStrategy(EvaluationStrategy):
    """How well a network with a state foretells each next sample: nats per step, perplexity, bits, accuracy.

    The samples are cut into `batchSize` tracks that are read side by side, each once from its beginning to
    its end with the state carried along; nats are averaged over all samples, and perplexity = exp(nats).
    With another criterion than NLL, the mean of that is all there is.
    """

    roles = ("network",)

    class Options(EvaluationOptions):
        """How the samples are read."""

        batch_size: PositiveInt = 50
        """Tracks that are read side by side; each begins without a state, so fewer know a little more."""
        sequence_length: PositiveInt = 50
        """Steps forwarded at once; no result depends on it."""
        criterion: CriterionName = "NLL"
        """How far a result is from its target."""

    def setup(self, job: EvaluationJob) -> None:
        """Needs a network with a state."""
        network: Any
        (network,) = job.networks
        if not network.stateful:
            raise UsageError(
                f"PerplexityEvaluationStrategy needs a network with a state; {network.network} has none"
            )
        if job.options.include_outputs:
            raise UsageError("PerplexityEvaluationStrategy keeps no outputs; leave out includeOutputs")
        self.name = job.options.criterion
        if self.name == "NLL" and not job.labels:
            raise UsageError("PerplexityEvaluationStrategy needs a dataset with classes, or criterion=MSE")
        self.network, self.criterion = network, job.criterion()
        self.length = job.options.sequence_length
        self.state: dict[str, Tensor] | None = None
        self.means = Means()

    def batches(self, dataset: Dataset) -> Iterator[Batch]:
        """Windows (b, time, ...) of all tracks; the first tracks can be one sample longer than the others."""
        if not dataset.sequential:
            raise UsageError(f"the samples of {dataset.name} do not follow each other in time")
        tracks = min(self.batch_size, len(dataset))
        size, longer = divmod(len(dataset), tracks)
        index = torch.arange(tracks)
        starts = (index * size + index.clamp(max=longer)).unsqueeze(1)  # (tracks, 1)
        for begin in range(0, size, self.length):
            yield dataset.batch(starts + torch.arange(begin, min(begin + self.length, size)))
        if longer:
            yield dataset.batch(starts[:longer] + size)

    def process_batch(self, batch: Batch) -> None:
        """Go on from the state behind the last batch."""
        rows = len(batch.input)
        state = self.state and {name: value[:rows] for name, value in self.state.items()}
        result, self.state = self.network.unroll(batch.input, state=state)  # (b, time, ...)
        result, target = result.flatten(0, 1), batch.target.flatten(0, 1)
        values = {self.name: self.criterion(result, target)}
        if self.name == "NLL":
            values["accuracy"] = (result.argmax(1) == target.argmax(1)).double()
        self.means.add(**values)

    def result(self) -> Evaluation:
        """The mean over all samples, in the units that are usual."""
        means = self.means.means()
        if self.name == "NLL":
            nats, accuracy = means["NLL"], means["accuracy"]
            perplexity = float(torch.tensor(nats, dtype=torch.float64).exp())  # inf rather than an error
            means = {
                "nats per step": nats, "perplexity": perplexity,
                "bits per step": nats / math.log(2), "accuracy": accuracy,
            }  # fmt: skip
        return Evaluation(self.means.size, means)

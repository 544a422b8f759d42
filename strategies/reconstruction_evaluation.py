"""Judging an autoencoder by what comes back."""

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


class ReconstructionEvaluationStrategy(EvaluationStrategy):
    """The mean of a criterion between samples and what a decoder makes of their codes.

    (1/n) sum_i criterion(decoder(encoder(x_i)), x_i)
    """

    roles = ("encoder", "decoder")
    defaults = {"autoencode": True}

    class Options(EvaluationOptions):
        """Which criterion."""

        criterion: CriterionName = "MSE"
        """How far a decoded sample is from the one that was encoded."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        self.encoder, self.decoder = job.networks
        self.name = job.options.criterion
        self.criterion = job.criterion()
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """One loss per sample; gives the decoded samples."""
        decoded: torch.Tensor = self.decoder(self.encoder(batch.input))
        self.means.add(**{self.name: self.criterion(decoded, batch.target)})
        return decoded

    def result(self) -> Evaluation:
        """The mean."""
        return Evaluation(self.means.size, self.means.means())

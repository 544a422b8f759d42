"""Judging a variational autoencoder that is given the class."""

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
    SampleNoise,
    UsageError,
    gaussian_halves,
    input_shapes,
    standard_normal_divergence,
)


class LabelVariationalAutoEncoderEvaluationStrategy(EvaluationStrategy):
    """The negative bound on the likelihood given the class and its two parts, in nats per sample.

    negative ELBO = criterion(decoder(z, y), x) + KL(q(z|x, y) || N(0, 1)), z drawn from q(z|x, y)
    """

    roles = ("encoder", "decoder")

    class Options(EvaluationOptions):
        """Which criterion."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""

    def setup(self, job: EvaluationJob) -> None:
        """Needs a dataset with classes."""
        if not job.labels:
            raise UsageError("LabelVariationalAutoEncoderEvaluationStrategy needs a dataset with classes")
        self.encoder, self.decoder = job.networks
        self.encoder_is_told = len(input_shapes(self.encoder)) == 2
        self.criterion = job.criterion()
        self.noise = SampleNoise(job)
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Encode, draw, decode."""
        images, labels = batch.input, batch.target  # (b, ...), (b, c)
        gaussian: torch.Tensor = (
            self.encoder(images, labels) if self.encoder_is_told else self.encoder(images)
        )
        mean, stdev = gaussian_halves(gaussian)  # (b, z) each
        latents = mean + stdev * self.noise(len(mean), mean.shape[1])
        reconstruction = self.criterion(self.decoder(torch.cat((latents, labels), dim=1)), images)  # (b,)
        kl = standard_normal_divergence(mean, stdev)
        self.means.add(**{"negative ELBO": reconstruction + kl, "reconstruction": reconstruction, "kl": kl})
        return gaussian

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

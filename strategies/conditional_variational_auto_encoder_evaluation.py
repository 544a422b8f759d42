"""Judging a variational autoencoder and the classifier that tells its decoder the class."""

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
    log_probabilities,
    standard_normal_divergence,
)


class ConditionalVariationalAutoEncoderEvaluationStrategy(EvaluationStrategy):
    """The negative evidence lower bound and its two parts, in nats per sample, and the accuracy.

    negative ELBO = criterion(decoder(z, classifier(x)), x) + KL(q(z|x) || N(0, 1)), z drawn from q(z|x)
    """

    roles = ("encoder", "decoder", "classifier")

    class Options(EvaluationOptions):
        """Which criterion."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""

    def setup(self, job: EvaluationJob) -> None:
        """Needs a dataset with classes."""
        if not job.labels:
            raise UsageError(
                "ConditionalVariationalAutoEncoderEvaluationStrategy needs a dataset with classes"
            )
        self.encoder, self.decoder, self.classifier = job.networks
        self.criterion = job.criterion()
        self.noise = SampleNoise(job)
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Encode, draw, classify, decode."""
        gaussian: torch.Tensor = self.encoder(batch.input)
        mean, stdev = gaussian_halves(gaussian)  # (b, z) each
        classes = log_probabilities(self.classifier(batch.input))  # (b, c)
        latents = mean + stdev * self.noise(len(mean), mean.shape[1])
        decoded = self.decoder(torch.cat((latents, classes.exp()), dim=1))
        reconstruction = self.criterion(decoded, batch.input)  # (b,)
        kl = standard_normal_divergence(mean, stdev)
        right = (classes.argmax(1) == batch.target.argmax(1)).double()
        self.means.add(
            **{"negative ELBO": reconstruction + kl, "reconstruction": reconstruction, "kl": kl},
            accuracy=right,
        )
        return gaussian

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

"""Judging a variational autoencoder that learned with a discriminator."""

from __future__ import annotations

import torch

from dianne import (
    Batch,
    Evaluation,
    EvaluationJob,
    EvaluationOptions,
    EvaluationStrategy,
    Means,
    SampleNoise,
    gaussian_halves,
    standard_normal_divergence,
)


class VAEGANEvaluationStrategy(EvaluationStrategy):
    """How well samples come back, in features and in values, and what the discriminator says.

    reconstruction = (1/2) |f(x) - f(G(z))|^2, summed over features, with z drawn from q(z|x), kl =
    KL(q(z|x) || N(0, 1)), both in nats; MSE = mean over values of (x - G(z))^2; real = D(x);
    fake = D(G(p)), p standard normal; averaged over samples.
    """

    roles = ("encoder", "generator", "discriminator")

    class Options(EvaluationOptions):
        """Only the size of a batch."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        self.encoder, self.generator, self.discriminator = job.networks
        self.noise = SampleNoise(job)
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Encode, draw, decode, judge."""
        gaussian: torch.Tensor = self.encoder(batch.input)
        mean, stdev = gaussian_halves(gaussian)  # (b, z) each
        posterior, prior = self.noise(len(mean), 2, mean.shape[1]).unbind(1)
        decoded = self.generator(mean + stdev * posterior).flatten(1)  # (b, n)
        real, wanted = self.discriminator(batch.input)
        _, features = self.discriminator(decoded)
        fake, _ = self.discriminator(self.generator(prior))
        self.means.add(
            reconstruction=0.5 * ((features - wanted) ** 2).flatten(1).sum(1),
            kl=standard_normal_divergence(mean, stdev),
            MSE=((decoded - batch.input.flatten(1)) ** 2).mean(1),
            real=real.flatten(1).mean(1),
            fake=fake.flatten(1).mean(1),
        )
        return gaussian

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

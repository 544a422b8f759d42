"""Judging a variational autoencoder by its bound on the likelihood."""

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
    PositiveInt,
    standard_normal_divergence,
)


class VariationalAutoEncoderEvaluationStrategy(EvaluationStrategy):
    """The negative evidence lower bound and its two parts, in nats per sample.

    negative ELBO = (1/S) sum_s criterion(decoder(z_s), x) + KL(q(z|x) || N(0, 1)), z_s drawn from q(z|x)

    It bounds -log p(x) from above when the criterion is a negative log likelihood, as BCE is.
    """

    roles = ("encoder", "decoder")
    defaults = {"autoencode": True}

    class Options(EvaluationOptions):
        """Criterion and number of latent points."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""
        sample_size: PositiveInt = 1
        """Latent points drawn for each sample."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        self.encoder, self.decoder = job.networks
        self.criterion = job.criterion()
        self.generator, self.size = job.noise, job.size
        self.sample_size = job.options.sample_size
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Encode, draw, decode."""
        gaussian: torch.Tensor = self.encoder(batch.input)
        mean, stdev = gaussian.chunk(2, dim=1)  # (b, z) each
        kl = standard_normal_divergence(mean, stdev)  # (b,)
        reconstruction = torch.zeros_like(kl)
        if self.means.size == 0:  # drawn for all samples at once, so that the size of a batch does not matter
            self.noise = torch.randn(self.size, self.sample_size, mean.shape[1], generator=self.generator)
        noise = self.noise[self.means.size : self.means.size + len(mean)]  # (b, s, z)
        for one in noise.unbind(1):
            latents = mean + stdev * one
            reconstruction += self.criterion(self.decoder(latents), batch.target) / self.sample_size
        self.means.add(**{"negative ELBO": reconstruction + kl, "reconstruction": reconstruction, "kl": kl})
        return gaussian

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

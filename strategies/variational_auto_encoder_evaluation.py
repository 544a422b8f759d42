"""Judging a variational autoencoder by its bound on the likelihood, or by the likelihood itself."""

from __future__ import annotations

import math

import torch

from dianne import (
    Batch,
    CriterionName,
    Evaluation,
    EvaluationJob,
    EvaluationOptions,
    EvaluationStrategy,
    Means,
    NonNegativeInt,
    PositiveInt,
    SampleNoise,
    gaussian_halves,
    prior_to_posterior,
    standard_normal_divergence,
)

CHUNK = 10_000  # latent points decoded at once


class VariationalAutoEncoderEvaluationStrategy(EvaluationStrategy):
    """The negative evidence lower bound and its two parts, in nats per sample.

    negative ELBO = (1/S) sum_s criterion(decoder(z_s), x) + KL(q(z|x) || N(0, 1)), z_s drawn from q(z|x)

    It bounds -log p(x) from above when the criterion is a negative log likelihood, as BCE and GAU are. With
    samples=K the evaluation gives an estimate of -log p(x) too (Burda et al. 2016, arXiv:1509.00519), which
    comes down to it from above as K grows:

    -log (1/K) sum_k w_k, log w_k = -criterion(decoder(z_k), x) + log N(z_k; 0, 1) - log q(z_k|x)
    """

    roles = ("encoder", "decoder")
    defaults = {"autoencode": True}

    class Options(EvaluationOptions):
        """Criterion and numbers of latent points."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""
        sample_size: PositiveInt = 1
        """Latent points drawn for each sample."""
        samples: NonNegativeInt = 0
        """Latent points from which each sample's likelihood is estimated; 0 for none, 5000 is usual."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        self.encoder, self.decoder = job.networks
        self.criterion = job.criterion()
        self.noise, self.points = SampleNoise(job), job.noise
        self.options = job.options
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Encode, draw, decode."""
        gaussian: torch.Tensor = self.encoder(batch.input)
        mean, stdev = gaussian_halves(gaussian)  # (b, z) each
        kl = standard_normal_divergence(mean, stdev)  # (b,)
        reconstruction = torch.zeros_like(kl)
        noise = self.noise(len(mean), self.options.sample_size, mean.shape[1])  # (b, s, z)
        for one in noise.unbind(1):
            latents = mean + stdev * one
            reconstruction += self.criterion(self.decoder(latents), batch.target) / self.options.sample_size
        found = {"negative ELBO": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
        if self.options.samples:
            found["negative log likelihood"] = self.unlikelihood(batch.target, mean, stdev)
        self.means.add(**found)
        return gaussian

    def unlikelihood(self, targets: torch.Tensor, mean: torch.Tensor, stdev: torch.Tensor) -> torch.Tensor:
        """Estimates (b,) of -log p(x), in nats, for targets (b, ...) and their posteriors (b, z)."""
        count = self.options.samples
        parts = []
        for start in range(0, len(mean) * count, CHUNK):  # the points of a sample are neighbours
            of = torch.arange(start, min(start + CHUNK, len(mean) * count)) // count  # (chunk,) samples
            # Uniform numbers are drawn one by one, so that no result depends on the size of batch or chunk.
            uniform = torch.rand(len(of), mean.shape[1], generator=self.points, dtype=torch.float64)
            noise = torch.special.ndtri(uniform.clamp_min(1e-16)).to(mean)
            latents = mean[of] + stdev[of] * noise
            ratios = prior_to_posterior(latents, mean[of], stdev[of])
            parts.append(ratios - self.criterion(self.decoder(latents), targets[of]))
        weights = torch.cat(parts).view(-1, count)
        return math.log(count) - weights.logsumexp(1)

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

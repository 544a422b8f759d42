"""The variational autoencoder of the Keras tutorial, with its code's own mathematics."""

from __future__ import annotations

import torch
from torch import Tensor

from dianne import (
    Batch,
    CriterionName,
    Evaluation,
    EvaluationJob,
    EvaluationOptions,
    EvaluationStrategy,
    GradientOptions,
    Job,
    LearningStrategy,
    LearnProgress,
    Means,
    NonNegativeFloat,
    SampleNoise,
    Terms,
)


def divergence(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """(b,) "divergence" of (b, z) codes, in which exp(log_sigma) is a variance."""
    return -0.5 * (1 + log_sigma - mean**2 - log_sigma.exp()).sum(1)


class KerasLearningStrategy(LearningStrategy):
    """Trains the tutorial's variational autoencoder, noise and divergence as its code computes them.

    J = mean_i [ BCE(decoder(z_i), x_i) + klWeight * divergence(mean_i, s_i) ],
    z_i = mean_i + noiseDeviation * exp(s_i) * noise_i

    exp(s) is a deviation in z and a variance in the divergence, so J is no bound on a likelihood.
    """

    roles = ("encoder", "decoder")
    defaults = {"autoencode": True}
    evaluation = "KerasEvaluationStrategy"

    class Options(GradientOptions):
        """The tutorial's constants."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""
        noise_deviation: NonNegativeFloat = 0.1
        """Deviation of the noise, beside exp(s)."""
        kl_weight: NonNegativeFloat = 2.0
        """Weight of the divergence."""

    def setup(self, job: Job) -> None:
        """One update of both networks."""
        self.encoder, self.decoder = job.networks
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criterion = job.criterion()
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch) -> Terms:
        """J and its parts."""
        mean, log_sigma = self.encoder(batch.input).chunk(2, dim=1)  # (b, z) each
        noise = torch.randn(mean.shape, generator=self.noise, device=mean.device)
        latents = mean + self.options.noise_deviation * log_sigma.exp() * noise
        reconstruction = self.criterion(self.decoder(latents), batch.target).mean()
        kl = divergence(mean, log_sigma).mean()
        loss = reconstruction + self.options.kl_weight * kl
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update."""
        return LearnProgress(i, self.update(next(self.batches)))


class KerasEvaluationStrategy(EvaluationStrategy):
    """The tutorial's loss, in its code's own mathematics."""

    roles = ("encoder", "decoder")
    defaults = {"autoencode": True}

    class Options(EvaluationOptions):
        """The tutorial's constants."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""
        noise_deviation: NonNegativeFloat = 0.1
        """Deviation of the noise, beside exp(s)."""
        kl_weight: NonNegativeFloat = 2.0
        """Weight of the divergence."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        self.encoder, self.decoder = job.networks
        self.options, self.criterion = job.options, job.criterion()
        self.noise, self.means = SampleNoise(job), Means()

    def process_batch(self, batch: Batch) -> Tensor:
        """Encode, draw, decode."""
        mean, log_sigma = self.encoder(batch.input).chunk(2, dim=1)  # (b, z) each
        noise = self.noise(*mean.shape)
        decoded: Tensor = self.decoder(mean + self.options.noise_deviation * log_sigma.exp() * noise)
        reconstruction = self.criterion(decoded, batch.target)
        kl = divergence(mean, log_sigma)
        loss = reconstruction + self.options.kl_weight * kl
        self.means.add(loss=loss, reconstruction=reconstruction, kl=kl)
        return decoded

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

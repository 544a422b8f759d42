"""The variational autoencoder of Kingma and Welling (2014), arXiv:1312.6114."""

from __future__ import annotations

import torch

from dianne import (
    Batch,
    CriterionName,
    GradientOptions,
    Job,
    LearningStrategy,
    LearnProgress,
    MethodName,
    NonNegativeFloat,
    PositiveInt,
    Terms,
    UsageError,
    standard_normal_divergence,
)


class VariationalAutoEncoderLearningStrategy(LearningStrategy):
    """Trains an encoder and a decoder so that the decoder turns standard normal noise into samples.

    J = mean_i [ (1/S) sum_s criterion(decoder(z_is), x_i) + beta KL(q(z|x_i) || N(0, 1)) ],
    z_is = mean_i + stdev_i * noise_is

    The encoder gives 2 z values: means, then standard deviations. With BCE the loss is the negative
    evidence lower bound, in nats per sample, for beta 1.
    """

    roles = ("encoder", "decoder")
    defaults = {"autoencode": True, "maxIterations": 5000}
    evaluation = "VariationalAutoEncoderEvaluationStrategy"

    class Options(GradientOptions):
        """Batches, method, and the shape of the objective."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""
        method: MethodName = "ADAM"
        """How gradients become changes of the weights."""
        batch_size: PositiveInt = 128
        """Samples in a batch."""
        latent_dims: PositiveInt | None = None
        """Size of the latent space; what the encoder gives if left out."""
        sample_size: PositiveInt = 1
        """Latent points drawn for each sample."""
        beta: NonNegativeFloat = 1.0
        """Weight of the divergence (Higgins et al. 2017, beta-VAE)."""

    def setup(self, job: Job) -> None:
        """One update of both networks."""
        self.encoder, self.decoder = job.networks
        self.options = job.options
        self.batches = job.batches
        self.noise = job.noise
        self.criterion = job.criterion()
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch) -> Terms:
        """The negative bound and its two parts."""
        mean, stdev = self.encode(batch.input)  # (b, z) each
        samples = self.options.sample_size
        noise = torch.randn(samples, *mean.shape, generator=self.noise, device=mean.device)
        latents = (mean + stdev * noise).flatten(0, 1)  # (s * b, z)
        targets = (
            batch.target if samples == 1 else batch.target.repeat(samples, *[1] * (batch.target.dim() - 1))
        )
        reconstruction = self.criterion(self.decoder(latents), targets).mean()
        divergence = standard_normal_divergence(mean, stdev).mean()
        loss = reconstruction + self.options.beta * divergence
        return {"loss": loss, "reconstruction": reconstruction, "kl": divergence}

    def encode(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and standard deviations, (b, z) each, for (b, ...) samples."""
        gaussian = self.encoder(samples)
        wanted = self.options.latent_dims
        if gaussian.dim() != 2 or gaussian.shape[1] % 2 or wanted not in (None, gaussian.shape[1] // 2):
            size = f"2 * latentDims = {2 * wanted}" if wanted else "means and as many deviations"
            raise UsageError(f"the encoder must give {size} values, found {list(gaussian.shape[1:])}")
        mean, stdev = gaussian.chunk(2, dim=1)
        return mean, stdev

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update."""
        return LearnProgress(i, self.update(next(self.batches)))

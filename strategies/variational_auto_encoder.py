"""The variational autoencoder of Kingma and Welling (2014), arXiv:1312.6114."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import ValidationInfo, field_validator

from dianne import (
    Batch,
    CriterionName,
    GradientOptions,
    Job,
    LearningStrategy,
    LearnProgress,
    MethodName,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Terms,
    gaussian_halves,
    prior_to_posterior,
    standard_normal_divergence,
)

LOOK_INTERVAL = 500  # iterations; reading a term waits for the device
COLLAPSED = 0.01  # nats per latent dimension


class VariationalAutoEncoderLearningStrategy(LearningStrategy):
    """Trains an encoder and a decoder so that the decoder turns standard normal noise into samples.

    J = mean_i [ (1/S) sum_s criterion(decoder(z_is), x_i) + beta KL(q(z|x_i) || N(0, 1)) ],
    z_is = mean_i + stdev_i * noise_is

    The encoder gives 2 z values: means, then standard deviations. With BCE or GAU the loss is the negative
    evidence lower bound, in nats per sample, for beta 1. With freeBits each latent dimension's KL, averaged
    over the batch, counts at least so much; the term `kl` stays the KL itself.

    bound=IWAE takes the tighter bound of Burda et al. (2016), arXiv:1509.00519:

    J = mean_i [ -log (1/S) sum_s w_is ],
    log w_is = -criterion(decoder(z_is), x_i) + beta (log N(z_is; 0, 1) - log q(z_is|x_i))
    """

    roles = ("encoder", "decoder")
    example = {"networks": "Encoder,Decoder", "dataset": "MNIST", "latentDims": 2}
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
        bound: Literal["ELBO", "IWAE"] = "ELBO"
        """ELBO averages over latent points, IWAE weighs them by importance."""
        beta: NonNegativeFloat = 1.0
        """Weight of the divergence (Higgins et al. 2017, beta-VAE)."""
        beta_warmup: NonNegativeInt = 0
        """Iterations of the job in which beta grows from 0 (Sønderby et al. 2016)."""
        free_bits: NonNegativeFloat = 0.0
        """Nats that each latent dimension holds at no cost (Kingma et al. 2016); with bound=ELBO."""

        @field_validator("free_bits")
        @classmethod
        def _with_elbo(cls, free_bits: float, info: ValidationInfo) -> float:
            if free_bits and info.data.get("bound") == "IWAE":
                raise ValueError("bound=IWAE has no divergence to give bits of; leave freeBits out")
            return free_bits

    def setup(self, job: Job) -> None:
        """One update of both networks."""
        self.encoder, self.decoder = job.networks
        self.options = job.options
        self.batches = job.batches
        self.noise = job.noise
        self.note = job.note
        self.criterion = job.criterion()
        self.beta = self.beta_at(0)
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch) -> Terms:
        """The negative bound and its parts."""
        mean, stdev = gaussian_halves(self.encoder(batch.input), self.options.latent_dims)  # (b, z) each
        self.latent_dims = mean.shape[1]
        samples = self.options.sample_size
        noise = torch.randn(samples, *mean.shape, generator=self.noise, device=mean.device)
        latents = mean + stdev * noise  # (s, b, z)
        targets = (
            batch.target if samples == 1 else batch.target.repeat(samples, *[1] * (batch.target.dim() - 1))
        )
        reconstructions = self.criterion(self.decoder(latents.flatten(0, 1)), targets)  # (s * b,)
        divergence = standard_normal_divergence(mean, stdev).mean()
        terms = {"reconstruction": reconstructions.mean(), "kl": divergence}
        if self.options.bound == "IWAE":
            ratios = prior_to_posterior(latents, mean, stdev)  # (s, b)
            weights = self.beta * ratios - reconstructions.view(samples, -1)
            loss = math.log(samples) - weights.logsumexp(0).mean()
        elif self.options.free_bits:
            loss = terms["reconstruction"] + self.beta * self.at_least_free_bits(mean, stdev)
        else:
            loss = terms["reconstruction"] + self.beta * divergence
        if self.options.beta_warmup:
            terms["beta"] = torch.tensor(self.beta)
        return {"loss": loss, **terms}

    def at_least_free_bits(self, mean: torch.Tensor, stdev: torch.Tensor) -> torch.Tensor:
        """The KL of a batch, in which no dimension counts less than freeBits."""
        dimensions = standard_normal_divergence(mean.reshape(-1, 1), stdev.reshape(-1, 1)).view_as(mean)
        return dimensions.mean(0).clamp_min(self.options.free_bits).sum()

    def beta_at(self, i: int) -> float:
        """The weight of the divergence in iteration `i`."""
        warmup: int = self.options.beta_warmup
        share = min(1.0, i / warmup) if warmup else 1.0
        return share * float(self.options.beta)

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update."""
        self.beta = self.beta_at(i)
        terms = self.update(next(self.batches))
        if (i + 1) % LOOK_INTERVAL == 0 and self.beta > 0:
            self.look_at_divergence(float(terms["kl"]))
        return LearnProgress(i, terms)

    def look_at_divergence(self, divergence: float) -> None:
        """Tell the user if the latent space is not used."""
        if divergence < COLLAPSED * self.latent_dims:
            self.note(
                f"kl is below {COLLAPSED} nats per latent dimension: the encoder gives the same for every "
                "sample, and the decoder does without it (posterior collapse); try betaWarmup=2000, "
                "freeBits=0.1 or a smaller beta"
            )

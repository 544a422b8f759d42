"""The variational autoencoder with a learned distance of Larsen et al. (2016), arXiv:1512.09300."""

from __future__ import annotations

import torch

from dianne import (
    Batch,
    CriterionName,
    GradientOptions,
    Job,
    LearningStrategy,
    LearnProgress,
    NonNegativeFloat,
    PositiveInt,
    Terms,
    UsageError,
    gaussian_halves,
    standard_normal_divergence,
)


class VAEGANLearningStrategy(LearningStrategy):
    """Trains a variational autoencoder that measures its reconstruction in the features of a discriminator.

    L_like = (1/2) mean_i |f(x_i) - f(G(z_i))|^2, z_i = mean_i + stdev_i * noise_i, summed over features
    J_E = L_like + beta mean_i KL(q(z|x_i) || N(0, 1))
    J_G = gamma L_like + mean_i [ criterion(D(G(z_i)), 1) + criterion(D(G(p_i)), 1) ], p standard normal
    J_D = mean_i [ criterion(D(x_i), 1) + criterion(D(G(z_i)), 0) + criterion(D(G(p_i)), 0) ]

    The encoder gives 2 z values, means and then standard deviations. The discriminator has two outputs: first
    the probability D that a sample is real, then the features f. L_like is a Gaussian negative log likelihood
    of unit deviation without its constant, in nats per sample. Where the paper's generator maximises J_D,
    this one minimises the distance to 1, which has gradients from the beginning. Each of the three updates
    draws noise of its own. The reported loss is J_E.
    """

    roles = ("encoder", "generator", "discriminator")
    example = {
        "networks": "Encoder,Decoder,FeatureDiscriminator", "dataset": "MNIST", "latentDims": 16,
        "learningRate": 0.0003, "beta1": 0.5,
    }  # fmt: skip
    evaluation = "VAEGANEvaluationStrategy"

    class Options(GradientOptions):
        """Batches, method, and the weights of the parts."""

        criterion: CriterionName = "BCE"
        """How far the discriminator's probability is from its target."""
        latent_dims: PositiveInt | None = None
        """Size of the latent space; what the encoder gives if left out."""
        beta: NonNegativeFloat = 1.0
        """Weight of the divergence."""
        gamma: NonNegativeFloat = 1.0
        """Weight of the reconstruction against the discriminator, for the generator."""

    def setup(self, job: Job) -> None:
        """One update for each network."""
        self.encoder, self.generator, self.discriminator = job.networks
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criterion = job.criterion()
        self.encode = job.update(self.encoder_loss, trains=(self.encoder,))
        self.generate = job.update(self.generator_loss, trains=(self.generator,))
        self.discriminate = job.update(self.discriminator_loss, trains=(self.discriminator,))

    def latents(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A latent point (b, z) for each image, and the divergence (b,) of where it comes from."""
        mean, stdev = gaussian_halves(self.encoder(images), self.options.latent_dims)
        noise = torch.randn(mean.shape, generator=self.noise, device=mean.device)
        return mean + stdev * noise, standard_normal_divergence(mean, stdev)

    def judged(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities (b, 1) that images are real, and their features (b, ...)."""
        result = self.discriminator(images)
        if not isinstance(result, tuple) or len(result) != 2:
            found = len(result) if isinstance(result, tuple) else 1
            raise UsageError(
                "the discriminator must have two outputs, the probability that a sample is real and the "
                f"features by which it is told, found {found}; add an Output behind the module whose results "
                "are the features, as the network FeatureDiscriminator does"
            )
        return result

    def distance(self, probability: torch.Tensor, target: float) -> torch.Tensor:
        """The criterion of (b, 1) probabilities and one target, averaged over the batch."""
        return self.criterion(probability, torch.full_like(probability, target)).mean()

    def feature_distance(self, images: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """L_like of (b, ...) real images, given the features of what they were decoded to."""
        with torch.no_grad():
            _, wanted = self.judged(images)
        return 0.5 * ((features - wanted) ** 2).flatten(1).sum(1).mean()

    def encoder_loss(self, batch: Batch) -> Terms:
        """J_E and its two parts."""
        latents, divergences = self.latents(batch.input)
        _, features = self.judged(self.generator(latents))
        reconstruction = self.feature_distance(batch.input, features)
        divergence = divergences.mean()
        loss = reconstruction + self.options.beta * divergence
        return {"loss": loss, "reconstruction": reconstruction, "kl": divergence}

    def generator_loss(self, batch: Batch) -> Terms:
        """J_G."""
        with torch.no_grad():
            latents, _ = self.latents(batch.input)
        drawn = torch.randn(latents.shape, generator=self.noise, device=latents.device)
        decoded, features = self.judged(self.generator(latents))
        made, _ = self.judged(self.generator(drawn))
        reconstruction = self.feature_distance(batch.input, features)
        deception = self.distance(decoded, 1.0) + self.distance(made, 1.0)
        return {"loss": self.options.gamma * reconstruction + deception}

    def discriminator_loss(self, batch: Batch) -> Terms:
        """J_D, and how real samples and made-up ones look to the discriminator."""
        with torch.no_grad():
            latents, _ = self.latents(batch.input)
            drawn = torch.randn(latents.shape, generator=self.noise, device=latents.device)
            decoded, made = self.generator(latents), self.generator(drawn)
        real, _ = self.judged(batch.input)
        reconstructed, _ = self.judged(decoded)
        fake, _ = self.judged(made)
        loss = self.distance(real, 1.0) + self.distance(reconstructed, 0.0) + self.distance(fake, 0.0)
        return {"loss": loss, "real": real.mean(), "fake": fake.mean()}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update of each network."""
        batch = next(self.batches)
        terms = dict(self.encode(batch))
        terms["generator"] = self.generate(batch)["loss"]
        judged = self.discriminate(batch)
        terms["discriminator"] = judged["loss"]
        return LearnProgress(i, {**terms, "real": judged["real"], "fake": judged["fake"]})

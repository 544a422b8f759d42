"""The generative adversarial network of Goodfellow et al. (2014), arXiv:1406.2661."""

from __future__ import annotations

import torch

from dianne import (
    Batch,
    CriterionName,
    GradientOptions,
    Job,
    LearningStrategy,
    LearnProgress,
    PositiveInt,
    Probability,
    Terms,
    noise_shape,
)


class GANLearningStrategy(LearningStrategy):
    """Trains a generator to make samples that a discriminator takes for real ones, and the discriminator.

    J_D = mean_i [ criterion(D(x_i), realTarget) + criterion(D(G(z_i)), fakeTarget) ]
    J_G = mean_i [ criterion(D(G(z_i')), generatorTarget) ], z and z' standard normal

    The discriminator is updated first, with samples of the generator through which no gradient flows; then
    the generator, with noise of its own. The criterion is BCE, in nats; MSE with a discriminator that ends
    without Sigmoid gives the least-squares GAN of Mao et al. (2017). Targets inside 0 to 1 are the label
    smoothing of Salimans et al. (2016).
    """

    roles = ("generator", "discriminator")
    example = {
        "networks": "ConvDecoder,Discriminator", "dataset": "MNIST", "latentDims": 64,
        "learningRate": 0.0002, "beta1": 0.5,
    }  # fmt: skip
    evaluation = "GANEvaluationStrategy"

    class Options(GradientOptions):
        """Batches, method, and the targets of the discriminator."""

        criterion: CriterionName = "BCE"
        """How far the discriminator is from its target."""
        real_target: Probability = 0.85
        """What the discriminator should give for real samples."""
        fake_target: Probability = 0.15
        """What the discriminator should give for generated samples."""
        generator_target: Probability = 0.85
        """What the generator wants the discriminator to give."""
        generator_dim: PositiveInt | None = None
        """Values of noise that the generator takes; what its input says if left out."""

    def setup(self, job: Job) -> None:
        """One update for each network."""
        self.generator, self.discriminator = job.networks
        self.shape = noise_shape(self.generator, job.options.generator_dim)
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criterion = job.criterion()
        self.discriminate = job.update(self.discriminator_loss, trains=(self.discriminator,))
        self.generate = job.update(self.generator_loss, trains=(self.generator,))

    def generated(self, like: torch.Tensor) -> torch.Tensor:
        """As many new samples as there are in `like`."""
        noise = torch.randn(len(like), *self.shape, generator=self.noise, device=like.device)
        samples: torch.Tensor = self.generator(noise)
        return samples

    def distance(self, judged: torch.Tensor, target: float) -> torch.Tensor:
        """The criterion of (b, ...) judgements and one target, averaged over the batch."""
        return self.criterion(judged, torch.full_like(judged, target)).mean()

    def discriminator_loss(self, batch: Batch) -> Terms:
        """J_D, and how real both kinds of samples look to the discriminator."""
        with torch.no_grad():
            fakes = self.generated(batch.input)
        real, fake = self.discriminator(batch.input), self.discriminator(fakes)
        loss = self.distance(real, self.options.real_target) + self.distance(fake, self.options.fake_target)
        return {"loss": loss, "real": real.mean(), "fake": fake.mean()}

    def generator_loss(self, batch: Batch) -> Terms:
        """J_G."""
        judged = self.discriminator(self.generated(batch.input))
        return {"loss": self.distance(judged, self.options.generator_target)}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, the discriminator's update, the generator's."""
        batch = next(self.batches)
        judged = self.discriminate(batch)
        made = self.generate(batch)
        terms = {"loss": made["loss"], "discriminator": judged["loss"]}
        return LearnProgress(i, {**terms, "real": judged["real"], "fake": judged["fake"]})

"""The Wasserstein generative adversarial network of Arjovsky et al. (2017), arXiv:1701.07875."""

from __future__ import annotations

import torch
from pydantic import Field

from dianne import (
    Batch,
    Job,
    LearningStrategy,
    LearnProgress,
    MethodName,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SamplingName,
    Terms,
    noise_shape,
)
from dianne import (
    Options as BaseOptions,
)


class WGANLearningStrategy(LearningStrategy):
    """Trains a generator against a critic of bounded weights, which estimates how far its samples are off.

    J_D = mean_i [ D(G(z_i)) - D(x_i) ], every weight of D cut to +-clamp after each step
    J_G = mean_i [ -D(G(z_i')) ], z and z' standard normal

    The critic gives one unbounded value per sample, more for real ones. It takes `Diterations` steps in each
    iteration, each with a new batch, and `initDiterations` in the first ones, so that it is good before the
    generator follows it. The reported loss is -J_D, averaged over these steps: up to a factor, the
    Wasserstein distance between samples and generated samples.
    """

    roles = ("generator", "critic")
    example = {"networks": "Generator,Critic", "dataset": "MNIST"}
    defaults = {"learningRate": 1e-4}
    evaluation = "WassersteinEvaluationStrategy"

    class Options(BaseOptions):
        """Batches, method, and the critic's steps."""

        method: MethodName = "RMSPROP"
        """How gradients become changes of the weights."""
        batch_size: PositiveInt = 128
        """Samples in a batch."""
        sampling: SamplingName = "UNIFORM"
        """How samples are drawn."""
        generator_dim: PositiveInt | None = None
        """Values of noise that the generator takes; what its input says if left out."""
        clamp: PositiveFloat = 0.01
        """Largest absolute value of a weight of the critic."""
        d_iterations: PositiveInt = Field(default=5, alias="Diterations")
        """Steps of the critic in an iteration."""
        init_d_iterations: PositiveInt = Field(default=100, alias="initDiterations")
        """Steps of the critic in each of the first iterations."""
        init_iterations: NonNegativeInt = 25
        """How many of these first iterations there are."""

    def setup(self, job: Job) -> None:
        """One update for each network; the critic begins inside its bounds."""
        self.generator, self.critic = job.networks
        self.shape = noise_shape(self.generator, job.options.generator_dim)
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criticise = job.update(self.critic_loss, trains=(self.critic,))
        self.generate = job.update(self.generator_loss, trains=(self.generator,))
        self.clamp()

    def clamp(self) -> None:
        """Cut the critic's weights; buffers, and weights that are fixed, stay as they are."""
        bound = self.options.clamp
        with torch.no_grad():
            for weight in self.critic.parameters():
                if weight.requires_grad:
                    weight.clamp_(-bound, bound)

    def generated(self, like: torch.Tensor) -> torch.Tensor:
        """As many new samples as there are in `like`."""
        noise = torch.randn(len(like), *self.shape, generator=self.noise, device=like.device)
        samples: torch.Tensor = self.generator(noise)
        return samples

    def critic_loss(self, batch: Batch) -> Terms:
        """J_D."""
        with torch.no_grad():
            fakes = self.generated(batch.input)
        return {"loss": self.critic(fakes).mean() - self.critic(batch.input).mean()}

    def generator_loss(self, batch: Batch) -> Terms:
        """J_G."""
        return {"loss": -self.critic(self.generated(batch.input)).mean()}

    def process_iteration(self, i: int) -> LearnProgress:
        """Several updates of the critic, one of the generator."""
        first = i < self.options.init_iterations
        steps = self.options.init_d_iterations if first else self.options.d_iterations
        gaps = []
        for _ in range(steps):
            batch = next(self.batches)
            gaps.append(-self.criticise(batch)["loss"])
            self.clamp()
        made = self.generate(batch)
        return LearnProgress(i, {"loss": torch.stack(gaps).mean(), "generator": made["loss"]})

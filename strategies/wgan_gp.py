"""The Wasserstein GAN with gradient penalty of Gulrajani et al. (2017), arXiv:1704.00028."""

from __future__ import annotations

import torch
from pydantic import Field

from dianne import (
    Batch,
    Job,
    LearningStrategy,
    LearnProgress,
    MethodName,
    NonNegativeFloat,
    PositiveInt,
    SamplingName,
    Terms,
    noise_shape,
)
from dianne import (
    Options as BaseOptions,
)


class WGANGPLearningStrategy(LearningStrategy):
    """Trains a generator against a critic whose slope is held near 1, which estimates how far it is off.

    J_D = mean_i [ D(G(z_i)) - D(x_i) + penalty (|grad D(u_i)| - 1)^2 ], u_i = e_i x_i + (1 - e_i) G(z_i)
    J_G = mean_i [ -D(G(z_i')) ], z and z' standard normal, e uniform in 0 to 1

    The critic gives one unbounded value per sample, more for real ones; as its slope is taken sample by
    sample, it must not have BatchNormalization. It takes `Diterations` steps in each iteration, each with a
    new batch. The reported loss is mean D(x) - mean D(G(z)), averaged over these steps: the Wasserstein
    distance between samples and generated samples, as far as the critic sees it; the term `penalty` comes
    without its weight.
    """

    roles = ("generator", "critic")
    example = {"networks": "Generator,Critic", "dataset": "MNIST"}
    defaults = {"learningRate": 1e-4, "beta1": 0.5, "beta2": 0.9}
    evaluation = "WassersteinEvaluationStrategy"

    class Options(BaseOptions):
        """Batches, method, and the critic's steps."""

        method: MethodName = "ADAM"
        """How gradients become changes of the weights."""
        batch_size: PositiveInt = 128
        """Samples in a batch."""
        sampling: SamplingName = "UNIFORM"
        """How samples are drawn."""
        generator_dim: PositiveInt | None = None
        """Values of noise that the generator takes; what its input says if left out."""
        penalty: NonNegativeFloat = 10.0
        """Weight of the penalty on slopes other than 1."""
        d_iterations: PositiveInt = Field(default=5, alias="Diterations")
        """Steps of the critic in an iteration."""

    def setup(self, job: Job) -> None:
        """One update for each network."""
        self.generator, self.critic = job.networks
        self.shape = noise_shape(self.generator, job.options.generator_dim)
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criticise = job.update(self.critic_loss, trains=(self.critic,))
        self.generate = job.update(self.generator_loss, trains=(self.generator,))

    def generated(self, like: torch.Tensor) -> torch.Tensor:
        """As many new samples as there are in `like`."""
        noise = torch.randn(len(like), *self.shape, generator=self.noise, device=like.device)
        samples: torch.Tensor = self.generator(noise)
        return samples

    def critic_loss(self, batch: Batch) -> Terms:
        """J_D and its parts."""
        with torch.no_grad():
            fakes = self.generated(batch.input)
        gap = self.critic(batch.input).mean() - self.critic(fakes).mean()
        penalty = self.slope_penalty(batch.input, fakes.reshape(batch.input.shape))
        return {"loss": self.options.penalty * penalty - gap, "gap": gap, "penalty": penalty}

    def slope_penalty(self, reals: torch.Tensor, fakes: torch.Tensor) -> torch.Tensor:
        """Mean of (|gradient| - 1)^2 at points between (b, ...) real and generated samples."""
        shares = torch.rand(len(reals), generator=self.noise, device=reals.device)
        shares = shares.view(-1, *[1] * (reals.dim() - 1))  # (b, 1, ...)
        with torch.enable_grad():  # the slope is a gradient even where nobody wants that of the loss
            points = (shares * reals + (1 - shares) * fakes).requires_grad_()
            (slopes,) = torch.autograd.grad(self.critic(points).sum(), points, create_graph=True)
        lengths: torch.Tensor = torch.linalg.vector_norm(slopes.flatten(1), dim=1)  # (b,)
        return ((lengths - 1) ** 2).mean()

    def generator_loss(self, batch: Batch) -> Terms:
        """J_G."""
        return {"loss": -self.critic(self.generated(batch.input)).mean()}

    def process_iteration(self, i: int) -> LearnProgress:
        """Several updates of the critic, one of the generator."""
        gaps, penalties = [], []
        for _ in range(self.options.d_iterations):
            batch = next(self.batches)
            terms = self.criticise(batch)
            gaps.append(terms["gap"])
            penalties.append(terms["penalty"])
        made = self.generate(batch)
        judged = {"loss": torch.stack(gaps).mean(), "penalty": torch.stack(penalties).mean()}
        return LearnProgress(i, {**judged, "generator": made["loss"]})

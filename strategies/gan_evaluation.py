"""Judging a generator and its discriminator by each other."""

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
    noise_shape,
)


class GANEvaluationStrategy(EvaluationStrategy):
    """How often the discriminator tells samples from generated ones, and what it gives for both.

    accuracy = (1/2) (share of D(x) > 0.5 + share of D(G(z)) <= 0.5); 0.5 when it cannot tell them apart

    For each sample of the dataset one is generated. The numbers say how the two networks stand against each
    other; they do not compare generators that learned with different discriminators.
    """

    roles = ("generator", "discriminator")

    class Options(EvaluationOptions):
        """Only the size of a batch."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        self.generator, self.discriminator = job.networks
        self.shape = noise_shape(self.generator)
        self.noise = SampleNoise(job)
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Judge both kinds of samples; gives the generated ones."""
        made: torch.Tensor = self.generator(self.noise(len(batch.input), *self.shape))
        real = self.discriminator(batch.input).flatten(1).mean(1)  # (b,)
        fake = self.discriminator(made).flatten(1).mean(1)
        right = 0.5 * ((real > 0.5).double() + (fake <= 0.5).double())
        self.means.add(accuracy=right, real=real, fake=fake)
        return made

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

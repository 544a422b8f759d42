"""Judging a generator by the critic that it learned with."""

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


class WassersteinEvaluationStrategy(EvaluationStrategy):
    """How far generated samples are from those of a dataset, as the critic sees it.

    distance = mean D(x) - mean D(G(z)); near 0 when the critic cannot tell them apart

    For each sample of the dataset one is generated. The unit is the critic's own, so that only generators
    with the same critic can be compared.
    """

    roles = ("generator", "critic")

    class Options(EvaluationOptions):
        """Only the size of a batch."""

    def setup(self, job: EvaluationJob) -> None:
        """Keep what the batches need."""
        self.generator, self.critic = job.networks
        self.shape = noise_shape(self.generator)
        self.noise = SampleNoise(job)
        self.means = Means()

    def process_batch(self, batch: Batch) -> torch.Tensor:
        """Judge both kinds of samples; gives the generated ones."""
        made: torch.Tensor = self.generator(self.noise(len(batch.input), *self.shape))
        real = self.critic(batch.input).flatten(1).mean(1)  # (b,)
        fake = self.critic(made).flatten(1).mean(1)
        self.means.add(distance=real - fake, real=real, fake=fake)
        return made

    def result(self) -> Evaluation:
        """Means over all samples."""
        return Evaluation(self.means.size, self.means.means())

"""The autoencoder, sparse or denoising if asked for (Vincent et al. 2008, ICML 25)."""

from __future__ import annotations

import torch

from dianne import Batch, GradientOptions, Job, LearningStrategy, LearnProgress, NonNegativeFloat, Terms


class AutoEncoderLearningStrategy(LearningStrategy):
    """Trains an encoder and a decoder to give samples back through a code.

    J = mean_i [ criterion(decoder(c_i), x_i) + activityL1 sum_j |c_ij| ], c_i = encoder(x_i + noise * e_i)

    The code has any shape that the decoder takes; e is standard normal. With `noise` the autoencoder learns
    to remove it: the target is the clean sample.
    """

    roles = ("encoder", "decoder")
    example = {"networks": "Encoder,Decoder", "dataset": "MNIST", "Decoder.latentDims": 4}
    defaults = {"autoencode": True}
    evaluation = "ReconstructionEvaluationStrategy"

    class Options(GradientOptions):
        """Batches, criterion, method, and what shapes the code."""

        activity_l1: NonNegativeFloat = 0.0
        """Added to the loss for each unit of absolute value in a sample's code."""
        noise: NonNegativeFloat = 0.0
        """Standard deviation of the noise on what the encoder sees."""

    def setup(self, job: Job) -> None:
        """One update of both networks."""
        self.encoder, self.decoder = job.networks
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criterion = job.criterion()
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch) -> Terms:
        """The criterion, and the price of the code if it has one."""
        samples = batch.input
        if self.options.noise:
            noise = torch.randn(samples.shape, generator=self.noise, device=samples.device)
            samples = samples + self.options.noise * noise
        code = self.encoder(samples)  # (b, ...)
        reconstruction = self.criterion(self.decoder(code), batch.target).mean()
        if not self.options.activity_l1:
            return {"loss": reconstruction}
        activity = code.abs().flatten(1).sum(1).mean()
        loss = reconstruction + self.options.activity_l1 * activity
        return {"loss": loss, "reconstruction": reconstruction, "activity": activity}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update."""
        return LearnProgress(i, self.update(next(self.batches)))

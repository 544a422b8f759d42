"""A variational autoencoder that is given the class: Sohn, Lee and Yan (2015), NeurIPS 28."""

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
    input_shapes,
    standard_normal_divergence,
)


class LabelVariationalAutoEncoderLearningStrategy(LearningStrategy):
    """Trains an encoder and a decoder so that the decoder turns noise and a class into samples of the class.

    J = mean_i [ criterion(decoder(z_i, y_i), x_i) + beta KL(q(z|x_i, y_i) || N(0, 1)) ],
    z_i = mean_i + stdev_i * noise_i

    The encoder gives 2 z values, means and then standard deviations; the decoder takes z + c values, the
    latent point before the one-hot class. An encoder with two inputs gets the sample and the class, one with
    a single input the sample. With BCE or GAU the loss is the negative bound on log p(x_i|y_i), in nats per
    sample, for beta 1.
    """

    roles = ("encoder", "decoder")
    example = {"networks": "Encoder,Decoder", "dataset": "MNIST", "Decoder.latentDims": 12}
    evaluation = "LabelVariationalAutoEncoderEvaluationStrategy"

    class Options(GradientOptions):
        """Batches, method, and the weight of the divergence."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""
        latent_dims: PositiveInt | None = None
        """Size of the latent space without the classes; what the encoder gives if left out."""
        beta: NonNegativeFloat = 1.0
        """Weight of the divergence."""

    def setup(self, job: Job) -> None:
        """One update of both networks."""
        if not job.labels or job.dataset.autoencode:
            raise UsageError(
                "LabelVariationalAutoEncoderLearningStrategy needs a dataset with classes as its targets, "
                "and no autoencode=true; without classes use strategy=VariationalAutoEncoder"
            )
        self.encoder, self.decoder = job.networks
        self.encoder_is_told = len(input_shapes(self.encoder)) == 2
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criterion = job.criterion()
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch) -> Terms:
        """The negative bound and its two parts."""
        images, labels = batch.input, batch.target  # (b, ...), (b, c)
        encoded = self.encoder(images, labels) if self.encoder_is_told else self.encoder(images)
        mean, stdev = gaussian_halves(encoded, self.options.latent_dims)  # (b, z) each
        noise = torch.randn(mean.shape, generator=self.noise, device=mean.device)
        decoded = self.decoder(torch.cat((mean + stdev * noise, labels), dim=1))
        reconstruction = self.criterion(decoded, images).mean()
        divergence = standard_normal_divergence(mean, stdev).mean()
        loss = reconstruction + self.options.beta * divergence
        return {"loss": loss, "reconstruction": reconstruction, "kl": divergence}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update."""
        return LearnProgress(i, self.update(next(self.batches)))

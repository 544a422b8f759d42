"""A variational autoencoder whose decoder is told the class, as a classifier sees it.

After Kingma et al. (2014), arXiv:1406.5298: the label is a second latent variable, with a classifier as its
posterior; here all labels are known.
"""

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
    log_probabilities,
    standard_normal_divergence,
)


class ConditionalVariationalAutoEncoderLearningStrategy(LearningStrategy):
    """Trains a variational autoencoder together with a classifier that tells its decoder the class.

    J = mean_i [ criterion(decoder(z_i, p_i), x_i) + beta KL(q(z|x_i) || N(0, 1))
                 - classifierWeight log p_i(y_i) ],
    z_i = mean_i + stdev_i * noise_i, p_i = classifier(x_i)

    The encoder gives 2 z values, means and then standard deviations; the classifier gives (log) probabilities
    of the c classes; the decoder takes z + c values, the latent point before the probabilities. Targets are
    classes, and the input is what is reconstructed. All terms in nats per sample, with BCE or GAU.
    """

    roles = ("encoder", "decoder", "classifier")
    example = {"networks": "Encoder,Decoder,MLP", "dataset": "MNIST", "Decoder.latentDims": 12}
    evaluation = "ConditionalVariationalAutoEncoderEvaluationStrategy"

    class Options(GradientOptions):
        """Batches, method, and the weights of the parts."""

        criterion: CriterionName = "BCE"
        """How far a decoded image is from the one that was encoded."""
        latent_dims: PositiveInt | None = None
        """Size of the latent space without the classes; what the encoder gives if left out."""
        beta: NonNegativeFloat = 1.0
        """Weight of the divergence."""
        classifier_weight: NonNegativeFloat = 10.0
        """Weight of the classification."""

    def setup(self, job: Job) -> None:
        """One update of all three networks."""
        if not job.labels or job.dataset.autoencode:
            raise UsageError(
                "ConditionalVariationalAutoEncoderLearningStrategy needs a dataset with classes as its "
                "targets, and no autoencode=true; without classes use strategy=VariationalAutoEncoder"
            )
        self.encoder, self.decoder, self.classifier = job.networks
        self.options, self.batches, self.noise = job.options, job.batches, job.noise
        self.criterion = job.criterion()
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch) -> Terms:
        """The negative bound, the classification, and their parts."""
        mean, stdev = gaussian_halves(self.encoder(batch.input), self.options.latent_dims)  # (b, z) each
        noise = torch.randn(mean.shape, generator=self.noise, device=mean.device)
        classes = log_probabilities(self.classifier(batch.input))  # (b, c)
        decoded = self.decoder(torch.cat((mean + stdev * noise, classes.exp()), dim=1))
        reconstruction = self.criterion(decoded, batch.input).mean()
        divergence = standard_normal_divergence(mean, stdev).mean()
        classification = -(classes * batch.target).sum(1).mean()
        loss = (
            reconstruction
            + self.options.beta * divergence
            + self.options.classifier_weight * classification
        )  # fmt: skip
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "kl": divergence,
            "classification": classification,
        }

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch, one update."""
        return LearnProgress(i, self.update(next(self.batches)))

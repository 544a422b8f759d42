"""What each evaluation says, against numpy, scikit-learn and torch.distributions."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal

from dianne import Dataset, Evaluation, UsageError, plugins
from dianne.evaluation.evaluator import evaluate
from dianne.seeds import derive
from dianne.workspace import Folder

GENERATOR = torch.Generator().manual_seed(8)
IMAGES = torch.rand(12, 4, generator=GENERATOR)
CLASSES = torch.randint(3, (12,), generator=GENERATOR)
LABELLED = Dataset("Images", IMAGES, CLASSES, ["a", "b", "c"])
SEED = 4


def judged(name: str, *networks: nn.Module, data: Dataset, **options) -> Evaluation:
    strategy = plugins.find(Folder(Path(__file__).parents[2]), name, plugins.EVALUATION)
    return evaluate(strategy, networks, strategy.Options(**options), data, SEED)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(derive(SEED, "noise")))


class Function(nn.Module):
    """A network without weights."""

    def __init__(self, function, *inputs):
        super().__init__()
        self.function = function
        self.inputs = {f"input{n}": shape for n, shape in enumerate(inputs)}

    def forward(self, *samples):
        return self.function(*samples)


def encoded(images: Tensor) -> Tensor:
    return torch.cat((images[:, :2] - 0.5, 0.2 + images[:, 2:]), dim=1)


def decoded(latents: Tensor) -> Tensor:
    return torch.sigmoid(torch.cat((latents, latents.flip(1)), dim=1))


def told(latents: Tensor) -> Tensor:
    return torch.sigmoid(decoded(latents[:, :2]) + latents[:, 2:3] - latents[:, 4:5])


def unlikely(images: Tensor, probabilities: Tensor) -> Tensor:
    return -(images * probabilities.log() + (1 - images) * (1 - probabilities).log()).sum(1)


def divergence(gaussian: Tensor) -> Tensor:
    mean, stdev = gaussian.chunk(2, dim=1)
    return (0.5 * (mean**2 + stdev**2 - 1) - stdev.log()).sum(1)


# -------------------------------------------------------------------------------------------- yes or no


SCORES = np.round(np.random.default_rng(3).random(60), 1)  # with many ties
TRUTHS = (np.random.default_rng(4).random(60) + SCORES > 1.1).astype(int)


def yes_or_no(scores, truths, labels=None, **options) -> Evaluation:
    targets = torch.tensor(truths) if labels else torch.tensor(truths, dtype=torch.float32)
    inputs = torch.tensor(scores, dtype=torch.float32)
    data = Dataset("Hand", inputs, targets, labels)
    return judged("BinaryClassification", nn.Identity(), data=data, **options)


@pytest.mark.parametrize("threshold", [0.35, 0.5])
def test_the_measures_of_two_classes_are_those_of_scikit_learn(threshold):
    found = yes_or_no(SCORES[:, None], TRUTHS, threshold=threshold)
    named = threshold < SCORES
    assert found.metrics == pytest.approx({
        "accuracy": metrics.accuracy_score(TRUTHS, named),
        "precision": metrics.precision_score(TRUTHS, named),
        "recall": metrics.recall_score(TRUTHS, named),
        "specificity": metrics.recall_score(1 - TRUTHS, ~named),
        "f1": metrics.f1_score(TRUTHS, named),
        "mcc": metrics.matthews_corrcoef(TRUTHS, named),
        "ROC AUC": metrics.roc_auc_score(TRUTHS, SCORES),
    })  # fmt: skip
    assert found.confusion == metrics.confusion_matrix(TRUTHS, named).tolist()
    assert (found.size, found.labels) == (60, ["negative", "positive"])


@pytest.mark.parametrize("logarithms", [False, True])
def test_of_two_results_the_second_is_that_of_the_positive_class(logarithms):
    pairs = np.stack((1 - 0.9 * SCORES - 0.05, 0.9 * SCORES + 0.05), axis=1)
    found = yes_or_no(np.log(pairs) if logarithms else pairs, TRUTHS, ["no", "yes"])
    single = yes_or_no(pairs[:, 1:], TRUTHS)
    assert found.metrics == pytest.approx(single.metrics)
    assert found.confusion == single.confusion
    assert found.labels == ["no", "yes"]


def test_targets_of_any_shape_with_one_value_will_do():
    data = Dataset("Hand", torch.tensor([[0.1], [0.9], [0.8]]), torch.tensor([[[0.0]], [[1.0]], [[0.0]]]))
    assert judged("BinaryClassification", nn.Identity(), data=data).confusion == [[1, 1], [0, 1]]


def test_what_cannot_be_measured_is_nothing_and_a_curve_needs_both_classes():
    found = yes_or_no([[0.1], [0.2]], [0, 0])
    assert found.metrics == {
        "accuracy": 1, "precision": 0, "recall": 0, "specificity": 1, "f1": 0, "mcc": 0
    }  # fmt: skip


def test_a_result_that_is_no_number_is_wrong_whatever_the_truth():
    found = yes_or_no([[math.nan], [math.nan], [0.9]], [0, 1, 1])
    assert found.confusion == [[0, 1], [1, 1]]
    assert "ROC AUC" not in found.metrics


@pytest.mark.parametrize(
    ("scores", "truths", "labels", "text"),
    [
        ([[0.1, 0.2, 0.7]], [0.0], None, "takes one value for each sample, or one for each of two classes; "
         "found a result of 3"),
        ([[0.1]], [[0.0, 1.0, 0.0]], None, "takes one value for each sample, or one for each of two classes; "
         "found a target of 3"),
        ([[0.1]], [1], ["a", "b", "c"], "needs two classes, found 3; "
         "use strategy=ClassificationEvaluationStrategy"),
    ],
)  # fmt: skip
def test_more_than_two_classes_are_refused(scores, truths, labels, text):
    with pytest.raises(UsageError) as fault:
        yes_or_no(scores, truths, labels)
    assert str(fault.value) == f"BinaryClassificationEvaluationStrategy {text}"


# ------------------------------------------------------------------------------------------ autoencoders


def test_a_reconstruction_is_judged_by_its_criterion():
    data = Dataset("Images", IMAGES, torch.zeros(12), autoencode=True)
    networks = Function(lambda x: 2 * x), Function(lambda c: c / 2 + 0.25)
    found = judged("Reconstruction", *networks, data=data, includeOutputs=True, batchSize=5)
    assert found.metrics == {"MSE": pytest.approx(0.0625, rel=1e-5)}
    assert torch.allclose(found.outputs, IMAGES + 0.25)
    found = judged("Reconstruction", *networks, data=data, criterion="ABS")
    assert found.metrics == {"ABS": pytest.approx(0.25, rel=1e-5)}


def test_a_decoder_that_is_told_by_a_classifier_is_judged_with_it():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    found = judged(
        "ConditionalVariationalAutoEncoder",
        Function(encoded), Function(told), Function(lambda x: (x @ logits).log_softmax(1)), data=LABELLED,
    )  # fmt: skip
    probabilities = (IMAGES @ logits).softmax(1)
    mean, stdev = encoded(IMAGES).chunk(2, dim=1)
    latents = torch.cat((mean + stdev * noise(12, 2), probabilities), dim=1)
    reconstruction, kl = unlikely(IMAGES, told(latents)).mean(), divergence(encoded(IMAGES)).mean()
    assert found.metrics == pytest.approx({
        "negative ELBO": float(reconstruction + kl),
        "reconstruction": float(reconstruction),
        "kl": float(kl),
        "accuracy": float((probabilities.argmax(1) == CLASSES).double().mean()),
    }, rel=1e-5)  # fmt: skip


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_decoder_that_is_told_the_class_is_judged_with_it(inputs):
    labels = torch.eye(3)[CLASSES]

    def encode(images, labels=None):
        return encoded(images) if labels is None else encoded(images) + labels.sum(1, keepdim=True)

    encoder = Function(encode, *[(4,), (3,)][:inputs])
    found = judged("LabelVariationalAutoEncoder", encoder, Function(told), data=LABELLED, batchSize=5)
    gaussian = encode(IMAGES, labels if inputs == 2 else None)
    mean, stdev = gaussian.chunk(2, dim=1)
    latents = torch.cat((mean + stdev * noise(12, 2), labels), dim=1)
    reconstruction, kl = unlikely(IMAGES, told(latents)).mean(), divergence(gaussian).mean()
    assert found.metrics == pytest.approx({
        "negative ELBO": float(reconstruction + kl), "reconstruction": float(reconstruction), "kl": float(kl),
    }, rel=1e-5)  # fmt: skip


@pytest.mark.parametrize("name", ["ConditionalVariationalAutoEncoder", "LabelVariationalAutoEncoder"])
def test_classes_are_needed_where_a_decoder_is_told_them(name):
    networks = [Function(encoded, (4,))] * (3 if name.startswith("Cond") else 2)
    with pytest.raises(UsageError) as fault:
        judged(name, *networks, data=Dataset("Images", IMAGES, torch.zeros(12)))
    assert str(fault.value) == f"{name}EvaluationStrategy needs a dataset with classes"


# -------------------------------------------------------------------------------- likelihood of a decoder


PLAIN = Dataset("Images", IMAGES.round(), torch.zeros(12), autoencode=True)
# Deviations near that of the prior: narrower ones need many more points.
VAE = Function(lambda x: torch.cat((x[:, :2] - 0.5, 0.9 + x[:, 2:] / 5), dim=1)), Function(decoded)


def exact(images: Tensor) -> float:
    """-log p(x), averaged, by a sum over a fine grid of latent points."""
    line = torch.linspace(-6, 6, 241, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    prior = Normal(0.0, 1.0).log_prob(grid).sum(1) + 2 * math.log(12 / 240)
    likelihood = Bernoulli(decoded(grid)).log_prob(images.double()[:, None]).sum(2)
    return -(prior + likelihood).logsumexp(1).mean().item()


def test_the_estimated_likelihood_comes_close_to_the_exact_one():
    truth = exact(PLAIN.inputs)
    found = [judged("VariationalAutoEncoder", *VAE, data=PLAIN, samples=n).metrics for n in (1, 4000)]
    assert found[1]["negative log likelihood"] == pytest.approx(truth, abs=0.01)
    assert found[0]["negative log likelihood"] > truth
    assert found[1]["negative ELBO"] > truth


def test_the_likelihood_does_not_change_the_bound_and_is_left_out_unless_asked_for():
    plain = judged("VariationalAutoEncoder", *VAE, data=PLAIN).metrics
    with_likelihood = judged("VariationalAutoEncoder", *VAE, data=PLAIN, samples=3).metrics
    assert list(with_likelihood) == [*plain, "negative log likelihood"]
    assert {key: with_likelihood[key] for key in plain} == plain


@pytest.mark.parametrize("batch_size", [1, 5, 7])
@pytest.mark.parametrize("samples", [1, 3, 50])
def test_the_likelihood_does_not_depend_on_batches_or_chunks(batch_size, samples, monkeypatch):
    whole = judged("VariationalAutoEncoder", *VAE, data=PLAIN, samples=samples).metrics
    module = __import__("sys").modules["dianne.strategies.variational_auto_encoder_evaluation"]
    monkeypatch.setattr(module, "CHUNK", 11)
    sizes = []
    decoder = Function(lambda latents: sizes.append(len(latents)) or decoded(latents))
    options = {"samples": samples, "batchSize": batch_size}
    parts = judged("VariationalAutoEncoder", VAE[0], decoder, data=PLAIN, **options).metrics
    assert parts["negative log likelihood"] == pytest.approx(whole["negative log likelihood"], rel=1e-6)
    assert max(sizes) <= max(11, batch_size)


# ------------------------------------------------------------------------------------------------- GANs


def made(latents: Tensor) -> Tensor:
    return torch.sigmoid(torch.cat((latents, -latents), dim=1))


def score(images: Tensor) -> Tensor:
    return images[:, :2].mean(1, keepdim=True)


def test_a_discriminator_and_its_generator_are_judged_by_each_other():
    networks = Function(made, (2,)), Function(score)
    found = judged("GAN", *networks, data=LABELLED, batchSize=5, includeOutputs=True)
    fakes = made(noise(12, 2))
    real, fake = score(IMAGES), score(fakes)
    assert found.metrics == pytest.approx({
        "accuracy": ((real > 0.5).sum().item() + (fake <= 0.5).sum().item()) / 24,
        "real": real.mean().item(),
        "fake": fake.mean().item(),
    }, rel=1e-5)  # fmt: skip
    assert 0 < found.metrics["accuracy"] < 1
    assert torch.allclose(found.outputs, fakes)


def test_a_generator_is_judged_by_the_gap_that_its_critic_sees():
    found = judged("Wasserstein", Function(made, (2,)), Function(lambda x: 5 * score(x)), data=LABELLED)
    real, fake = 5 * score(IMAGES).mean().item(), 5 * score(made(noise(12, 2))).mean().item()
    assert found.metrics == pytest.approx({"distance": real - fake, "real": real, "fake": fake}, abs=1e-5)


def test_a_vae_gan_is_judged_in_features_and_in_values():
    judge = Function(lambda x: (score(x), 3 * x.flatten(1)))
    found = judged("VAEGAN", Function(encoded), Function(decoded), judge, data=LABELLED, batchSize=5)
    mean, stdev = encoded(IMAGES).chunk(2, dim=1)
    posterior, prior = noise(12, 2, 2).unbind(1)
    square = (decoded(mean + stdev * posterior) - IMAGES) ** 2
    assert found.metrics == pytest.approx({
        "reconstruction": 4.5 * square.sum(1).mean().item(),
        "kl": divergence(encoded(IMAGES)).mean().item(),
        "MSE": square.mean().item(),
        "real": score(IMAGES).mean().item(),
        "fake": score(decoded(prior)).mean().item(),
    }, rel=1e-5)  # fmt: skip

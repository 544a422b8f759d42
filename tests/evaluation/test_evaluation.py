"""Evaluation: numbers on hand-made results, whatever the size of a batch."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from workspaces import IRIS, workspace_of

from dianne import Evaluation, EvaluationStrategy, Means, UsageError, plugins
from dianne.data.dataset import Dataset
from dianne.evaluation.evaluator import evaluate
from dianne.seeds import derive
from dianne.workspace import Folder

CLASSES = ["a", "b", "c", "d", "e", "f"]


def strategy_class(name: str) -> type[EvaluationStrategy]:
    return plugins.find(Folder(Path(__file__).parents[2]), name, plugins.EVALUATION)


def judged(name: str, *networks: nn.Module, data: Dataset, seed: int = 0, **options) -> Evaluation:
    strategy = strategy_class(name)
    return evaluate(strategy, networks, strategy.Options(**options), data, seed)


def results(rows: list[list[float]], classes: list[int]) -> Dataset:
    """Samples that a network without effect turns into these results."""
    return Dataset("Hand", torch.tensor(rows), torch.tensor(classes), CLASSES[: len(rows[0])])


def classified(rows: list[list[float]], classes: list[int], **options) -> Evaluation:
    return judged("Classification", nn.Identity(), data=results(rows, classes), **options)


# ------------------------------------------------------------------------------------------ classification


RANKED = [[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]] * 6  # the class c has the rank c


def test_accuracy_top_3_and_top_5_are_shares_of_all_samples():
    found = classified(RANKED, [0, 1, 2, 3, 4, 5])
    assert found.metrics == pytest.approx({"accuracy": 1 / 6, "top 3": 3 / 6, "top 5": 5 / 6})
    assert found.size == 6
    assert found.strategy == "ClassificationEvaluationStrategy"
    assert found.labels == CLASSES


def test_confusions_are_counted_by_true_and_named_class():
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    found = classified(rows, [0, 0, 1, 1])
    assert found.confusion == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert found.metrics == {"accuracy": 0.5}  # with three classes every class is among the first three


@pytest.mark.parametrize(
    ("row", "true", "right"),
    [
        ([1.0, 1.0, 0.0], 0, True),
        ([1.0, 1.0, 0.0], 1, False),
        ([0.0, 1.0, 1.0], 1, True),
        ([0.0, 1.0, 1.0], 2, False),
        ([2.0, 2.0, 2.0], 0, True),
    ],
)
def test_of_equal_results_the_first_class_wins(row, true, right):
    found = classified([row], [true])
    named = row.index(max(row))
    assert found.metrics == {"accuracy": float(right)}
    assert found.confusion[true][named] == 1


@pytest.mark.parametrize(("true", "in_top_3"), [(0, 1), (2, 1), (3, 0), (5, 0)])
def test_equal_results_fill_the_first_ranks_from_the_first_class_on(true, in_top_3):
    assert classified([[1.0] * 6], [true]).metrics["top 3"] == in_top_3


def test_results_that_are_not_numbers_are_never_right():
    found = classified([[math.nan] * 6, [math.nan, 1.0, 0.0, 0.0, 0.0, 0.0]], [3, 1])
    assert found.metrics == {"accuracy": 0, "top 3": 0, "top 5": 0}


def test_a_network_with_another_number_of_classes_is_refused():
    with pytest.raises(UsageError) as fault:
        judged("Classification", nn.Linear(6, 4), data=results(RANKED, [0] * 6))
    assert str(fault.value) == "the network gives 4 values, but the dataset has 6 classes"


def test_data_without_classes_cannot_be_classified():
    with pytest.raises(UsageError) as fault:
        judged("Classification", nn.Identity(), data=Dataset("Plain", torch.eye(3), torch.eye(3)))
    assert str(fault.value) == (
        "ClassificationEvaluationStrategy needs a dataset with classes; "
        "for other targets use strategy=CriterionEvaluationStrategy"
    )


# ----------------------------------------------------------------------------------------------- criterion


@pytest.mark.parametrize(("criterion", "expected"), [("MSE", 3.5 / 3), ("ABS", 2.5 / 3), ("mse", 3.5 / 3)])
def test_the_criterion_is_averaged_over_all_samples(criterion, expected):
    data = Dataset("Pairs", torch.zeros(3, 2), torch.tensor([[1.0, 0.0], [2.0, 1.0], [1.0, 0.0]]))
    found = judged("Criterion", nn.Identity(), data=data, criterion=criterion)
    assert found.metrics == {criterion.upper(): pytest.approx(expected)}
    assert found.confusion is None


# --------------------------------------------------------------------------------------- variational encoder


class Encoder(nn.Module):
    """Means and deviations that are the sample's own values."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples


class Decoder(nn.Module):
    """Four probabilities from two latent values."""

    def forward(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(torch.cat((latents, -latents), dim=1))


GAUSSIANS = torch.tensor([[0.2, 0.4, 0.5, 0.9], [0.9, 0.1, 0.3, 0.1], [0.5, 0.5, 0.2, 0.6]])


def bound(sample: list[float], noise: list[float]) -> tuple[float, float]:
    """Reconstruction and divergence of one sample and one latent point, number by number."""
    (mean, stdev) = sample[:2], sample[2:]
    latents = [m + s * e for m, s, e in zip(mean, stdev, noise, strict=True)]
    logits = [*latents, *[-z for z in latents]]
    probabilities = [1 / (1 + math.exp(-logit)) for logit in logits]
    reconstruction = -sum(
        x * math.log(p) + (1 - x) * math.log(1 - p) for x, p in zip(sample, probabilities, strict=True)
    )
    divergence = sum((m * m + s * s - 1) / 2 - math.log(s) for m, s in zip(mean, stdev, strict=True))
    return reconstruction, divergence


@pytest.mark.parametrize(("size", "samples"), [(3, 1), (1, 3)])
def test_the_bound_is_that_of_a_hand_calculation_with_the_same_noise(size, samples):
    data = Dataset("Gaussians", GAUSSIANS[:size], torch.zeros(size), autoencode=True)
    found = judged("VariationalAutoEncoder", Encoder(), Decoder(), data=data, seed=9, sampleSize=samples)
    noise = torch.randn(
        size * samples, 2, generator=torch.Generator().manual_seed(derive(9, "noise"))
    ).tolist()
    rows = [row for row in data.inputs.tolist() for _ in range(samples)]
    parts = [bound(row, drawn) for row, drawn in zip(rows, noise, strict=True)]
    reconstruction, divergence = (sum(part) / len(parts) for part in zip(*parts, strict=True))
    assert found.metrics == pytest.approx(
        {
            "negative ELBO": reconstruction + divergence,
            "reconstruction": reconstruction,
            "kl": divergence,
        },
        rel=1e-5,
    )


def test_another_seed_moves_the_reconstruction_but_not_the_divergence():
    data = Dataset("Gaussians", GAUSSIANS, torch.zeros(3), autoencode=True)
    one, other = (
        judged("VariationalAutoEncoder", Encoder(), Decoder(), data=data, seed=seed).metrics
        for seed in (1, 2)
    )
    assert one["reconstruction"] != other["reconstruction"]
    assert one["kl"] == other["kl"]


# ------------------------------------------------------------------------------------- every evaluation


def seventeen() -> Dataset:
    generator = torch.Generator().manual_seed(2)
    return Dataset(
        "Seventeen", torch.rand(17, 4, generator=generator), torch.randint(4, (17,), generator=generator),
        ["a", "b", "c", "d"],
    )  # fmt: skip


def autoencoded() -> Dataset:
    return Dataset("Seventeen", seventeen().inputs, torch.zeros(17), autoencode=True)


class Forgetful(nn.Module):
    """Foretells that all goes on as it is, whatever came before."""

    stateful = True

    def unroll(self, input: Tensor, state: dict[str, Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        return functional.dropout(input * 2, 0.5, self.training).log_softmax(-1), {}


def halved() -> Dataset:
    return Dataset("Seventeen", seventeen().inputs, torch.arange(17) % 2.0)


class Told(Decoder):
    """A decoder that makes use of four class probabilities too."""

    def forward(self, latents: Tensor) -> Tensor:
        return (super().forward(latents[:, :2]) + latents[:, 2:]) / 2


class Single(nn.Module):
    """The mean of a sample."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples.flatten(1).mean(1, keepdim=True)


class Features(Single):
    """The mean of a sample, and its values."""

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(samples), samples


def taking(network: nn.Module, *shapes: tuple[int, ...]) -> nn.Module:
    """A network that knows what it takes, as those of a job do."""
    network.inputs = {f"input{n}": shape for n, shape in enumerate(shapes)}
    return network


MAKER, TELLER = taking(Decoder(), (2,)), taking(Encoder(), (4,))
SETUPS = {
    "BinaryClassificationEvaluationStrategy": ([Single()], halved()),
    "ConditionalVariationalAutoEncoderEvaluationStrategy": ([Encoder(), Told(), nn.Softmax(1)], seventeen()),
    "GANEvaluationStrategy": ([MAKER, Single()], seventeen()),
    "LabelVariationalAutoEncoderEvaluationStrategy": ([TELLER, Told()], seventeen()),
    "ReconstructionEvaluationStrategy": ([nn.Dropout(0.5), nn.Identity()], autoencoded()),
    "VAEGANEvaluationStrategy": ([Encoder(), Decoder(), Features()], seventeen()),
    "WassersteinEvaluationStrategy": ([MAKER, Single()], seventeen()),
    "ClassificationEvaluationStrategy": ([nn.Dropout(0.5)], seventeen()),
    "CriterionEvaluationStrategy": ([nn.Dropout(0.5)], seventeen()),
    "PerplexityEvaluationStrategy": ([Forgetful()], replace(seventeen(), sequential=True)),
    "VariationalAutoEncoderEvaluationStrategy": ([Encoder(), Decoder()], autoencoded()),
}
every_evaluation = pytest.mark.parametrize("name", SETUPS)


def test_every_evaluation_that_ships_is_under_this_contract():
    known = plugins.strategies(Folder(Path(__file__).parents[2])).values()
    assert sorted(SETUPS) == [file.name for file in known if file.kind == plugins.EVALUATION]


@every_evaluation
@pytest.mark.parametrize("batch_size", [1, 2, 5, 16])
def test_no_result_depends_on_the_size_of_a_batch(name, batch_size):
    networks, data = SETUPS[name]
    whole = judged(name, *networks, data=data)
    parts = judged(name, *networks, data=data, batchSize=batch_size)
    assert parts.size == whole.size == 17
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-6)
    assert parts.confusion == whole.confusion


@every_evaluation
def test_the_same_seed_gives_the_same_numbers(name):
    networks, data = SETUPS[name]
    first = judged(name, *networks, data=data, seed=4)
    torch.rand(3)
    assert judged(name, *networks, data=data, seed=4).metrics == first.metrics


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_judged_as_it_will_be_used_and_left_as_it_was(training):
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train(training)
    before = {name: value.tolist() for name, value in network.state_dict().items()}
    found = judged("Criterion", network, data=seventeen())
    with torch.inference_mode():
        results = network.eval()(seventeen().inputs)
    expected = (results - seventeen().batch(slice(None)).target).square().mean().item()
    assert found.metrics == {"MSE": pytest.approx(expected)}
    assert {name: value.tolist() for name, value in network.state_dict().items()} == before


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_comes_back_even_after_a_fault(training):
    network = nn.Linear(4, 2).train(training)
    with pytest.raises(UsageError):
        judged("Classification", network, data=seventeen())
    assert network.training is training


def test_parts_of_a_network_keep_their_own_mode():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    network[1].eval()  # its running statistics are to stay
    judged("Criterion", network, data=seventeen())
    assert [module.training for module in network] == [True, False]


def test_progress_is_told_in_samples():
    strategy = strategy_class("Criterion")
    ticks = []
    options = strategy.Options(batchSize=7)
    evaluate(strategy, (nn.Identity(),), options, seventeen(), 0, ticks.append)
    assert ticks == [7, 14, 17]


def test_means_weigh_every_sample_alike():
    means = Means()
    means.add(x=torch.tensor([1.0, 2.0, 3.0]), y=torch.zeros(3))
    means.add(x=torch.tensor([10.0]), y=torch.ones(1))
    assert (means.size, means.means()) == (4, {"x": 4.0, "y": 0.25})


def test_means_of_many_samples_do_not_lose_digits():
    means = Means()
    for _ in range(200):
        means.add(x=torch.full((1000,), 1000.1))
    assert means.means()["x"] == pytest.approx(torch.tensor(1000.1).item(), rel=1e-12)


# ------------------------------------------------------------------------------------------- a user's own


LARGEST = '''
from dianne import Evaluation, EvaluationOptions, EvaluationStrategy, PositiveFloat


class LargestEvaluationStrategy(EvaluationStrategy):
    """The largest result of all, times a factor."""

    class Options(EvaluationOptions):
        factor: PositiveFloat = 1.0
        """Factor."""

    def setup(self, job):
        (self.network,) = job.networks
        self.factor = job.options.factor
        self.largest, self.size = float("-inf"), 0

    def process_batch(self, batch):
        self.largest = max(self.largest, self.network(batch.input).max().item())
        self.size += len(batch.input)

    def result(self):
        return Evaluation(self.size, {"largest": self.largest * self.factor})
'''
NETWORK = """
modules:
  features: {type: Input, shape: [4]}
  scores: {type: Linear, output: 3}
  output: {type: Output}
"""


def test_an_evaluation_of_ones_own_is_found_by_name_and_takes_its_options(tmp_path):
    files = {"strategies/mine.py": LARGEST, "networks/Net.yaml": NETWORK, "datasets/Iris.yaml": IRIS}
    workspace = workspace_of(tmp_path, files)
    workspace.learn("Net", "Iris", tag="t", maxIterations=1, criterion="MSE")
    inputs = workspace.dataset("Iris").inputs
    largest = workspace.deploy("Net", tag="t").forward(inputs).max().item()
    found = workspace.evaluate("Net", "Iris", tag="t", strategy="Largest", factor=2, batchSize=40)
    assert (found.size, found.strategy) == (150, "LargestEvaluationStrategy")
    assert found.metrics == {"largest": pytest.approx(2 * largest)}

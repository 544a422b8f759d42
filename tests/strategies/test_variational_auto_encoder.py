"""The variational autoencoder against its formulas, and on real digits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dianne import LearningStrategy, UsageError, Workspace, plugins, standard_normal_divergence
from dianne.criteria import CRITERIA
from dianne.data.dataset import Batch, Dataset
from dianne.learning.job import LearnJob
from dianne.learning.methods import METHODS
from dianne.learning.trainer import Trainer
from dianne.seeds import derive
from dianne.workspace import Folder

SGD = METHODS.get("SGD")

NAME = "VariationalAutoEncoderLearningStrategy"
SEED = 5
IMAGES = torch.rand(6, 8, generator=torch.Generator().manual_seed(1))
DATA = Dataset("Images", IMAGES, torch.zeros(6), autoencode=True)


class Encoder(nn.Module):
    """Means and positive deviations of two dimensions."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, samples):
        mean, stdev = self.linear(samples).chunk(2, dim=1)
        return torch.cat((mean, nn.functional.softplus(stdev)), dim=1)


class Decoder(nn.Sequential):
    """Probabilities of eight pixels; counts how often it is called, and with how many points."""

    def __init__(self):
        super().__init__(nn.Linear(2, 8), nn.Sigmoid())
        self.calls = []

    def forward(self, latents):
        self.calls.append(len(latents))
        return super().forward(latents)


def made(**options) -> LearningStrategy:
    """The strategy, set up with fresh networks that are the same every time."""
    found = plugins.find(Folder(Path(__file__).parents[2]), NAME, plugins.LEARNING)
    torch.manual_seed(3)
    networks = Encoder(), Decoder()
    strategy = found()
    strategy.setup(
        LearnJob(
            networks, found.Options(**options), DATA, SEED, lambda net: Trainer(net, (SGD, SGD.Options()))
        )
    )
    return strategy


def terms_of(**options) -> dict[str, float]:
    terms = made(**options).loss(DATA.batch(slice(None)))
    return {name: term.item() for name, term in terms.items()}


def by_formula(strategy: LearningStrategy, batch: Batch, samples: int) -> Tensor:
    """(1/S) sum_s criterion(decoder(mean + stdev * noise_s), x), averaged over the batch."""
    mean, stdev = strategy.encoder(batch.input).chunk(2, dim=1)
    noise = torch.randn(samples, *mean.shape, generator=torch.Generator().manual_seed(derive(SEED, "noise")))
    criterion = CRITERIA.get(strategy.options.criterion)()
    losses = [criterion(strategy.decoder(mean + stdev * noise[s]), batch.target) for s in range(samples)]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("criterion", ["BCE", "MSE"])
@pytest.mark.parametrize("samples", [1, 4])
def test_the_reconstruction_is_the_mean_over_latent_points_and_samples(samples, criterion):
    strategy, batch = made(sampleSize=samples, criterion=criterion), DATA.batch(slice(None))
    expected = by_formula(strategy, batch, samples)
    assert strategy.loss(batch)["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_latent_points_are_folded_into_one_call_of_the_decoder():
    strategy = made(sampleSize=7)
    strategy.loss(DATA.batch(slice(None)))
    assert strategy.decoder.calls == [7 * 6]


def test_targets_of_any_shape_are_repeated_for_their_latent_points():
    strategy, batch = made(sampleSize=3), DATA.batch(slice(None))
    images = Batch(batch.input, batch.target.reshape(6, 1, 2, 4))
    expected = by_formula(strategy, batch, 3)
    assert strategy.loss(images)["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_more_latent_points_give_the_same_expected_loss():
    strategy, batch = made(sampleSize=1), DATA.batch(slice(None))
    single = torch.stack([strategy.loss(batch)["loss"].detach() for _ in range(3000)])
    many = made(sampleSize=3000).loss(batch)["loss"].item()
    error = single.std().item() / 3000**0.5
    assert abs(many - single.mean().item()) < 5 * error


def test_the_divergence_is_the_mean_of_the_closed_form():
    strategy, batch = made(), DATA.batch(slice(None))
    mean, stdev = strategy.encoder(batch.input).chunk(2, dim=1)
    expected = standard_normal_divergence(mean, stdev).mean().item()
    assert strategy.loss(batch)["kl"].item() == pytest.approx(expected)


def test_the_gradient_of_the_divergence_is_the_closed_form():
    strategy = made()
    gaussians = torch.tensor([[0.2, -0.4, 0.5, 2.0], [1.0, 0.0, 1.0, 0.1]], requires_grad=True)
    strategy.encoder = lambda _: gaussians
    strategy.loss(Batch(IMAGES[:2], IMAGES[:2]))["kl"].backward()
    mean, stdev = gaussians.detach().chunk(2, dim=1)
    expected = torch.cat((mean, stdev - 1 / stdev), dim=1) / 2  # averaged over the batch of two
    assert gaussians.grad.flatten().tolist() == pytest.approx(expected.flatten().tolist(), rel=1e-4, abs=1e-5)


def test_beta_scales_the_divergence_and_nothing_else():
    none, much = terms_of(beta=0), terms_of(beta=4)
    assert none["loss"] == none["reconstruction"] == much["reconstruction"]
    assert none["kl"] == much["kl"] > 0
    assert much["loss"] == pytest.approx(much["reconstruction"] + 4 * much["kl"])


def test_the_terms_add_up_to_the_loss():
    terms = terms_of(sampleSize=2)
    assert sorted(terms) == ["kl", "loss", "reconstruction"]
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + terms["kl"])


@pytest.mark.parametrize(
    ("width", "options", "text"),
    [
        (4, {"latentDims": 3}, "the encoder must give 2 * latentDims = 6 values, found [4]"),
        (3, {}, "the encoder must give means and as many deviations values, found [3]"),
    ],
)
def test_an_encoder_that_gives_no_gaussian_of_the_right_size_is_refused(width, options, text):
    strategy = made(**options)
    strategy.encoder = nn.Linear(8, width)
    with pytest.raises(UsageError) as fault:
        strategy.process_iteration(0)
    assert str(fault.value) == text


# ---------------------------------------------------------------------------------------------- whole jobs


FIXED = """
modules:
  image:   {type: Input, shape: [1, 28, 28]}
  params:  {type: Linear, output: 4}
  latent:  {type: MultivariateGaussian, stdevActivation: SoftPlus}
  output:  {type: Output}
"""


def test_latent_dims_that_the_encoder_does_not_have_are_refused_before_anything_runs(tmp_path):
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "Fixed.yaml").write_text(FIXED)
    with pytest.raises(UsageError) as fault:
        Workspace(tmp_path).learn("Fixed,Decoder", "Digits", strategy=NAME, latentDims=3, hidden=4)
    assert str(fault.value) == "the encoder must give 2 * latentDims = 6 values, found [4]"
    assert not (tmp_path / "models").exists()


def test_the_bound_on_held_out_digits_gets_better_by_a_clear_margin(tmp_path):
    workspace = Workspace(tmp_path)
    job = {"strategy": NAME, "tag": "vae", "seed": 1, "hidden": 64, "batchSize": 64}
    bounds = []
    for iterations in (1, 200):
        workspace.learn("Encoder,Decoder", "Digits", maxIterations=iterations, **job)
        bounds.append(workspace.evaluate("Encoder,Decoder", "Digits", tag="vae").metrics["negative ELBO"])
    assert bounds[0] > 500  # 784 pixels of ln 2 = 0.69 nats each: nothing is known yet
    assert bounds[1] < 300

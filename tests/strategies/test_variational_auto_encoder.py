"""The variational autoencoder against its formulas, and on real digits."""

import pytest
import torch
from handmade import learner, set_up, stream, values, whole
from pydantic import ValidationError
from torch import Tensor, nn
from torch.distributions import Normal

from dianne import LearningStrategy, UsageError, Workspace, standard_normal_divergence
from dianne.criteria import CRITERIA
from dianne.data.dataset import Batch, Dataset

NAME = "VariationalAutoEncoderLearningStrategy"
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


def networks() -> tuple[nn.Module, nn.Module]:
    """Fresh ones that are the same every time."""
    torch.manual_seed(3)
    return Encoder(), Decoder()


def made(**options) -> LearningStrategy:
    return set_up(NAME, networks(), DATA, **options)[0]


def terms_of(**options) -> dict[str, float]:
    return values(made(**options).loss(whole(DATA)))


def by_formula(strategy: LearningStrategy, batch: Batch, samples: int) -> Tensor:
    """(1/S) sum_s criterion(decoder(mean + stdev * noise_s), x), averaged over the batch."""
    mean, stdev = strategy.encoder(batch.input).chunk(2, dim=1)
    noise = torch.randn(samples, *mean.shape, generator=stream())
    criterion = CRITERIA.get(strategy.options.criterion)()
    losses = [criterion(strategy.decoder(mean + stdev * noise[s]), batch.target) for s in range(samples)]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("criterion", ["BCE", "MSE"])
@pytest.mark.parametrize("samples", [1, 4])
def test_the_reconstruction_is_the_mean_over_latent_points_and_samples(samples, criterion):
    strategy, batch = made(sampleSize=samples, criterion=criterion), whole(DATA)
    expected = by_formula(strategy, batch, samples)
    assert strategy.loss(batch)["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_latent_points_are_folded_into_one_call_of_the_decoder():
    strategy = made(sampleSize=7)
    strategy.loss(whole(DATA))
    assert strategy.decoder.calls == [7 * 6]


def test_targets_of_any_shape_are_repeated_for_their_latent_points():
    strategy, batch = made(sampleSize=3), whole(DATA)
    images = Batch(batch.input, batch.target.reshape(6, 1, 2, 4))
    expected = by_formula(strategy, batch, 3)
    assert strategy.loss(images)["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_more_latent_points_give_the_same_expected_loss():
    strategy, batch = made(sampleSize=1), whole(DATA)
    single = torch.stack([strategy.loss(batch)["loss"].detach() for _ in range(3000)])
    many = made(sampleSize=3000).loss(batch)["loss"].item()
    error = single.std().item() / 3000**0.5
    assert abs(many - single.mean().item()) < 5 * error


def test_the_divergence_is_the_mean_of_the_closed_form():
    strategy, batch = made(), whole(DATA)
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


# ------------------------------------------------------------------------------------------ other bounds


def log_weights(strategy: LearningStrategy, samples: int) -> Tensor:
    """log p(x|z) + log p(z) - log q(z|x), (s, b), by torch.distributions and the same noise."""
    batch = whole(DATA)
    mean, stdev = strategy.encoder(batch.input).chunk(2, dim=1)
    latents = mean + stdev * torch.randn(samples, *mean.shape, generator=stream())
    decoded = torch.stack([strategy.decoder(one) for one in latents])
    likelihood = -nn.functional.binary_cross_entropy(
        decoded, batch.target.expand_as(decoded), reduction="none"
    ).sum(2)
    ratio = Normal(0.0, 1.0).log_prob(latents) - Normal(mean, stdev).log_prob(latents)
    return likelihood + ratio.sum(2)


@pytest.mark.parametrize("samples", [1, 5])
def test_the_importance_weighted_bound_is_the_mean_of_weights_in_the_log(samples):
    strategy = made(bound="IWAE", sampleSize=samples)
    expected = -log_weights(strategy, samples).exp().mean(0).log().mean().item()
    terms = values(strategy.loss(whole(DATA)))
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)
    plain = terms_of(sampleSize=samples)
    assert {key: terms[key] for key in ("reconstruction", "kl")} == {
        key: plain[key] for key in ("reconstruction", "kl")
    }


def test_beta_weighs_the_divergence_in_the_importance_weighted_bound_too():
    one, other = (values(made(bound="IWAE", beta=beta).loss(whole(DATA))) for beta in (0, 3))
    plain = values(made(bound="IWAE").loss(whole(DATA)))
    assert one["loss"] == pytest.approx(one["reconstruction"], rel=1e-5)
    assert other["loss"] - one["loss"] == pytest.approx(3 * (plain["loss"] - one["loss"]), rel=1e-4)


def test_with_one_latent_point_the_importance_weighted_bound_is_one_estimate_of_the_other():
    strategy = made(bound="IWAE")
    expected = -log_weights(strategy, 1).mean().item()
    assert strategy.loss(whole(DATA))["loss"].item() == pytest.approx(expected, rel=1e-5)
    many = torch.stack([strategy.loss(whole(DATA))["loss"].detach() for _ in range(3000)])
    exact = made(sampleSize=3000).loss(whole(DATA))["loss"].item()
    assert abs(many.mean().item() - exact) < 5 * many.std().item() / 3000**0.5


def test_the_importance_weighted_bound_is_tighter_the_more_points_it_has():
    bounds = [
        torch.stack([strategy.loss(whole(DATA))["loss"].detach() for _ in range(400)]).mean().item()
        for strategy in (made(bound="IWAE", sampleSize=samples) for samples in (1, 4, 32))
    ]
    elbo = made(sampleSize=3000).loss(whole(DATA))["loss"].item()
    assert elbo == pytest.approx(bounds[0], abs=0.05)
    assert bounds[0] > bounds[1] + 0.05 > bounds[2] + 0.07


def test_the_gradient_of_the_importance_weighted_bound_weighs_points():
    strategy = made(bound="IWAE", sampleSize=5)
    strategy.loss(whole(DATA))["loss"].backward()
    found = [weight.grad.clone() for weight in strategy.decoder.parameters()]
    strategy.decoder.zero_grad()
    (-log_weights(strategy, 5).exp().mean(0).log().mean()).backward()
    for one, other in zip(found, strategy.decoder.parameters(), strict=True):
        assert torch.allclose(one, other.grad, rtol=1e-4, atol=1e-6)


def test_free_bits_are_not_charged_in_any_dimension():
    strategy = made(freeBits=0.2, beta=3)
    gaussians = torch.tensor([[0.1, 2.0, 1.0, 0.5], [-0.1, 1.0, 0.9, 0.4]])
    strategy.encoder = lambda _: gaussians
    mean, stdev = gaussians.chunk(2, dim=1)
    by_hand = (0.5 * (mean**2 + stdev**2 - 1) - stdev.log()).mean(0).tolist()
    assert by_hand[0] < 0.2 < by_hand[1]
    terms = values(strategy.loss(Batch(IMAGES[:2], IMAGES[:2])))
    assert terms["kl"] == pytest.approx(sum(by_hand), rel=1e-4)
    charged = (terms["loss"] - terms["reconstruction"]) / 3
    assert charged == pytest.approx(0.2 + by_hand[1], rel=1e-4)


def test_a_dimension_below_its_free_bits_is_not_pushed():
    strategy = made(freeBits=0.2)
    gaussians = torch.tensor([[0.1, 2.0, 1.0, 0.5], [-0.1, 1.0, 0.9, 0.4]], requires_grad=True)
    mean, stdev = gaussians.chunk(2, dim=1)
    strategy.at_least_free_bits(mean, stdev).backward()
    assert gaussians.grad[:, [0, 2]].abs().max() == 0
    assert gaussians.grad[:, [1, 3]].abs().min() > 0


def test_free_bits_and_importance_weights_exclude_each_other():
    with pytest.raises(ValidationError, match="bound=IWAE has no divergence to give bits of"):
        learner(NAME).Options(bound="IWAE", freeBits=0.1)
    learner(NAME).Options(bound="IWAE", freeBits=0)


def test_beta_grows_from_nothing_and_stays():
    strategy = made(beta=2, betaWarmup=4)
    betas = []
    for i in range(7):
        terms = values(strategy.process_iteration(i).terms)
        betas.append(terms["beta"])
        assert terms["loss"] == pytest.approx(terms["reconstruction"] + terms["beta"] * terms["kl"])
    assert betas == [0, 0.5, 1, 1.5, 2, 2, 2]


def test_a_beta_that_stays_is_not_reported():
    assert sorted(made(beta=2).process_iteration(0).terms) == ["kl", "loss", "reconstruction"]


def test_images_with_gaussian_noise_are_reconstructed_by_their_likelihood():
    criterion = CRITERIA.get("GAU")(CRITERIA.get("GAU").Options(stdev=0.5))
    strategy, _ = set_up(NAME, networks(), DATA, measure=criterion)
    mean, stdev = strategy.encoder(IMAGES).chunk(2, dim=1)
    decoded = strategy.decoder(mean + stdev * torch.randn(mean.shape, generator=stream()))
    expected = -Normal(decoded, 0.5).log_prob(IMAGES).sum(1).mean().item()
    assert values(strategy.loss(whole(DATA)))["reconstruction"] == pytest.approx(expected, rel=1e-5)


COLLAPSE = (
    "kl is below 0.01 nats per latent dimension: the encoder gives the same for every sample, and the "
    "decoder does without it (posterior collapse); try betaWarmup=2000, freeBits=0.1 or a smaller beta"
)


def collapsing(divergence: float, **options) -> list[str]:
    """What the user is told in 1,001 iterations of a strategy that reports such a divergence."""
    strategy, job = set_up(NAME, networks(), DATA, **options)
    strategy.process_iteration(0)
    looked = []

    class Term:
        def __init__(self, i):
            self.i = i

        def __float__(self):
            looked.append(self.i)
            return divergence

    for i in range(1, 1001):
        strategy.update = lambda _, i=i: {"loss": torch.zeros(()), "kl": Term(i)}
        strategy.process_iteration(i)
    assert looked in ([499, 999], [])
    return job.notes


def test_the_user_is_told_once_that_the_latent_space_is_not_used():
    assert collapsing(0.019) == [COLLAPSE]
    assert collapsing(0.021) == []


def test_nobody_is_told_while_the_divergence_costs_nothing():
    assert collapsing(0.0, beta=0) == []


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

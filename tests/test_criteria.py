"""Criteria: golden numbers, and what every registered criterion promises."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from dianne.criteria import (
    CRITERIA,
    gaussian_halves,
    log_probabilities,
    prior_to_posterior,
    standard_normal_divergence,
)
from dianne.errors import UsageError

OUTPUTS, TARGETS = [[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
LOGARITHMS = [[math.log(value) for value in row] for row in OUTPUTS]
GAUSSIANS = [[0.2, -0.4, 0.5, 2.0], [1.0, 0.0, 1.0, 0.1]]  # means, then deviations
OTHER_GAUSSIANS = [[0.0, 0.0, 1.0, 1.0], [0.5, -0.5, 2.0, 0.5]]


def losses_and_gradient(name: str, output: list, target: list) -> tuple[list, list]:
    """Losses of the samples, and the gradient of their mean."""
    values = torch.tensor(output, requires_grad=True)
    losses = CRITERIA.get(name)()(values, torch.tensor(target))
    losses.mean().backward()
    return losses.tolist(), values.grad.tolist()


@pytest.mark.parametrize(
    ("name", "output", "target", "loss", "gradient"),
    [
        ("BCE", [0.5], [0.5], 0.693147, [0]),
        ("BCE", [0.8], [0.3], 1.19355, [3.125]),
        ("BCE", [0.3], [0.8], 1.03451, [-2.38095]),
        ("BCE", [0.3], [0.4], 0.695594, [-0.47619]),
        ("GKL", [0.0, 1.0], [0.0, 1.0], 0, [0, 0]),
        ("GKL", [3.14, 2.7], [3.14, 2.7], 0, [0, 0]),
        ("GKL", [3.14, 2.7], [0.0, 1.0], 7.08155, [3.14, 2.329629]),
        ("GKL", [-3.14, 2.7], [0.0, 1.0], 7.08155, [-3.14, 2.329629]),
        ("GKL", [3.14, -2.7], [0.0, 1.0], 7.08155, [3.14, -2.329629]),
        ("HUB", [1.0], [1.0], 0, [0]),
        ("HUB", [0.0], [1.0], 0.4142135623731, [-0.7071067812]),
        ("HUB", [0.9], [1.0], 0.004987562112089, [-0.09950371902]),
        ("HUB", [1.1], [1.0], 0.004987562112089, [0.09950371902]),
    ],
)
def test_a_single_sample_gives_the_golden_loss_and_gradient(name, output, target, loss, gradient):
    losses, found = losses_and_gradient(name, [output], [target])
    assert losses == [pytest.approx(loss, rel=1e-5, abs=1e-6)]
    assert found == [pytest.approx(gradient, rel=1e-5, abs=1e-5)]


@pytest.mark.parametrize(
    ("name", "output", "target", "losses", "gradient"),
    [
        ("MSE", OUTPUTS, TARGETS, [0.1266667, 0.04666667],
         [[0.06666667, -0.1666667, 0.1], [-0.1, 0.03333333, 0.06666667]]),
        ("ABS", OUTPUTS, TARGETS, [0.3333333, 0.2],
         [[0.1666667, -0.1666667, 0.1666667], [-0.1666667, 0.1666667, 0.1666667]]),
        ("HUB", OUTPUTS, TARGETS, [0.06062285, 0.02294071],
         [[0.03268602, -0.0745356, 0.04789131], [-0.04789131, 0.01658395, 0.03268602]]),
        ("BCE", OUTPUTS, TARGETS, [1.272966, 0.685179],
         [[0.625, -1, 0.7142857], [-0.7142857, 0.5555556, 0.625]]),
        ("NLL", OUTPUTS, TARGETS, [0.6931472, 0.3566749], [[0, -1, 0], [-0.7142857, 0, 0]]),
        ("NLL", LOGARITHMS, TARGETS, [0.6931472, 0.3566749], [[0, -0.5, 0], [-0.5, 0, 0]]),
        ("GKL", GAUSSIANS, OTHER_GAUSSIANS, [1.224998, 1.978825],
         [[0.0999998, -0.1999996, -0.749998, 0.7499986], [0.06249994, 0.999996, -0.3749995, -4.799949]]),
        ("GAU", GAUSSIANS, [[0.0, 0.6], [0.5, 0.05]], [2.042879, -0.2146998],
         [[0.3999984, -0.1249999, 0.8399990, 0.1874999], [0.2499995, -2.49995, 0.3749999, 3.7499875]]),
    ],
)  # fmt: skip
def test_a_batch_of_two_gives_the_golden_losses_and_gradients(name, output, target, losses, gradient):
    found, found_gradient = losses_and_gradient(name, output, target)
    assert found == pytest.approx(losses, rel=2e-6)
    assert found_gradient == [pytest.approx(row, rel=2e-6, abs=1e-7) for row in gradient]


@pytest.mark.parametrize(("name", "loss"), [("MSE", 0.38 / 3), ("HUB", 0.1818685 / 3)])
def test_a_batch_of_one_is_averaged_over_its_values_as_any_other(name, loss):
    losses, _ = losses_and_gradient(name, OUTPUTS[:1], TARGETS[:1])
    assert losses == pytest.approx([loss], rel=1e-6)


# ------------------------------------------------------------------------------------------ every criterion


def samples(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Outputs and targets that a criterion takes: probabilities, or means and deviations."""
    generator = torch.Generator().manual_seed(3)
    values = CRITERIA.get(name)().values_for(shape[-1])  # twice as many where a target has no deviation
    output = torch.rand(*shape[:-1], values, generator=generator, dtype=dtype) * 0.8 + 0.1
    return output, torch.rand(*shape, generator=generator, dtype=dtype) * 0.8 + 0.1


every_criterion = pytest.mark.parametrize("name", list(CRITERIA))


@every_criterion
def test_gives_one_loss_for_each_sample_whatever_else_is_in_the_batch(name):
    output, target = samples(name, 3, 4)
    losses = CRITERIA.get(name)()(output, target)
    alone = [CRITERIA.get(name)()(output[i : i + 1], target[i : i + 1]).item() for i in range(3)]
    assert losses.shape == (3,)
    assert losses.tolist() == pytest.approx(alone)


@every_criterion
def test_compares_value_by_value_where_the_shapes_differ(name):
    output, target = samples(name, 3, 28, 28)
    losses = CRITERIA.get(name)()(output, target.unsqueeze(1))
    assert losses.tolist() == CRITERIA.get(name)()(output.flatten(1), target.flatten(1)).tolist()


@every_criterion
@pytest.mark.parametrize("values", [1, 3])
def test_refuses_samples_of_another_size_instead_of_broadcasting(name, values):
    output, target = torch.full((2, values), 0.5), torch.full((2, 4), 0.5)
    with pytest.raises(UsageError) as fault:
        CRITERIA.get(name)()(output, target)
    assert str(fault.value) == (
        f"the network's result of [{values}] cannot be compared with the target of [4]: {values} and 4 values"
        f"{CRITERIA.get(name).needs}"
    )


@every_criterion
def test_refuses_batches_of_different_size(name):
    with pytest.raises(UsageError) as fault:
        CRITERIA.get(name)()(torch.full((2, 4), 0.5), torch.full((3, 4), 0.5))
    assert str(fault.value) == (
        "the network's result has 2 samples, but the target has 3; every sample needs a target of its own"
    )


@pytest.mark.parametrize("name", [name for name in CRITERIA if name != "GKL"])  # which needs a deviation
def test_takes_targets_that_are_one_number_each(name):
    output, target = samples(name, 3, 1)
    losses = CRITERIA.get(name)()(output, target.squeeze(1))
    assert losses.tolist() == CRITERIA.get(name)()(output, target).tolist()


@every_criterion
def test_its_gradient_is_that_of_its_loss(name):
    output, target = samples(name, 2, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda o: CRITERIA.get(name)()(o, target), output.requires_grad_())


@every_criterion
def test_knows_its_shape_without_data(name):
    output, target = samples(name, 3, 4)
    losses = CRITERIA.get(name)()(output.to("meta"), target.to("meta"))
    assert (losses.device.type, losses.shape) == ("meta", (3,))


@every_criterion
def test_is_documented_with_its_reduction(name):
    text = CRITERIA.get(name).__doc__
    assert text is not None
    assert any(word in text for word in ("averaged over", "summed over", "sum("))


# ------------------------------------------------------------------------------------------ single criteria


def test_bce_refuses_outputs_that_are_no_probabilities():
    with pytest.raises(UsageError) as fault:
        CRITERIA.get("BCE")()(torch.tensor([[0.2, 1.5]]), torch.tensor([[0.0, 1.0]]))
    assert str(fault.value) == (
        "criterion BCE needs outputs between 0 and 1, found 0.2 to 1.5; end the network in a Sigmoid"
    )


def test_bce_refuses_targets_that_are_no_probabilities():
    with pytest.raises(UsageError) as fault:
        CRITERIA.get("BCE")()(torch.tensor([[0.2, 0.5]]), torch.tensor([[-1.0, 2.0]]))
    assert str(fault.value) == (
        "criterion BCE needs targets between 0 and 1, found -1 to 2; "
        "choose a criterion for such values, as MSE"
    )


def test_bce_of_outputs_that_are_not_numbers_is_not_a_number_rather_than_a_fault():
    losses = CRITERIA.get("BCE")()(torch.tensor([[math.nan, 0.5], [0.5, 0.5]]), torch.ones(2, 2))
    assert math.isnan(losses[0].item())


def test_bce_is_cut_where_a_certain_output_is_wrong():
    assert CRITERIA.get("BCE")()(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]])).item() == 100


def test_nll_of_an_impossible_class_stays_finite():
    losses, gradient = losses_and_gradient("NLL", [[0.0, 1.0]], [[1.0, 0.0]])
    assert losses == pytest.approx([-math.log(1e-12)])
    assert torch.tensor(gradient).isfinite().all()


def test_nll_takes_certainty_for_a_logarithm():
    losses, _ = losses_and_gradient("NLL", [[0.0, -50.0]], [[1.0, 0.0]])
    assert losses == [0]


def test_gkl_refuses_means_without_deviations():
    with pytest.raises(UsageError) as fault:
        CRITERIA.get("GKL")()(torch.full((2, 3), 0.5), torch.full((2, 3), 0.5))
    assert str(fault.value) == "criterion GKL needs means and as many deviations, found 3 values"


def test_gau_is_the_density_of_its_gaussians():
    mean, target = samples("MSE", 5, 3, dtype=torch.float64)
    stdev = mean.flip(0) + 0.2
    exact = -Normal(mean, stdev + 1e-6).log_prob(target).sum(1)
    found = CRITERIA.get("GAU")()(torch.cat((mean, stdev), dim=1), target)
    assert found.tolist() == pytest.approx(exact.tolist(), rel=1e-12)


def test_gau_with_a_fixed_deviation_takes_means_alone():
    gau = CRITERIA.get("GAU")
    mean, target = samples("MSE", 5, 3, dtype=torch.float64)
    exact = -Normal(mean, 0.5).log_prob(target).sum(1)
    assert gau(gau.Options(stdev=0.5))(mean, target).tolist() == pytest.approx(exact.tolist(), rel=1e-12)


def test_gau_says_what_it_takes():
    gau = CRITERIA.get("GAU")
    with pytest.raises(UsageError) as fault:
        gau()(torch.full((2, 4), 0.5), torch.full((2, 4), 0.5))
    assert str(fault.value) == (
        "the network's result of [4] cannot be compared with the target of [4]: 4 and 4 values; "
        "GAU takes a mean and a deviation for each value, or means alone with stdev=..."
    )
    with pytest.raises(UsageError):
        gau(gau.Options(stdev=1))(torch.full((2, 8), 0.5), torch.full((2, 4), 0.5))


def test_points_of_a_posterior_tell_its_divergence_from_the_prior():
    mean, stdev = samples("GKL", 1, 3, dtype=torch.float64)
    points = mean + stdev * torch.randn(200_000, 3, generator=torch.Generator().manual_seed(1))
    exact = Normal(0.0, 1.0).log_prob(points) - Normal(mean, stdev + 1e-6).log_prob(points)
    found = prior_to_posterior(points, mean, stdev)
    assert torch.allclose(found, exact.sum(1))
    assert -found.mean().item() == pytest.approx(standard_normal_divergence(mean, stdev).item(), abs=0.01)


@pytest.mark.parametrize("last", [torch.log_softmax, torch.softmax])
def test_probabilities_and_their_logarithms_are_told_apart(last):
    scores = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(log_probabilities(last(scores, 1)), scores.log_softmax(1))


def test_an_encoder_gives_means_and_as_many_deviations():
    gaussian = torch.arange(8.0).view(2, 4)
    mean, stdev = gaussian_halves(gaussian, 2)
    assert (mean.tolist(), stdev.tolist()) == ([[0, 1], [4, 5]], [[2, 3], [6, 7]])
    for values, dims, wanted in ((4, 3, "2 * latentDims = 6"), (3, None, "means and as many deviations")):
        with pytest.raises(UsageError) as fault:
            gaussian_halves(torch.zeros(2, values), dims)
        assert str(fault.value) == f"the encoder must give {wanted} values, found [{values}]"


def test_the_divergence_from_the_standard_normal_is_the_closed_form():
    mean, stdev = samples("GKL", 5, 3, dtype=torch.float64)
    exact = kl_divergence(Normal(mean, stdev + 1e-6), Normal(0.0, 1.0)).sum(1)
    assert standard_normal_divergence(mean, stdev).tolist() == pytest.approx(exact.tolist(), rel=1e-12)


def test_the_divergence_is_least_at_the_standard_normal():
    values = torch.linspace(0.1, 3, 30, dtype=torch.float64)
    mean, stdev = torch.cartesian_prod(values - 1, values).T
    divergences = standard_normal_divergence(mean[:, None], stdev[:, None])
    assert divergences.min().item() >= 0
    assert divergences.argmin() == (mean**2 + (stdev - 1) ** 2).argmin()

"""Methods: golden traces of their steps, and what every registered method promises."""

from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn, optim

from dianne.learning.methods import METHODS

GRADIENTS = (0.5, -0.25, 0.1)
every_method = pytest.mark.parametrize("name", list(METHODS))


def built(name: str, weight: nn.Parameter, **options: float) -> optim.Optimizer:
    method = METHODS.get(name)
    return method.build([weight], method.Options(**options))


def trace(name: str, gradients: tuple[float, ...] = GRADIENTS, **options: float) -> list[float]:
    """The changes of one weight that starts at 1 and meets these gradients."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = built(name, weight, **options)
    values = [weight.item()]
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        values.append(weight.item())
    return [after - before for before, after in pairwise(values)]


def still(name: str) -> dict[str, float]:
    """Options with which a method leaves weights alone that have no gradient."""
    return {"weightDecay": 0.0} if "weight_decay" in METHODS.get(name).Options.model_fields else {}


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("SGD", {}, [-0.005, 0.0025, -0.001]),
        ("SGD", {"learningRate": 0.1}, [-0.05, 0.025, -0.01]),
        ("SGD", {"learningRate": 0.1, "l2": 0.01}, [-0.06, 0.0156, -0.019556]),
        ("SGD", {"learningRate": 0.1, "momentum": 0.9}, [-0.05, -0.02, -0.028]),
        ("SGD", {"learningRate": 0.1, "nesterov": 0.9}, [-0.095, 0.007, -0.0352]),
        ("SGD", {"learningRate": 0.1, "l2": 0.01, "momentum": 0.9}, [-0.06, -0.0384, -0.053576]),
        ("ADAM", {}, [-0.0009999993, -0.000266336, -0.0003152444]),
        ("ADAM", {"l2": 0.01}, [-0.011, -0.01015634, -0.01010368]),
        ("RMSPROP", {}, [-0.003162277, 0.001474419, -0.000609994]),
        ("ADADELTA", {}, [-0.0004472134]),
        ("ADAGRAD", {}, [-0.01 * 0.5 / 0.25**0.5, 0.01 * 0.25 / 0.3125**0.5, -0.01 * 0.1 / 0.3225**0.5]),
    ],
)
def test_a_weight_takes_the_golden_steps(name, options, steps):
    assert trace(name, GRADIENTS[: len(steps)], **options) == pytest.approx(steps, rel=5e-6)


@pytest.mark.parametrize(
    ("options", "updates", "last"),
    [
        ({"learningRate": 0.1, "decayRate": 0.5, "decayType": "EXPONENTIAL"},
         [-0.05, 0.01516327, -0.003678795], 0.9614844),
        ({"learningRate": 0.1, "decayRate": 0.04, "decayType": "LINEAR", "minLearningRate": 0.05},
         [-0.05, 0.015, -0.005], 0.96),
        ({"learningRate": 0.1, "decayRate": 0.5, "minLearningRate": 0.1}, [-0.05, 0.025, -0.01], 0.965),
    ],
)  # fmt: skip
def test_a_falling_rate_takes_the_golden_steps(options, updates, last):
    method = METHODS.get("SGD")
    chosen = method.Options.model_validate(options)
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = method.build([weight], chosen)
    values = [weight.item()]
    for iteration, gradient in enumerate(GRADIENTS):
        method.set_rate(optimizer, chosen, method.rate(chosen, iteration))
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        values.append(weight.item())
    assert [after - before for before, after in pairwise(values)] == pytest.approx(updates, rel=5e-6)
    assert values[-1] == pytest.approx(last, rel=1e-6)


def test_the_kind_of_fall_is_understood_in_any_case():
    assert METHODS.get("SGD").Options(decay_type="linear").decay_type == "LINEAR"


@pytest.mark.parametrize("kind", ["EXPONENTIAL", "LINEAR"])
def test_a_rate_never_falls_below_its_least(kind):
    method = METHODS.get("SGD")
    options = method.Options(learning_rate=0.1, decay_rate=0.01, decay_type=kind, min_learning_rate=0.05)
    rates = [method.rate(options, iteration) for iteration in (0, 1, 10, 10_000_000)]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[-1]) == (pytest.approx(0.1), 0.05)


def test_a_rate_cannot_fall_upwards():
    text = "expected at most the learningRate 0.01, found 0.05"
    with pytest.raises(ValidationError, match=text):
        METHODS.get("SGD").Options(min_learning_rate=0.05)


def test_l2_takes_its_share_whatever_the_rate_has_fallen_to():
    method = METHODS.get("SGD")
    options = method.Options(learning_rate=0.1, decay_rate=1.0, l2=0.1)
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = method.build([weight], options)
    for iteration in range(5):
        method.set_rate(optimizer, options, method.rate(options, iteration))
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert weight.item() == pytest.approx(0.9**5)


def test_decoupled_decay_follows_the_learning_rate_and_l2_does_not():
    """ADAMW's weightDecay is a share times the learning rate: w <- w (1 - learningRate weightDecay)."""
    assert trace("ADAMW", (0.0,), learningRate=0.5, weightDecay=0.1) == pytest.approx([-0.05])
    assert trace("ADAMW", (0.0,), learningRate=0.1, weightDecay=0.1) == pytest.approx([-0.01])
    assert trace("ADAMW", (0.0,), learningRate=0.1, weightDecay=0.0, l2=0.1) == pytest.approx([-0.1])


def test_without_decay_adamw_is_adam():
    assert trace("ADAMW", weightDecay=0.0) == pytest.approx(trace("ADAM"))
    assert trace("ADAMW") == pytest.approx(trace("ADAMW", weightDecay=0.01))
    assert trace("ADAMW") != pytest.approx(trace("ADAM"), rel=1e-6)


@every_method
def test_a_quadratic_gets_smaller(name):
    weight = nn.Parameter(torch.tensor([3.0, -2.0, 0.5]))
    optimizer = built(name, weight)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (weight - 1).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] * 0.999


@every_method
def test_l2_takes_its_share_off_whatever_the_learning_rate(name):
    for learning_rate in (0.5, 0.001):
        steps = trace(name, (0.0, 0.0), l2=0.1, learning_rate=learning_rate, **still(name))
        assert steps == pytest.approx([-0.1, -0.09])


@every_method
def test_a_weight_without_gradients_stays_without_l2(name):
    assert trace(name, (0.0, 0.0), **still(name)) == [0, 0]


@every_method
def test_every_step_scales_with_the_learning_rate(name):
    small, large = (trace(name, (0.5,), learningRate=rate, **still(name))[0] for rate in (0.01, 0.02))
    assert large == pytest.approx(2 * small)


@every_method
def test_every_option_says_what_it_is(name):
    fields = METHODS.get(name).Options.model_fields
    assert [key for key, field in fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "name", [name for name, method in METHODS.items() if "epsilon" in method.Options.model_fields]
)
def test_an_epsilon_of_0_is_refused_because_it_divides_0_by_0(name):
    with pytest.raises(ValidationError, match="greater than 0"):
        METHODS.get(name).Options(epsilon=0)


def test_momentum_and_nesterov_exclude_each_other():
    with pytest.raises(ValidationError, match="nesterov and momentum exclude each other; give one of them"):
        METHODS.get("SGD").Options(momentum=0.5, nesterov=0.9)

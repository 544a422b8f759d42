"""Trainers: how the weights of one network change; and moving averages."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from workspaces import IRIS, workspace_of

from dianne import UsageError, Workspace
from dianne.learning.methods import METHODS
from dianne.learning.schedules import SCHEDULES
from dianne.learning.trainer import Average, Trainer, TrainingOptions

SGD = METHODS.get("SGD")


class Two(nn.Module):
    """Two weights and a count, by name."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(2))
        self.two = nn.Parameter(torch.ones(1))
        self.register_buffer("count", torch.tensor(3))


def trainer(
    network: nn.Module, *, method: str = "SGD", schedule: str = "CONSTANT", total: int = 4, **options
):
    """A trainer; options of method, schedule and training together, as users write them."""
    kinds = [METHODS.get(method).Options, SCHEDULES.get(schedule).Options, TrainingOptions]
    known = {kind: {info.alias for info in kind.model_fields.values()} for kind in kinds}
    made = [
        kind.model_validate({key: value for key, value in options.items() if key in known[kind]})
        for kind in kinds
    ]
    assert set(options) <= set().union(*known.values())
    return Trainer(
        network, (METHODS.get(method), made[0]), (SCHEDULES.get(schedule), made[1]), made[2], total
    )


def moves(count: int, **options) -> list[float]:
    """How far a weight with a gradient of 1 falls in each iteration."""
    network = Two()
    made, found = trainer(network, **options), []
    for i in range(count):
        before = network.two.item()
        network.one.grad, network.two.grad = torch.ones(2), torch.ones(1)
        made.begin(i)
        made.step()
        found.append(before - network.two.item())
    return found


# ----------------------------------------------------------------------------------------- learning rates


def test_every_step_is_of_the_size_that_the_schedule_says():
    found = moves(4, learningRate=0.5, schedule="LINEAR")
    assert found == pytest.approx([0.5, 0.375, 0.25, 0.125])


def test_schedule_and_decay_multiply():
    found = moves(4, learningRate=0.5, schedule="LINEAR", decayRate=0.1, decayType="LINEAR")
    assert found == pytest.approx([0.5, 0.4 * 0.75, 0.3 * 0.5, 0.2 * 0.25])


def test_without_schedule_the_rate_stays():
    assert moves(3, learningRate=0.5) == pytest.approx([0.5] * 3)


@pytest.mark.parametrize("method", list(METHODS))
def test_a_schedule_reaches_every_method(method):
    still = {"weightDecay": 0} if method == "ADAMW" else {}
    first, second = moves(2, method=method, schedule="STEP", stepInterval=1, stepFactor=1e-6, **still)
    assert first > 0
    assert second < first * 1e-4


def test_the_share_that_l2_takes_off_does_not_follow_the_schedule():
    network = Two()
    made = trainer(network, learningRate=0.5, l2=0.1, schedule="STEP", stepInterval=1)
    for i in range(3):
        network.one.grad, network.two.grad = torch.zeros(2), torch.zeros(1)
        made.begin(i)
        made.step()
    assert network.two.item() == pytest.approx(0.9**3)


def test_beginning_again_forgets_momentum_and_keeps_the_share():
    network = Two()
    made = trainer(network, learningRate=0.5, momentum=0.9)
    found = []
    for i in range(3):
        if i == 2:
            made.share *= 0.5
            made.begin_again()
        before = network.two.item()
        network.one.grad, network.two.grad = torch.ones(2), torch.ones(1)
        made.begin(i)
        made.step()
        found.append(before - network.two.item())
    assert found == pytest.approx([0.5, 0.5 * 1.9, 0.25])


def test_weights_that_are_fixed_are_none_of_its_weights():
    network = Two()
    network.one.requires_grad_(False)
    assert [id(weight) for weight in trainer(network).weights] == [id(network.two)]


# ---------------------------------------------------------------------------------------- limits on gradients


def stepped(one: list[float], two: float | None, **options) -> list[float]:
    """How far the weights fall by these gradients; learning rate 1."""
    network = Two()
    network.one.grad, network.two.grad = torch.tensor(one), None if two is None else torch.tensor([two])
    made = trainer(network, learningRate=1.0, **options)
    made.begin(0)
    made.step()
    return [1 - value for value in [*network.one.tolist(), network.two.item()]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [3, 0, -4]),
        ({"clipNorm": 10}, [3, 0, -4]),
        ({"clipNorm": 1}, [0.6, 0, -0.8]),
        ({"clipNorm": 2.5}, [1.5, 0, -2]),
        ({"clipValue": 2}, [2, 0, -2]),
        ({"clipValue": 10}, [3, 0, -4]),
        ({"clipValue": 2, "clipNorm": 2}, [math.sqrt(2), 0, -math.sqrt(2)]),
    ],
)
def test_long_gradients_are_shortened_all_weights_together(options, expected):
    assert stepped([3.0, 0.0], -4.0, **options) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("options", [{"clipNorm": 1}, {"clipValue": 1}])
def test_a_weight_without_a_gradient_is_left_out_of_the_norm(options):
    assert stepped([2.0, 0.0], None, **options) == pytest.approx([1, 0, 0], abs=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_stay_where_they_are(bad):
    """Or else every module would be blamed for them."""
    network = Two()
    network.one.grad, network.two.grad = torch.tensor([1.0, 0.0]), torch.tensor([bad])
    made = trainer(network, learningRate=1.0, clipNorm=0.5)
    made.step()
    assert network.one.isfinite().all()
    assert not network.two.isfinite().all()


# --------------------------------------------------------------------------------------------------- averages


def averaged(network: nn.Module, average: Average) -> dict[str, torch.Tensor]:
    return average.put_in(network.state_dict())


shares = st.floats(0.01, 0.999)


@settings(deadline=None)
@given(shares, st.floats(-100, 100), st.integers(0, 50))
def test_weights_that_stay_are_their_own_average(decay, value, steps):
    network = Two()
    with torch.no_grad():
        network.one.fill_(value)
    average = Average(network, decay)
    for _ in range(steps):
        average.step()
    assert averaged(network, average)["one"].tolist() == pytest.approx([value] * 2, rel=1e-5)


@settings(deadline=None)
@given(shares, st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_an_average_is_the_closed_form(decay, values):
    """sum_t (1 - d_t) w_t prod_{s>t} d_s, and what is left of the first weights."""
    network = Two()
    average = Average(network, decay)
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(len(values))]
    for value in values:
        with torch.no_grad():
            network.two.fill_(value)
        average.step()
    expected = math.prod(decays) + sum(
        (1 - decays[t]) * value * math.prod(decays[t + 1 :]) for t, value in enumerate(values)
    )
    assert averaged(network, average)["two"].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_an_average_starts_quickly():
    network = Two()
    average = Average(network, 0.999)
    with torch.no_grad():
        network.two.fill_(11.0)
    average.step()
    assert averaged(network, average)["two"].item() == pytest.approx(1 + 0.9 * 10)


def test_an_average_that_begins_again_forgets():
    network = Two()
    average = Average(network, 0.9)
    for value in (5.0, 7.0):
        with torch.no_grad():
            network.two.fill_(value)
        average.step()
    average.begin_again()
    assert average.steps == 0
    assert averaged(network, average)["two"].item() == 7


def test_other_values_are_taken_as_they_are_and_weights_are_left_alone():
    network = Two()
    average = Average(network, 0.5)
    network.count += 4
    with torch.no_grad():
        network.two.fill_(9.0)
    average.step()
    found = averaged(network, average)
    assert found["count"].item() == 7
    assert (network.two.item(), found["two"].item() != 9) == (9, True)
    average.averages[1].fill_(-1)
    assert found["two"].item() != -1  # a copy


def test_a_network_without_weights_has_an_average():
    average = Average(nn.Identity(), 0.9)
    average.step()
    assert average.put_in({}) == {}


def test_weights_that_modules_share_are_averaged_once():
    layer = nn.Linear(2, 2)
    network = nn.Sequential(layer, layer)
    average = Average(network, 0.5)
    average.step()
    assert len(average.averages) == 2


# -------------------------------------------------------------------------------------------- in a workspace


NETWORK = """
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: 5}
  norm: {type: BatchNormalization}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
VAE = {"strategy": "VariationalAutoEncoder", "hidden": 4, "batchSize": 8, "maxIterations": 2, "tag": "vae"}


@pytest.fixture
def workspace(tmp_path):
    return workspace_of(tmp_path, {"networks/Net.yaml": NETWORK, "datasets/Iris.yaml": IRIS})


def stored(workspace: Workspace, tag: str, network: str = "Net") -> dict[str, torch.Tensor]:
    return workspace.store.weights(workspace.store.manifest(network, tag))


def learn(workspace: Workspace, **options):
    given = {"tag": "t", "seed": 1, "batchSize": 8, "maxIterations": 6, "method": "SGD", **options}
    return workspace.learn("Net", "Iris", **given)


def test_the_average_of_a_job_is_that_of_its_iterations(workspace):
    learn(workspace, storeInterval=1, ema=0.15, learningRate=0.5)
    first = learn(workspace, tag="start", maxIterations=1, learningRate=1e-30)
    assert first.iterations == 1
    expected = stored(workspace, "start")["hidden.weight"]
    for t in range(6):
        decay = min(0.15, (1 + t) / (10 + t))
        weight = stored(workspace, f"t@{t + 1}")["hidden.weight"]
        expected = expected + (1 - decay) * (weight - expected)
    average = stored(workspace, "t@ema")
    torch.testing.assert_close(average["hidden.weight"], expected)
    assert torch.equal(average["norm.running_mean"], stored(workspace, "t")["norm.running_mean"])
    assert workspace.tags("Net")["t@ema"].iteration == 6


def test_the_average_moves_with_the_tag_and_does_not_change_what_is_learned(workspace):
    learn(workspace, tag="plain")
    learn(workspace, ema=0.5, syncInterval=2)
    assert all(torch.equal(stored(workspace, "plain")[k], v) for k, v in stored(workspace, "t").items())
    manifests, iterations = [workspace.tags("Net")["t@ema"]], []
    while manifests:
        manifest = manifests.pop()
        iterations.append(manifest.iteration)
        manifests += [workspace.store.read_manifest(manifest.parent)] if manifest.parent else []
    assert iterations == [6, 4, 2]


def test_an_average_can_be_deployed_and_started_from(workspace):
    learn(workspace, ema=0.5)
    assert workspace.evaluate("Net", "Iris", tag="t@ema").size == 150
    learn(workspace, tag="next", initTag="t@ema", maxIterations=1, learningRate=1e-30)
    before, after = stored(workspace, "t@ema"), stored(workspace, "next")
    assert torch.equal(before["hidden.weight"], after["hidden.weight"])


def test_only_the_network_that_is_aimed_at_has_an_average(workspace):
    workspace.learn("Encoder,Decoder", "Digits", **VAE, **{"decoder.ema": 0.9})
    assert {name: sorted(workspace.tags(name)) for name in ("Encoder", "Decoder")} == {
        "Encoder": ["vae"],
        "Decoder": ["vae", "vae@ema"],
    }


def test_schedules_and_limits_can_be_aimed(workspace):
    for tag, options in {
        "start": {"learningRate": 1e-30},
        "norm": {"Encoder.clipNorm": 1e-30, "method": "SGD"},
        "value": {"decoder.clipValue": 1e-30, "method": "SGD"},
        "rise": {"encoder.schedule": "CONSTANT", "encoder.warmup": 10**18},
    }.items():
        workspace.learn("Encoder,Decoder", "Digits", **{**VAE, "tag": tag}, seed=1, **options)
    still = {
        tag: [
            network
            for network in ("Encoder", "Decoder")
            if all(torch.equal(stored(workspace, "start", network)[name], weight)
                   for name, weight in stored(workspace, tag, network).items())
        ]
        for tag in ("norm", "value", "rise")
    }  # fmt: skip
    assert still == {"norm": ["Encoder"], "value": ["Decoder"], "rise": ["Encoder"]}


def test_a_network_of_fixed_modules_may_have_options_of_training(workspace):
    options = {"fixed": "Encoder", "ema": 0.9, "clipNorm": 1, "schedule": "COSINE"}
    workspace.learn("Encoder,Decoder", "Digits", **VAE, **options)
    average, weights = (stored(workspace, tag, "Encoder") for tag in ("vae@ema", "vae"))
    assert all(torch.equal(average[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"schedule": "COSIN"}, "'schedule': unknown schedule 'COSIN'; did you mean 'COSINE'?"),
        ({"warmup": "-1"}, "'warmup': expected at least 0, found '-1'"),
        ({"warmup": "x"}, "'warmup': expected a whole number, found 'x'"),
        ({"schedule": "cosine", "minFactor": "2"}, "'minFactor': expected at most 1.0, found '2'"),
        ({"schedule": "cosine", "minFactor": "nan"}, "'minFactor': expected at most 1.0, found 'nan'"),
        ({"schedule": "step", "stepInterval": "0"}, "'stepInterval': expected more than 0, found '0'"),
        ({"schedule": "step", "stepFactor": "0"}, "'stepFactor': expected more than 0.0, found '0'"),
        ({"schedule": "step", "stepFactor": "2"}, "'stepFactor': expected at most 1.0, found '2'"),
        ({"schedule": "exponential", "halfLife": "0"}, "'halfLife': expected more than 0, found '0'"),
        ({"clipNorm": "0"}, "'clipNorm': expected more than 0.0, found '0'"),
        ({"clipNorm": "inf"}, "'clipNorm': expected a finite number, found 'inf'"),
        ({"clipValue": "-1"}, "'clipValue': expected more than 0.0, found '-1'"),
        ({"ema": "1"}, "'ema': expected less than 1.0, found '1'"),
        ({"ema": "0"}, "'ema': expected more than 0.0, found '0'"),
        ({"ema": "nan"}, "'ema': expected less than 1.0, found 'nan'"),
        ({"network.ema": "2"}, "'network.ema': expected less than 1.0, found '2'"),
        ({"method": "SGD", "decayType": "CUBIC"},
         "'decayType': expected 'EXPONENTIAL' or 'LINEAR', found 'CUBIC'"),
        ({"method": "SGD", "decayRate": "-1"}, "'decayRate': expected at least 0.0, found '-1'"),
        ({"method": "SGD", "minLearningRate": "1"},
         "'minLearningRate': expected at most the learningRate 0.01, found 1"),
        ({"method": "ADAMW", "weightDecay": "-1"}, "'weightDecay': expected at least 0.0, found '-1'"),
        ({"method": "torch.optim.RAdam", "betas": "0.9"},
         "'betas': expected at least 2 items, found ['0.9']"),
        ({"method": "torch.optim.radam"}, "'method': torch.optim has no 'radam'; did you mean 'RAdam'?"),
        ({"criterion": "torch.nn.HubrLoss"},
         "'criterion': torch.nn has no 'HubrLoss'; did you mean 'HuberLoss'?"),
        ({"accumulate": "0"}, "'accumulate': expected more than 0, found '0'"),
        ({"accumulate": "1.5"}, "'accumulate': expected a whole number, found '1.5'"),
        ({"accumulate": "10", "maxIterations": "9"},
         "'accumulate': expected at most 9 (maxIterations), found 10; the weights would never change"),
        ({"nanRetry": "-1"}, "'nanRetry': expected at least 0, found '-1'"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(workspace, options, problem):
    with pytest.raises(UsageError) as fault:
        workspace.learn("Net", "Iris", tag="t", **options)
    assert str(fault.value) == f"learn: 1 problem\n  option {problem}"
    assert not workspace.folder.models.exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"method": "torch.optim.RAdam", "eps": "-1"},
            "method=torch.optim.RAdam: Invalid epsilon value: -1.0",
        ),
        (
            {"criterion": "torch.nn.HuberLoss", "delta": "-1"},
            "criterion=torch.nn.HuberLoss: huber_loss does not support non-positive values for delta.",
        ),
    ],
)
def test_what_torch_refuses_is_said_before_anything_is_learned(workspace, options, text):
    with pytest.raises(UsageError) as fault:
        workspace.learn("Net", "Iris", tag="t", **options)
    assert str(fault.value) == text
    assert not workspace.folder.models.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"method": "torch.optim.RAdam", "betas": "0.8,0.9"},
        {"criterion": "torch.nn.CrossEntropyLoss", "labelSmoothing": "0.1"},
        {"method": "ADAMW", "weightDecay": 0.1, "schedule": "COSINE", "warmup": 2, "clipNorm": 1},
    ],
)
def test_jobs_learn_with_them(workspace, options):
    result = learn(workspace, **options, maxIterations=50)
    assert result.loss["loss"] < 1.6
    assert workspace.evaluate("Net", "Iris", tag="t").size == 150

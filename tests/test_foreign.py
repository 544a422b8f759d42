"""torch's own optimizers and losses by dotted name."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn, optim

from dianne import UsageError
from dianne.binding import TYPED, Consumer, Given, bind
from dianne.criteria import CRITERIA
from dianne.errors import ConfigError
from dianne.foreign import arguments_of, options_of, torch_class
from dianne.learning.methods import METHODS
from dianne.options import Options, keys
from dianne.registry import Registry


def refused(registry: Registry, name: str) -> str:
    with pytest.raises(UsageError) as fault:
        registry.get(name)
    return str(fault.value)


def problem(options: type[Options], **given: object) -> str:
    """The one problem of a job with these options."""
    with pytest.raises(ConfigError) as fault:
        bind("learn", [Consumer("x", options)], {key: Given(value, TYPED) for key, value in given.items()})
    (found,) = fault.value.problems
    return str(found)


# ------------------------------------------------------------------------------------------------- names


def test_a_dotted_name_is_the_class_of_that_name():
    assert torch_class("torch.optim.RAdam", "torch.optim", optim.Optimizer) is optim.RAdam
    assert torch_class("torch.nn.HuberLoss", "torch.nn", nn.Module) is nn.HuberLoss


@pytest.mark.parametrize(
    ("registry", "name", "text"),
    [
        (METHODS, "torch.optim.radam", "torch.optim has no 'radam'; did you mean 'RAdam'?"),
        (METHODS, "torch.optim.Optimizer", "torch.optim has no 'Optimizer'; classes: "),
        (METHODS, "torch.nn.Linear", "'torch.nn.Linear' is nothing of torch.optim; write torch.optim.Name"),
        (METHODS, "os.system", "'os.system' is nothing of torch.optim; write torch.optim.Name"),
        (METHODS, "0.5", "'0.5' is nothing of torch.optim; write torch.optim.Name"),
        (METHODS, "torch.optim.", "torch.optim has no ''; classes: "),
        (
            METHODS,
            "torch.optim.lr_scheduler.StepLR",
            "'torch.optim.lr_scheduler.StepLR' is nothing of torch.optim; write torch.optim.Name",
        ),
        (METHODS, "torch.optim.lr_scheduler", "torch.optim has no 'lr_scheduler'; classes: "),
        (
            METHODS,
            "torch.optim.LBFGS",
            "torch.optim.LBFGS computes the loss several times in a step, which a strategy does once",
        ),
        (
            METHODS,
            "torch.optim.SparseAdam",
            "torch.optim.SparseAdam wants sparse gradients, which no module here gives",
        ),
        (CRITERIA, "torch.nn.HubrLoss", "torch.nn has no 'HubrLoss'; did you mean 'HuberLoss'?"),
        (CRITERIA, "torch.nn.Linear", "torch.nn.Linear is no loss between an output and a target"),
        (CRITERIA, "torch.nn.CTCLoss", "torch.nn.CTCLoss is no loss between an output and a target"),
        (
            CRITERIA,
            "torch.nn.TripletMarginLoss",
            "torch.nn.TripletMarginLoss is no loss between an output and a target",
        ),
        (CRITERIA, "torch.optim.Adam", "'torch.optim.Adam' is nothing of torch.nn; write torch.nn.Name"),
    ],
)
def test_names_that_lead_nowhere_are_refused(registry, name, text):
    found = refused(registry, name)
    assert found.startswith(text) if text.endswith("classes: ") else found == text


def test_names_without_a_dot_are_looked_up_among_the_registered_alone():
    assert refused(METHODS, "RAdam") == "unknown method 'RAdam'; did you mean 'ADAM'?"
    assert "torch.optim.RAdam" not in METHODS
    assert [name for name in METHODS if "." in name] == []


def test_a_registry_without_foreign_components_takes_a_dot_for_a_mistake():
    registry: Registry[int] = Registry("thing")
    registry.register("one")(1)
    assert refused(registry, "torch.optim.one") == "unknown thing 'torch.optim.one'; known: one"


def test_a_dotted_name_keeps_its_spelling_and_its_class():
    assert METHODS.spelling("torch.optim.RAdam") == "torch.optim.RAdam"
    assert METHODS.get("torch.optim.RAdam") is METHODS.get("torch.optim.RAdam")
    assert METHODS.spelling("adam w") == "ADAMW"


# ----------------------------------------------------------------------------------------------- options


class Thing:
    """Arguments of all kinds."""

    def __init__(
        self, weights, rate: float = 1, count: int = 2, pair=(0.5, 2), flag=False, word="mean", none=None,
        hidden=3.0,
    ):  # fmt: skip
        self.given = (rate, count, pair, flag, word)
        self.rest = (weights, none, hidden)


def test_options_follow_from_the_defaults_of_the_constructor():
    options = options_of(Thing, Options, ("hidden",))
    assert {key: info.default for key, info in keys(options).items()} == {
        "rate": 1.0, "count": 2, "pair": [0.5, 2], "flag": False, "word": "mean",
    }  # fmt: skip
    assert keys(options)["rate"].description == "The argument rate of Thing."


def test_options_become_the_arguments_they_stand_for():
    options = options_of(Thing, Options, ("hidden",))
    given = options.model_validate({"rate": "0.5", "count": "3", "pair": "1,2", "flag": "true"})
    assert arguments_of(Thing, given) == {
        "rate": 0.5, "count": 3, "pair": (1.0, 2.0), "flag": True, "word": "mean",
    }  # fmt: skip
    assert Thing(None, **arguments_of(Thing, given)).given == (0.5, 3, (1.0, 2.0), True, "mean")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"rate": "much"}, "option 'rate': expected a number, found 'much'"),
        ({"rate": "nan"}, "option 'rate': expected a finite number, found 'nan'"),
        ({"rate": True}, "option 'rate': expected a number, found true"),
        ({"count": "1.5"}, "option 'count': expected a whole number, found '1.5'"),
        ({"pair": "1"}, "option 'pair': expected at least 2 items, found ['1']"),
        ({"pair": "1,2,3"}, "option 'pair': expected at most 2 items, found ['1', '2', '3']"),
        ({"pair": "1,x"}, "option 'pair': expected a number, found 'x'"),
        ({"flag": "maybe"}, "option 'flag': expected true or false, found 'maybe'"),
        (
            {"hidden": 1},
            "option 'hidden': nothing here reads 'hidden'; options: count, flag, pair, rate, word",
        ),
        ({"none": 1}, "option 'none': nothing here reads 'none'; options: count, flag, pair, rate, word"),
    ],
)
def test_values_of_another_kind_are_refused(given, text):
    assert problem(options_of(Thing, Options, ("hidden",)), **given) == text


# ----------------------------------------------------------------------------------------------- methods


FOREIGN = sorted(
    f"torch.optim.{name}"
    for name, kind in vars(optim).items()
    if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam")
)  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_method_of_torch_steps_as_torch_does(name):
    method, kind = METHODS.get(name), getattr(optim, name.rpartition(".")[2])
    ours, theirs = (nn.Parameter(torch.eye(3)) for _ in range(2))
    optimizers = (method.build([ours], method.Options(learning_rate=0.05)), kind([theirs], lr=0.05))
    for scale in (1.0, -0.5, 0.25):
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = torch.full_like(weight, scale)
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, torch.eye(3))


@pytest.mark.parametrize("name", FOREIGN)
def test_a_method_of_torch_keeps_the_learning_rate_of_torch(name):
    kind = getattr(optim, name.rpartition(".")[2])
    assert METHODS.get(name).Options().learning_rate == inspect.signature(kind).parameters["lr"].default
    assert not {"lr", "maximize", "foreach", "fused", "l2"} & set(keys(METHODS.get(name).Options))


def test_arguments_reach_the_optimizer():
    method = METHODS.get("torch.optim.RAdam")
    options = method.Options.model_validate({"betas": "0.8,0.9", "weightDecay": "0.1"})
    group = method.build([nn.Parameter(torch.ones(1))], options).param_groups[0]
    assert (group["betas"], group["weight_decay"], group["lr"]) == ((0.8, 0.9), 0.1, 0.001)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("RAdam", {"betas": "2,3"}, "method=torch.optim.RAdam: Invalid beta parameter at index 0: 2.0"),
        ("RAdam", {"eps": "-1"}, "method=torch.optim.RAdam: Invalid epsilon value: -1.0"),
        ("SGD", {"nesterov": True},
         "method=torch.optim.SGD: Nesterov momentum requires a momentum and zero dampening"),
    ],
)  # fmt: skip
def test_arguments_that_torch_refuses_are_named_with_the_method(name, options, text):
    method = METHODS.get(f"torch.optim.{name}")
    with pytest.raises(UsageError) as fault:
        method.build([nn.Parameter(torch.ones(1))], method.Options.model_validate(options))
    assert str(fault.value) == text


@pytest.mark.skipif(not hasattr(optim, "Muon"), reason="this torch has no Muon")
def test_a_method_that_wants_matrices_says_so():
    method = METHODS.get("torch.optim.Muon")
    with pytest.raises(UsageError) as fault:
        method.build([nn.Parameter(torch.ones(5))], method.Options())
    assert str(fault.value) == (
        "method=torch.optim.Muon: Muon only supports 2D parameters whereas we found a parameter with size: "
        "torch.Size([5])"
    )


# ---------------------------------------------------------------------------------------------- criteria


OUTPUT = torch.tensor([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])
TARGET = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("name", ["HuberLoss", "SmoothL1Loss", "L1Loss", "KLDivLoss", "BCEWithLogitsLoss"])
def test_a_loss_of_torch_is_averaged_over_the_values_of_a_sample(name):
    losses = CRITERIA.get(f"torch.nn.{name}")()(OUTPUT, TARGET)
    for n in range(2):
        expected = getattr(nn, name)(reduction="none")(OUTPUT[n : n + 1], TARGET[n : n + 1]).mean()
        assert losses[n].item() == pytest.approx(expected.item())
    assert losses.shape == (2,)


@pytest.mark.parametrize("name", ["NLLLoss", "MultiMarginLoss", "CrossEntropyLoss"])
def test_a_loss_of_torch_for_classes_takes_one_hot_targets(name):
    expected = getattr(nn, name)(reduction="none")(OUTPUT, torch.tensor([1, 2]))
    assert CRITERIA.get(f"torch.nn.{name}")()(OUTPUT, TARGET).tolist() == pytest.approx(expected.tolist())


def test_samples_of_any_shape_are_compared_value_by_value():
    criterion = CRITERIA.get("torch.nn.HuberLoss")()
    assert torch.equal(criterion(OUTPUT.view(2, 3, 1), TARGET), criterion(OUTPUT, TARGET))


def test_arguments_reach_the_loss():
    kind = CRITERIA.get("torch.nn.CrossEntropyLoss")
    found = kind(kind.Options.model_validate({"labelSmoothing": "0.2"}))(OUTPUT, TARGET)
    expected = nn.CrossEntropyLoss(reduction="none", label_smoothing=0.2)(OUTPUT, TARGET)
    assert found.tolist() == pytest.approx(expected.tolist())
    assert list(keys(kind.Options)) == ["labelSmoothing"]


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("HuberLoss", {"delta": -1}, "huber_loss does not support non-positive values for delta."),
        ("MultiMarginLoss", {"p": 3}, "only p == 1 and p == 2 supported"),
    ],
)
def test_arguments_that_a_loss_refuses_are_named_with_the_criterion(name, options, text):
    kind = CRITERIA.get(f"torch.nn.{name}")
    with pytest.raises(UsageError) as fault:
        kind(kind.Options(**options))(OUTPUT, TARGET)
    assert str(fault.value) == f"criterion=torch.nn.{name}: {text}"

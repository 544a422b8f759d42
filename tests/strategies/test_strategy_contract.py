"""What every strategy that ships promises; a strategy without an entry in SETUPS fails."""

import ast
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from handmade import REPOSITORY, HandmadeJob
from torch import nn

import dianne
from dianne import Workspace, plugins
from dianne.data.descriptor import Range
from dianne.errors import UsageError
from dianne.jobs.learn import LearnResult, LearnWatcher, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.options import keys
from dianne.plugins import EVALUATION, LEARNING
from dianne.workspace import shipped

CLASSIFIER = """
parameters: {classes: 10}
modules:
  image:   {type: Input, shape: [1, 4, 4]}
  hidden:  {type: Linear, output: 5}
  tanh:    {type: Tanh}
  scores:  {type: Linear, output: "${classes}"}
  classes: {type: LogSoftmax}
  output:  {type: Output}
"""
ENCODER = """
parameters: {latentDims: 2}
modules:
  image:  {type: Input, shape: [1, 4, 4]}
  hidden: {type: Linear, output: 5}
  tanh:   {type: Tanh}
  params: {type: Linear, output: "${2 * latentDims}"}
  latent: {type: MultivariateGaussian, stdevActivation: SoftPlus}
  output: {type: Output}
"""
DECODER = """
parameters: {latentDims: 2}
modules:
  latent:  {type: Input, shape: ["${latentDims}"]}
  hidden:  {type: Linear, output: 5}
  tanh:    {type: Tanh}
  pixels:  {type: Linear, output: 16}
  sigmoid: {type: Sigmoid}
  output:  {type: Output}
"""
READER = """
parameters: {letters: 5}
modules:
  letters: {type: Input, shape: [3, "${letters}"]}
  lstm:    {type: LSTM, output: 4}
  scores:  {type: torch.nn.Linear, in_features: 4, out_features: 5}
  next:    {type: torch.nn.LogSoftmax, dim: -1}
  output:  {type: Output}
"""
TOLD_ENCODER = """
modules:
  image:  {type: Input, shape: [1, 4, 4]}
  label:  {type: Input, shape: [10]}
  seen:   {type: Linear, output: 5, after: image}
  told:   {type: Linear, output: 5, after: label}
  both:   {type: Concat, after: [seen, told]}
  tanh:   {type: Tanh}
  params: {type: Linear, output: 4}
  latent: {type: MultivariateGaussian, stdevActivation: SoftPlus}
  output: {type: Output}
"""
GENERATOR = """
parameters: {pixels: 16}
modules:
  noise:   {type: Input, shape: [3]}
  hidden:  {type: Linear, output: 5}
  tanh:    {type: Tanh}
  values:  {type: Linear, output: "${pixels}"}
  sigmoid: {type: Sigmoid}
  output:  {type: Output}
"""
CRITIC = """
modules:
  image:  {type: Input, shape: [1, 4, 4]}
  hidden: {type: Linear, output: 5}
  tanh:   {type: Tanh}
  score:  {type: Linear, output: 1}
  output: {type: Output}
"""
DISCRIMINATOR = CRITIC.replace("  output:", "  real:   {type: Sigmoid}\n  output:")
FEATURES = DISCRIMINATOR + "  features: {type: Output, after: tanh}\n"
SHIFT = ("Critic.score.bias",)  # cancels out of the difference between real and generated samples
DATASET = """
description: Digits of 4 x 4 pixels.
type: sklearn
loader: load_digits
labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
frame: [4, 4]
"""


def decoder(latents: int) -> str:
    return DECODER.replace("latentDims: 2}", f"latentDims: {latents}}}")


@dataclass(frozen=True)
class Setup:
    """Tiny networks for a strategy's roles, in their order, and an option with which they do not fit.

    `options` are for every job; `helper` is a network that must have weights under the tag `helper`; the loss
    does not depend on the weights that are `idle`.
    """

    networks: dict[str, str]
    misfit: dict[str, int]
    text: str
    options: dict[str, Any] = field(default_factory=dict)
    helper: str | None = None
    idle: tuple[str, ...] = ()
    dataset: str = "Small"


SETUPS = {
    "BPTTLearningStrategy": Setup(
        {"Reader": READER},
        {"letters": 7},
        "Reader.letters takes samples of [3, 7], got [50, 5]",
        dataset="Text",
    ),
    "FeedForwardLearningStrategy": Setup(
        {"Classifier": CLASSIFIER},
        {"classes": 7},
        "the network's result of [7] cannot be compared with the target of [10]: 7 and 10 values",
    ),
    "VariationalAutoEncoderLearningStrategy": Setup(
        {"Coder": ENCODER, "Painter": DECODER},
        {"Painter.latentDims": 3},
        "Painter.latent takes samples of [3], got [2]",
    ),
    "ConditionalVariationalAutoEncoderLearningStrategy": Setup(
        {"Coder": ENCODER, "ToldPainter": decoder(12), "Classifier": CLASSIFIER},
        {"ToldPainter.latentDims": 11},
        "ToldPainter.latent takes samples of [11], got [12]",
    ),
    "LabelVariationalAutoEncoderLearningStrategy": Setup(
        {"ToldCoder": TOLD_ENCODER, "ToldPainter": decoder(12)},
        {"ToldPainter.latentDims": 11},
        "ToldPainter.latent takes samples of [11], got [12]",
    ),
    "AutoEncoderLearningStrategy": Setup(
        {"Coder": ENCODER, "WidePainter": decoder(4)},
        {"WidePainter.latentDims": 3},
        "WidePainter.latent takes samples of [3], got [4]",
        {"activityL1": 0.1, "noise": 0.1},
    ),
    "GANLearningStrategy": Setup(
        {"Maker": GENERATOR, "Judge": DISCRIMINATOR},
        {"pixels": 15},
        "Judge.image takes samples of [1, 4, 4], got [15]",
    ),
    "WGANLearningStrategy": Setup(
        {"Maker": GENERATOR, "Critic": CRITIC},
        {"pixels": 15},
        "Critic.image takes samples of [1, 4, 4], got [15]",
        {"clamp": 5, "initDiterations": 10},  # with bounds that no weight reaches
        idle=SHIFT,
    ),
    "WGANGPLearningStrategy": Setup(
        {"Maker": GENERATOR, "Critic": CRITIC},
        {"pixels": 15},
        "Critic.image takes samples of [1, 4, 4], got [15]",
        idle=SHIFT,
    ),
    "VAEGANLearningStrategy": Setup(
        {"Coder": ENCODER, "Painter": DECODER, "FeatureJudge": FEATURES},
        {"Painter.latentDims": 3},
        "Painter.latent takes samples of [3], got [2]",
    ),
    "TargetLearningStrategy": Setup(
        {"Classifier": CLASSIFIER, "Teacher": CLASSIFIER},
        {"Classifier.classes": 7},
        "the network's result of [7] cannot be compared with the target of [10]: 7 and 10 values",
        {"target.initTag": "helper"},
        helper="Teacher",
    ),
}

SMALL = Range("0:8", 0, 8)
SHIPPED = {
    name: file
    for name, file in plugins.strategies(REPOSITORY).items()
    if file.path.resolve().is_relative_to(shipped("strategies").resolve())
}
LEARNERS = [name for name, file in SHIPPED.items() if file.kind == LEARNING]
every_learner = pytest.mark.parametrize("name", LEARNERS)
every_strategy = pytest.mark.parametrize("name", SHIPPED)


def strategy_class(name: str) -> type:
    return plugins.find(REPOSITORY, name, SHIPPED[name].kind)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    networks = {name: text for setup in SETUPS.values() for name, text in setup.networks.items()}
    for folder in ("networks", "datasets"):
        (tmp_path / folder).mkdir()
    for name, text in networks.items():
        (tmp_path / "networks" / f"{name}.yaml").write_text(text)
    (tmp_path / "datasets" / "Small.yaml").write_text(DATASET)
    (tmp_path / "datasets" / "Text.yaml").write_text("type: CharSequenceDataset\nfile: text.txt\n")
    (tmp_path / "datasets" / "text.txt").write_text("abba-cab cab " * 20)
    return Workspace(tmp_path)


def learn(workspace: Workspace, name: str, **options) -> LearnResult:
    setup = SETUPS[name]
    if setup.helper and not workspace.store.has(setup.helper, "helper"):
        workspace.learn(setup.helper, "Small", maxIterations=1, tag="helper", seed=9)
    short = {"strategy": name, "batchSize": 8, "maxIterations": 4, "traceInterval": 1, "seed": 1, "tag": "t"}
    return workspace.learn(list(setup.networks), setup.dataset, **{**short, **setup.options, **options})


def trained(name: str) -> list[str]:
    """The networks that a strategy trains."""
    strategy = strategy_class(name)
    pairs = zip(SETUPS[name].networks, strategy.roles, strict=True)
    return [network for network, role in pairs if role not in strategy.untrained]


def stored(workspace: Workspace, name: str, tag: str = "t") -> dict[str, list]:
    return {
        f"{network}.{weight}": tensor.tolist()
        for network in trained(name)
        for weight, tensor in workspace.store.weights(workspace.store.manifest(network, tag)).items()
    }


def test_every_strategy_that_ships_is_under_this_contract():
    assert sorted(SETUPS) == LEARNERS


# -------------------------------------------------------------------------------------- learning strategies


@every_learner
def test_the_same_seed_gives_the_same_bits(name, workspace):
    first = learn(workspace, name, tag="first")
    torch.rand(7)  # what a program did in between
    second = learn(workspace, name, tag="second")
    assert [report.terms for report in first.history] == [report.terms for report in second.history]
    assert len(first.history) == 4
    assert stored(workspace, name, "first") == stored(workspace, name, "second")


@every_learner
def test_a_job_that_was_interrupted_goes_on_with_the_same_bits(name, workspace):
    learn(workspace, name, tag="whole", maxIterations=5)
    stops = iter(["", "", "SIGTERM"])
    assert learn(workspace, name, tag="cut", maxIterations=5, stop=lambda: next(stops)).iterations == 2
    assert workspace.resume().iterations == 5
    assert stored(workspace, name, "cut") == stored(workspace, name, "whole")


@every_learner
def test_another_seed_gives_other_numbers(name, workspace):
    first, second = (learn(workspace, name, tag=f"seed-{seed}", seed=seed) for seed in (1, 2))
    assert first.loss != second.loss
    one, other = stored(workspace, name, "seed-1"), stored(workspace, name, "seed-2")
    assert [key for key in one if one[key] == other[key]] == []


@every_learner
def test_every_trainable_tensor_gets_a_gradient(name, workspace):
    learn(workspace, name)
    after = stored(workspace, name)
    fresh = {
        f"{network}.{weight}": tensor.tolist()
        for network in trained(name)
        for weight, tensor in workspace.describe(network).build(seed=1).named_parameters()
    }
    assert [key for key, value in fresh.items() if value == after[key]] == list(SETUPS[name].idle)


@every_learner
def test_stored_weights_give_the_same_results_as_those_that_were_learned(name, workspace):
    learn(workspace, name, maxIterations=1)
    setup, options = SETUPS[name], {"strategy": name, "batchSize": 8, "maxIterations": 3, "tag": "t"}
    run = LearnRun(
        prepare(workspace.folder, setup.networks, setup.dataset, {**options, **setup.options}), LearnWatcher()
    )
    run.run()
    for network in trained(name):
        deployed, graph = workspace.deploy(network, tag="t").module, run.learning[network].eval()
        samples = [torch.rand(3, *shape) for shape in graph.inputs.values()]
        with torch.inference_mode():
            assert numbers(deployed(*samples)) == numbers(graph(*samples))


@every_learner
def test_learning_again_under_the_tag_goes_on_from_its_weights(name, workspace):
    notes = []

    class Watcher(LearnWatcher):
        def note(self, message):
            notes.append(message)

    learn(workspace, name)
    learn(workspace, name, maxIterations=1, watcher=Watcher())
    assert "starting from 't', which has learned 4 iterations" in notes
    assert {workspace.store.manifest(network, "t").iteration for network in trained(name)} == {5}


def numbers(results: torch.Tensor | tuple[torch.Tensor, ...]) -> list:
    return [value.tolist() for value in (results if isinstance(results, tuple) else (results,))]


@every_learner
def test_networks_that_do_not_fit_are_found_before_anything_runs(name, workspace):
    setup = SETUPS[name]
    started = []

    class Watcher(LearnWatcher):
        def start(self, job, batch_size):
            started.append((job, batch_size))

    with pytest.raises(UsageError) as fault:
        learn(workspace, name, watcher=Watcher(), **setup.misfit)
    assert str(fault.value) == setup.text
    assert started == []
    assert [network for network in setup.networks if workspace.store.has(network, "t")] == []


@every_learner
def test_the_wrong_number_of_networks_is_refused(name, workspace):
    networks = [*SETUPS[name].networks, "Classifier"]
    roles = strategy_class(name).roles
    wanted = f"{len(roles)} network{'s' if len(roles) > 1 else ''} ({', '.join(roles)})"
    with pytest.raises(UsageError) as fault:
        workspace.learn(networks, "Small", strategy=name)
    assert str(fault.value) == f"{name} takes {wanted}, found {len(networks)}: {', '.join(networks)}"


@every_learner
def test_its_evaluation_ships_and_judges_the_same_networks(name):
    learner = strategy_class(name)
    for labels in (None, ["a", "b"]):
        evaluation = learner.evaluation_for(labels)
        assert SHIPPED[evaluation].kind == EVALUATION
        assert len(strategy_class(evaluation).roles) == len(learner.roles) - len(learner.untrained)


@every_learner
def test_its_weights_can_be_evaluated_without_naming_a_strategy(name, workspace):
    learn(workspace, name)
    setup = SETUPS[name]
    found = workspace.evaluate(trained(name), setup.dataset, tag="t", range="0:20")
    assert found.size == 20
    assert found.strategy in SHIPPED
    assert all(torch.tensor(value).isfinite() for value in found.metrics.values())


# ------------------------------------------------------------------------------------------ single updates


def by_hand(workspace: Workspace, name: str) -> tuple[dianne.LearningStrategy, HandmadeJob]:
    """A strategy with the networks of its setup in the modes that the engine gives them, before `setup`."""
    kind, setup = strategy_class(name), SETUPS[name]
    networks = tuple(workspace.describe(network).build(seed=1) for network in setup.networks)
    for network, role in zip(networks, kind.roles, strict=True):
        network.train(role not in kind.untrained)
    data = workspace.dataset(setup.dataset)
    data = data if data.sequential else data.select(SMALL)
    preset = kind.defaults_for(data.labels)
    options = {**preset, **setup.options}
    known = {key: value for key, value in options.items() if key in keys(kind.Options)}
    data = replace(data, autoencode=preset.get("autoencode", False))
    return kind(), HandmadeJob(networks, kind.Options(**known), data)


def weights(network: nn.Module) -> dict[str, list]:
    return {weight: tensor.tolist() for weight, tensor in network.named_parameters()}


@every_learner
def test_each_update_changes_every_weight_that_it_trains_and_no_other(name, workspace):
    strategy, job = by_hand(workspace, name)
    before: list[dict[str, list]] = []
    faults, ran = [], set()

    def remember(_: int) -> None:
        before[:] = [weights(network) for network in job.networks]

    def compare(position: int) -> None:
        ran.add(position)
        for network, old in zip(job.networks, before, strict=True):
            trains = any(network is one for one in job.updates[position])
            for weight, value in weights(network).items():
                place = f"{network.network}.{weight}"
                if (value != old[weight]) is not (trains and place not in SETUPS[name].idle):
                    faults.append((position, place, trains))

    job.before, job.after = remember, compare
    strategy.setup(job)
    for i in range(2):
        strategy.process_iteration(i)
    assert faults == []
    assert ran == set(range(len(job.updates)))
    assert {network.network for update in job.updates for network in update} == set(trained(name))


@every_learner
def test_networks_run_in_the_mode_that_they_were_given(name, workspace):
    strategy, job = by_hand(workspace, name)
    modes: dict[str, set[bool]] = {}
    for network in job.networks:
        for module in network.modules():
            module.register_forward_hook(
                lambda module, *_, name=network.network: modes.setdefault(name, set()).add(module.training)
            )
    strategy.setup(job)
    for i in range(2):
        strategy.process_iteration(i)
    assert modes == {network: {network in trained(name)} for network in SETUPS[name].networks}


@every_learner
def test_the_loss_can_be_computed_again_without_gradients(name, workspace):
    strategy, job = by_hand(workspace, name)
    losses = []
    declare = job.update

    def update(loss, trains):
        losses.append(loss)
        return declare(loss, trains)

    job.update = update
    strategy.setup(job)
    arguments = (next(job.sequences(3)), None) if job.dataset.sequential else (next(job.batches),)
    with torch.no_grad():
        for loss in losses:
            assert torch.isfinite(loss(*arguments)["loss"])


# ------------------------------------------------------------------------------------------- all strategies


@every_strategy
def test_says_what_it_does(name):
    text = strategy_class(name).__doc__
    assert SHIPPED[name].summary == text.split("\n")[0]
    assert text.split("\n")[0].endswith((".", ":"))


@every_strategy
def test_says_what_each_option_is(name):
    fields = strategy_class(name).Options.model_fields
    assert [key for key, field in fields.items() if not field.description] == []


@every_strategy
def test_says_what_each_network_is_for(name):
    roles = strategy_class(name).roles
    assert len(set(roles)) == len(roles) > 0
    assert all(role.isidentifier() for role in roles)


@every_strategy
def test_is_found_without_its_suffix(name):
    kind = SHIPPED[name].kind
    assert plugins.find(REPOSITORY, name.removesuffix(kind), kind).__name__ == name


def imports(path: Path) -> set[str]:
    """The modules and names that a source imports, as `dianne.errors.UsageError`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@every_strategy
def test_is_written_with_the_public_interface_alone(name):
    own = {item for item in imports(SHIPPED[name].path) if item.startswith("dianne")}
    assert own <= {f"dianne.{public}" for public in dianne.__all__}


def test_the_engine_imports_no_strategy():
    sources = sorted(Path(dianne.__file__).parent.rglob("*.py"))
    assert len(sources) > 30
    assert [path.name for path in sources if any("dianne.strategies" in item for item in imports(path))] == []

"""What every strategy that ships promises; a strategy without an entry in SETUPS fails."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import dianne
from dianne import Workspace, plugins
from dianne.errors import UsageError
from dianne.jobs.learn import LearnResult, LearnWatcher, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.plugins import EVALUATION, LEARNING
from dianne.workspace import Folder, shipped

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
DATASET = """
description: Digits of 4 x 4 pixels.
type: sklearn
loader: load_digits
labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
frame: [4, 4]
"""


@dataclass(frozen=True)
class Setup:
    """Tiny networks for a strategy's roles, in their order, and an option with which they do not fit."""

    networks: dict[str, str]
    misfit: dict[str, int]
    text: str
    dataset: str = "Small"


SETUPS = {
    "BPTTLearningStrategy": Setup(
        {"Reader": READER},
        {"letters": 7},
        "Reader.letters takes samples of [3, 7], got [50, 5]",
        "Text",
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
}

REPOSITORY = Folder(Path(__file__).parents[2])
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
    short = {"strategy": name, "batchSize": 8, "maxIterations": 4, "traceInterval": 1, "seed": 1, "tag": "t"}
    setup = SETUPS[name]
    return workspace.learn(list(setup.networks), setup.dataset, **{**short, **options})


def stored(workspace: Workspace, name: str, tag: str = "t") -> dict[str, list]:
    return {
        f"{network}.{weight}": tensor.tolist()
        for network in SETUPS[name].networks
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
        for network in SETUPS[name].networks
        for weight, tensor in workspace.describe(network).build(seed=1).named_parameters()
    }
    assert [key for key, value in fresh.items() if value == after[key]] == []


@every_learner
def test_stored_weights_give_the_same_results_as_those_that_were_learned(name, workspace):
    options = {"strategy": name, "batchSize": 8, "maxIterations": 3, "tag": "t"}
    run = LearnRun(
        prepare(workspace.folder, SETUPS[name].networks, SETUPS[name].dataset, options), LearnWatcher()
    )
    run.run()
    for network, graph in run.learning.items():
        deployed = workspace.deploy(network, tag="t")
        samples = torch.rand(3, *deployed.input_dims)
        with torch.inference_mode():
            assert deployed.forward(samples).tolist() == graph.eval()(samples).tolist()


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
    assert not workspace.folder.models.exists()


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
        assert len(strategy_class(evaluation).roles) == len(learner.roles)


@every_learner
def test_its_weights_can_be_evaluated_without_naming_a_strategy(name, workspace):
    learn(workspace, name)
    setup = SETUPS[name]
    found = workspace.evaluate(list(setup.networks), setup.dataset, tag="t", range="0:20")
    assert found.size == 20
    assert found.strategy in SHIPPED
    assert all(torch.tensor(value).isfinite() for value in found.metrics.values())


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

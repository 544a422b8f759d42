"""Keys of modules set from outside (`Dropout.rate=0.2`), and modules that stay fixed."""

from __future__ import annotations

import pytest
import torch

from dianne import UsageError, Workspace
from dianne.jobs.learn import prepare

NETWORK = """
parameters: {hidden: 4}
modules:
  features: {type: Input, shape: [4]}
  hidden1: {type: Linear, output: "${hidden}"}
  drop1: {type: Dropout, rate: 0.5}
  bn: {type: BatchNormalization}
  hidden2: {type: Linear, output: 4}
  drop2: {type: Dropout, rate: 0.5}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
ENCODER = """
parameters: {latentDims: 2}
modules:
  image: {type: Input, shape: [28, 28]}
  hidden1: {type: Linear, output: 3}
  drop: {type: Dropout, rate: 0.5}
  params: {type: Linear, output: "${2 * latentDims}"}
  latent: {type: MultivariateGaussian, stdevActivation: SoftPlus}
  output: {type: Output}
"""
DECODER = """
parameters: {latentDims: 2}
modules:
  latent: {type: Input, shape: ["${latentDims}"]}
  hidden1: {type: Linear, output: 3}
  drop: {type: Dropout, rate: 0.5}
  pixels: {type: Linear, output: 784}
  sigmoid: {type: Sigmoid}
  image: {type: Reshape, shape: [28, 28]}
  output: {type: Output}
"""
FILES = {
    "networks/Net.yaml": NETWORK,
    "networks/Coder.yaml": ENCODER,
    "networks/Uncoder.yaml": DECODER,
    "datasets/Iris.yaml": "{type: sklearn, loader: load_iris, labels: [setosa, versicolor, virginica]}",
}
VAE = {"strategy": "VariationalAutoEncoder", "batchSize": 8, "maxIterations": 2, "tag": "vae", "seed": 1}


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    return Workspace()


def rates(workspace: Workspace, **options) -> list[float]:
    """The rates of drop1 and drop2 in a learn job."""
    network = prepare(workspace.folder, "Net", "Iris", options).networks["Net"]
    return [network.arguments[name]["rate"] for name in ("drop1", "drop2")]


def pair(workspace: Workspace, **options) -> list[float]:
    """The rates of encoder and decoder in a learn job."""
    found = prepare(workspace.folder, "Coder,Uncoder", "Digits", {**VAE, **options}).networks
    return [found[name].arguments["drop"]["rate"] for name in ("Coder", "Uncoder")]


def learn(workspace: Workspace, **options) -> dict[str, torch.Tensor]:
    given = {"tag": "t", "seed": 1, "batchSize": 8, "maxIterations": 3, **options}
    workspace.learn("Net", "Iris", **given)
    return stored(workspace)


def stored(workspace: Workspace, network: str = "Net", tag: str = "t") -> dict[str, torch.Tensor]:
    return workspace.store.weights(workspace.store.manifest(network, tag))


def fault_of(workspace: Workspace, networks: str = "Net", dataset: str = "Iris", **options) -> str:
    with pytest.raises(UsageError) as refused:
        workspace.learn(networks, dataset, batchSize=8, maxIterations=1, **options)
    assert not workspace.folder.models.exists()
    return str(refused.value)


# ------------------------------------------------------------------------------------------- keys of modules


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 0.5]),
        ({"Dropout.rate": "0.2"}, [0.2, 0.2]),
        ({"drop1.rate": "0.2"}, [0.2, 0.5]),
        ({"Dropout.rate": "0.2", "drop2.rate": "0.3"}, [0.2, 0.3]),
        ({"drop2.rate": "0.3", "Dropout.rate": "0.2"}, [0.2, 0.3]),
        ({"Net.drop2.rate": 0.3}, [0.5, 0.3]),
        ({"network.Dropout.rate": 0.3}, [0.3, 0.3]),
    ],
)
def test_a_key_is_set_by_type_or_by_name_and_the_name_counts_more(workspace, options, expected):
    assert rates(workspace, **options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"Dropout.rate": 0.2}, [0.2, 0.2]),
        ({"Coder.Dropout.rate": 0.2}, [0.2, 0.5]),
        ({"decoder.drop.rate": 0.2}, [0.5, 0.2]),
        ({"drop.rate": 0.1, "decoder.drop.rate": 0.2}, [0.1, 0.2]),
        ({"decoder.drop.rate": 0.2, "drop.rate": 0.1}, [0.1, 0.2]),
    ],
)
def test_a_key_can_be_aimed_at_one_network_by_name_or_role(workspace, options, expected):
    assert pair(workspace, **options) == expected


def test_a_size_that_is_set_reshapes_the_network(workspace):
    network = workspace.describe("Net", **{"hidden1.output": 7})
    assert (network.shapes["hidden1"], network.shapes["hidden2"]) == ((7,), (4,))


def test_what_was_set_is_stored_with_the_weights_and_used_again(workspace):
    learn(workspace, **{"hidden2.output": 6, "Dropout.rate": 0.25})
    manifest = workspace.tags("Net")["t"]
    assert manifest.overrides == {"hidden2.output": 6, "Dropout.rate": 0.25}
    assert (manifest.job["options"]["hidden2.output"], manifest.job["options"]["Dropout.rate"]) == (6, 0.25)
    module = workspace.deploy("Net", tag="t").module
    assert module.get_submodule("hidden2").weight.shape == (6, 4)
    assert [module.get_submodule(name).p for name in ("drop1", "drop2")] == [0.25, 0.25]
    assert workspace.evaluate("Net", "Iris", tag="t", range="0:10").size == 10


def test_a_rate_of_zero_drops_nothing(workspace):
    first = learn(workspace, tag="t", **{"Dropout.rate": 0})
    second = learn(workspace, tag="t", clean=True, **{"Dropout.rate": 0.5})
    assert not torch.equal(first["hidden1.weight"], second["hidden1.weight"])
    assert workspace.tags("Net")["t"].overrides == {"Dropout.rate": 0.5}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Dropout.rat", "option 'Dropout.rat': Dropout has no key 'rat'; did you mean 'rate'?"),
        ("Dropuot.rate", "option 'Dropuot.rate': nothing here is called 'Dropuot'; did you mean 'Dropout'?"),
        ("drop3.rate", "option 'drop3.rate': nothing here is called 'drop3'; did you mean 'drop2'?"),
        (
            "Net.drop3.rate",
            "option 'Net.drop3.rate': nothing here is called 'Net.drop3'; did you mean 'Net.drop2'?",
        ),
        ("LSTM.output", "option 'LSTM.output': nothing here is called 'LSTM'"),
    ],
)
def test_a_module_or_key_that_is_not_there_is_refused(workspace, key, message):
    found = fault_of(workspace, **{key: "0.2"})
    if key == "LSTM.output":  # nothing is near: all names follow
        assert found.startswith(f"learn: 1 problem\n  {message}; known: ")
    else:
        assert found == f"learn: 1 problem\n  {message}"


@pytest.mark.parametrize(
    ("key", "value", "place", "message"),
    [
        ("drop1.rate", "2", "6:32", "drop1 (Dropout): rate: expected less than 1.0, found 2"),
        ("drop2.rate", "much", "9:32", "drop2 (Dropout): rate: expected a number, found 'much'"),
        ("hidden1.output", "0", "5:35", "hidden1 (Linear): output: expected more than 0, found 0"),
        (
            "hidden2.input",
            "5",
            "8:3",
            "hidden2 (Linear): input: 5 does not fit 'bn', which gives [4]; write 4 or leave it out",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_located(workspace, key, value, place, message):
    """At the key in the file, or at the module if the file does not write it."""
    assert fault_of(workspace, **{key: value}) == (
        f"networks/Net.yaml: 1 problem\n  networks/Net.yaml:{place}: {message}"
    )


def test_a_value_for_a_type_is_reported_at_each_of_its_modules(workspace):
    assert fault_of(workspace, **{"Dropout.rate": "-1"}) == (
        "networks/Net.yaml: 2 problems\n"
        "  networks/Net.yaml:6:32: drop1 (Dropout): rate: expected at least 0.0, found -1\n"
        "  networks/Net.yaml:9:32: drop2 (Dropout): rate: expected at least 0.0, found -1"
    )


# ------------------------------------------------------------------------------------------------- fixed


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Modules of which any weight or statistic has other bits."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


ALL = {"hidden1", "bn", "hidden2", "scores"}


@pytest.mark.parametrize(
    ("fixed", "still"),
    [
        ("hidden1", {"hidden1"}),
        ("Net.hidden1", {"hidden1"}),
        ("network.hidden1", {"hidden1"}),
        ("hidden*", {"hidden1", "hidden2"}),
        ("network.hidden?", {"hidden1", "hidden2"}),
        ("hidden1,scores", {"hidden1", "scores"}),
        ("bn", {"bn"}),
        (["hidden2", "bn"], {"hidden2", "bn"}),
    ],
)
def test_fixed_modules_keep_every_bit_while_others_move(workspace, fixed, still):
    before = learn(workspace)
    after = learn(workspace, fixed=fixed, learningRate=0.1, seed=2)
    assert moved(before, after) == ALL - still


def test_without_fixed_all_modules_move(workspace):
    assert moved(learn(workspace), learn(workspace, learningRate=0.1, seed=2)) == ALL


def test_the_statistics_of_a_fixed_normalisation_stay(workspace):
    before = learn(workspace)
    after = learn(workspace, fixed="bn", learningRate=0.1, seed=2)
    assert before["bn.running_mean"].any()
    for name in ("bn.running_mean", "bn.running_var"):
        assert torch.equal(before[name], after[name])


@pytest.mark.parametrize("fixed", ["Coder", "encoder", "Coder.*", "encoder.*"])
def test_a_whole_network_can_be_fixed(workspace, fixed):
    workspace.learn("Coder,Uncoder", "Digits", **VAE)
    before = [stored(workspace, name, "vae") for name in ("Coder", "Uncoder")]
    workspace.learn("Coder,Uncoder", "Digits", **{**VAE, "seed": 2}, fixed=fixed, learningRate=0.1)
    after = [stored(workspace, name, "vae") for name in ("Coder", "Uncoder")]
    assert moved(before[0], after[0]) == set()
    assert moved(before[1], after[1]) == {"hidden1", "pixels"}


def test_a_plain_name_is_fixed_in_every_network(workspace):
    workspace.learn("Coder,Uncoder", "Digits", **VAE)
    before = [stored(workspace, name, "vae") for name in ("Coder", "Uncoder")]
    workspace.learn("Coder,Uncoder", "Digits", **{**VAE, "seed": 2}, fixed="hidden1", learningRate=0.1)
    after = [stored(workspace, name, "vae") for name in ("Coder", "Uncoder")]
    assert [moved(b, a) for b, a in zip(before, after, strict=True)] == [{"params"}, {"pixels"}]


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ("hiden1", "fixed=hiden1: there is no such module; did you mean 'hidden1'?"),
        ("Net.hiden1", "fixed=Net.hiden1: there is no such module; did you mean 'Net.hidden1'?"),
        ("hidden1,score", "fixed=score: there is no such module; did you mean 'scores'?"),
        ("*", "fixed=*: nothing is left that learns"),
        ("Net", "fixed=Net: nothing is left that learns"),
        ("hidden*,bn,scores", "fixed=hidden*,bn,scores: nothing is left that learns"),
    ],
)
def test_fixed_modules_that_cannot_be_are_refused(workspace, fixed, message):
    assert fault_of(workspace, fixed=fixed) == message

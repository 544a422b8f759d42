"""Statistics of the data that a network takes before it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dianne import Workspace

NETWORK = """
modules:
  features: {type: Input, shape: [10]}
  norm: {type: Normalization}
  hidden: {type: Linear, output: 4}
  tanh: {type: Tanh}
  result: {type: Linear, output: 1}
  denorm: {type: Denormalization}
  output: {type: Output}
"""
GIVEN = NETWORK.replace("Normalization}", "Normalization, mean: 3}", 1).replace(
    "Denormalization}", "Denormalization, stdev: 2}"
)


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "networks").mkdir()
    (tmp_path / "datasets").mkdir()
    (tmp_path / "networks" / "Line.yaml").write_text(NETWORK)
    (tmp_path / "networks" / "Given.yaml").write_text(GIVEN)
    (tmp_path / "datasets" / "Diabetes.yaml").write_text("{type: sklearn, loader: load_diabetes}")
    return Workspace()


def learned(workspace: Workspace, network: str = "Line", **options) -> dict[str, torch.Tensor]:
    given = {"tag": "t", "seed": 1, "batchSize": 8, "maxIterations": 2, "range": "0:50", **options}
    workspace.learn(network, "Diabetes", **given)
    return workspace.store.weights(workspace.store.manifest(network, given["tag"]))


def test_the_statistics_are_those_of_the_samples_that_are_learned_from(workspace):
    found = learned(workspace)
    data = workspace.dataset("Diabetes")
    for module, values in (("norm", data.inputs), ("denorm", data.targets)):
        seen = values[:50].double().numpy()
        assert float(found[f"{module}.mean"]) == pytest.approx(np.mean(seen), rel=1e-5)
        assert float(found[f"{module}.stdev"]) == pytest.approx(np.std(seen, ddof=1), rel=1e-5)
        assert float(found[f"{module}.mean"]) != pytest.approx(values.double().mean().item(), rel=1e-3)
        assert bool(found[f"{module}.fitted"])


def test_a_network_that_learns_its_own_samples_restores_their_scale(workspace):
    text = NETWORK.replace("output: 1}", "output: 10}")
    (workspace.folder.root / "networks" / "Line.yaml").write_text(text)
    found = learned(workspace, autoencode=True)
    assert found["denorm.mean"] == found["norm.mean"]
    assert found["denorm.stdev"] == found["norm.stdev"]


def test_stored_statistics_are_used_again_on_other_samples(workspace):
    first = learned(workspace)
    second = learned(workspace, range="100:150", seed=2)
    for name in ("norm.mean", "norm.stdev", "denorm.mean", "denorm.stdev"):
        assert torch.equal(first[name], second[name])
    assert not torch.equal(first["hidden.weight"], second["hidden.weight"])
    fresh = learned(workspace, range="100:150", clean=True)
    assert not torch.equal(first["norm.mean"], fresh["norm.mean"])


def test_a_deployed_network_has_the_statistics(workspace):
    found = learned(workspace)
    module = workspace.deploy("Line", tag="t").module
    assert module.get_buffer("norm.mean") == found["norm.mean"]
    x = workspace.dataset("Diabetes").inputs[:5]
    hidden = torch.tanh(module.get_submodule("hidden")((x - found["norm.mean"]) / found["norm.stdev"]))
    expected = module.get_submodule("result")(hidden) * found["denorm.stdev"] + found["denorm.mean"]
    torch.testing.assert_close(module(x), expected)


def test_given_statistics_are_kept(workspace):
    found = learned(workspace, "Given")
    assert [float(found[f"norm.{name}"]) for name in ("mean", "stdev")] == [3, 1]
    assert [float(found[f"denorm.{name}"]) for name in ("mean", "stdev")] == [0, 2]


def test_values_that_are_all_equal_keep_their_scale(workspace, tmp_path):
    (tmp_path / "networks" / "Line.yaml").write_text(NETWORK.replace("[10]", "[4]"))
    from dianne.data.dataset import Dataset
    from dianne.learning.begin import fit_statistics

    graph = workspace.describe("Line").build(seed=1)
    fit_statistics({"Line": graph}, Dataset("Same", torch.full((9, 4), 7.0), torch.arange(9.0)))
    assert (float(graph.get_buffer("norm.mean")), float(graph.get_buffer("norm.stdev"))) == (7, 1)


def test_large_values_do_not_lose_their_deviation():
    from dianne.data.dataset import Dataset
    from dianne.learning.begin import fit_statistics
    from dianne.network.catalog import MODULES

    values = 1e6 + torch.linspace(-1, 1, 10_000, dtype=torch.float64)[:, None]
    module = MODULES.get("Normalization")()
    fit_statistics({"n": torch.nn.Sequential(module)}, Dataset("Far", values, values))
    assert float(module.get_buffer("stdev")) == pytest.approx(np.std(values.numpy(), ddof=1), rel=1e-3)


def test_statistics_are_those_of_all_samples_however_many():
    from dianne.data.dataset import Dataset
    from dianne.learning.begin import fit_statistics
    from dianne.network.catalog import MODULES

    values = torch.arange(10_000.0)[:, None]
    module = MODULES.get("Normalization")()
    fit_statistics({"n": torch.nn.Sequential(module)}, Dataset("Many", values, values))
    assert float(module.get_buffer("mean")) == pytest.approx(4999.5)
    assert float(module.get_buffer("stdev")) == pytest.approx(np.std(np.arange(10_000), ddof=1))


def test_pictures_are_normalised_as_the_network_sees_them():
    """Stored bytes stand for 0 to 1."""
    from dianne.data.dataset import Dataset
    from dianne.learning.begin import fit_statistics
    from dianne.network.catalog import MODULES

    pixels = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)
    module = MODULES.get("Normalization")()
    fit_statistics({"n": torch.nn.Sequential(module)}, Dataset("Pixels", pixels, torch.zeros(2)))
    assert float(module.get_buffer("mean")) == pytest.approx(0.5)

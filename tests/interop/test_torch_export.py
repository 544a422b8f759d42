"""What leaves for torch needs torch alone, and computes the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from zoo import ALL, network, results, samples, stored

import dianne
from dianne.errors import DianneError
from dianne.interop.torch_module import code_of, plain_weights

STEPWISE = {"Memory", "network CharRNN", "network GRUCell", "network LSTMCell"}


@pytest.mark.parametrize("which", ALL)
def test_the_code_of_every_network_computes_the_same_to_the_bit(tmp_path: Path, which: str) -> None:
    found = network(tmp_path, which)
    graph = stored(tmp_path, found)
    code, name, names = code_of(found)
    assert "dianne" not in code
    written: dict = {"__name__": "model"}
    exec(compile(code, "model.py", "exec"), written)
    model = written[name]()
    model.load_state_dict(plain_weights(graph, names))
    given = samples(found, graph)
    for one, other in zip(results(graph, given), results(model.eval(), given), strict=True):
        assert torch.equal(one, other)


SCRIPT = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dianne":
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
import safetensors.torch
import torch
import model
network = model.{name}()
network.load_state_dict(safetensors.torch.load_file("weights.safetensors"))
network.eval()
example = safetensors.torch.load_file("../example.safetensors")
with torch.no_grad():
    torch.testing.assert_close(network(example["x"]), example["y"], rtol=1e-6, atol=1e-6)
assert "dianne" not in sys.modules
"""


def test_the_code_runs_where_dianne_is_not(tmp_path: Path) -> None:
    found = network(tmp_path, "network ResNet20")
    graph = stored(tmp_path, found)
    out = dianne.Workspace(tmp_path).export("ResNet20", "torch", tag="t", out=str(tmp_path / "out"))
    assert sorted(path.name for path in out.iterdir()) == ["model.py", "weights.safetensors"]
    (x,) = samples(found, graph)
    safetensors.torch.save_file({"x": x, "y": results(graph, [x])[0]}, tmp_path / "example.safetensors")
    script = SCRIPT.format(name="ResNet20")
    subprocess.run([sys.executable, "-c", script], cwd=out, check=True, timeout=120)


def test_code_is_easy_to_read(tmp_path: Path) -> None:
    code, _, names = code_of(network(tmp_path, "network MLP"))
    assert (
        code.partition("import torch\n")[2]
        == """from torch import nn
from torch.nn import functional


class MLP(nn.Module):
    # image: (batch, 1, 28, 28)
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 8)
        self.scores = nn.Linear(8, 10)

    def forward(self, image):
        image = image.reshape(len(image), 1, 28, 28)
        hidden = self.hidden(image.flatten(1))
        sigmoid = torch.sigmoid(hidden)
        scores = self.scores(sigmoid)
        classes = functional.log_softmax(scores, dim=1)
        return classes
"""
    )
    assert names["hidden.weight"] == "hidden.weight"


def test_odd_names_and_texts_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "networks" / "My-net.yaml"
    path.parent.mkdir()
    path.write_text(
        'description: "\\"\\"\\"\\nimport os; x = \\\\"\nmodules:\n  class: {type: Input, shape: [3]}\n'
        "  half: {type: Linear, output: 3}\n  torch: {type: Linear, output: 3}\n  a-b: {share: half}\n"
        "  a_b: {type: torch.nn.Hardtanh, min_val: -2.0}\n  training: {type: Output}\n"
    )
    found = dianne.Workspace(tmp_path).describe("My-net")
    graph = stored(tmp_path, found)
    code, name, names = code_of(found)
    assert "\"\"\"My-net: ''' import os; x = /\n" in code
    written: dict = {"__name__": "model"}
    exec(compile(code, "model.py", "exec"), written)
    model = written[name]()
    model.load_state_dict(plain_weights(graph, names))
    x = torch.randn(2, 3)
    assert torch.equal(model(x), graph(x))
    assert len(list(model.parameters())) == 4


def test_a_class_of_a_user_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "mine_for_torch.py").write_text("import torch\nclass Own(torch.nn.Identity): pass\n")
    path = tmp_path / "networks" / "Mine.yaml"
    path.parent.mkdir()
    path.write_text(
        "modules:\n  x: {type: Input, shape: [3]}\n  m: {type: 'mine_for_torch:Own'}\n  y: {type: Output}\n"
    )
    found = dianne.Workspace(tmp_path).describe("Mine")
    with pytest.raises(DianneError) as refused:
        code_of(found)
    assert (
        str(refused.value)
        .split("\n")[1]
        .endswith(
            "Mine.yaml:3:3: m (mine_for_torch:Own): is a class of your own, which torch alone does not have"
        )
    )


@pytest.mark.parametrize(
    "which", ["network MLP", "network FeatureDiscriminator", "Residual", "LSTM", "Split"]
)
def test_a_program_takes_batches_of_any_size(tmp_path: Path, which: str) -> None:
    which = "network Residual" if which == "Residual" else which
    found = network(tmp_path, which)
    graph = stored(tmp_path, found)
    path = dianne.Workspace(tmp_path).export(found.name, "pt2", tag="t", out=str(tmp_path / "a.pt2"))
    program = torch.export.load(path).module()
    for batch in (1, 7):
        given = samples(found, graph, batch)
        for one, other in zip(results(graph, given), results(program, given), strict=True):
            torch.testing.assert_close(one, other)


def test_a_network_that_runs_step_by_step_is_no_program(tmp_path: Path) -> None:
    stored(tmp_path, network(tmp_path, "Memory"))
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(tmp_path).export("Mine", "pt2", tag="t", out=str(tmp_path / "a.pt2"))
    assert str(refused.value) == (
        "Mine runs step by step, which a program of torch.export does not; --format torch writes it"
    )
    assert not (tmp_path / "a.pt2").exists()


def test_the_module_of_a_deployed_network_is_a_plain_one(tmp_path: Path) -> None:
    stored(tmp_path, network(tmp_path, "Linear"))
    module = dianne.Workspace(tmp_path).deploy("Mine", "t").module
    assert isinstance(module, torch.nn.Module)
    assert list(module.state_dict()) == ["m.weight", "m.bias"]
    module(torch.ones(1, 2, 6, 6)).sum().backward()

"""Types that are not of the catalog: torch's own by their dotted names, and a user's."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from writing import between, fault, network


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------------------------------------- torch


def test_a_class_of_torch_takes_its_own_argument_names():
    found = network(
        between("[4]", "a: {type: torch.nn.Linear, in_features: 4, out_features: 3, bias: false}")
    )
    assert found.shapes["a"] == (3,)
    graph = found.build(seed=1)
    assert [name for name, _ in graph.named_parameters()] == ["a.weight"]
    x = torch.rand(2, 4)
    torch.testing.assert_close(graph(x), x @ graph.get_parameter("a.weight").T)


def test_arguments_of_torch_can_be_computed_and_left_out():
    text = "parameters: {limit: 2}\n" + between(
        "[4]",
        'a: {type: torch.nn.Hardtanh, min_val: "${-limit}", max_val: "${limit}"}',
        "b: {type: torch.nn.Hardtanh}",
    )
    module = network(text).build(seed=1)
    assert (module.get_submodule("a").min_val, module.get_submodule("b").min_val) == (-2, -1)


LAYER = "{type: torch.nn.TransformerEncoderLayer, d_model: 4, nhead: 2, dim_feedforward: 8, dropout: 0.0}"


def test_the_batch_comes_first_unless_the_file_says_otherwise():
    graph = network(between("[5, 4]", f"a: {LAYER}")).build(seed=1)
    assert graph.get_submodule("a").self_attn.batch_first
    x = torch.rand(3, 5, 4)
    torch.testing.assert_close(graph(x)[1:2], graph(x[1:2]))  # samples do not see each other
    other = network(between("[5, 4]", f"a: {LAYER[:-1]}, batch_first: false}}")).build(seed=1)
    assert not other.get_submodule("a").self_attn.batch_first


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_of_torch_take_their_own_argument_names(kind):
    text = between("[5, 4]", f"a: {{type: torch.nn.{kind}, input_size: 4, hidden_size: 3, num_layers: 2}}")
    found = network(text)
    assert found.shapes["a"] == (5, 3)
    layers = getattr(nn, kind)(4, 3, 2, batch_first=True)
    graph = found.build(seed=1)
    layers.load_state_dict(graph.get_submodule("a").state_dict())
    x = torch.rand(2, 5, 4)
    torch.testing.assert_close(graph(x), layers(x)[0])


def test_a_class_of_torch_can_take_several_results():
    text = """
modules:
  x: {type: Input, shape: [4]}
  y: {type: Input, shape: [2]}
  both: {type: torch.nn.Bilinear, in1_features: 4, in2_features: 2, out_features: 3, after: [x, y]}
  out: {type: Output}
"""
    found = network(text)
    assert found.outputs == {"out": (3,)}
    graph = found.build(seed=1)
    x, y = torch.rand(2, 4), torch.rand(2, 2)
    torch.testing.assert_close(graph(x, y), graph.get_submodule("both")(x, y))


def test_weights_of_torch_are_drawn_from_the_seed():
    text = between("[4]", "a: {type: torch.nn.Linear, in_features: 4, out_features: 3}")
    one, same, other = (network(text).build(seed).get_parameter("a.weight") for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("module", "column", "message"),
    [
        ("{type: torch.nn.Hardtan}", 13, "a: torch.nn has no 'Hardtan'; did you mean 'Hardtanh'?"),
        ("{type: torch.nn.functional}", 13, "a: torch.nn.functional is no class of torch.nn.Module"),
        (
            "{type: torch.nn.Linear, in_features: 4}",
            3,
            "a (torch.nn.Linear): out_features: is missing and has no default",
        ),
        (
            "{type: torch.nn.Linear, in_features: 4, out_features: three}",
            60,
            "a (torch.nn.Linear): out_features: expected a whole number, found 'three'",
        ),
        (
            "{type: torch.nn.Linear, in_features: 4, out_feature: 3}",
            46,
            "a (torch.nn.Linear): unknown key 'out_feature'; did you mean 'out_features'?",
        ),
        (
            "{type: torch.nn.MultiheadAttention, embed_dim: 4, num_heads: 3}",
            3,
            "a (torch.nn.MultiheadAttention): embed_dim must be divisible by num_heads",
        ),
        (
            "{type: torch.nn.Linear, in_features: 4, out_features: 3, device: cuda}",
            63,
            "a (torch.nn.Linear): unknown key 'device'; keys: after, bias, in_features, out_features, "
            "repeat, share",
        ),
    ],
)
def test_a_wrong_use_of_torch_is_refused(module, column, message):
    assert fault(between("[4]", f"a: {module}")) == (
        f"networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:3:{column}: {message}"
    )


def test_a_size_that_does_not_fit_a_class_of_torch_is_located():
    text = between("[4]", "a: {type: torch.nn.Linear, in_features: 3, out_features: 2}")
    assert fault(text).startswith(
        "networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:3:3: a (torch.nn.Linear): "
    )


# ------------------------------------------------------------------------------------------- a user's own


OWN = '''
import torch
from torch import nn


class Gate(nn.Module):
    """Multiplies by a learned weight."""

    def __init__(self, width: int, sharp: float = 1.0):
        super().__init__()
        if width > 9:
            raise KeyError("too wide")
        self.sharp = sharp
        self.weight = nn.Parameter(torch.full((width,), 2.0))

    def forward(self, x):
        return x * self.weight


not_a_module = 3
'''


@pytest.fixture
def package(tmp_path):
    """A package of this test alone, as Python keeps what it imported; gone afterwards."""
    name = f"own_{abs(hash(str(tmp_path))):x}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "gates.py").write_text(OWN)
    before = list(sys.path)
    yield name
    sys.path[:] = before
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_a_class_of_the_workspace_is_a_type(package):
    graph = network(between("[4]", f"a: {{type: '{package}.gates:Gate', width: 4, sharp: 3}}")).build(seed=1)
    assert graph(torch.ones(2, 4)).tolist() == [[2] * 4] * 2
    assert graph.get_submodule("a").sharp == 3


@pytest.mark.parametrize(
    ("module", "column", "message"),
    [
        ("{type: 'PACKAGE.gates:Gate'}", 3, "(PACKAGE.gates:Gate): width: is missing and has no default"),
        (
            "{type: 'PACKAGE.gates:Gate', width: 12}",
            3,
            "(PACKAGE.gates:Gate): making it: PACKAGE/gates.py:12: KeyError: 'too wide'",
        ),
    ],
)
def test_a_wrong_use_of_a_class_of_ones_own_is_refused(package, module, column, message):
    assert fault(between("[4]", f"a: {module.replace('PACKAGE', package)}")) == (
        f"networks/Mine.yaml: 1 problem\n"
        f"  networks/Mine.yaml:3:{column}: a {message.replace('PACKAGE', package)}"
    )


def test_a_forward_that_raises_is_located_in_the_file_and_in_the_code(package):
    assert fault(between("[4]", f"a: {{type: '{package}.gates:Gate', width: 3}}")).startswith(
        "networks/Mine.yaml: 1 problem\n"
        f"  networks/Mine.yaml:3:3: a ({package}.gates:Gate): making it: {package}/gates.py:17: "
        "RuntimeError: "
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = 1 / 0\n", "ZeroDivisionError: division by zero"),
        ("class Gate(:\n", "SyntaxError: invalid syntax (gates.py, line 1)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_located(package, tmp_path, code, message):
    (tmp_path / package / "gates.py").write_text(code)
    assert fault(between("[4]", f"a: {{type: '{package}.gates:Gate', width: 3}}")) == (
        "networks/Mine.yaml: 1 problem\n"
        f"  networks/Mine.yaml:3:13: a: importing {package}.gates: {package}/gates.py:1: {message}"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PACKAGE.gates:Gat", "PACKAGE.gates has no class 'Gat'; did you mean 'Gate'?"),
        ("PACKAGE.gates:not_a_module", "PACKAGE.gates:not_a_module is no class of torch.nn.Module"),
        ("PACKAGE.gate:Gate", "importing PACKAGE.gate: ModuleNotFoundError: No module named 'PACKAGE.gate'"),
    ],
)
def test_a_class_that_is_not_there_is_named(package, name, message):
    assert fault(between("[4]", f"a: {{type: '{name.replace('PACKAGE', package)}', width: 3}}")) == (
        f"networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:3:13: a: {message.replace('PACKAGE', package)}"
    )

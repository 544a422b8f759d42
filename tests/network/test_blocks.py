"""Networks inside networks: the blocks that ship, and a user's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from writing import between, fault, network

from dianne.network.network import Network
from dianne.workspace import shipped

NETWORKS = shipped("networks")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def weights(found: Network) -> int:
    return sum(row.weights for row in found.rows())


def names(found: Network) -> list[str]:
    return [name for name, _ in found.build(seed=1).named_parameters()]


RESIDUAL = "block: {type: Residual, noInputPlanes: 3, noOutputPlanes: 5}"
INCEPTION = "noInputPlanes: 3, 1x1: 2, 3x3reduce: 4, 3x3: 5, 5x5reduce: 6, 5x5: 7, poolproj: 8"


def conv(incoming: int, outgoing: int, kernel: int) -> int:
    return outgoing * (incoming * kernel**2 + 1)


# -------------------------------------------------------------------------------- shapes and weights


@pytest.mark.parametrize(
    ("block", "shape", "count"),
    [
        (RESIDUAL, (5, 8, 8), conv(3, 5, 3) + 10 + conv(5, 5, 3) + 10),
        (
            "block: {type: Residual_b, noInputPlanes: 3, noFilters: 4, noOutputPlanes: 7}",
            (7, 8, 8),
            conv(3, 4, 1) + 8 + conv(4, 4, 3) + 8 + conv(4, 7, 1) + 14,
        ),
        (
            f"block: {{type: Inception_v1, {INCEPTION}}}",
            (22, 8, 8),
            conv(3, 2, 1) + conv(3, 4, 1) + 8 + conv(4, 5, 3) + conv(3, 6, 1) + 12 + conv(6, 7, 5)
            + conv(3, 8, 1),
        ),
        (
            f"block: {{type: Inception_v2, {INCEPTION}}}",
            (22, 8, 8),
            conv(3, 2, 1) + 4 + conv(3, 4, 1) + 8 + conv(4, 5, 3) + 10 + conv(3, 6, 1) + 12
            + conv(6, 7, 5) + 14 + conv(3, 8, 1) + 16,
        ),
        (
            "block: {type: Fractal-3, noInputPlanes: 3, noOutputPlanes: 3}",
            (3, 8, 8),
            7 * (conv(3, 3, 3) + 6),
        ),
        (
            "block: {type: ConvLayer, noOutputPlanes: 4, kernelWidth: 5, kernelHeight: 3, strideX: 2, "
            "padY: 1}",
            (4, 8, 2),
            4 * (3 * 5 * 3 + 1) + 8,
        ),
    ],
)  # fmt: skip
def test_a_block_of_planes_has_the_shape_and_the_weights_of_its_paper(block, shape, count):
    found = network(between("[3, 8, 8]", block))
    assert found.shapes["block"] == shape
    assert weights(found) == count
    assert found.build(seed=1).eval()(torch.rand(2, 3, 8, 8)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("shape", "kernel", "result"),
    [
        ("[9, 2]", "kernelWidth: 3", (7, 4)),
        ("[2, 9, 8]", "kernelWidth: 3, kernelHeight: 1", (4, 9, 6)),
        ("[2, 5, 6, 7]", "kernelWidth: 3, kernelHeight: 2, kernelDepth: 1, padZ: 1", (4, 7, 5, 5)),
    ],
)
def test_a_conv_layer_has_as_many_dimensions_as_its_kernel(shape, kernel, result):
    found = network(
        between(shape, f"block: {{type: ConvLayer, noInputPlanes: 2, noOutputPlanes: 4, {kernel}}}")
    )
    assert found.shapes["block"] == result


def test_a_conv_layer_takes_its_activation_by_name():
    text = between(
        "[1, 1, 1]",
        "block: {type: ConvLayer, activation: Sigmoid, noOutputPlanes: 1, kernelWidth: 1, kernelHeight: 1}",
    )
    graph = network(text).build(seed=1).eval()
    sample = torch.full((1, 1, 1, 1), 0.5)
    affine = graph.get_parameter("block.conv.weight") * 0.5 + graph.get_parameter("block.conv.bias")
    scaled = affine / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(graph(sample), torch.sigmoid(scaled))


def test_weights_inside_a_block_bear_the_names_of_both():
    assert names(network(between("[3, 8, 8]", RESIDUAL.replace("block", "block1")))) == [
        "block1.conv1.weight", "block1.conv1.bias", "block1.bn1.weight", "block1.bn1.bias",
        "block1.conv2.weight", "block1.conv2.bias", "block1.bn2.weight", "block1.bn2.bias",
    ]  # fmt: skip


# --------------------------------------------------------------------------------- equal to plain torch


class HandResidual(nn.Module):
    """He et al. (2016), figure 2, with the shortcut padded by planes of zeros."""

    def __init__(self, incoming: int, outgoing: int):
        super().__init__()
        self.conv1 = nn.Conv2d(incoming, outgoing, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(outgoing)
        self.conv2 = nn.Conv2d(outgoing, outgoing, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outgoing)
        self.side = (outgoing - incoming) // 2

    def forward(self, x: Tensor) -> Tensor:
        main = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        shortcut = functional.pad(x, (0, 0, 0, 0, self.side, self.side))
        return torch.relu(main + shortcut)


@pytest.mark.parametrize("training", [True, False])
def test_a_residual_block_equals_the_module_written_by_hand(training):
    graph = network(between("[3, 8, 8]", RESIDUAL)).build(seed=1)
    hand = HandResidual(3, 5)
    own = {name.removeprefix("block."): value for name, value in graph.state_dict().items()}
    hand.load_state_dict(own)
    x = torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(graph.train(training)(x), hand.train(training)(x))
    torch.testing.assert_close(graph.get_buffer("block.bn2.running_var"), hand.bn2.running_var)


@pytest.mark.parametrize(
    ("kind", "conv_names"),
    [("Inception_v1", "conv1 conv3 conv5 convPool"), ("Inception_v2", "bn1 bn3 bn5 bnPool")],
)
def test_an_inception_block_stands_side_by_side_as_1x1_3x3_5x5_and_pooling(kind, conv_names):
    """The bias of the last layer of each branch is what comes out where nothing goes in."""
    graph = network(between("[3, 8, 8]", f"block: {{type: {kind}, {INCEPTION}}}")).build(seed=1).eval()
    with torch.no_grad():
        for weight in graph.parameters():
            weight.zero_()
        for number, name in enumerate(conv_names.split(), start=1):
            graph.get_parameter(f"block.{name}.bias").fill_(number)
    planes = graph(torch.zeros(1, 3, 8, 8))[0]
    for number, part in enumerate(planes.split([2, 5, 7, 8]), start=1):
        assert part.unique().tolist() == [number]


def test_the_pooling_branch_of_inception_sees_the_neighbours():
    graph = network(between("[3, 8, 8]", f"block: {{type: Inception_v1, {INCEPTION}}}")).build(seed=1).eval()
    with torch.no_grad():
        for weight in graph.parameters():
            weight.zero_()
        graph.get_parameter("block.convPool.weight")[0, 0] = 1
    x = torch.zeros(1, 3, 8, 8)
    x[0, 0, 4, 4] = 2
    plane = graph(x)[0, 14]
    expected = torch.zeros(8, 8)
    expected[3:6, 3:6] = 2
    assert torch.equal(plane, expected)


def test_a_fractal_block_averages_its_paths():
    text = between("[2, 4, 4]", "block: {type: Fractal-3, noInputPlanes: 2, noOutputPlanes: 2}")
    graph = network(text).build(seed=1).eval()
    layer = dict(graph.get_submodule("block").named_children())
    x = torch.rand(3, 2, 4, 4)
    middle = (layer["b"](x) + layer["c2"](layer["c1"](x))) / 2
    expected = (layer["d"](middle) + layer["e2"](layer["e1"](middle)) + layer["a"](x)) / 3
    torch.testing.assert_close(graph(x), expected)


def test_an_lstm_cell_equals_that_of_torch():
    graph = network(between("[3]", "lstm: {type: LSTMCell, output: 4}")).build(seed=1)
    cell = nn.LSTMCell(3, 4)
    weight = graph.get_parameter("lstm.gates.weight")  # forget, output, input, candidate
    bias = graph.get_parameter("lstm.gates.bias")
    order = [2, 0, 3, 1]  # torch's: input, forget, candidate, output
    rows = torch.cat([torch.arange(4 * gate, 4 * gate + 4) for gate in order])
    with torch.no_grad():
        cell.weight_ih.copy_(weight[rows, :3])
        cell.weight_hh.copy_(weight[rows, 3:])
        cell.bias_ih.copy_(bias[rows])
        cell.bias_hh.zero_()
    x = torch.rand(2, 5, 3)
    state, expected = None, []
    for time in range(5):
        state = cell(x[:, time], state)
        expected.append(state[0])
    torch.testing.assert_close(graph(x), torch.stack(expected, dim=1))


def test_a_gru_cell_equals_its_formula():
    graph = network(between("[3]", "gru: {type: GRUCell, output: 4}")).build(seed=1)
    w = dict(graph.named_parameters())
    x, h, expected = torch.rand(2, 5, 3), torch.zeros(2, 4), []
    for time in range(5):
        both = torch.cat((x[:, time], h), dim=1)
        r, z = torch.sigmoid(both @ w["gru.gates.weight"].T + w["gru.gates.bias"]).chunk(2, dim=1)
        mixed = torch.cat((x[:, time], r * h), dim=1)
        n = torch.tanh(mixed @ w["gru.proposal.weight"].T + w["gru.proposal.bias"])
        h = z * n + (1 - z) * h
        expected.append(h)
    torch.testing.assert_close(graph(x), torch.stack(expected, dim=1))


# ------------------------------------------------------------------------------------- networks of blocks


def test_resnet20_has_20_weighted_layers():
    found = network((NETWORKS / "ResNet20.yaml").read_text().replace("ResNet20", "Mine", 1))
    graph = found.build(seed=1)
    layers = [name for name, weight in graph.named_parameters() if weight.dim() > 1]
    assert len(layers) == 20
    assert layers[:3] == ["conv.weight", "wide1.conv1.weight", "wide1.conv2.weight"]
    result = graph(torch.rand(2, 3, 32, 32))
    assert result.shape == (2, 10)
    torch.testing.assert_close(result.exp().sum(1), torch.ones(2))


def test_resnet20_can_have_fewer_blocks():
    found = network((NETWORKS / "ResNet20.yaml").read_text().replace("ResNet20", "Mine", 1), blocks=2)
    layers = [name for name, weight in found.build(seed=1).named_parameters() if weight.dim() > 1]
    assert len(layers) == 6 * 2 + 2


def test_the_character_network_reads_one_hot_characters():
    text = (NETWORKS / "CharRNN.yaml").read_text().replace("CharRNN", "Mine", 1)
    found = network(text, vocabulary=7, hidden=6, layers=2)
    graph = found.build(seed=1)
    result = graph(functional.one_hot(torch.randint(7, (3, 11)), 7).float())
    assert result.shape == (3, 11, 7)
    torch.testing.assert_close(result.exp().sum(-1), torch.ones(3, 11))
    assert weights(found) == 4 * 6 * (7 + 6 + 1) + 4 * 6 * (6 + 6 + 1) + 7 * (6 + 1)


def test_blocks_can_hold_blocks():
    stage = """
parameters: {planes: null, depth: 2}
modules:
  x: {type: Input}
  unit: {type: Residual, noInputPlanes: "${planes}", noOutputPlanes: "${planes}", repeat: "${depth}"}
  y: {type: Output}
"""
    body = """
parameters: {planes: 4}
modules:
  x: {type: Input}
  stage: {type: Stage, planes: "${planes}", depth: 3}
  y: {type: Output}
"""
    text = between("[4, 8, 8]", "body: {type: Body}")
    found = network(text, files={"networks/parts/Stage.yaml": stage, "networks/parts/Body.yaml": body})
    assert names(found)[-1] == "body.stage.unit3.bn2.bias"
    assert weights(found) == 3 * 2 * (conv(4, 4, 3) + 8)
    assert found.build(seed=1)(torch.rand(2, 4, 8, 8)).shape == (2, 4, 8, 8)


TWO_BY_TWO = """
modules:
  left: {type: Input}
  right: {type: Input}
  sum: {type: Accumulate, after: [left, right]}
  first: {type: Output}
  product: {type: Multiply, after: [left, right]}
  second: {type: Output}
"""


def test_a_block_can_have_two_inputs_and_two_outputs():
    text = """
modules:
  a: {type: Input, shape: [3]}
  b: {type: Input, shape: [3]}
  both: {type: Both, after: [b, a]}
  product: {type: Invert, after: both.second}
  y: {type: Output, after: product}
  z: {type: Output, after: both.first}
  w: {type: Output, after: both}
"""
    graph = network(text, files={"networks/Both.yaml": TWO_BY_TWO}).build(seed=1)
    a, b = torch.rand(2, 3), torch.rand(2, 3)
    product, total, first = graph(a, b)
    torch.testing.assert_close(product, 1 - a * b)
    torch.testing.assert_close(total, a + b)
    torch.testing.assert_close(first, a + b)


def test_each_use_of_a_block_has_weights_and_parameters_of_its_own():
    block = """
parameters: {width: null}
modules:
  x: {type: Input}
  hidden: {type: Linear, output: "${width}"}
  y: {type: Output}
"""
    text = between("[2]", "a: {type: Wide, width: 3}", "b: {type: Wide, width: 4}")
    graph = network(text, files={"networks/Wide.yaml": block}).build(seed=1)
    shapes = {name: tuple(weight.shape) for name, weight in graph.named_parameters()}
    assert shapes == {
        "a.hidden.weight": (3, 2), "a.hidden.bias": (3,), "b.hidden.weight": (4, 3), "b.hidden.bias": (4,),
    }  # fmt: skip


def test_two_equal_blocks_start_from_different_weights():
    graph = network(between("[4, 4, 4]", *(f"b{i}: {SAME}" for i in (1, 2)))).build(seed=1)
    assert not torch.equal(graph.get_parameter("b1.conv1.weight"), graph.get_parameter("b2.conv1.weight"))


SAME = "{type: Residual, noInputPlanes: 4, noOutputPlanes: 4}"


# ------------------------------------------------------------------------------------------------ faults


def test_a_fault_inside_a_block_names_both_places():
    text = between("[3, 4, 4]", "block: {type: Residual, noInputPlanes: 3, noOutputPlanes: 4}")
    assert fault(text) == (
        "networks/Mine.yaml: 1 problem\n"
        "  shipped/blocks/Residual.yaml:10:35: shortcut (Zeropad): dim0: expected a whole number, found 0.5 "
        "(from ${(noOutputPlanes - noInputPlanes) / 2}) (inside block, networks/Mine.yaml:3:3)"
    )


def test_a_size_that_does_not_fit_a_block_is_reported_inside_it():
    planes = "noInputPlanes: 2, noOutputPlanes: 4"
    text = between("[3, 4, 4]", f"layer: {{type: ConvLayer, {planes}, kernelWidth: 1, kernelHeight: 1}}")
    assert fault(text) == (
        "networks/Mine.yaml: 1 problem\n"
        "  shipped/blocks/ConvLayer.yaml:19:20: conv (Convolution): noInputPlanes: 2 does not fit 'input', "
        "which gives [3, 4, 4]; write 3 or leave it out (inside layer, networks/Mine.yaml:3:3)"
    )


def test_a_parameter_that_a_block_needs_is_asked_for():
    assert fault(between("[3, 4, 4]", "block: {type: Residual, noInputPlanes: 3}")) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:3:3: block (Residual): noOutputPlanes: is missing and has no default"
    )


def test_an_unknown_parameter_of_a_block_is_refused_with_the_nearest():
    block = "block: {type: Residual, noInputPlanes: 3, noOutputPlanes: 5, noOutputPlane: 4}"
    assert fault(between("[3, 4, 4]", block)) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:3:64: block (Residual): unknown key 'noOutputPlane'; did you mean "
        "'noOutputPlanes'?"
    )


def test_a_parameter_of_the_wrong_kind_is_refused_where_it_is_written():
    block = "parameters: {width: 3}\nmodules:\n  x: {type: Input}\n  y: {type: Output}\n"
    text = between("[3]", "block: {type: Wide, width: broad}")
    assert fault(text, files={"networks/Wide.yaml": block}) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:3:30: block (Wide): width: expected a whole number, found 'broad'"
    )


def test_all_faults_of_a_block_are_reported_with_the_place_that_uses_it():
    block = """modules:
  x: {type: Input}
  a: {type: Lineer, output: 3}
  b: {type: Linear, output: 3, after: x, outputs: 1}
  c: {type: Linear, output: -1, after: x}
  y: {type: Output}
"""
    assert fault(between("[3]", "block: {type: Bad}"), files={"networks/Bad.yaml": block}) == (
        "networks/Mine.yaml: 3 problems\n"
        "  networks/Bad.yaml:3:13: a: unknown type 'Lineer'; did you mean 'Linear'? "
        "(inside block, networks/Mine.yaml:3:3)\n"
        "  networks/Bad.yaml:4:42: b (Linear): unknown key 'outputs'; did you mean 'output'? "
        "(inside block, networks/Mine.yaml:3:3)\n"
        "  networks/Bad.yaml:5:29: c (Linear): output: expected more than 0, found -1 "
        "(inside block, networks/Mine.yaml:3:3)"
    )


def test_a_block_that_is_no_yaml_is_reported_with_both_places():
    assert fault(between("[3]", "block: {type: Bad}"), files={"networks/Bad.yaml": "modules: [1\n"}) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Bad.yaml:2:1: not valid YAML: while parsing a flow sequence expected ',' or ']', but got "
        "'<stream end>' (inside block, networks/Mine.yaml:3:3)"
    )


def test_a_block_takes_as_many_results_as_it_has_inputs():
    text = between("[3]", "block: {type: Both}")
    assert fault(text, files={"networks/Both.yaml": TWO_BY_TWO}) == (
        "networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:3:3: block (Both): takes 2 results, found 1"
    )


def test_a_block_with_a_shape_of_its_own_takes_no_other():
    block = "modules:\n  x: {type: Input, shape: [4]}\n  y: {type: Output}\n"
    assert fault(between("[3]", "block: {type: Four}"), files={"networks/Four.yaml": block}) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Four.yaml:2:27: x (Input): takes [4], but [3] comes in "
        "(inside block, networks/Mine.yaml:3:3)"
    )


def test_an_activation_that_is_not_there_is_named_where_it_was_chosen():
    block = "{type: ConvLayer, activation: RELU6, noOutputPlanes: 1, kernelWidth: 1, kernelHeight: 1}"
    assert fault(between("[1, 2, 2]", f"block: {block}")) == (
        "networks/Mine.yaml: 1 problem\n"
        "  shipped/blocks/ConvLayer.yaml:31:22: activation: unknown type 'RELU6'; did you mean 'ReLU'? "
        "(inside block, networks/Mine.yaml:3:3)"
    )

"""Layers over sequences that go on where one ended: torch's LSTM and GRU inside a graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from writing import between, network

from dianne.network.graph import Graph, ShapeError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def built(*modules: str, shape: str = "[7, 3]") -> Graph:
    return network(between(shape, *modules)).build(seed=1)


PER_STEP = "scores: {type: torch.nn.Linear, in_features: 4, out_features: 2}"
GRAPHS = {
    "LSTM": ["lstm: {type: LSTM, output: 4}", PER_STEP],
    "GRU": ["gru: {type: GRU, output: 4}", PER_STEP],
    "layers": ["lstm: {type: LSTM, output: 4, layers: 2}", PER_STEP],
    "repeated": ["lstm: {type: LSTM, output: 4, repeat: 2}", PER_STEP],
    "in a fork": ["lstm: {type: LSTM, output: 4}", "gru: {type: GRU, output: 4, after: x}",
                  "both: {type: Accumulate, after: [lstm, gru]}", PER_STEP],
}  # fmt: skip
every_graph = pytest.mark.parametrize("modules", GRAPHS.values(), ids=GRAPHS)


@every_graph
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_two_windows_with_the_state_carried_equal_one_long_run(modules, cut):
    graph = built(*modules)
    x = torch.rand(2, 7, 3)
    whole, last = graph.unroll(x)
    first, state = graph.unroll(x[:, :cut])
    second, end = graph.unroll(x[:, cut:], state=state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)
    torch.testing.assert_close(end, last)
    assert not torch.allclose(graph(x[:, cut:]), whole[:, cut:])


@every_graph
def test_a_forward_starts_from_zeros(modules):
    graph = built(*modules)
    x = torch.rand(2, 7, 3)
    assert torch.equal(graph(x), graph.unroll(x)[0])
    assert torch.equal(graph(x), graph.unroll(x, state=graph.zero_state(2, x))[0])


@every_graph
def test_time_may_have_any_extent(modules):
    graph = built(*modules)
    x = torch.rand(2, 15, 3)
    assert graph(x).shape == (2, 15, 2)
    torch.testing.assert_close(graph(x)[:, :7], graph(x[:, :7]))


def test_an_unrolled_layer_equals_that_of_torch():
    graph = built("lstm: {type: LSTM, output: 4, layers: 2}")
    layer = nn.LSTM(3, 4, num_layers=2, batch_first=True)
    layer.load_state_dict({name.removeprefix("lstm.cell."): w for name, w in graph.state_dict().items()})
    x, state = torch.rand(2, 5, 3), {"lstm/hidden": torch.rand(2, 2, 4), "lstm/cell": torch.rand(2, 2, 4)}
    before = [state[name].transpose(0, 1).contiguous() for name in ("lstm/hidden", "lstm/cell")]
    expected, (hidden, cell) = layer(x, (before[0], before[1]))
    result, after = graph.unroll(x, state=state)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(after, {
        "lstm/hidden": hidden.transpose(0, 1), "lstm/cell": cell.transpose(0, 1),
    })  # fmt: skip


def test_states_are_named_after_their_layers_with_the_batch_first():
    graph = built("lstm: {type: LSTM, output: 4, repeat: 2}", "gru: {type: GRU, output: 5, layers: 3}")
    _, state = graph.unroll(torch.rand(2, 7, 3))
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "lstm1/hidden": (2, 1, 4), "lstm1/cell": (2, 1, 4), "lstm2/hidden": (2, 1, 4),
        "lstm2/cell": (2, 1, 4), "gru/hidden": (2, 3, 5),
    }  # fmt: skip
    zeros = graph.zero_state(2, torch.rand(1, dtype=torch.float64))
    assert {name: value.shape for name, value in zeros.items()} == {n: v.shape for n, v in state.items()}
    assert {value.dtype for value in zeros.values()} == {torch.float64}


def test_a_layer_inside_a_network_inside_another_keeps_its_state_too():
    Path("networks").mkdir()
    Path("networks/Inner.yaml").write_text(
        "modules:\n  x: {type: Input}\n  lstm: {type: LSTM, output: 4}\n  y: {type: Output}\n"
    )
    graph = built("one: {type: Inner}", "two: {type: Inner}", "gru: {type: GRU, output: 2}")
    x = torch.rand(2, 9, 3)
    whole, last = graph.unroll(x)
    assert list(last) == ["one/lstm/hidden", "one/lstm/cell", "two/lstm/hidden", "two/lstm/cell",
                          "gru/hidden"]  # fmt: skip
    first, state = graph.unroll(x[:, :4])
    second, _ = graph.unroll(x[:, 4:], state=state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)


def test_gradients_flow_into_the_state():
    graph = built("lstm: {type: LSTM, output: 4}")
    x = torch.rand(2, 7, 3)
    state = {name: value.requires_grad_() for name, value in graph.zero_state(2, x).items()}
    result, _ = graph.unroll(x, state=state)
    for gradient in torch.autograd.grad(result[:, -1].sum(), list(state.values())):
        assert (gradient != 0).all()


@pytest.mark.parametrize(
    ("modules", "stateful", "recurrent"),
    [
        (["lstm: {type: LSTM, output: 4}"], True, False),
        (["lstm: {type: LSTM, output: 4, bidirectional: true}"], False, False),
        (["lstm: {type: torch.nn.LSTM, input_size: 3, hidden_size: 4}"], False, False),
        (["line: {type: Linear, output: 4}"], False, False),
    ],
    ids=["LSTM", "both ways", "torch's own", "none"],
)
def test_a_graph_says_whether_it_has_a_state(modules, stateful, recurrent):
    graph = built(*modules)
    assert (graph.stateful, graph.recurrent) == (stateful, recurrent)
    assert (graph.zero_state(1, torch.rand(1)) != {}) is stateful


def test_a_layer_inside_a_step_sees_a_whole_sequence_in_each_and_keeps_nothing():
    graph = built(
        "gru: {type: GRU, output: 2}", "flat: {type: Linear, output: 2}", "before: {type: Memory, size: 2}"
    )
    assert (graph.stateful, graph.recurrent) == (True, True)
    assert list(graph.zero_state(1, torch.rand(1))) == ["before"]
    x = torch.rand(2, 5, 7, 3)
    assert graph(x).shape == (2, 5, 2)
    torch.testing.assert_close(graph(x)[:, 3], graph(x[:, 2:4])[:, 1])


def test_a_stateless_graph_takes_the_shape_that_it_names_and_no_other():
    graph = built("line: {type: torch.nn.Linear, in_features: 3, out_features: 2}")
    with pytest.raises(ShapeError) as refused:
        graph(torch.rand(2, 8, 3))
    assert str(refused.value) == "Mine.x takes samples of [7, 3], got [8, 3]"


@pytest.mark.parametrize(
    ("shape", "found"), [((2, 7, 4), "[7, 4]"), ((2, 8), "[8]"), ((2, 1, 8, 3), "[1, 8, 3]")]
)
def test_only_the_extent_in_time_is_free(shape, found):
    graph = built("lstm: {type: LSTM, output: 4}")
    with pytest.raises(ShapeError) as refused:
        graph(torch.rand(*shape))
    assert str(refused.value) == f"Mine.x takes samples of [7, 3], got {found}"


def test_what_is_no_sequence_is_refused():
    with pytest.raises(ShapeError) as refused:
        built("lstm: {type: LSTM, output: 4}").unroll(torch.rand(3))
    assert str(refused.value) == "Mine.x takes sequences (batch, time, 3), got [3]"


def test_the_shipped_network_gives_log_probabilities_of_each_next_character():
    from dianne import Workspace

    graph = Workspace().describe("CharLSTM", hidden=8, vocabulary=5, sequenceLength=3).build(seed=1)
    result, state = graph.unroll(torch.rand(2, 6, 5))
    assert torch.allclose(result.exp().sum(-1), torch.ones(2, 6))
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "lstm/hidden": (2, 2, 8), "lstm/cell": (2, 2, 8),
    }  # fmt: skip

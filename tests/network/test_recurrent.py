"""Circles through a Memory, unrolled over time."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from writing import between, fault, network

from dianne.network.graph import Graph, ShapeError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


LOOP = between(
    "[3]",
    "both: {type: Concat, after: [x, state]}",
    "hidden: {type: Linear, output: 4}",
    "bounded: {type: Tanh}",
    "state: {type: Memory, size: 4, after: bounded}",
    "scores: {type: Linear, output: 2, after: bounded}",
)


def loop(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    """The same network as a loop written by hand: (b, time, 3) -> (b, time, 2)."""
    w = dict(graph.named_parameters())
    state, results = torch.zeros(len(x), 4), []
    for time in range(x.shape[1]):
        both = torch.cat((x[:, time], state), dim=1)
        state = torch.tanh(both @ w["hidden.weight"].T + w["hidden.bias"])
        results.append(state @ w["scores.weight"].T + w["scores.bias"])
    return torch.stack(results, dim=1)


@pytest.fixture
def graph() -> Graph:
    return network(LOOP).build(seed=1)


def test_a_network_with_a_memory_equals_a_loop_written_by_hand(graph):
    x = torch.rand(2, 6, 3)
    torch.testing.assert_close(graph(x), loop(graph, x))


def test_gradients_flow_through_time(graph):
    x = torch.rand(2, 6, 3)
    weights = list(graph.parameters())
    own = torch.autograd.grad(graph(x)[:, -1].sum(), weights)
    by_hand = torch.autograd.grad(loop(graph, x)[:, -1].sum(), weights)
    for found, expected in zip(own, by_hand, strict=True):
        torch.testing.assert_close(found, expected)
    last_step_only = torch.autograd.grad(graph(x[:, -1:])[:, -1].sum(), weights)
    assert not torch.allclose(own[0], last_step_only[0])


def test_the_first_input_moves_the_last_result_only_through_the_memory(graph):
    x = torch.rand(1, 4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(graph(x)[:, -1].sum(), x)
    assert (gradient[0, 0] != 0).all()
    (gradient,) = torch.autograd.grad(graph(x)[:, 0].sum(), x)
    assert (gradient[0, 1:] == 0).all()


def test_every_forward_starts_from_zeros(graph):
    x = torch.rand(2, 5, 3)
    first = graph(x)
    graph(torch.rand(2, 9, 3))
    assert torch.equal(graph(x), first)


def test_a_state_of_zeros_is_what_a_forward_starts_from(graph):
    x = torch.rand(2, 5, 3)
    state = graph.zero_state(2, x)
    assert {name: value.tolist() for name, value in state.items()} == {"state": [[0] * 4] * 2}
    assert torch.equal(graph.unroll(x, state=state)[0], graph(x))


def test_two_halves_with_the_state_carried_equal_the_whole(graph):
    x = torch.rand(2, 7, 3)
    whole, last = graph.unroll(x)
    first, state = graph.unroll(x[:, :3])
    second, end = graph.unroll(x[:, 3:], state=state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)
    torch.testing.assert_close(end["state"], last["state"])


def test_a_state_that_is_not_carried_makes_a_difference(graph):
    x = torch.rand(2, 7, 3)
    assert not torch.allclose(graph(x)[:, 3:], graph(x[:, 3:]))


def test_single_steps_equal_the_whole(graph):
    x = torch.rand(2, 4, 3)
    state, results = graph.zero_state(2, x), []
    for time in range(4):
        result, state = graph.step(x[:, time], state=state)
        results.append(result)
    torch.testing.assert_close(torch.stack(results, dim=1), graph(x))


def test_a_memory_is_a_delay_of_one_step():
    graph = network(between("[2]", "before: {type: Memory, size: 2}")).build(seed=1)
    x = torch.rand(1, 4, 2)
    assert torch.equal(graph(x), torch.cat((torch.zeros(1, 1, 2), x[:, :-1]), dim=1))


def test_memories_in_a_row_add_their_delays():
    graph = network(between("[2]", "before: {type: Memory, size: 2, repeat: 3}")).build(seed=1)
    x = torch.rand(1, 5, 2)
    assert torch.equal(graph(x), torch.cat((torch.zeros(1, 3, 2), x[:, :-3]), dim=1))
    assert list(graph.zero_state(1, x)) == ["before1", "before2", "before3"]


def test_several_outputs_each_have_time():
    text = LOOP.replace("  y:", "  z: {type: Output}\n  y:").replace(
        "y: {type: Output}", "y: {type: Output, after: bounded}"
    )
    scores, bounded = network(text).build(seed=1)(torch.rand(2, 6, 3))
    assert (scores.shape, bounded.shape) == ((2, 6, 2), (2, 6, 4))


def test_two_cells_keep_their_states_apart():
    graph = network(between("[3]", "lstm: {type: LSTMCell, output: 4, repeat: 2}")).build(seed=1)
    x = torch.rand(2, 5, 3)
    result, state = graph.unroll(x)
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "lstm1/h": (2, 4), "lstm1/c": (2, 4), "lstm2/h": (2, 4), "lstm2/c": (2, 4),
    }  # fmt: skip
    torch.testing.assert_close(state["lstm2/h"], result[:, -1])
    assert not torch.allclose(state["lstm1/h"], state["lstm2/h"])
    first, half = graph.unroll(x[:, :2])
    second, end = graph.unroll(x[:, 2:], state=half)
    torch.testing.assert_close(torch.cat((first, second), dim=1), result)
    torch.testing.assert_close(end, state)


def test_two_cells_in_a_row_equal_those_of_torch():
    graph = network(between("[3]", "lstm: {type: LSTMCell, output: 4, repeat: 2}")).build(seed=1)
    layers = nn.LSTM(3, 4, num_layers=2, batch_first=True)
    rows = torch.cat([torch.arange(4 * gate, 4 * gate + 4) for gate in (2, 0, 3, 1)])
    with torch.no_grad():
        for index, size in enumerate((3, 4)):
            weight = graph.get_parameter(f"lstm{index + 1}.gates.weight")[rows]
            getattr(layers, f"weight_ih_l{index}").copy_(weight[:, :size])
            getattr(layers, f"weight_hh_l{index}").copy_(weight[:, size:])
            getattr(layers, f"bias_ih_l{index}").copy_(
                graph.get_parameter(f"lstm{index + 1}.gates.bias")[rows]
            )
            getattr(layers, f"bias_hh_l{index}").zero_()
    x = torch.rand(2, 5, 3)
    torch.testing.assert_close(graph(x), layers(x)[0])


def steps_of(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    state, results = graph.zero_state(len(x), x), []
    for time in range(x.shape[1]):
        result, state = graph.step(x[:, time], state=state)
        results.append(result)
    return torch.stack(results, dim=1)


IN_BETWEEN = (
    "wide: {type: Linear, output: 6}",
    "image: {type: Reshape, shape: [1, 2, 3]}",
    "flat: {type: Reshape, shape: [6]}",
)


@pytest.mark.parametrize("more", [(), IN_BETWEEN, ("drop: {type: Dropout, rate: 0.5}",)])
def test_cells_one_after_the_other_equal_single_steps(more):
    modules = (*more, "lstm: {type: LSTMCell, output: 4, repeat: 2}", "scores: {type: Linear, output: 2}")
    graph = network(between("[3]", "first: {type: GRUCell, output: 5}", *modules)).build(seed=1).eval()
    x = torch.rand(2, 5, 3)
    torch.testing.assert_close(graph(x), steps_of(graph, x))


def test_a_module_that_looks_at_the_whole_batch_sees_one_step_at_a_time():
    cell = "cell: {type: GRUCell, output: 5}"
    graph = network(between("[3]", cell, "even: {type: BatchNormalization}")).build(seed=1)
    whole = graph(torch.rand(8, 5, 3))
    assert whole.mean(0).abs().max() < 1e-5  # over the batch, at each of the 5 steps


def test_modules_behind_the_cells_run_once_for_all_steps():
    graph = network(between("[3]", "cell: {type: GRUCell, output: 5}", "scores: {type: Linear, output: 2}"))
    built, seen = graph.build(seed=1), []
    built.get_submodule("scores").register_forward_hook(
        lambda _module, inputs, _: seen.append(inputs[0].shape)
    )
    built(torch.rand(8, 5, 3))
    assert seen == [(40, 5)]


def test_sequences_of_several_lengths_are_refused():
    lines = ("x: {type: Input, shape: [3]}", "z: {type: Input, shape: [3]}")
    both = ("both: {type: Concat, after: [x, z]}", "cell: {type: GRUCell, output: 5}", "y: {type: Output}")
    graph = network("modules:\n" + "".join(f"  {line}\n" for line in lines + both)).build(seed=1)
    with pytest.raises(ShapeError) as refused:
        graph(torch.rand(2, 5, 3), torch.rand(2, 4, 3))
    assert str(refused.value) == "Mine takes sequences of one length, got 5, 4 steps"


def test_a_state_has_the_kind_of_numbers_of_the_samples(graph):
    x = torch.rand(2, 3, 3, dtype=torch.float64)
    assert graph.double()(x).dtype == torch.float64


# ------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("modules", "circle"),
    [
        (("a: {type: ReLU, after: b}", "b: {type: ReLU}"), "a -> b -> a"),
        (("a: {type: Accumulate, after: [x, c]}", "b: {type: ReLU}", "c: {type: ReLU}"), "a -> b -> c -> a"),
        (("a: {type: ReLU, after: a}",), "a -> a"),
    ],
)
def test_a_circle_without_a_memory_is_refused(modules, circle):
    assert fault(between("[3]", *modules)) == (
        "networks/Mine.yaml: 1 problem\n"
        f"  networks/Mine.yaml:3:3: a: goes in a circle without a Memory: {circle}"
    )


def test_a_memory_of_the_wrong_size_is_refused():
    assert fault(LOOP.replace("size: 4", "size: 5")) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:6:3: state (Memory): holds [5], but 'bounded' gives [4]"
    )


def test_a_memory_keeps_vectors_only():
    assert fault(between("[1, 3]", "before: {type: Memory, size: 3}")) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:3:3: before (Memory): holds [3], but 'x' gives [1, 3]"
    )


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 5, 4)])
def test_samples_that_are_no_sequences_of_what_is_taken_are_refused(graph, shape):
    with pytest.raises(ShapeError) as refused:
        graph(torch.rand(shape))
    assert str(refused.value) == f"Mine.x takes sequences (batch, time, 3), got {list(shape)}"

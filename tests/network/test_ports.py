"""Parts of a result: `after: name.port`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from writing import between, fault, network


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_split_gives_equal_parts_by_number():
    text = between(
        "[7]", "s: {type: Split, parts: 3}", "z: {type: Output, after: s.2}", "w: {type: Output, after: s.0}"
    )
    last, first, whole = network(text.replace("y: {type: Output}", "y: {type: Output, after: s}")).build(
        seed=1
    )(torch.arange(7.0).repeat(2, 1))
    assert last.tolist() == [[4, 5]] * 2  # the remainder, 6, is left out
    assert first.tolist() == [[0, 1]] * 2
    assert whole.tolist() == first.tolist()


@pytest.mark.parametrize("split", ["[2, 3]", "'2,3'"])
def test_split_cuts_at_positions(split):
    parts = "\n".join(f"  out{i}: {{type: Output, after: s.{i}}}" for i in range(3))
    found = network(
        f"modules:\n  x: {{type: Input, shape: [7]}}\n  s: {{type: Split, split: {split}}}\n{parts}\n"
    )
    results = found.build(seed=1)(torch.arange(7.0)[None])
    assert [result.tolist() for result in results] == [[[0, 1]], [[2]], [[3, 4, 5, 6]]]
    assert [found.shapes[f"s.{i}"] for i in range(3)] == [(2,), (1,), (4,)]


def test_split_counts_dimensions_from_the_end():
    text = between("[4, 2, 3]", "s: {type: Split, parts: 2, dim: 2}", "z: {type: ReLU, after: s.1}")
    x = torch.rand(2, 4, 2, 3)
    assert torch.equal(network(text).build(seed=1)(x), x[:, 2:])


def test_pooling_and_unpooling_put_values_back_where_they_were():
    windows = "width: 2, height: 2"
    text = between(
        "[2, 4, 6]",
        f"pool: {{type: MaxPooling, {windows}}}",
        "double: {type: Accumulate, after: [pool, pool]}",
        f"back: {{type: MaxUnpooling, {windows}, after: [double, pool.indices]}}",
    )
    graph = network(text).build(seed=1)
    x = torch.rand(3, 2, 4, 6)
    values, places = functional.max_pool2d(x, 2, return_indices=True)
    torch.testing.assert_close(graph(x), functional.max_unpool2d(2 * values, places, 2))


def test_pooling_along_time_gives_indices_too():
    text = between(
        "[6, 2]",
        "pool: {type: MaxPooling, width: 2}",
        "back: {type: MaxUnpooling, width: 2, after: [pool, pool.indices]}",
    )
    x = torch.rand(3, 6, 2)
    result = network(text).build(seed=1)(x)
    kept = result != 0
    assert torch.equal(result[kept], x[kept])
    assert torch.equal(kept.view(3, 3, 2, 2).sum(2), torch.ones(3, 3, 2, dtype=torch.int64))


def test_a_gaussian_has_means_and_deviations():
    text = """
modules:
  x: {type: Input, shape: [6]}
  latent: {type: MultivariateGaussian, meanActivation: Tanh, stdevActivation: SoftPlus}
  mean: {type: Output, after: latent.mean}
  stdev: {type: Output, after: latent.stdev}
  both: {type: Output, after: latent}
"""
    x = torch.randn(2, 6)
    mean, stdev, both = network(text).build(seed=1)(x)
    torch.testing.assert_close(mean, torch.tanh(x[:, :3]))
    torch.testing.assert_close(stdev, functional.softplus(x[:, 3:]))
    torch.testing.assert_close(both, torch.cat((mean, stdev), dim=1))


def test_an_lstm_gives_its_results_and_the_state_after_them():
    text = """
modules:
  x: {type: Input, shape: [5, 3]}
  lstm: {type: LSTM, output: 4, layers: 2}
  all: {type: Output}
  hidden: {type: Output, after: lstm.hidden}
  cell: {type: Output, after: lstm.cell}
"""
    found = network(text)
    graph = found.build(seed=1)
    layers = nn.LSTM(3, 4, 2, batch_first=True)
    layers.load_state_dict(graph.get_submodule("lstm.cell").state_dict())
    x = torch.rand(2, 5, 3)
    output, (hidden, cell) = layers(x)
    for own, expected in zip(graph(x), (output, hidden.transpose(0, 1), cell.transpose(0, 1)), strict=True):
        torch.testing.assert_close(own, expected)
    assert found.outputs == {"all": (5, 4), "hidden": (2, 4), "cell": (2, 4)}


def test_a_gru_gives_the_state_after_the_last_step():
    text = between(
        "[5, 3]", "gru: {type: GRU, output: 4}", "last: {type: Linear, output: 4, after: gru.hidden}"
    )
    graph = network(text).build(seed=1)
    x = torch.rand(2, 5, 3)
    output, _ = graph.get_submodule("gru.cell")(x)
    torch.testing.assert_close(graph(x), graph.get_submodule("last")(output[:, -1]))


def test_attention_gives_its_shares():
    text = """
modules:
  x: {type: Input, shape: [5, 4]}
  attend: {type: MultiheadAttention, heads: 2}
  out: {type: Output}
  shares: {type: Output, after: attend.weights}
"""
    graph = network(text).build(seed=1)
    x = torch.rand(3, 5, 4)
    result, shares = graph(x)
    assert shares.shape == (3, 5, 5)
    torch.testing.assert_close(shares.sum(-1), torch.ones(3, 5))
    expected, weights = graph.get_submodule("attend.attention")(x, x, x)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(shares, weights)


def test_attention_looks_from_one_sequence_at_another():
    text = """
modules:
  query: {type: Input, shape: [2, 4]}
  keys: {type: Input, shape: [5, 4]}
  attend: {type: MultiheadAttention, heads: 2, after: [query, keys]}
  out: {type: Output}
"""
    found = network(text)
    assert found.outputs == {"out": (2, 4)}
    query, keys = torch.rand(3, 2, 4), torch.rand(3, 5, 4)
    graph = found.build(seed=1)
    expected = graph.get_submodule("attend.attention")(query, keys, keys)[0]
    torch.testing.assert_close(graph(query, keys), expected)


@pytest.mark.parametrize(
    ("shape", "module", "port", "rest"),
    [
        ("[4]", "{type: Split, parts: 2}", "2", "results: 0, 1"),
        ("[4]", "{type: ReLU}", "mean", "it has one result"),
        ("[4]", "{type: MultivariateGaussian}", "means", "did you mean 'mean'?"),
        ("[5, 4]", "{type: LSTM, output: 2}", "hiden", "did you mean 'hidden'?"),
        ("[1, 4, 4]", "{type: MaxPooling, width: 2, height: 2}", "index", "did you mean 'indices'?"),
    ],
)
def test_a_part_that_is_not_there_is_refused(shape, module, port, rest):
    assert fault(between(shape, f"s: {module}", f"z: {{type: ReLU, after: s.{port}}}")) == (
        f"networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:4:26: z: 's' has no result '{port}'; {rest}"
    )


@pytest.mark.parametrize("nothing", ["", "~", "[]"])
def test_an_after_that_names_nothing_is_refused(nothing):
    message = fault(between("[4]", f"a: {{type: ReLU, after: {nothing}}}"))
    assert message.startswith("networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:3:")


def test_unpooling_asks_for_indices():
    windows = "width: 2, height: 2"
    text = between(
        "[1, 4, 4]", f"p: {{type: MaxPooling, {windows}}}", f"u: {{type: MaxUnpooling, {windows}}}"
    )
    assert fault(text) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:4:3: u (MaxUnpooling): takes values and the indices of a MaxPooling: "
        "'after: [values, pool.indices]'"
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("split: '4,9'", "cannot cut 7 values at [4, 9]"),
        ("split: '4,4'", "cannot cut 7 values at [4, 4]"),
        ("split: middle", "split: expected positions such as 4,7, found 'middle'"),
        ("parts: 9", "cannot cut 7 values into 9 parts"),
        ("parts: 2, split: 4", "needs either 'parts', such as 2, or 'split', such as 4,7"),
        ("parts: 2, dim: 1", "there is no dimension 1 from the end in [7]"),
    ],
)
def test_a_split_that_cannot_be_is_refused(keys, message):
    assert fault(between("[7]", f"s: {{type: Split, {keys}}}")) == (
        f"networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:3:3: s (Split): {message}"
    )

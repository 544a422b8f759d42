"""A graph can be compiled without a break and exported."""

from __future__ import annotations

import pytest
import torch
from writing import between, network


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


CHAIN = between(
    "[1, 8, 8]",
    "conv: {type: Convolution, noOutputPlanes: 2, kernelWidth: 3, kernelHeight: 3}",
    "relu: {type: ReLU}",
    "pool: {type: MaxPooling, width: 2, height: 2}",
    "scores: {type: Linear, output: 3}",
    "classes: {type: LogSoftmax}",
)
FORK = """
modules:
  image: {type: Input, shape: [1, 8, 8]}
  a: {type: Linear, output: 6}
  parts: {type: Split, parts: 2}
  b: {type: Tanh, after: parts.0}
  c: {type: Sigmoid, after: parts.1}
  sum: {type: Accumulate, after: [b, c]}
  both: {type: Concat, after: [sum, a]}
  joined: {type: Output}
  four: {type: Linear, output: 4, after: image}
  latent: {type: MultivariateGaussian}
  mean: {type: Output, after: latent.mean}
"""
BLOCK = between(
    "[1, 8, 8]",
    "block: {type: Residual, noInputPlanes: 1, noOutputPlanes: 3}",
    "scores: {type: Linear, output: 3}",
)
GRAPHS = pytest.mark.parametrize("text", [CHAIN, FORK, BLOCK], ids=["chain", "fork", "block"])


@GRAPHS
@pytest.mark.parametrize("training", [True, False])
def test_a_graph_is_compiled_without_a_break(text, training):
    graph, plain = network(text).build(seed=1).train(training), network(text).build(seed=1).train(training)
    compiled = torch.compile(graph, fullgraph=True, backend="eager")
    for size in (4, 2):
        x = torch.rand(size, 1, 8, 8)
        torch.testing.assert_close(compiled(x), plain(x))


@GRAPHS
def test_a_compiled_graph_has_the_same_gradients(text):
    graph, plain = network(text).build(seed=1), network(text).build(seed=1)
    x = torch.rand(4, 1, 8, 8)
    for module in (torch.compile(graph, fullgraph=True, backend="eager"), plain):
        result = module(x)
        (result[0] if isinstance(result, tuple) else result).square().sum().backward()
    for one, other in zip(graph.parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


@GRAPHS
def test_a_graph_is_exported_for_any_batch(text):
    graph = network(text).build(seed=1).eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(
        graph, (torch.rand(4, 1, 8, 8),), dynamic_shapes={"samples": ({0: batch},)}
    )
    x = torch.rand(7, 1, 8, 8)
    torch.testing.assert_close(exported.module()(x), graph(x))

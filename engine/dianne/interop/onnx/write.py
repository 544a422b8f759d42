"""A stored network as an ONNX file, written only once onnxruntime computes the same from it.

A network with a Memory leaves as one step in time: its states are inputs and outputs beside its own, named
`lstm1/h` and `lstm1/h/next`. Networks with layers over sequences take whole ones, of any extent where
torch's exporter can leave it open.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dianne.errors import UsageError
from dianne.interop.formats import Outgoing, exports
from dianne.interop.onnx.runtime import SCOPES, compare, needed, session
from dianne.network.graph import Graph
from dianne.network.network import Network

if TYPE_CHECKING:
    from onnx import ModelProto

TIME = "time"
BATCH = 3  # of the samples that the exporter traces; it takes 0 and 1 for constants
MOST_BYTES = 2**31 - 2**20  # a file of protocol buffers holds less than 2 GiB
_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomUniform")


@exports("onnx", ending=".onnx")
def export_onnx(leaving: Outgoing, path: Path) -> list[str]:
    """Write a network with its weights as an ONNX file.

    Returns:
        What goes in and out, and how far onnxruntime's results are from the network's.

    Raises:
        UsageError: a package is missing, or the network cannot be an ONNX file.
        DianneError: onnxruntime computes something else.
    """
    onnx, *_ = (needed(package) for package in ("onnx", "onnxscript", "onnxruntime"))
    network, graph = leaving.network, leaving.module
    source = f"{network.name}:{leaving.tag}"
    model = to_onnx(network, graph, source)
    labels = network.labels or leaving.manifest.labels
    told = {"network": network.name, "tag": leaving.tag, "weights": leaving.manifest.blob}
    told["samples"] = json.dumps({key: list(shape) for key, shape in network.inputs.items()})
    told |= {"labels": json.dumps(labels)} if labels else {}
    onnx.helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    module, inputs, _ = _entrance(network, graph)
    batches = [[_sample(network, key, shape, n) for key, shape in inputs.items()] for n in (1, 5)]
    if any(size.dim_param == TIME for end in model.graph.input for size in end.type.tensor_type.shape.dim):
        batches[1] = _longer(batches[1])
    difference = compare(session(content), module, batches, source)
    path.write_bytes(content)
    ends = [f"{end.name} {_shape(end)}" for end in model.graph.input]
    results = [f"{end.name} {_shape(end)}" for end in model.graph.output]
    version = next(entry.version for entry in model.opset_import if not entry.domain)
    return [f"{', '.join(ends)} -> {', '.join(results)}, opset {version}", f"differs by {difference}"]


def to_onnx(network: Network, graph: Graph, source: str) -> ModelProto:
    """A network as ONNX, for batches of any size.

    Args:
        network: checked.
        graph: built from it, in evaluation mode.
        source: how messages name it, such as "Encoder:vae".

    Raises:
        UsageError: torch's exporter does not know how, a module draws random numbers, or a batch can only
            have one size.
    """
    if sum(value.numel() * value.element_size() for value in graph.state_dict().values()) > MOST_BYTES:
        raise UsageError(f"{source} holds 2 GiB or more, which is more than one ONNX file can")
    module, inputs, outputs = _entrance(network, graph)
    samples = tuple(_sample(network, key, shape, BATCH) for key, shape in inputs.items())
    free = {0: torch.export.Dim("batch", min=1)}
    if graph.stateful and not graph.recurrent:
        free[1] = torch.export.Dim.AUTO  # time, if no module fixes it
    shapes = tuple(free if value.dim() > 2 else {0: free[0]} for value in samples)
    with _quiet():
        try:
            program = torch.onnx.export(
                module, samples, dynamo=True, dynamic_shapes={"samples": shapes}, verbose=False,
                input_names=list(inputs), output_names=outputs,
            )  # fmt: skip
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            reason = str(error.__cause__ or error).strip().split("\n")[0]
            raise UsageError(f"{source} cannot be an ONNX file: {reason}") from error
    assert program is not None  # as it is for a file that torch writes itself
    model = program.model_proto
    model.graph.name = network.name
    _check(network, model, source)
    if free.get(1):
        _name_time(model, module, samples)
    return model


def _longer(samples: Sequence[Tensor]) -> list[Tensor]:
    """Sequences with one more step in time."""
    return [torch.cat((x, x[:, :1]), dim=1) if x.dim() > 2 else x for x in samples]


@torch.inference_mode()
def _name_time(model: ModelProto, module: nn.Module, samples: Sequence[Tensor]) -> None:
    """Call time by its name where it is open, in results too, for which torch notes the extent it traced."""
    ends = [end.type.tensor_type.shape.dim for end in [*model.graph.input, *model.graph.output]]
    open_ones = {dims[1].dim_param for dims in ends[: len(samples)] if len(dims) > 2} - {""}
    if not open_ones:
        return
    for dims in ends[: len(samples)]:
        for size in dims:
            if size.dim_param in open_ones:
                size.dim_param = TIME
    results = [module(*given) for given in (samples, _longer(samples))]
    short, long = (found if isinstance(found, tuple) else (found,) for found in results)
    for dims, one, other in zip(ends[len(samples) :], short, long, strict=True):
        for size, a, b in zip(dims, one.shape, other.shape, strict=True):
            if a != b:
                size.dim_param = TIME
    del model.graph.value_info[:]  # they hold the traced extent too


class _Step(nn.Module):
    """A graph with memories: samples and states of one step give results and the next states."""

    whole: Graph

    def __init__(self, graph: Graph, states: list[str]):
        super().__init__()
        self._modules.update(graph._modules)  # so that weights keep their names
        object.__setattr__(self, "whole", graph)
        self.states = states

    def forward(self, *samples: Tensor) -> tuple[Tensor, ...]:
        """As `Graph.step`, with states in a row behind the samples, and behind the results."""
        count = len(samples) - len(self.states)
        state = dict(zip(self.states, samples[count:], strict=True))
        result, after = self.whole.step(*samples[:count], state=state)
        results = result if isinstance(result, tuple) else (result,)
        return (*results, *(after[key] for key in self.states))


def _entrance(network: Network, graph: Graph) -> tuple[nn.Module, dict[str, tuple[int, ...]], list[str]]:
    """What is exported, the shapes of its inputs' samples by name, and the names of its outputs."""
    if not graph.recurrent:
        return graph, dict(network.inputs), list(network.outputs)
    states = {key: tuple(value.shape[1:]) for key, value in graph.zero_state(1, torch.zeros(1)).items()}
    outputs = [*network.outputs, *(f"{key}/next" for key in states)]
    return _Step(graph, list(states)), {**network.inputs, **states}, outputs


def _sample(network: Network, key: str, shape: tuple[int, ...], batch: int) -> Tensor:
    """Random values for an input; whole numbers where they are looked up in an Embedding."""
    takers = [network.modules.get(node.name) for node in network.nodes if key in node.after]
    entries = [taker.num_embeddings for taker in takers if isinstance(taker, nn.Embedding)]
    if entries and len(entries) == len(takers):
        return torch.randint(min(entries), (batch, *shape))
    return torch.randn(batch, *shape)


def _check(network: Network, model: ModelProto, source: str) -> None:
    """Refuse what could not be compared, or not be used with batches."""
    kinds = {node.name: node.type for node in network.nodes}
    for node in model.graph.node:
        if node.op_type.startswith(_RANDOM):
            scopes = {entry.key: entry.value for entry in node.metadata_props}
            name = next((key for key in kinds if f"'{key}'" in scopes.get(SCOPES, "")), node.name)
            raise UsageError(
                f"{source} cannot be an ONNX file: {name} ({kinds.get(name, node.op_type)}) draws random "
                "numbers, so nothing can be compared"
            )
    for entry in model.graph.input:
        size = entry.type.tensor_type.shape.dim[0]
        if not size.dim_param:
            raise UsageError(
                f"{source} cannot be an ONNX file: its batches would always have {size.dim_value} samples, "
                "because a module takes their number for a constant"
            )


def _shape(end: Any) -> str:
    extents = [size.dim_param or size.dim_value for size in end.type.tensor_type.shape.dim]
    return f"[{', '.join(str(extent) for extent in extents)}]"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's talk, which is about torch's own inside."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

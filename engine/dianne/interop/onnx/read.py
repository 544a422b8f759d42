"""An ONNX file as a network of our own, which onnxruntime finds to compute the same."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from dianne.document import display
from dianne.errors import ConfigError, Problem, UsageError
from dianne.interop.formats import ImportOptions, Incoming, imports
from dianne.interop.onnx import activations, arithmetic, layers, pooling, recurrent, shapes
from dianne.interop.onnx.builder import Builder
from dianne.interop.onnx.call import OPERATORS, Call
from dianne.interop.onnx.file import array_of, read_model
from dianne.interop.onnx.fold import MOST_VALUES, fold, made
from dianne.interop.onnx.formulas import COMPOSED, recognise
from dianne.interop.onnx.inputs import batch_place, extents, sample_shape
from dianne.interop.onnx.runtime import SCOPES, JudgeError, compare, session
from dianne.interop.onnx.values import Formula, Result, Unmappable, Value
from dianne.network.network import Network
from dianne.network.resolve import restore
from dianne.options import PositiveInt
from dianne.store import load_weights

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

FAMILIES = (activations, arithmetic, layers, pooling, recurrent, shapes)
"""The files with the operators; importing one registers them."""
OLDEST_COMPARED = 7  # onnxruntime takes no operators that are older
_SCOPES = re.compile(r"'([^']*)'")
_FLOATS, _INTEGERS = (1, 10, 11, 16), (6, 7)


def _is_onnx(path: Path, _head: bytes) -> bool:
    return path.suffix.lower() == ".onnx" and path.is_file()


@imports("an ONNX file", _is_onnx)
def import_onnx(path: Path, options: ImportOptions) -> list[Incoming]:
    """The network in an ONNX file, with its weights.

    Raises:
        UsageError: it is no valid ONNX, its inputs have no known shape, or it holds operators for which
            there is no module; all of them are named.
        DianneError: the network computes something else than onnxruntime does.
    """
    model = read_model(path)
    reading = _Reading(model, display(path), options)
    reading.run()
    name = options.name or _network_name(model, path)
    builder = reading.builder
    text = builder.text(f"From {path.name}, written by {model.producer_name or 'an unknown program'}.")
    weights = builder.weights()
    network = restore(text, name, {}, {}, {})
    told = {entry.key: entry.value for entry in model.metadata_props}
    note = reading.judged(model, network, weights)
    return [
        Incoming(
            name,
            {name: text},
            {options.tag or "imported": weights},
            job={"onnx": told} if told else {},
            labels=_told(told, "labels", _LABELS),
            notes=[note],
        )
    ]


def _network_name(model: ModelProto, path: Path) -> str:
    """What the graph is called, unless that is a default of its exporter; else what the file is called."""
    given = model.graph.name
    usual = ("main_graph", "torch-jit-export", "torch_jit", "graph", "main", "")
    words = path.stem if given.lower() in usual else given
    return re.sub(r"[^A-Za-z0-9_-]+", "_", words).strip("_-") or "Imported"


_LABELS = TypeAdapter(list[str])
_SHAPES = TypeAdapter(dict[str, list[PositiveInt]])


def _told(told: dict[str, str], key: str, kind: TypeAdapter[Any]) -> Any:
    """What a file that was exported here says of itself; None if it says nothing, or something else."""
    try:
        return kind.validate_json(told[key])
    except (KeyError, ValidationError):
        return None


class _Reading:
    """One walk through a model."""

    def __init__(self, model: ModelProto, source: str, options: ImportOptions):
        self.graph = model.graph
        self.source = source
        self.options = options
        told = {entry.key: entry.value for entry in model.metadata_props}
        self.samples: dict[str, list[int]] = _told(told, "samples", _SHAPES) or {}
        self.opset = next(
            (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1
        )
        self.builder = Builder()
        self.values: dict[str, Value] = {}
        self.problems: list[Problem] = []
        self.fixed: int | None = None
        self.inputs: list[tuple[Result, ValueInfoProto]] = []
        self.outputs: list[Result] = []
        self.uses = Counter(name for node in self.graph.node for name in node.input)
        self.uses.update(end.name for end in self.graph.output)
        self.scopes = Counter(
            entry.value.rpartition(",")[0]
            for node in self.graph.node
            for entry in node.metadata_props
            if entry.key == SCOPES
        )
        self.makers: dict[str, str] = {}  # the value for which each module was made
        self.room = MOST_VALUES

    def run(self) -> None:
        """Make modules of all nodes that an output needs.

        Raises:
            ConfigError: something has no module; all of it is named.
        """
        nodes = _needed(self.graph)
        self._constants()
        self._inputs(nodes)
        ends = [self.builder.reserve(end.name, "output") for end in self.graph.output]
        if not self.problems:
            for node in nodes:
                self._node(node)
        for end, name in zip(self.graph.output, ends, strict=True):
            self._output(end.name, name)
        if self.problems:
            raise ConfigError(self.source, self.problems)
        self.builder.prune(ends)

    def _constants(self) -> None:
        for tensor in self.graph.initializer:
            try:
                self.values[tensor.name] = array_of(tensor)
            except ValueError as error:
                self._report(f"weights '{tensor.name}'", str(error))
        for sparse in self.graph.sparse_initializer:
            self._report(f"weights '{sparse.values.name}'", "are sparse, which is not known here")

    # ---------------------------------------------------------------------------------------------- inputs

    def _inputs(self, nodes: list[NodeProto]) -> None:
        held = {tensor.name for tensor in self.graph.initializer}
        entrances = [entry for entry in self.graph.input if entry.name not in held]
        if not entrances:
            self._report("inputs", "has none")
        said = self.options.given_shapes(self.source, [entry.name for entry in entrances])
        for entry in entrances:
            what = f"input '{entry.name}'"
            kind = entry.type.tensor_type
            if kind.elem_type not in (*_FLOATS, *_INTEGERS):
                self._report(what, "takes something else than numbers")
                continue
            dims = extents(entry)
            if len(dims) < 2:
                self._report(what, "has no dimension beside the batch, or none that is known")
                continue
            batch = batch_place(entry, nodes)
            usual = self.samples.get(entry.name)
            name = self.builder.reserve(entry.name, "input")
            try:
                sample = sample_shape(entry, batch, said.get(entry.name), usual, len(entrances))
                found = self.builder.add("Input", "", name=name, shape=list(sample))
            except Unmappable as error:
                self._report(what, str(error))
                continue
            fixed = dims[batch]
            if fixed is not None and self.fixed not in (None, fixed):
                self._report(what, f"takes batches of {fixed}, another takes {self.fixed}")
            self.fixed = fixed or self.fixed
            self.values[entry.name] = Result(found.ref, sample, batch)
            self.inputs.append((Result(found.ref, sample, batch), entry))

    # ----------------------------------------------------------------------------------------------- nodes

    def _node(self, node: NodeProto) -> None:
        what = f"node '{node.name or node.output[0]}' ({node.op_type})"
        if node.domain not in ("", "ai.onnx"):
            self._report(what, f"is of the domain '{node.domain}', which is not ONNX's own")
            return
        present = [name for name in node.input if name]
        constant = all(isinstance(self.values.get(name), np.ndarray) for name in present)
        if not constant and node.op_type not in OPERATORS:
            self._report(what, "there is no module for this operator")
            return
        if any(name not in self.values for name in present):
            self._formulas(what, node)  # what makes the others was named
            return
        before = set(self.builder.entries)
        try:
            call = self._call(node)
            if constant:
                found: Any = fold(call)
                self.room -= made(found)
            else:
                found = OPERATORS[node.op_type](call)
        except Unmappable as error:
            self._report(what, str(error))
            return
        except (KeyError, AttributeError) as error:
            self._report(what, f"lacks {error}")
            return
        self.makers |= {name: node.output[0] for name in self.builder.entries if name not in before}
        several = found if isinstance(found, tuple) else (found,)
        self.values |= {name: value for name, value in zip(node.output, several, strict=False) if name}

    def _formulas(self, what: str, node: NodeProto) -> None:
        """Name what has no module among the inputs of a node that cannot be looked at."""
        for value in (self.values.get(name) for name in node.input if node.op_type not in COMPOSED):
            if isinstance(value, Formula):
                try:
                    recognise(value, self.builder, "")
                except Unmappable as error:
                    self._report(what, str(error))

    def _call(self, node: NodeProto) -> Call:
        import onnx

        once = []
        for name in node.input:
            value = self.values.get(name)
            own = isinstance(value, Result) and self.makers.get(value.ref) == name
            once.append(own and self.uses[name] == 1)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        return Call(
            node.op_type, self._hint(node), [self.values[name] if name else None for name in node.input],
            [name if self.uses[name] or not i else "" for i, name in enumerate(node.output)],
            attributes, self.builder, self.opset, self.fixed, self.room, once,
        )  # fmt: skip

    def _hint(self, node: NodeProto) -> str:
        """A name for a node's module: what the exporter noted of it, or what its weights are called."""
        scopes = {entry.key: entry.value for entry in node.metadata_props}
        around = _SCOPES.findall(scopes.get(SCOPES, ""))
        constants = [self.values.get(name) for name in node.input[1:]]
        weighs = any(isinstance(value, np.ndarray) and value.dtype == np.float32 for value in constants)
        if len(around) > 1 and around[-2]:
            alone = weighs or self.scopes[scopes[SCOPES].rpartition(",")[0]] == 1
            return str(around[-2]) if alone else f"{around[-2]}_{node.op_type.lower()}"
        for name in node.input[1:]:
            owner, dot, _ = name.rpartition(".")
            if dot and ":" not in owner and isinstance(self.values.get(name), np.ndarray):
                return owner
        *path, last = node.name.split("/")
        kind = re.sub(r"_\d+$", "", last)
        inner = [part for part in path if part]
        words = inner[-1] if inner and kind == node.op_type else last.removeprefix("node_")
        if words == last == f"{node.op_type}{last.removeprefix(node.op_type)}":
            words = words.lower()  # the exporter had no name for it either
        return words if re.search("[A-Za-z]", words) else node.op_type.lower()

    # --------------------------------------------------------------------------------------------- outputs

    def _output(self, value: str, name: str) -> None:
        found = self.values.get(value)
        try:
            if isinstance(found, Formula):
                found = recognise(found, self.builder, "")
            if isinstance(found, Result):
                self.builder.add("Output", "", found, name=name)
                self.outputs.append(found)
            elif value in self.values:
                self._report(f"output '{value}'", "is no result of a module")
        except Unmappable as error:
            self._report(f"output '{value}'", str(error))

    def _report(self, what: str, message: str) -> None:
        self.problems.append(Problem(what, message))

    # ------------------------------------------------------------------------------------------- comparing

    def judged(self, model: ModelProto, network: Network, weights: dict[str, Tensor]) -> str:
        """How far the network is from what onnxruntime computes, or why that is not known.

        Raises:
            DianneError: too far.
        """
        graph = network.build(0)
        load_weights(graph, weights, self.source)
        if self.opset < OLDEST_COMPARED:
            return f"not compared: onnxruntime takes no operators of version {self.opset}"
        places = ([entry.batch for entry, _ in self.inputs], [result.batch for result in self.outputs])
        module = _Laid(graph.eval(), *places)
        entries = [m.num_embeddings for m in graph.modules() if isinstance(m, nn.Embedding)]
        batches = [
            [self._sample_of(entry, info, size, min(entries, default=2)) for entry, info in self.inputs]
            for size in ([self.fixed] if self.fixed else [1, 5])
        ]
        try:
            found = compare(session(model.SerializeToString()), module, batches, self.source)
        except (JudgeError, UsageError) as error:
            return f"not compared: {error}"
        return f"differs by {found}"

    def _sample_of(self, entry: Result, info: ValueInfoProto, batch: int, entries: int) -> Tensor:
        """Random values for an input, in the order of dimensions that the model has."""
        if info.type.tensor_type.elem_type in _INTEGERS:
            return torch.randint(entries, entry.dims(batch))
        return torch.randn(entry.dims(batch))


class _Laid(nn.Module):
    """A network with the batch where a model has it."""

    def __init__(self, graph: nn.Module, inputs: list[int], outputs: list[int]):
        super().__init__()
        self.graph, self.inputs, self.outputs = graph, inputs, outputs

    def forward(self, *samples: Tensor) -> tuple[Tensor, ...]:
        """As the network, with dimensions moved."""
        result = self.graph(*(x.movedim(place, 0) for x, place in zip(samples, self.inputs, strict=True)))
        results = result if isinstance(result, tuple) else (result,)
        return tuple(y.movedim(0, place) for y, place in zip(results, self.outputs, strict=True))


def _needed(graph: Any) -> list[Any]:
    """The nodes that lead to an output, in their order."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    waiting = [end.name for end in graph.output]
    found: set[int] = set()
    while waiting:
        place = makers.get(waiting.pop())
        if place is not None and place not in found:
            found.add(place)
            waiting += graph.node[place].input
    return [graph.node[place] for place in sorted(found)]

"""A network with its parameters filled in: all shapes known, ready to be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic.alias_generators import to_camel
from torch import Tensor, nn

from dianne.document import parse
from dianne.errors import UsageError, suggest
from dianne.network.arguments import bind_arguments
from dianne.network.catalog import MODULES, infer, joins
from dianne.network.expressions import Scalar
from dianne.network.file import NetworkFile, Node, read_document
from dianne.network.graph import Graph, Shape
from dianne.seeds import derive

_BATCH = 2  # of the tensors without data that find the shapes


@dataclass(frozen=True)
class Row:
    """One line of a description: a module, what comes in and out, and its weights."""

    module: str
    type: str
    after: tuple[str, ...]
    shape: Shape
    weights: int


@dataclass
class Network:
    """A checked network.

    Attributes:
        file: what it was read from.
        parameters: the values in use, by name.
        shapes: of a sample behind each module, without the batch.
    """

    file: NetworkFile
    parameters: dict[str, Scalar]
    shapes: dict[str, Shape] = field(default_factory=dict)
    _modules: dict[str, nn.Module] = field(default_factory=dict)  # without data, on the meta device
    _arguments: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The network's name."""
        return self.file.name

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shapes of samples, by input."""
        return {node.name: self.shapes[node.name] for node in self.file.nodes if node.type == "Input"}

    @property
    def outputs(self) -> dict[str, Shape]:
        """Shapes of results, by output."""
        return {node.name: self.shapes[node.name] for node in self.file.nodes if node.type == "Output"}

    @property
    def labels(self) -> list[str] | None:
        """Names of the results' values, where an output has them."""
        return next((m.labels for key in self.outputs if (m := self._modules[key]).labels), None)  # type: ignore[return-value]

    def rows(self) -> list[Row]:
        """The modules in the order in which they run."""
        return [
            Row(
                node.name,
                node.type,
                tuple(node.after),
                self.shapes[node.name],
                _count(self._modules[node.name]),
            )
            for node in self.file.nodes
        ]

    def build(self, seed: int) -> Graph:
        """The network with fresh weights, each module's drawn from a stream of its own."""
        return self._graph({node.name: self._construct(node, seed) for node in self.file.nodes})

    def build_without_data(self) -> Graph:
        """The network on torch's meta device: shapes, but no values."""
        return self._graph(self._modules)

    def _graph(self, modules: dict[str, nn.Module]) -> Graph:
        after = {node.name: node.after for node in self.file.nodes}
        return Graph(self.name, modules, after, self.inputs, self.outputs)

    def _construct(self, node: Node, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "init", self.name, node.name))
            return MODULES.get(node.type)(**self._arguments[node.name])


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def resolve(file: NetworkFile, parameters: Mapping[str, Scalar] | None = None) -> Network:
    """Fill in parameters, check every module, and find all shapes.

    Args:
        file: as read; its defaults hold for what `parameters` leaves out.
        parameters: values by name.

    Raises:
        ConfigError: everything that is wrong with the file, with line and column.
    """
    network = Network(file, {**file.parameters, **(parameters or {})})
    kinds = [node.type for node in file.nodes]
    for kind in ("Input", "Output") if file.nodes else ():
        if kind not in kinds:
            file.document.report(("modules",), f"has no {kind}; a network needs at least one", of_key=True)
    for node in file.nodes:
        _resolve_node(network, node)
    file.document.close()
    return network


def restore(text: str, name: str, parameters: Mapping[str, Scalar], source: str) -> Network:
    """The network of a text that was stored with weights; raises as `resolve`."""
    return resolve(read_document(parse(text, source), name), parameters)


def _resolve_node(network: Network, node: Node) -> None:
    document = network.file.document
    if not node.type:
        return
    if node.type not in MODULES:
        hint = suggest(node.type, MODULES, "types")
        document.report((*node.path, "type"), f"{node.name}: unknown type '{node.type}'{hint}")
        return
    module = MODULES.get(node.type)
    wired = _check_wires(network, node, module)
    arguments = bind_arguments(network.file, node, module, network.parameters)
    if arguments is None or not wired or any(source not in network.shapes for source in node.after):
        return  # what is wrong was said here or further up
    shapes = [network.shapes[source] for source in node.after]
    try:
        _fill_in(network, node, module, arguments, shapes)
        with torch.device("meta"), torch.no_grad():
            built = module(**arguments)
            samples = [torch.empty(_BATCH, *shape) for shape in shapes or [arguments["shape"]]]
            result: Tensor = built(*samples)
    except (ValueError, RuntimeError, UsageError) as error:
        reason = str(error).split("\n")[0]
        document.report(node.path, f"{node.name} ({node.type}): {reason}", of_key=True)
        return
    network.shapes[node.name] = tuple(result.shape[1:])
    network._modules[node.name] = built
    network._arguments[node.name] = arguments


def _check_wires(network: Network, node: Node, module: type[nn.Module]) -> bool:
    document, count = network.file.document, len(node.after)
    if node.type == "Input":
        if count:
            document.report((*node.path, "after"), f"{node.name}: an Input takes no other module's result")
        return not count
    if "after" in document.data["modules"][node.name] and not count:
        return False  # its wires lead nowhere, which was said
    if not count:
        message = f"{node.name} ({node.type}): nothing comes in; write an Input above it, or 'after: ...'"
        document.report(node.path, message, of_key=True)
    elif count > 1 and not joins(module):
        message = (
            f"{node.name} ({node.type}): takes one result, found {count}; join them first, as with Concat"
        )
        document.report((*node.path, "after"), message)
        return False
    return bool(count)


def _fill_in(
    network: Network, node: Node, module: type[nn.Module], arguments: dict[str, Any], shapes: list[Shape]
) -> None:
    for name, size in infer(module, *shapes).items():
        given = arguments[name]
        if given is not None and given != size:
            source = " and ".join(f"'{source}'" for source in node.after)
            found = ", ".join(str(list(shape)) for shape in shapes)
            key = to_camel(name)
            network.file.document.report(
                (*node.path, key),
                f"{node.name} ({node.type}): {key}: {given} does not fit {source}, which gives {found}; "
                f"write {size} or leave it out",
            )
        arguments[name] = size

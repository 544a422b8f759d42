"""A network with its parameters filled in: all shapes known, ready to be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from dianne.document import Document
from dianne.errors import ConfigError, Problem
from dianne.network.expressions import Scalar
from dianne.network.file import NetworkFile, Node
from dianne.network.graph import Graph, Shape, Wires
from dianne.seeds import derive


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
        document: the file's document with all that is wrong.
        nodes: the modules, in the order in which they run.
        shapes: of a sample behind each module, or of a part of its result (`name.port`), without the batch.
        overrides: keys of modules set from outside, as `hidden1.output`.
        modules: without data, on torch's meta device.
        arguments: of each module's constructor.
        inner: the networks inside, by module.
        several: the modules whose result is a tuple.
        weights: the number of weights, shared ones once for each module that has them.
    """

    file: NetworkFile
    parameters: dict[str, Scalar]
    document: Document
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    classes: dict[str, type[nn.Module]] = field(default_factory=dict)
    inner: dict[str, Network] = field(default_factory=dict)
    several: set[str] = field(default_factory=set)
    weights: int = 0

    @property
    def name(self) -> str:
        """The network's name."""
        return self.file.name

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shapes of samples, by input."""
        return {node.name: self.shapes[node.name] for node in self.nodes if node.type == "Input"}

    @property
    def outputs(self) -> dict[str, Shape]:
        """Shapes of results, by output."""
        return {node.name: self.shapes[node.name] for node in self.nodes if node.type == "Output"}

    @property
    def labels(self) -> list[str] | None:
        """Names of the results' values, where an output has them."""
        found = (getattr(self.modules[key], "labels", None) for key in self.outputs)
        return next((labels for labels in found if labels), None)

    def texts(self) -> dict[str, str]:
        """The files of all networks inside, by name: what must be kept to build this one again."""
        found: dict[str, str] = {}
        waiting = list(self.inner.values())
        while waiting:
            network = waiting.pop()
            if network.name not in found:
                found[network.name] = network.file.document.text
                waiting += network.inner.values()
        return found

    def rows(self) -> list[Row]:
        """The modules in the order in which they run."""
        shared = {node.name: node.share for node in self.nodes if node.share}
        return [
            Row(
                node.name,
                node.type if node.name not in shared else f"{node.type} of {shared[node.name]}".strip(),
                node.after,
                self.shapes[node.name],
                0 if node.name in shared else self.weights_of(node.name),
            )
            for node in self.nodes
        ]

    def built(self, name: str) -> nn.Module:
        """One module without data."""
        return self.inner[name].build_without_data() if name in self.inner else self.modules[name]

    def weights_of(self, name: str) -> int:
        """The number of weights in one module."""
        if name in self.inner:
            return self.inner[name].weights
        return sum(weight.numel() for weight in self.modules[name].parameters())

    # ------------------------------------------------------------------------------------------- building

    def build(self, seed: int, inside: tuple[str, ...] = ()) -> Graph:
        """The network with fresh weights, each module's drawn from a stream of its own.

        Args:
            seed: of the job.
            inside: the names of the network and modules around it.
        """
        path = inside or (self.name,)
        modules = {node.name: self._construct(node, seed, path) for node in self.nodes}
        for node in self.nodes:
            if node.share:
                share_weights(modules[node.name], modules[node.share])
        return self.graph(modules)

    def build_without_data(self) -> Graph:
        """The network on torch's meta device: shapes, but no values."""
        inner = {name: network.build_without_data() for name, network in self.inner.items()}
        return self.graph({node.name: inner.get(node.name) or self.modules[node.name] for node in self.nodes})

    def graph(self, modules: Mapping[str, nn.Module]) -> Graph:
        """Connect modules as this network says."""
        wires = Wires(
            inputs=self.inputs,
            outputs=list(self.outputs),
            after={node.name: node.after for node in self.nodes if node.type != "Input"},
            several=frozenset(self.several),
            memories={n.name: self.arguments[n.name]["size"] for n in self.nodes if n.type == "Memory"},
        )
        return Graph(self.name, modules, wires)

    def _construct(self, node: Node, seed: int, path: tuple[str, ...]) -> nn.Module:
        if node.name in self.inner:
            return self.inner[node.name].build(seed, (*path, node.name))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, "init", *path, node.name))
            module = self.classes[node.name](**self.arguments[node.name])
        use_ports(module, self.nodes, node.name)
        return module

    # ---------------------------------------------------------------------------------------------- faults

    def close(self) -> None:
        """Raise all that is wrong with the file.

        Raises:
            ConfigError: there was at least one problem.
        """
        if self.document.problems:
            once = dict.fromkeys(self.document.problems)  # copies of a repeated module have the same faults
            raise ConfigError(self.document.source, sorted(once, key=self._place))

    def _place(self, problem: Problem) -> tuple[bool, int, int]:
        source, line, column = problem.where.rsplit(":", 2)
        return source != self.document.source, int(line), int(column)


def use_ports(module: nn.Module, nodes: list[Node], name: str) -> None:
    """Tell a module that parts of its result are taken, if it wants to know."""
    if hasattr(module, "use_ports") and any(
        ref.startswith(f"{name}.") for node in nodes for ref in node.after
    ):
        module.use_ports()  # type: ignore[operator]


def share_weights(module: nn.Module, other: nn.Module) -> list[str]:
    """Put another module's weights into a module, wherever names and shapes are the same.

    Returns:
        The names of the weights that are shared now.
    """
    shared = []
    theirs = {**dict(other.named_parameters()), **dict(other.named_buffers())}
    for name, own in [*module.named_parameters(), *module.named_buffers()]:
        if name in theirs and theirs[name].shape == own.shape:
            path, _, last = name.rpartition(".")
            owner = module.get_submodule(path)
            (owner._parameters if last in owner._parameters else owner._buffers)[last] = theirs[name]  # type: ignore[assignment]
            shared.append(name)
    return shared

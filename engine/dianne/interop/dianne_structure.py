"""A network of ours as DIANNE writes it: forks where a result goes several ways, blocks taken apart."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from pydantic.alias_generators import to_camel

from dianne.errors import ConfigError, Problem
from dianne.interop.dianne_built_ins import BUILT_INS
from dianne.interop.dianne_text import Module, Structure, hash_order
from dianne.interop.dianne_types import OURS, TYPES
from dianne.interop.nodes import nodes_of
from dianne.network.file import Node
from dianne.network.network import Network
from dianne.workspace import shipped

_NAMES = uuid.UUID("d1a77e00-0000-4000-8000-000000000001")
_BLOCKS = {found.type: name for name, found in BUILT_INS.items()}
Ref = tuple[str, str]
"""The result of a module, by its id, and the part of it that is meant."""


def written(network: Network, labels: list[str] | None) -> tuple[Structure, dict[str, list[str]]]:
    """A network for DIANNE, and for each module that has weights the names of its tensors.

    Args:
        network: with all shapes.
        labels: of the first output, if it has none of its own.

    Raises:
        ConfigError: all modules that DIANNE has no counterpart for, with their places.
    """
    writer = _Writer(network.name, labels)
    writer.network(network, "", [])
    if writer.problems:
        raise ConfigError(f"{network.name} cannot be written for DIANNE", writer.problems)
    modules = _Wiring(writer).modules()
    order = hash_order(modules)
    return Structure(network.name, "", tuple(modules[id_] for id_ in order)), writer.vectors


@dataclass
class _Part:
    """A module before it is wired."""

    type: str
    properties: dict[str, str]
    inputs: list[Ref] = field(default_factory=list)
    parts: int = 0  # of a Split


class _Writer:
    def __init__(self, name: str, labels: list[str] | None):
        self.name, self.labels = name, labels
        self.parts: dict[str, _Part] = {}
        self.vectors: dict[str, list[str]] = {}
        self.problems: list[Problem] = []

    def add(self, name: str, type_: str, properties: Mapping[str, str], inputs: list[Ref]) -> str:
        """Write a module down; its name is the end of its address in the network."""
        id_ = str(uuid.uuid5(_NAMES, f"{self.name}/{name}"))
        kind = TYPES.get(type_)
        trainable = {"trainable": "true"} if not kind or kind.weights else {}
        category = kind.category if kind else "Composite"
        self.parts[id_] = _Part(
            type_, {"name": name, "category": category, **trainable, **properties}, inputs
        )
        return id_

    def network(self, network: Network, prefix: str, incoming: list[Ref]) -> dict[str, Ref]:
        """Write all modules of a network; gives the results of its outputs."""
        refs: dict[str, Ref] = {}
        outputs: dict[str, Ref] = {}
        waiting = list(incoming)
        late: list[tuple[str, Node]] = []
        for node in nodes_of(network):
            name = f"{prefix}{node.name}"
            sources = [] if node.type == "Memory" else [refs[ref] for ref in node.after]
            if prefix and node.type == "Input":
                refs[node.name] = waiting.pop(0)
            elif prefix and node.type == "Output":
                outputs[node.name] = refs[node.name] = sources[0]
            elif node.name in network.inner:
                self._inside(network, node, name, sources, refs)
            else:
                id_ = self._module(network, node, name, sources)
                refs |= _results(network, node, id_)
                if node.type == "Memory":
                    late.append((id_, node))
        for id_, node in late:
            self.parts[id_].inputs = [refs[node.after[0]]]
        return outputs

    def _inside(
        self, network: Network, node: Node, name: str, sources: list[Ref], refs: dict[str, Ref]
    ) -> None:
        inner = network.inner[node.name]
        block = _block(inner, network, node)
        if block:
            type_, properties = block
            id_ = self.add(name, type_, properties, sources)
            refs[node.name] = (id_, "")
            found = BUILT_INS[type_]
            here = {n.partition(".")[0] for n in inner.build_without_data().state_dict()}
            state = inner.build_without_data().state_dict()
            tensors = {
                part: [key for key in state if key.startswith(f"{part}.")]
                for part in found.weights
                if part.partition(".")[0] in here
            }
            self.vectors[id_] = [f"{name}.{key}" for part in found.weights for key in tensors.get(part, [])]
            return
        outputs = self.network(inner, f"{name}.", sources)
        refs[node.name] = next(iter(outputs.values()))
        for place, (key, ref) in enumerate(outputs.items()):
            refs[f"{node.name}.{key}"] = refs[f"{node.name}.{place}"] = ref

    def _module(self, network: Network, node: Node, name: str, sources: list[Ref]) -> str:
        type_ = OURS.get(node.type, "")
        place = network.document.where(node.path, of_key=True)
        fault = _fault(network, node) if type_ else "DIANNE has no such type"
        if fault:
            self.problems.append(Problem(place, f"{node.name} ({node.type}): {fault}"))
        properties = {} if fault else _properties(network, node)
        shape = network.shapes[node.after[0]] if node.after and node.type != "Memory" else ()
        if node.type == "Linear" and len(shape) in (
            2,
            4,
        ):  # DIANNE would take the first dimension for a batch
            sources = [self._reshaped(f"{name}.flat", (prod(shape),), sources)]
        along_time = node.type == "AvgPooling" and len(shape) == 2 and not fault
        if along_time:  # DIANNE pools over the last dimension there, so an image of one plane it is
            sources = [self._reshaped(f"{name}.image", (1, *shape), sources)]
            swapped = {
                "width": "1",
                "height": properties["width"],
                "strideX": "1",
                "strideY": properties["strideX"],
            }
            properties = swapped
        if node.type == "Output":
            properties = self._labelled(network, node, place)
        id_ = self.add(name, type_, properties, sources)
        kind = TYPES.get(type_)
        if kind and kind.weights:
            self.vectors[id_] = [f"{name}.{weight}" for weight in kind.weights]
        if node.type == "Split":
            self.parts[id_].parts = len(network.modules[node.name](*_samples(network, node)))
        return (
            self._reshaped(f"{name}.time", network.shapes[node.name], [(id_, "")])[0] if along_time else id_
        )

    def _reshaped(self, name: str, shape: tuple[int, ...], sources: list[Ref]) -> Ref:
        return self.add(name, "Reshape", {f"dim{i}": str(n) for i, n in enumerate(shape)}, sources), ""

    def _labelled(self, network: Network, node: Node, place: str) -> dict[str, str]:
        own = network.arguments[node.name]["labels"]
        labels, self.labels = own or self.labels, None
        odd = [label for label in labels or [] if set(label) & set("[]") or ", " in label]
        if own and odd:
            self.problems.append(Problem(place, f"{node.name}: DIANNE cannot have the label '{odd[0]}'"))
        return {"labels": f"[{', '.join(labels)}]"} if labels and not odd else {}


def _samples(network: Network, node: Node) -> list[Any]:
    import torch

    return [torch.empty(2, *network.shapes[ref], device="meta") for ref in node.after]


def _results(network: Network, node: Node, id_: str) -> dict[str, Ref]:
    """What others can take of a module, by how they call it."""
    found = {node.name: (id_, "")}
    for ref in network.shapes:
        base, _, port = ref.partition(".")
        if base == node.name and port:
            number = {"values": "", "0": ""} if node.type == "MaxPooling" else {}
            found[ref] = (
                id_,
                "indices" if (node.type, port) == ("MaxPooling", "1") else number.get(port, port),
            )
    if node.type == "Split":
        found[node.name] = (id_, "0")
    return found


def _block(inner: Network, network: Network, node: Node) -> tuple[str, dict[str, str]] | None:
    """The composite of DIANNE that is the same as a network inside, and its properties; else None."""
    type_ = _BLOCKS.get(inner.name)
    texts = {inner.name: inner.file.document.text, **inner.texts()}
    ours = shipped("networks") / "blocks"
    if not type_ or not all((ours / f"{name}.yaml").is_file() for name in texts):
        return None
    if any((ours / f"{name}.yaml").read_text(encoding="utf-8") != text for name, text in texts.items()):
        return None
    values = dict(inner.parameters)
    if type_ in ("LSTM", "GRU"):
        values["input"] = prod(network.shapes[node.after[0]])
    if type_ == "ConvLayer":
        activation = OURS.get(str(values["activation"]))
        if activation is None:
            return None
        values |= {"activation": activation, "noInputPlanes": inner.arguments["conv"]["no_input_planes"]}
    return type_, {key: "" if value == 0 else str(value) for key, value in values.items()}


def _fault(network: Network, node: Node) -> str:
    """Why DIANNE cannot do what a module does, though it has its type."""
    module: Any = network.modules[node.name]
    axes, pad = getattr(module, "axes", 2), getattr(module, "pad", ())
    if node.type in ("FullConvolution", "MaxUnpooling") and axes == 1:
        return "DIANNE has it in two and three dimensions only"
    if node.type in ("Convolution", "MaxPooling", "AvgPooling") and axes == 1 and any(pad):
        return "DIANNE pads nothing in one dimension"
    if node.type == "AvgPooling" and axes == 3 and any(pad):
        return "DIANNE pads no means in three dimensions"
    return ""


def _properties(network: Network, node: Node) -> dict[str, str]:
    """The properties of a module; sizes that depend on what comes in are written out."""
    given = network.arguments[node.name]
    module: Any = network.modules[node.name]
    if node.type == "Input":
        return {"shape": ",".join(map(str, network.shapes[node.name]))}  # DIANNE keeps and ignores it
    if node.type == "Output":
        return {}
    if node.type == "Reshape":
        return {f"dim{place}": str(extent) for place, extent in enumerate(module.shape)}
    if node.type == "Split":
        return {
            "dim": str(given["dim"]),
            **({"split": ",".join(map(str, module.ends))} if module.ends else {}),
        }
    values = {to_camel(key): value for key, value in given.items() if value is not None}
    if node.type.endswith("Pooling") and node.type != "MaskedMaxPooling":
        values |= _window(network, node, module)
    if node.type.endswith("Convolution"):
        del values["pad"]
        values |= dict(zip(("padX", "padY", "padZ"), reversed(module.pad), strict=False))
    return {key: _text(value) for key, value in values.items() if value != ""}


def _window(network: Network, node: Node, module: Any) -> dict[str, int]:
    shape = network.shapes[node.after[0]]
    size, stride = module.sizes(shape[:1] if module.axes == 1 else shape[1:])
    return {
        **dict(zip(("width", "height", "depth"), reversed(size), strict=False)),
        **dict(zip(("strideX", "strideY", "strideZ"), reversed(stride), strict=False)),
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Wiring:
    """Gives every result one way, or several where a module can send it so."""

    def __init__(self, writer: _Writer):
        self.writer = writer
        self.next: dict[str, list[str]] = defaultdict(list)
        self.prev: dict[str, list[str]] = {}

    def modules(self) -> dict[str, Module]:
        """All modules by id, with their neighbours."""
        uses: dict[Ref, list[tuple[str, int]]] = defaultdict(list)
        for id_, part in self.writer.parts.items():
            self.prev[id_] = [""] * len(part.inputs)
            for slot, ref in enumerate(part.inputs):
                uses[ref].append((id_, slot))
        for id_, part in list(self.writer.parts.items()):
            self._send(id_, part, {port: users for (source, port), users in uses.items() if source == id_})
        return {
            id_: Module(id_, part.type, tuple(self.next[id_]), tuple(self.prev[id_]), part.properties)
            for id_, part in self.writer.parts.items()
        }

    def _send(self, id_: str, part: _Part, users: dict[str, list[tuple[str, int]]]) -> None:
        whole = users.get("", [])
        if part.type == "Duplicate":
            for user in whole:
                self._attach(id_, [user])
        elif part.type == "Split":
            for place in range(part.parts):
                self._attach(id_, users.get(str(place), []))
        elif part.type == "MaxPooling" and "indices" in users:
            self._attach(id_, whole)
            self._attach(id_, users["indices"])
        elif part.type == "Multivariate Gaussian" and users.keys() - {""}:
            halves = [users.get("mean", users.get("0", [])), users.get("stdev", users.get("1", []))]
            if whole:
                name = f"{part.properties['name']}.halves"
                split = self.writer.add(name, "Split", {"dim": "0"}, [])
                self.prev[split] = [""]
                self._attach(id_, [*whole, (split, 0)])
                id_ = split
            for half in halves:
                self._attach(id_, half)
        elif whole:
            self._attach(id_, whole)

    def _attach(self, source: str, users: list[tuple[str, int]]) -> None:
        """Let one result go to its users: to one directly, through a Duplicate to several or none."""
        if len(users) == 1 and users[0][0] not in self.next[source]:
            id_, slot = users[0]
            self.next[source].append(id_)
            self.prev[id_][slot] = source
            return
        name = f"{self.writer.parts[source].properties['name']}.fork{len(self.next[source])}"
        fork = self.writer.add(name, "Duplicate", {}, [])
        self.next[source].append(fork)
        self.prev[fork] = [source]
        for user in users:
            self._attach(fork, [user])

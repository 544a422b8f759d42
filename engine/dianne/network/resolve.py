"""Checking a network: parameters, types, arguments, wires and shapes, through everything it contains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from pydantic.alias_generators import to_camel
from torch import nn

from dianne.document import Document
from dianne.errors import ConfigError, DianneError, Problem, UsageError, suggest
from dianne.network.arguments import bind_arguments, bind_parameters
from dianne.network.catalog import infer, joins, pick, port_names
from dianne.network.expressions import ExpressionError, Scalar, substitute
from dianne.network.file import NetworkFile, Node
from dianne.network.graph import Shape
from dianne.network.library import Library
from dianne.network.network import Network, use_ports
from dianne.network.wiring import count_modules, expand, ordered
from dianne.plugins import user_code

MAX_MODULES = 20_000
_BATCH = 2  # of the tensors without data that find the shapes


def resolve(
    file: NetworkFile,
    parameters: Mapping[str, Scalar] | None = None,
    library: Library | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Network:
    """Fill in parameters, check every module, and find all shapes.

    Args:
        file: as read; its defaults hold for what `parameters` leaves out.
        parameters: values by name.
        library: where types are found beside the catalog.
        overrides: keys of modules that count in place of the file's, such as {"hidden1.output": 10}.

    Raises:
        ConfigError: everything that is wrong with the file and those it uses, with line and column.
    """
    library = library or Library()
    values = {**file.parameters, **(parameters or {})}
    count = count_modules(file, values, library)
    if count > MAX_MODULES:
        message = f"holds {count:,} modules; at most {MAX_MODULES:,} are possible"
        place = file.document.where(("modules",), of_key=True)
        raise ConfigError(file.document.source, [Problem(place, message)])
    network = _Resolver(library).network(file, dict(parameters or {}), None, (), overrides)
    network.close()
    return network


def restore(
    text: str,
    name: str,
    parameters: Mapping[str, Scalar],
    texts: Mapping[str, str],
    overrides: Mapping[str, Any],
) -> Network:
    """The network of a text that was stored with weights; raises as `resolve`."""
    library = Library(texts={**texts, name: text})
    file = library.file(name)
    assert file is not None
    return resolve(file, parameters, library, overrides)


class _Resolver:
    def __init__(self, library: Library):
        self.library = library
        self.known: dict[str, Network] = {}  # networks inside, by file, parameters and shapes

    def network(
        self,
        file: NetworkFile,
        parameters: dict[str, Scalar],
        shapes: Sequence[Shape] | None,
        inside: tuple[str, ...],
        overrides: Mapping[str, Any] | None = None,
    ) -> Network:
        """Resolve one file; `shapes` are those of what comes in, for a network inside another."""
        document = replace(file.document, problems=list(file.document.problems))
        values = {**file.parameters, **parameters}
        network = Network(file, values, document, overrides=dict(overrides or {}))
        for key in [key for key, value in values.items() if value is None]:
            document.report(
                ("parameters", key), f"parameter '{key}' has no value; give {key}=...", of_key=True
            )
        kinds = [node.type for node in file.nodes]
        for kind in ("Input", "Output") if file.nodes else ():
            if kind not in kinds:
                message = f"has no {kind}; a network needs at least one"
                document.report(("modules",), message, of_key=True)
        if document.problems and not file.nodes:
            return network
        network.nodes = ordered(expand(file.nodes, values, document), document)
        incoming = list(shapes) if shapes is not None else None
        if incoming is not None and len(incoming) != kinds.count("Input"):
            raise UsageError(f"takes {kinds.count('Input')} results, found {len(incoming)}")
        for node in network.nodes:
            given = incoming.pop(0) if incoming and node.type == "Input" else None
            self._node(network, node, given, (*inside, file.name))
        self._memories(network)
        known = [node.name for node in network.nodes if node.name in network.shapes and not node.share]
        network.weights = sum(network.weights_of(name) for name in known)
        return network

    # --------------------------------------------------------------------------------------------- modules

    def _node(self, network: Network, node: Node, given: Shape | None, inside: tuple[str, ...]) -> None:
        document = network.document
        if node.share and not node.type:
            original = next((n for n in network.nodes if n.name == node.share), node)
            node = replace(node, type=original.type, arguments={**original.arguments, **node.arguments})
            network.nodes[[n.name for n in network.nodes].index(node.name)] = node
        if not node.type:
            return
        try:
            if "$" in node.type:
                node = replace(node, type=str(substitute(node.type, network.parameters)))
            kind = self.library.find(node.type)
        except ConfigError as error:  # a network file that cannot even be read
            place = document.where(node.path, of_key=True)
            document.problems += [
                Problem(problem.where, f"{problem.message} (inside {node.name}, {place})")
                for problem in error.problems
            ]
            return
        except (DianneError, ExpressionError) as error:
            document.report((*node.path, "type"), f"{node.origin}: {error}")
            return
        wired = _check_wires(network, node, kind)
        if isinstance(kind, NetworkFile):
            arguments = bind_parameters(network, node, kind)
        else:
            arguments = bind_arguments(network, node, kind)
        shapes = [network.shapes.get(ref) for ref in node.after if node.type != "Memory"]
        if arguments is None or not wired or None in shapes:
            return  # what is wrong was said here or further up
        if given is not None:
            arguments["shape"] = _entrance(document, node, arguments["shape"], given)
        known = [shape for shape in shapes if shape is not None]
        guard = user_code("making it") if ":" in node.type else nullcontext()
        try:
            with guard:
                if isinstance(kind, NetworkFile):
                    found = self._inside(network, node, kind, arguments, known, inside)
                    _take(network, node, found.outputs)
                else:
                    network.modules[node.name] = _construct(network, node, kind, arguments, known)
                    _run(network, node, known)
        except _SaidInsideError:
            return
        except (
            ValueError,
            TypeError,
            RuntimeError,
            AssertionError,
            IndexError,
            OverflowError,
            DianneError,
        ) as error:
            reason = str(error).strip().split("\n")[0]
            if "overflow" in reason.lower() or isinstance(error, OverflowError):
                reason = "its sizes are beyond what a computer holds"
            document.report(node.path, f"{node.name} ({node.type}): {reason}", of_key=True)

    def _inside(
        self,
        network: Network,
        node: Node,
        file: NetworkFile,
        parameters: dict[str, Any],
        shapes: list[Shape],
        inside: tuple[str, ...],
    ) -> Network:
        if file.name in inside:
            raise UsageError(f"contains itself: {' -> '.join([*inside, file.name])}")
        key = repr((file.name, sorted(parameters.items()), shapes))
        if key not in self.known:
            self.known[key] = self.network(file, parameters, shapes, inside)
        found = self.known[key]
        place = network.document.where(node.path, of_key=True)
        network.document.problems += [
            Problem(problem.where, f"{problem.message} (inside {node.name}, {place})")
            for problem in found.document.problems
        ]
        if found.document.problems:
            raise _SaidInsideError
        network.inner[node.name] = found
        return found

    def _memories(self, network: Network) -> None:
        """What comes into a memory is known last; and weights can be shared once all modules are there."""
        for node in network.nodes:
            document = network.document
            if node.type == "Memory" and node.after and node.name in network.shapes:
                found, size = network.shapes.get(node.after[0]), network.shapes[node.name]
                if found is not None and found != size:
                    message = (
                        f"{node.name} (Memory): holds {list(size)}, but '{node.after[0]}' gives {list(found)}"
                    )
                    document.report(node.path, message, of_key=True)
            if node.share and node.share in network.shapes and node.name in network.shapes:
                own, other = (network.built(name) for name in (node.name, node.share))
                theirs = dict(other.named_parameters())
                fits = {n: w.shape == theirs[n].shape for n, w in own.named_parameters() if n in theirs}
                if any(True for _ in own.parameters()) and not (fits and all(fits.values())):
                    message = f"{node.name}: has no weight of the same name and shape as '{node.share}'"
                    document.report((*node.path, "share"), message)


class _SaidInsideError(UsageError):
    """What is wrong was noted with its own place."""


def _check_wires(network: Network, node: Node, kind: type[nn.Module] | NetworkFile) -> bool:
    document, count = network.document, len(node.after)
    written = document.data["modules"][node.origin]
    if node.type == "Input":
        if count:
            document.report((*node.path, "after"), f"{node.name}: an Input takes no other module's result")
        return not count
    if isinstance(written, dict) and "after" in written and not count:
        return False  # its wires lead nowhere, which was said
    if not count:
        message = f"{node.name} ({node.type}): nothing comes in; write an Input above it, or 'after: ...'"
        document.report(node.path, message, of_key=True)
    elif count > 1 and not isinstance(kind, NetworkFile) and not joins(kind):
        message = (
            f"{node.name} ({node.type}): takes one result, found {count}; join them first, as with Concat"
        )
        document.report((*node.path, "after"), message)
        return False
    return bool(count)


def _run(network: Network, node: Node, shapes: list[Shape]) -> None:
    """Run a module without data, and note the shapes of its result and of the parts that others take."""
    module = network.modules[node.name]
    use_ports(module, network.nodes, node.name)
    samples = [torch.empty(_BATCH, *shape, device="meta") for shape in shapes]
    if node.type == "Input":
        samples = [torch.empty(_BATCH, *network.arguments[node.name]["shape"], device="meta")]
    if node.type == "Memory":
        samples = [torch.empty(_BATCH, network.arguments[node.name]["size"], device="meta")]
    with torch.no_grad():
        result: Any = module(*samples)
    if isinstance(result, tuple):
        network.several.add(node.name)
    network.shapes[node.name] = tuple(pick(module, result, "").shape[1:])
    names = port_names(module, result)
    for port in _ports(network, node, names):
        network.shapes[f"{node.name}.{port}"] = tuple(pick(module, result, port).shape[1:])


def _take(network: Network, node: Node, outputs: Mapping[str, Shape]) -> None:
    """Note the shapes of what a network inside another gives."""
    shapes = list(outputs.values())
    network.shapes[node.name] = shapes[0]
    if len(shapes) == 1:
        _ports(network, node, [])
        return
    network.several.add(node.name)
    names = [*outputs, *(str(index) for index in range(len(shapes)))]
    for port in _ports(network, node, names):
        network.shapes[f"{node.name}.{port}"] = outputs[port] if port in outputs else shapes[int(port)]


def _ports(network: Network, node: Node, names: list[str]) -> set[str]:
    """The parts of a result that others take; a part that there is not is noted."""
    taken = set()
    for other in network.nodes:
        for ref in other.after:
            base, _, port = ref.partition(".")
            if base != node.name or not port:
                continue
            if port in names:
                taken.add(port)
                continue
            hint = suggest(port, names, "results") if names else "; it has one result"
            message = f"{other.name}: '{node.name}' has no result '{port}'{hint}"
            network.document.report((*other.path, "after"), message)
    return taken


def _entrance(document: Document, node: Node, written: list[int] | None, given: Shape) -> list[int]:
    if written is not None and tuple(written) != given:
        message = f"{node.name} (Input): takes {written}, but {list(given)} comes in"
        document.report((*node.path, "shape"), message)
    return list(given)


def _construct(
    network: Network,
    node: Node,
    kind: type[nn.Module],
    arguments: dict[str, Any],
    shapes: list[Shape],
) -> nn.Module:
    if node.type == "Input" and arguments["shape"] is None:
        raise ValueError("has no 'shape'; write the shape of one sample, such as [1, 28, 28]")
    for name, size in infer(kind, *shapes).items():
        given = arguments[name]
        if given is not None and given != size:
            source = " and ".join(f"'{ref}'" for ref in node.after)
            found = ", ".join(str(list(shape)) for shape in shapes)
            key = to_camel(name)
            network.document.report(
                (*node.path, key),
                f"{node.name} ({node.type}): {key}: {given} does not fit {source}, which gives {found}; "
                f"write {size} or leave it out",
            )
        arguments[name] = size
    network.arguments[node.name] = arguments
    network.classes[node.name] = kind
    with torch.device("meta"):
        return kind(**arguments)

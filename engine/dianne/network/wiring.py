"""From the modules that a file lists to the modules that run: copies of repeated ones, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from dianne.document import Document
from dianne.network.expressions import ExpressionError, Scalar, substitute
from dianne.network.file import NetworkFile, Node
from dianne.options import shown

if TYPE_CHECKING:
    from dianne.network.library import Library

MAX_REPEAT = 1000


def expand(nodes: list[Node], parameters: dict[str, Scalar], document: Document) -> list[Node]:
    """Each module with `repeat: n` as n modules in a row, `name1` to `nameN`; `name` then means the last."""
    last = {node.name: f"{node.name}{n}" for node in nodes if (n := _count(node, parameters, document))}
    names = {node.name for node in nodes}
    expanded: list[Node] = []
    for node in nodes:
        after = tuple(_renamed(ref, last) for ref in node.after)
        share = _renamed(node.share, last) if node.share else None
        if node.name not in last:
            expanded.append(replace(node, after=after, share=share))
            continue
        count = int(last[node.name].removeprefix(node.name))
        for index in range(1, count + 1):
            name = f"{node.name}{index}"
            if name in names:
                document.report(node.path, f"{node.name}: its copy '{name}' has the name of another module")
                return []
            expanded.append(replace(node, name=name, after=after, share=share))
            after = (name,)
    return _existing(expanded, document)


def _count(node: Node, parameters: dict[str, Scalar], document: Document) -> int:
    """How many copies; 0 for a module without `repeat`."""
    if node.repeat is None:
        return 0
    try:
        count = substitute(node.repeat, parameters)
    except ExpressionError as error:
        document.report((*node.path, "repeat"), f"{node.name}: repeat: {error}")
        return 0
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_REPEAT:
        document.report(
            (*node.path, "repeat"), f"{node.name}: repeat: expected 1 to {MAX_REPEAT}, found {shown(count)}"
        )
        return 0
    return count


def _renamed(ref: str, last: dict[str, str]) -> str:
    base, dot, port = ref.partition(".")
    return last.get(base, base) + dot + port


def _existing(nodes: list[Node], document: Document) -> list[Node]:
    """The nodes without references to copies that there are not, such as `block9` of five."""
    names = {node.name for node in nodes}
    kept = []
    for node in nodes:
        for source in [*node.sources, *([node.share] if node.share else [])]:
            if source not in names:
                document.report(node.path, f"{node.name}: there is no '{source}'; it has fewer copies")
        kept.append(replace(node, after=tuple(ref for ref in node.after if ref.split(".")[0] in names)))
    return kept


def ordered(nodes: list[Node], document: Document) -> list[Node]:
    """The nodes so that each stands behind what it takes; the written order wherever that allows.

    A Memory gives what came in a step before, so it waits for nothing; a circle without one is a fault.
    """
    waits = {node.name: set() if node.type == "Memory" else set(node.sources) for node in nodes}
    done: dict[str, Node] = {}
    waiting = list(nodes)
    while waiting:
        blocked = []
        for node in waiting:
            if waits[node.name] <= done.keys():
                done[node.name] = node
            else:
                blocked.append(node)
        if len(blocked) == len(waiting):
            cycle = _cycle(waiting, waits)
            first = next(node for node in waiting if node.name == cycle[0])
            message = f"{first.name}: goes in a circle without a Memory: {' -> '.join(cycle)}"
            document.report(first.path, message, of_key=True)
            return [*done.values(), *waiting]  # their types and keys can be checked all the same
        waiting = blocked
    return list(done.values())


def _cycle(waiting: list[Node], waits: dict[str, set[str]]) -> list[str]:
    """The names around one circle, in the direction of the data, the first repeated at the end."""
    names = {node.name for node in waiting}
    path = [waiting[0].name]
    while path[-1] not in path[:-1]:
        path.append(min(waits[path[-1]] & names))
    return path[path.index(path[-1]) :][::-1]


def count_modules(file: NetworkFile, parameters: Mapping[str, Scalar], library: Library) -> int:
    """How many modules a network holds, those inside others included; computed without building any."""
    return _Counter(library).count(file, dict(parameters), ())


class _Counter:
    def __init__(self, library: Library):
        self.library = library
        self.known: dict[str, int] = {}

    def count(self, file: NetworkFile, parameters: dict[str, Scalar], inside: tuple[str, ...]) -> int:
        key = repr((file.name, sorted(parameters.items(), key=str)))
        if key not in self.known and file.name not in inside:
            inside = (*inside, file.name)
            self.known[key] = sum(self._of_node(node, parameters, inside) for node in file.nodes)
        return self.known.get(key, 0)

    def _of_node(self, node: Node, parameters: dict[str, Scalar], inside: tuple[str, ...]) -> int:
        scrap = Document("", "")
        copies = _count(node, parameters, scrap) or 1
        inner = self.library.networks_by_name(node.type)
        if inner is None:
            return copies
        given = {}
        for key, value in node.arguments.items():
            with suppress(ExpressionError):
                given[key] = substitute(value, parameters)
        return copies * (1 + self.count(inner, {**inner.parameters, **given}, inside))

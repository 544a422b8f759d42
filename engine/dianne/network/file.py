"""A network file as it is written: its keys, its parameters, its modules and the wires between them.

Nothing here needs torch, so that listing networks costs nothing. What is wrong is noted in the document,
with line and column; `Network` adds what only shapes can tell, and then all of it is raised at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from dianne.document import Document, load
from dianne.errors import suggest
from dianne.options import Options

KEYS = ("name", "description", "parameters", "modules")
WIRING = ("type", "after")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass
class Node:
    """One module of a file: `arguments` as written, `after` the modules whose results it takes."""

    name: str
    type: str
    arguments: dict[str, Any]
    after: list[str]

    @property
    def path(self) -> tuple[str, str]:
        """Where it stands in the document."""
        return ("modules", self.name)


@dataclass
class NetworkFile:
    """What a file declares.

    Attributes:
        document: text and places.
        name: of the network; the file's own name unless it says otherwise.
        description: free text.
        parameters: defaults by name: numbers, texts, booleans.
        nodes: in an order in which each comes after what it takes, as far as there is one.
    """

    document: Document
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def options(self) -> type[BaseModel]:
        """An options class with a field for each parameter, of the kind of its default."""
        fields: dict[str, Any] = {}
        for key, default in self.parameters.items():
            fields[key] = (type(default) if default is not None else Any, default)
        return create_model(f"{self.name}Parameters", __base__=_Parameters, **fields)


class _Parameters(Options):
    model_config = ConfigDict(alias_generator=None, protected_namespaces=())


def read(path: Path) -> NetworkFile:
    """The network that a file declares; its problems are noted, not raised.

    Raises:
        ConfigError: the file cannot be read at all, or is no YAML.
    """
    return read_document(load(path), path.stem)


def read_document(document: Document, name: str) -> NetworkFile:
    """As `read`, for text that did not come from a file of the workspace."""
    data = document.data
    for key in data:
        if key not in KEYS:
            document.report((key,), f"unknown key '{key}'{suggest(key, KEYS, 'keys')}", of_key=True)
    given = data.get("name", name)
    if given != name:
        document.report(("name",), f"the network is called '{given}', but its file '{name}'; make them equal")
    file = NetworkFile(document, name, _text(document, "description"))
    file.parameters = _parameters(document)
    if "modules" not in data:
        document.report((), "has no 'modules'; write at least an Input and an Output")
        return file
    file.nodes = _ordered(_nodes(document), document)
    return file


def _text(document: Document, key: str) -> str:
    value = document.data.get(key, "")
    if not isinstance(value, str):
        document.report((key,), f"expected text, found {value}")
        return ""
    return value


def _parameters(document: Document) -> dict[str, Any]:
    given = document.data.get("parameters") or {}
    if not isinstance(given, dict):
        document.report(("parameters",), "expected names and defaults, such as {latentDims: 2}")
        return {}
    kept = {}
    for key, value in given.items():
        if isinstance(value, dict | list):
            document.report(("parameters", key), f"parameter '{key}': expected a number or a text")
        elif not key.isidentifier() or hasattr(BaseModel, key):
            document.report(("parameters", key), f"'{key}' cannot be the name of a parameter", of_key=True)
        else:
            kept[key] = value
    return kept


def _nodes(document: Document) -> list[Node]:
    modules = document.data["modules"]
    if not isinstance(modules, dict) or not modules:
        document.report(("modules",), "expected modules by name, such as {image: {type: Input, ...}}")
        return []
    nodes: list[Node] = []
    for name, entry in modules.items():
        path = ("modules", name)
        if not NAME.fullmatch(name):
            document.report(path, f"'{name}' cannot name a module: use letters, digits, _ and -", of_key=True)
        if not isinstance(entry, dict):
            document.report(path, f"{name}: expected {{type: ...}}, found {_shown(entry)}")
            entry = {}
        elif not isinstance(entry.get("type"), str):
            document.report(path, f"{name}: has no 'type'; write {{type: Linear, ...}}", of_key=True)
        arguments = {key: value for key, value in entry.items() if key not in WIRING}
        kind = entry.get("type")
        previous = [nodes[-1].name] if nodes and kind != "Input" else []
        after = _after(document, name, entry, modules, previous)
        nodes.append(Node(name, kind if isinstance(kind, str) else "", arguments, after))
    return nodes


def _after(
    document: Document, name: str, entry: dict[str, Any], modules: dict[str, Any], previous: list[str]
) -> list[str]:
    if "after" not in entry:
        return previous
    given = entry["after"]
    sources = given if isinstance(given, list) else [given]
    kept = []
    for index, source in enumerate(sources):
        path = ("modules", name, "after", index) if isinstance(given, list) else ("modules", name, "after")
        if not isinstance(source, str) or source not in modules:
            others = [other for other in modules if other != name]
            hint = suggest(str(source), others, "modules")
            document.report(path, f"{name}: follows '{source}', which is not there{hint}")
        else:
            kept.append(source)
    return kept


def _ordered(nodes: list[Node], document: Document) -> list[Node]:
    """The nodes so that each stands behind what it takes; the written order wherever that allows."""
    waiting = list(nodes)
    done: dict[str, Node] = {}
    while waiting:
        ready = next((node for node in waiting if all(source in done for source in node.after)), None)
        if ready is None:
            cycle = _cycle(waiting)
            document.report(("modules", cycle[0]), f"a circle: {' -> '.join(cycle)}", of_key=True)
            return []
        waiting.remove(ready)
        done[ready.name] = ready
    return list(done.values())


def _cycle(waiting: list[Node]) -> list[str]:
    """The names around one circle, in the direction of the data, the first repeated at the end."""
    source = {node.name: next(s for s in node.after if any(s == w.name for w in waiting)) for node in waiting}
    path = [waiting[0].name]
    while path[-1] not in path[:-1]:
        path.append(source[path[-1]])
    return path[path.index(path[-1]) :][::-1]


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"'{value}'"

"""A network file as it is written: its keys, its parameters, its modules and the wires between them.

Nothing here needs torch, so that listing networks costs nothing. What is wrong is noted in the document,
with line and column; `Network` adds what only shapes can tell, and then all of it is raised at once.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model

from dianne.document import Document, load, read_scalar
from dianne.errors import suggest
from dianne.options import Options

KEYS = ("name", "description", "parameters", "modules")
WIRED = {kind.lower(): kind for kind in ("Input", "Output", "Memory")}  # types that wires depend on
WIRING = ("type", "after", "share", "repeat")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
PARAMETER = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)


@dataclass(frozen=True)
class Node:
    """One module of a file.

    Attributes:
        name: unique in the network.
        type: "" if the file gives none.
        arguments: as written.
        after: the results it takes: a module's name, or `name.port` for one of several results.
        share: the module whose weights it uses.
        repeat: how often it stands in a row, as written; None for once.
        origin: the key under which it is written; differs from the name for a repeated module.
    """

    name: str
    type: str
    arguments: dict[str, Any]
    after: tuple[str, ...]
    share: str | None = None
    repeat: Any = None
    origin: str = ""

    @property
    def path(self) -> tuple[str, str]:
        """Where it stands in the document."""
        return ("modules", self.origin)

    @property
    def sources(self) -> list[str]:
        """The names of the modules that it follows."""
        return [ref.split(".")[0] for ref in self.after]


@dataclass
class NetworkFile:
    """What a file declares.

    Attributes:
        document: text and places.
        name: of the network; the file's own name unless it says otherwise.
        description: free text.
        parameters: defaults by name: numbers, texts, booleans; None for one that must be given.
        nodes: as written, from top to bottom.
    """

    document: Document
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def options(self) -> type[BaseModel]:
        """An options class with a field for each parameter, of the kind of its default; required without."""
        fields: dict[str, Any] = {}
        for key, default in self.parameters.items():
            fields[key] = (_Required, ...) if default is None else (type(default), default)
        return create_model(f"{self.name}Parameters", __base__=_Parameters, **fields)


_Required = Annotated[Any, BeforeValidator(lambda v: read_scalar(v) if isinstance(v, str) else v)]


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
    if not isinstance(given, str):
        document.report(("name",), f"name: expected '{name}', as the file is called, found {_shown(given)}")
    elif given != name:
        message = f"the network is called '{given}', but its file '{name}'; make them equal"
        document.report(("name",), message)
    file = NetworkFile(document, name, _text(document, "description"))
    file.parameters = _parameters(document)
    if "modules" not in data:
        document.report((), "has no 'modules'; write at least an Input and an Output")
        return file
    file.nodes = _nodes(document)
    return file


def _text(document: Document, key: str) -> str:
    value = document.data.get(key, "")
    if not isinstance(value, str):
        document.report((key,), f"{key}: expected text, found {_shown(value)}")
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
        elif not PARAMETER.fullmatch(key) or keyword.iskeyword(key) or hasattr(BaseModel, key):
            document.report(("parameters", key), f"'{key}' cannot be the name of a parameter", of_key=True)
        else:
            kept[key] = value
    return kept


def _nodes(document: Document) -> list[Node]:
    modules = document.data["modules"]
    if not isinstance(modules, dict) or not modules:
        document.report(("modules",), "expected modules by name, such as {image: {type: Input, ...}}")
        return []
    for name in modules:
        if not NAME.fullmatch(name):
            message = f"'{name}' cannot name a module: use letters, digits, _ and -"
            document.report(("modules", name), message, of_key=True)
    if document.problems and not all(NAME.fullmatch(name) for name in modules):
        return []  # wires cannot be followed
    nodes: list[Node] = []
    for name, entry in modules.items():
        path = ("modules", name)
        kind = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(entry, dict):
            document.report(path, f"{name}: expected {{type: ...}}, found {_shown(entry)}")
            entry = {}
        elif (kind is None or kind == "") and "share" not in entry:
            document.report(path, f"{name}: has no 'type'; write {{type: Linear, ...}}", of_key=True)
        elif kind is not None and not (isinstance(kind, str) and kind):
            document.report((*path, "type"), f"{name}: type: expected a word, found {_shown(kind)}")
        if isinstance(kind, str):
            kind = WIRED.get(kind.lower(), kind)
        previous = [nodes[-1].name] if nodes and kind != "Input" else []
        nodes.append(
            Node(
                name,
                kind if isinstance(kind, str) else "",
                {key: value for key, value in entry.items() if key not in WIRING},
                tuple(_after(document, name, entry, modules) if "after" in entry else previous),
                _shared(document, name, entry, modules),
                entry.get("repeat"),
                name,
            )
        )
    return nodes


def _after(document: Document, name: str, entry: dict[str, Any], modules: dict[str, Any]) -> list[str]:
    given = entry["after"]
    if not given:
        message = f"{name}: after: expected the name of a module, found {_shown(given)}"
        document.report(("modules", name, "after"), message)
        return []
    sources = given if isinstance(given, list) else [given]
    kept = []
    for index, source in enumerate(sources):
        key: tuple[str | int, ...] = ("after", index) if isinstance(given, list) else ("after",)
        found = _reference(document, name, source, key, modules, "follows")
        kept += [found] if found else []
    return kept


def _reference(
    document: Document, name: str, ref: Any, key: tuple[str | int, ...], modules: dict[str, Any], verb: str
) -> str | None:
    """A reference to another module, if there is one of that name; else the fault is noted."""
    if not isinstance(ref, str):
        message = f"{name}: {verb} a module by its name, found {_shown(ref)}"
        document.report(("modules", name, *key), message)
        return None
    base = ref.split(".")[0]
    if base in modules or _repeated(base, modules):
        return ref
    hint = suggest(ref, [other for other in modules if other != name], "modules")
    document.report(("modules", name, *key), f"{name}: {verb} '{ref}', which is not there{hint}")
    return None


def _shared(document: Document, name: str, entry: dict[str, Any], modules: dict[str, Any]) -> str | None:
    """The module whose weights another uses; it must have weights of its own."""
    if "share" not in entry:
        return None
    found = _reference(document, name, entry["share"], ("share",), modules, "shares the weights of")
    other = modules.get(found) if found else None
    if found == name or (isinstance(other, dict) and "share" in other):
        message = f"{name}: shares the weights of '{found}', which has none of its own"
        document.report(("modules", name, "share"), message)
        return None
    return found


def _repeated(name: str, modules: dict[str, Any]) -> bool:
    """Whether a name such as `block3` is one copy of a module with `repeat`."""
    entry = modules.get(name.rstrip("0123456789"))
    return isinstance(entry, dict) and "repeat" in entry and name[-1:].isdigit()


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return ("a list" if isinstance(value, list) else "keys and values") if value else "nothing"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    return f"'{value}'"

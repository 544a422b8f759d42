"""The text of a DIANNE network: `modules.txt`, `composite.txt`, and the order in which Java visits ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dianne.document import Document, as_yaml, parse
from dianne.errors import UsageError
from dianne.network.expressions import ExpressionError, evaluate

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEYS = ("id", "type", "next", "prev", "properties")
_SPAN = re.compile(r"\$\{([^}]*)\}")
_SUM = re.compile(r"[\d\s.()+*/-]*[+*/-][\d\s.()+*/-]*")  # arithmetic, and at least one operator in it


@dataclass(frozen=True)
class Module:
    """One module as it is written; ids in small letters, neighbours once each.

    Attributes:
        where: its place in the file, for messages.
    """

    id: str
    type: str
    next: tuple[str, ...] = ()
    prev: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    where: str = ""

    def given(self, key: str) -> str | None:
        """A property; None where it is absent or blank, which mean the same."""
        return self.properties.get(key) or None


@dataclass(frozen=True)
class Structure:
    """A network as it is written.

    Attributes:
        name: "" if the file gives none.
        source: the file, for messages.
    """

    name: str
    source: str
    modules: tuple[Module, ...]
    properties: Mapping[str, str] = field(default_factory=dict)


def read_structure(text: str, source: str) -> Structure:
    """The network of a `modules.txt`, whose form is taken as leniently as DIANNE does.

    Raises:
        ConfigError: it is no JSON object, or nested too deep; a module has no id, no type, or another's id.
    """
    document = parse(as_yaml(text), source)
    data = document.data
    bare = "modules" not in data
    entries = {key: v for key, v in data.items() if isinstance(v, dict)} if bare else data["modules"]
    if isinstance(entries, list):
        entries = dict(enumerate(entries))
    if not isinstance(entries, dict) or not entries:
        document.report(() if bare else ("modules",), "expected modules by id, found none")
        entries = {}
    path: tuple[str, ...] = () if bare else ("modules",)
    modules: dict[str, Module] = {}
    for key, entry in entries.items():
        module = _module(document, (*path, key), entry)
        if module and module.id in modules:
            document.report((*path, key), f"the id {module.id} is that of another module, too")
        elif module:
            modules[module.id] = module
    name = data.get("name")
    given = data.get("properties")
    properties = {} if bare or not isinstance(given, dict) else _texts(document, ("properties",), given)
    document.close()
    named = "" if isinstance(name, dict | list) or name in (None, "unnamed") else str(name)
    return Structure(named, source, tuple(modules.values()), properties)


def _module(document: Document, path: tuple[str | int, ...], entry: Any) -> Module | None:
    if not isinstance(entry, dict):
        document.report(path, 'expected a module such as {"id": ..., "type": ...}')
        return None
    id_, kind = str(entry.get("id", "")).lower(), entry.get("type")
    if not _ID.fullmatch(id_):
        document.report((*path, "id"), f"expected an id of 36 characters, found '{id_[:50]}'")
        return None
    if not isinstance(kind, str) or not kind:
        document.report((*path, "type"), "expected the type of a module")
        return None
    wires = {key: _wires(document, (*path, key), entry.get(key)) for key in ("next", "prev")}
    plain = {key: value for key, value in entry.items() if key not in _KEYS}
    nested = entry.get("properties")
    properties = _texts(document, path, plain)
    if isinstance(nested, dict):
        properties |= _texts(document, (*path, "properties"), nested)
    return Module(id_, kind, wires["next"], wires["prev"], properties, document.where(path, of_key=True))


def _wires(document: Document, path: tuple[str | int, ...], given: Any) -> tuple[str, ...]:
    ids = given if isinstance(given, list) else [given]
    if not all(one is None or isinstance(one, str) for one in ids):
        document.report(path, "expected ids of modules")
        return ()
    return tuple(dict.fromkeys(one.lower() for one in ids if one))


def _texts(document: Document, path: tuple[str | int, ...], values: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key, value in values.items():
        if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
            value = f"[{', '.join(map(str, value))}]"  # labels, written by hand
        if isinstance(value, dict | list):
            document.report((*path, key), f"{key}: expected text")
        elif value is not None:
            found[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def write_structure(structure: Structure) -> str:
    """The text of a `modules.txt`, as DIANNE writes it; modules in the order that they are in."""
    modules = {}
    for module in structure.modules:
        wires = {"next": list(module.next), "prev": list(module.prev)}
        kept = {key: ids for key, ids in wires.items() if ids}
        modules[module.id] = {"id": module.id, "type": module.type, **kept, **module.properties}
    entries = {"name": structure.name or "unnamed", "properties": dict(structure.properties)}
    if not structure.properties:
        del entries["properties"]
    text = json.dumps({**entries, "modules": modules}, indent=2, ensure_ascii=False)
    for sign in "<>&='":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text + "\n"


def hash_order(ids: Iterable[str], count: int | None = None) -> list[str]:
    """Ids in the order in which a Java hash map with `count` entries (as many as ids) gives them back."""
    listed = list(ids)
    size = 16
    while (len(listed) if count is None else count) > 0.75 * size:
        size *= 2

    def bucket(id_: str) -> int:
        bits = int(id_.replace("-", ""), 16)
        folded = (bits >> 64) ^ (bits & 0xFFFFFFFFFFFFFFFF)
        short = (folded >> 32) ^ (folded & 0xFFFFFFFF)
        return (short ^ (short >> 16)) & (size - 1)

    return sorted(listed, key=bucket)  # stable: in a bucket, the order in which they were given


# ----------------------------------------------------------------------------------------------- composites


def read_parameters(text: str) -> list[str]:
    """The keys that a `composite.txt` declares, one `label,key,class` a line, up to the first short line."""
    keys = []
    for line in text.split("\n"):
        parts = line.strip().split(",")
        if len(parts) < 3:
            break
        keys.append(parts[1])
    return keys


def filled_in(module: Module, values: Mapping[str, str], whole: Iterable[str]) -> Module:
    """A module of a composite with the values of one use.

    Args:
        module: with `${key}` in its type and properties.
        values: by key.
        whole: the properties that are whole numbers.

    Raises:
        UsageError: a key has no value, or an expression cannot be computed.
    """

    def value_of(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise UsageError(f"{module.where}: '{found[0]}' has no value")
        return values[found[1]]

    properties = dict(module.properties)
    for key, text in module.properties.items():
        if "$" in text and key != "labels":
            properties[key] = _computed(module, key, _SPAN.sub(value_of, text), key in whole)
    kind = _SPAN.sub(value_of, module.type)
    return Module(module.id, kind, module.next, module.prev, properties, module.where)


def _computed(module: Module, key: str, text: str, whole: bool) -> str:
    if not _SUM.fullmatch(text.strip()):
        return text
    try:
        value = evaluate(text, {})
    except ExpressionError as error:
        raise UsageError(f"{module.where}: {key}: {error}") from None
    assert isinstance(value, int | float)
    return str(int(value)) if whole else str(float(value))

"""The catalog as text: what every module type is, takes and gives, told from the code itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel
from torch import nn

from dianne.network.arguments import schema
from dianne.network.catalog import FAMILIES, MODULES, inferable
from dianne.options import keys

_ENTRY = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Argument:
    """A key of a module in a network file; `default` is None for one that must be given."""

    key: str
    kind: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Entry:
    """What there is to know about a module type."""

    name: str
    family: str
    text: str
    arguments: tuple[Argument, ...]
    results: tuple[str, ...]


def entry(name: str) -> Entry:
    """The entry of a type; raises UsageError for an unknown one, with the nearest."""
    name = MODULES.spelling(name)
    module = MODULES.get(name)
    family = next(home for home in FAMILIES if module.__module__ == home.__name__)
    head = inspect.getdoc(family) or ""
    text = re.split(r"\n\nArgs:\n", inspect.cleandoc(module.__doc__ or ""))[0]
    return Entry(name, head.split("\n")[0], text, tuple(_arguments(module)), getattr(module, "ports", ()))


def entries() -> list[Entry]:
    """All types, family by family."""
    order = [home.__name__ for home in FAMILIES]
    found = sorted(MODULES.items(), key=lambda item: order.index(item[1].__module__))
    return [entry(name) for name, _ in found]


def _arguments(module: type[nn.Module]) -> Iterable[Argument]:
    meanings = _meanings(module)
    model = schema(module)  # type: ignore[arg-type]  # a class can be hashed
    shown = model.model_json_schema(by_alias=True)
    for key, info in keys(model).items():
        property_ = shown["properties"][key]
        inferred = any(to_camel(name) == key for name in inferable(module))
        default = "inferred" if inferred else None if info.is_required() else _shown(info.default)
        yield Argument(key, kind_of(property_), default, meanings.get(key, ""))


def _meanings(module: type[nn.Module]) -> dict[str, str]:
    """What the docstrings of a class and its bases say about arguments, by key."""
    found: dict[str, str] = {}
    for base in reversed(module.__mro__):
        if base.__module__.startswith("dianne.") and base.__doc__ and "Args:\n" in base.__doc__:
            section = inspect.cleandoc(base.__doc__).split("Args:\n", 1)[1].split("\n\n")[0]
            for name, text in _ENTRY.findall(section):
                found[to_camel(name)] = " ".join(text.split())
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "none"


def kind_of(shown: dict[str, Any]) -> str:
    """A JSON schema in a few words: "whole number, above 0"."""
    if "anyOf" in shown:
        kinds = [kind_of(option) for option in shown["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    if shown.get("type") == "array":
        return f"list; each: {kind_of(shown.get('items', {}))}"
    words = [names.get(shown.get("type", ""), "any value")]
    limits = {
        "exclusiveMinimum": "above",
        "minimum": "at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
    }
    words += [f"{word} {shown[key]:g}" for key, word in limits.items() if key in shown]
    return ", ".join(words)


def markdown() -> str:
    """The page docs/modules.md."""
    lines = [
        "# Modules",
        "",
        "Every type that a network file can name, from the code itself; `dianne modules TYPE` prints it.",
        "Shapes are those of one sample, without the batch; what is *inferred* follows from what comes in,",
        "and can be left out; if given, it is checked.",
        "",
        "Besides these, `type` takes any class of `torch.nn` by dotted name (`torch.nn.Hardtanh`), with",
        "its own argument names, a class of your own (`package.module:Class`), and any other network file.",
    ]
    family = ""
    for found in entries():
        if found.family != family:
            family = found.family
            lines += ["", f"## {family.rstrip('.')}"]
        lines += ["", f"### {found.name}", "", *found.text.split("\n")]
        if found.results:
            ports = ", ".join(f"`name.{port}`" for port in found.results)
            lines += ["", f"Parts of the result: {ports}."]
        if found.arguments:
            lines += ["", "| key | kind | default | meaning |", "|---|---|---|---|"]
            for a in found.arguments:
                default = "**required**" if a.default is None else a.default
                lines.append(f"| `{a.key}` | {a.kind} | {default} | {a.meaning} |")
    return "\n".join(lines) + "\n"

"""Network files as text, in the style of those that ship: a module a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from dianne.document import read_scalar

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")


def network_text(description: str, modules: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a network file: modules by name, each with its keys (`type`, `after`, ...)."""
    width = max(len(name) for name in modules) + 1
    lines = [f"  {name + ':':<{width}} {_flow(entry)}" for name, entry in modules.items()]
    return "\n".join([f"description: {quoted(description)}", "modules:", *lines]) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) and not text.endswith(":") and _is_word(text) else quoted(text)


def _key(key: str) -> str:
    return key if re.fullmatch(r"\w+", key) else quoted(key)


def _is_word(text: str) -> bool:
    return isinstance(read_scalar(text), str)


def quoted(text: str) -> str:
    """Text in double quotes, on one line, whatever is in it."""
    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=2**31)
    return dumped.strip()


def unique(name: str, taken: Iterable[str], first: bool = True) -> str:
    """A name that is not taken: itself, or with the next number behind it."""
    names = set(taken)
    if first and name not in names:
        return name
    number = 1 if not first else 2
    while f"{name}{number}" in names:
        number += 1
    return f"{name}{number}"

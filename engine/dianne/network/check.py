"""Checking a network file on its own, as an editor or a commit hook does."""

from __future__ import annotations

from dianne.errors import ConfigError, DianneError, Problem, suggest
from dianne.network.arguments import schema
from dianne.network.file import NetworkFile
from dianne.network.library import Library
from dianne.network.resolve import resolve
from dianne.options import keys


def check_network(file: NetworkFile, library: Library) -> list[Problem]:
    """Everything that is wrong with a file.

    A file whose parameters have no defaults, or whose inputs have no shapes, is made to be used inside other
    networks: its wires, types and keys are checked, its shapes where it is used.
    """
    open_inputs = any(node.type == "Input" and "shape" not in node.arguments for node in file.nodes)
    if not open_inputs and None not in file.parameters.values():
        try:
            resolve(file, {}, library)
        except ConfigError as error:
            return list(error.problems)
        return []
    document = file.document
    before = len(document.problems)
    for node in file.nodes:
        if not node.type:
            continue
        try:
            kind = library.find(node.type) if "$" not in node.type else None
        except DianneError as error:
            document.report((*node.path, "type"), f"{node.name}: {error}")
            continue
        if kind is None:
            continue
        known = keys(kind.options() if isinstance(kind, NetworkFile) else schema(kind))  # type: ignore[arg-type]
        for key in node.arguments:
            if key not in known:
                message = f"{node.name} ({node.type}): unknown key '{key}'{suggest(key, known, 'keys')}"
                document.report((*node.path, key), message, of_key=True)
    found = list(document.problems)
    del document.problems[before:]
    return found

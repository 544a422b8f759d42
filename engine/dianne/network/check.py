"""Checking a network file on its own, as an editor or a commit hook does."""

from __future__ import annotations

from dataclasses import replace

from dianne.errors import ConfigError, DianneError, Problem, suggest
from dianne.network.arguments import schema
from dianne.network.expressions import unknown_names
from dianne.network.file import NetworkFile
from dianne.network.library import Library
from dianne.network.resolve import resolve
from dianne.network.wiring import ordered
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
    document = replace(file.document, problems=list(file.document.problems))
    types = [node.type for node in file.nodes]
    for name in ("Input", "Output") if file.nodes else ():
        if name not in types:
            document.report(("modules",), f"has no {name}; a network needs at least one", of_key=True)
    ordered(file.nodes, document)
    for node in file.nodes:
        for key, value in node.arguments.items():
            for name in unknown_names(value, file.parameters):
                hint = suggest(name, file.parameters, "parameters")
                message = f"{node.name} ({node.type}): {key}: unknown parameter '{name}'{hint}"
                document.report((*node.path, key), message)
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
    return document.problems

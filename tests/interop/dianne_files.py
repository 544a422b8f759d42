"""Files of DIANNE that a test makes by hand."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dianne
from dianne.network.graph import Graph


def id_of(name: str) -> str:
    """An id for a module that a test calls so."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def module(
    called: str, type_: str, /, after: Iterable[str] = (), to: Iterable[str] = (), **properties: Any
) -> dict[str, Any]:
    """One module; `after` and `to` are names of others."""
    wires = {"next": [id_of(n) for n in to], "prev": [id_of(n) for n in after]}
    return {"id": id_of(called), "type": type_, **{k: v for k, v in wires.items() if v}, **properties}


def chain(*modules: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Modules of types `a0`, `a1`, ... in a row, between an Input and an Output."""
    row = [("Input", {}), *modules, ("Output", {})]
    names = [f"a{place}" for place in range(len(row))]
    return [
        module(
            name, type_, names[place - 1 : place] if place else (), names[place + 1 : place + 2], **properties
        )
        for place, (name, (type_, properties)) in enumerate(zip(names, row, strict=True))
    ]


def put(folder: Path, modules: Iterable[dict[str, Any]], name: str = "Net", **keys: Any) -> Path:
    """A folder with a `modules.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {"name": name, **keys, "modules": {entry["id"]: entry for entry in modules}}
    (folder / "modules.txt").write_text(json.dumps(entries), encoding="utf-8")
    return folder


def weights(path: Path, name: str, values: Iterable[float], tags: str = "") -> None:
    """The weight file of a module."""
    path.mkdir(parents=True, exist_ok=True)
    flat = list(values)
    content = struct.pack(f">i{len(flat)}f", len(flat), *flat)
    (path / (id_of(name) + (f"-{tags}" if tags else ""))).write_bytes(content)


def brought_in(folder: Path, source: Path, tag: str = "imported", **options: Any) -> Graph:
    """The network of a folder, imported and deployed."""
    workspace = dianne.Workspace(folder / "workspace")
    (arrived,) = workspace.import_(source, **options)
    return workspace.deploy(arrived.name, tag).module

"""What there is in a workspace, for machines: networks, tags, datasets, strategies. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from dianne import plugins
from dianne.data import descriptor, files
from dianne.errors import ConfigError, DianneError
from dianne.network import file as network_file
from dianne.runtime import deployments
from dianne.store import Manifest, Store, StoreError
from dianne.workspace import Folder, shipped


def models(folder: Folder) -> list[dict[str, Any]]:
    """Networks by name; one whose file cannot be read is listed with its fault."""
    store, entries = Store(folder.models), []
    for name, path in sorted(folder.files("networks").items()):
        try:
            found = network_file.read(path)
            about, parameters = found.description, found.parameters
        except ConfigError as error:
            about, parameters = f"cannot be read: {error.problems[0]}", {}
        entries.append({
            "name": name, "description": about, "parameters": parameters, "tags": store.names(name),
            "ships": path.is_relative_to(shipped("networks")),
        })  # fmt: skip
    return entries


def tags(folder: Folder, network: str | None = None) -> list[tuple[str, str, Manifest | StoreError]]:
    """Network, tag and what is stored there, or why it cannot be read: of one network, or of all.

    Raises:
        UsageError: the network is nowhere; one without tags is fine.
    """
    store = Store(folder.models)
    refs = [ref for ref in store.refs() if network in (None, ref[0])]
    if network is not None and not refs:
        folder.find("networks", network)
    found: list[tuple[str, str, Manifest | StoreError]] = []
    for name, tag in refs:
        try:
            found.append((name, tag, store.manifest(name, tag)))
        except StoreError as error:
            found.append((name, tag, error))
    return found


def tag_entry(network: str, tag: str, found: Manifest | StoreError) -> dict[str, Any]:
    """A tag as a dict."""
    if isinstance(found, StoreError):
        return {"network": network, "tag": tag, "fault": str(found)}
    return {
        "network": network, "tag": tag, "iteration": found.iteration, "loss": found.loss,
        "created": found.created, "job": found.job, "dataset": found.dataset,
        "parameters": found.parameters, "versions": found.versions,
    }  # fmt: skip


def instances(folder: Folder) -> list[dict[str, Any]]:
    """Deployed networks by name; one without weights to bring it up is listed with what is the matter."""
    store, entries = Store(folder.models), []
    for name in deployments.names(folder):
        entry: dict[str, Any] = {"name": name}
        try:
            entry |= asdict(deployments.find(folder, name))
            manifest = store.manifest(entry["network"], entry["tag"])
            entry |= {"iteration": manifest.iteration, "dataset": manifest.dataset.get("name")}
        except DianneError as error:
            entry["fault"] = str(error)
        entries.append(entry)
    return entries


def datasets(folder: Folder) -> list[dict[str, Any]]:
    """Datasets by name; samples and shape as far as their descriptors tell them."""
    return [_dataset(folder, name, path) for name, path in sorted(folder.files("datasets").items())]


def _dataset(folder: Folder, name: str, path: Path) -> dict[str, Any]:
    try:
        described = descriptor.read(path)
    except ConfigError as error:
        about = f"cannot be read: {error.problems[0]}"
        return {
            "name": name, "type": None, "samples": None, "inputDims": None, "files": "", "description": about,
        }  # fmt: skip
    found, beside = described.descriptor, files.home(described)
    needed = found.needs()
    missing = [file for file in needed if files.locate(folder, found.name, file, beside) is None]
    ends = [part.stop for part in found.parts.values()]
    samples = max(end or 0 for end in ends) if ends and all(ends) else None
    state = "needs none" if not needed else "here" if not missing else f"{len(missing)} to fetch"
    return {
        "name": name, "type": found.type, "samples": samples, "inputDims": found.input_dims, "files": state,
        "description": found.description,
    }  # fmt: skip


def strategies(folder: Folder) -> list[dict[str, str]]:
    """Strategies by name, those for learning first."""
    found = sorted(plugins.strategies(folder).values(), key=lambda s: (s.kind == plugins.EVALUATION, s.name))
    return [{"name": s.name, "kind": s.kind, "summary": s.summary} for s in found]

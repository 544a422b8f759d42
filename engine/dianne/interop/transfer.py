"""The way into a workspace and out of it, the same for all formats."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dianne.binding import TYPED, Consumer, Given, bind
from dianne.document import display
from dianne.errors import DianneError, UsageError
from dianne.interop import dianne_export as dianne_export  # formats register themselves
from dianne.interop import dianne_import as dianne_import
from dianne.interop import onnx as onnx
from dianne.interop import package, torch_import
from dianne.interop import package_import as package_import
from dianne.interop import torch_export as torch_export
from dianne.interop.dianne_import import FALLBACK_TAG
from dianne.interop.formats import EXPORTS, IMPORTS, ImportOptions, Incoming, Outgoing, Write
from dianne.interop.torch_import import Match
from dianne.jobs.evaluate import stored_network
from dianne.jobs.prepare import Member, module_keys, parameters_of, resolve_networks
from dianne.network.file import read
from dianne.network.library import Library
from dianne.network.resolve import restore
from dianne.options import Options, keys
from dianne.store import Manifest, Store, check_tag, history
from dianne.workspace import Folder, shipped

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")


class ExportOptions(Options):
    """What leaves, and where to."""

    tag: str
    """Which weights."""
    out: str | None = None
    """The file or folder that is written; named after network and tag if left out."""


@dataclass(frozen=True)
class Arrived:
    """What an import has written, or would write.

    Attributes:
        name: of the network.
        tags: under which its weights are.
        files: the network files.
        notes: what the user should know.
        mapping: which tensor became which weight, where that had to be found out.
    """

    name: str
    tags: list[str]
    files: list[Path]
    notes: list[str]
    mapping: list[Match] = field(default_factory=list)


def bound(source: str, options: type[Options], given: Mapping[str, Any]) -> Any:
    """Options as an object of their class; raises ConfigError for what it does not declare."""
    values = {key: Given(value, TYPED) for key, value in given.items()}
    return bind(source, [Consumer(source, options)], values).of(source, options)


# ---------------------------------------------------------------------------------------------------- out


def export(
    folder: Folder,
    network: str,
    format: str,
    options: Mapping[str, Any],
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write a stored network in a format.

    Args:
        folder: the workspace.
        network: its name.
        format: one of `EXPORTS`.
        options: those of `ExportOptions`.
        note: is told what the user should know.

    Returns:
        The file or folder.

    Raises:
        DianneError: there is no such tag, the format cannot say what the network does, or the file is there.
    """
    chosen: ExportOptions = bound("export", ExportOptions, options)
    way = EXPORTS.get(format)
    return _write(folder, network, chosen, way.ending, way.write, note)


def pack(folder: Folder, network: str, options: Mapping[str, Any]) -> Path:
    """Write a package, which `import_` and `dianne forward` read; arguments and errors as `export`."""
    chosen: ExportOptions = bound("pack", ExportOptions, options)
    return _write(folder, network, chosen, package.ENDING, partial(package.write, folder))


def _write(
    folder: Folder,
    network: str,
    chosen: ExportOptions,
    ending: str,
    write: Write,
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write a stored network to a path that is not there yet: whole, or not at all."""
    path = Path(chosen.out or f"{network}-{chosen.tag}{ending}".replace("/", "-"))
    if "," in network:
        raise UsageError(f"'{network}' names several networks; each leaves by itself")
    if ending and path.suffix != ending:
        raise UsageError(f"out={chosen.out}: the name of such a file ends in {ending}")
    if path.exists():
        raise UsageError(f"{display(path)} is there already; delete it, or write somewhere else with out=")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"out={chosen.out}: there is no folder {display(path.absolute().parent)}")
    leaving = outgoing(Store(folder.models), network, chosen.tag)
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".") as scratch:
            part = Path(scratch) / path.name
            notes = write(leaving, part) or []
            shutil.move(part, path)  # whole, or not at all
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be written: {error.strerror}") from error
    for line in notes:
        note(line)
    return path


def outgoing(store: Store, network: str, tag: str) -> Outgoing:
    """A stored network, ready to leave.

    Raises:
        DianneError: there is no such tag, or its weights are spoilt.
    """
    manifest = store.manifest(network, tag)
    resolved = restore(
        manifest.text, manifest.network, manifest.parameters, manifest.texts, manifest.overrides
    )
    module = stored_network(store, manifest, f"{network}:{tag}")
    history = []
    before = manifest
    while before.parent:
        before = store.read_manifest(before.parent)
        history.append(before)
    return Outgoing(tag, manifest, tuple(history), resolved, module)


# ----------------------------------------------------------------------------------------------------- in


def import_(folder: Folder, path: Path, options: Mapping[str, Any], dry_run: bool = False) -> list[Arrived]:
    """Bring networks and weights into a workspace.

    Args:
        folder: the workspace.
        path: a file or a folder; what it is shows in its content.
        options: those of `ImportOptions`.
        dry_run: read and check, and write nothing.

    Raises:
        DianneError: it is nothing known, spoilt, or in the way of what is there; nothing was written.
    """
    own = keys(ImportOptions)
    parameters = {key: value for key, value in options.items() if "into" in options and key not in own}
    rest = {key: value for key, value in options.items() if key not in parameters}
    chosen: ImportOptions = bound("import", ImportOptions, rest)
    kind = kind_of(path)
    try:
        if chosen.into:
            return [_into(folder, path, kind, chosen, parameters, dry_run)]
        found = list(IMPORTS.get(kind).read(path, chosen))
    except OSError as error:
        place = display(Path(error.filename or path))
        raise DianneError(f"{place}: cannot be read: {error.strerror}") from error
    texts: dict[str, str] = {}
    for name, text in (file for incoming in found for file in incoming.files.items()):
        if texts.setdefault(name, text) != text:
            why = f"holds different networks '{name}'"
            raise UsageError(f"{display(path)}: {why}; import each by itself, under another name with name=")
    arrived = [_check(folder, incoming) for incoming in found]
    if not dry_run:
        _settle(folder, found, arrived)
    return arrived


def _into(
    folder: Folder,
    path: Path,
    kind: str,
    chosen: ImportOptions,
    parameters: Mapping[str, Any],
    dry_run: bool,
) -> Arrived:
    """Bring weights into a network that is here, with some parameters."""
    if kind != torch_import.KIND:
        raise UsageError(f"{display(path)}: is {kind}, and needs no into=; leave it out")
    for key in ("name", "shape", "shapes"):
        if getattr(chosen, key):
            raise UsageError(f"{key}= does not go with into=, whose network has all of that; leave it out")
    assert chosen.into
    file = read(folder.find("networks", chosen.into))
    member = Member("network", file)
    library = Library(folder)
    given = {key: Given(value, TYPED) for key, value in parameters.items()}
    found = bind("import", parameters_of([member]), given, modules=module_keys([member], library, given))
    network = resolve_networks([member], found, library)[chosen.into]
    incoming, matches = torch_import.into_network(path, network, chosen.tag or FALLBACK_TAG)
    incoming.manifest["overrides"] = network.overrides
    arrived = replace(_check(folder, incoming), mapping=matches)
    if not dry_run:
        _settle(folder, [incoming], [arrived])
    return arrived


def kind_of(path: Path) -> str:
    """What a file or folder is, by its content.

    Raises:
        UsageError: there is no such file, or it is nothing known.
    """
    try:
        head = b""
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(64)
        elif address := re.fullmatch(r"(\w{2,}):/(.+)", path.as_posix()):
            way = "`dianne pull` fetches it" if address[1] in ("hf", "s3") else "fetch the file first"
            raise UsageError(f"{address[1]}://{address[2]}: an address cannot be imported; {way}")
        elif not path.is_dir():
            raise UsageError(f"there is no file or folder {display(path)}")
        for name, kind in IMPORTS.items():
            if kind.recognises(path, head):
                return name
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be read: {error.strerror}") from error
    if path.suffix in (".yaml", ".yml"):
        raise UsageError(f"{display(path)}: a network file is not imported; put it into networks/")
    known = ", ".join(sorted(IMPORTS))
    raise UsageError(f"{display(path)}: is nothing that can be imported; known are: {known}")


def _check(folder: Folder, incoming: Incoming) -> Arrived:
    """Where a network would go; raises UsageError if something is in its way."""
    files = []
    for tag, weights in incoming.weights.items():
        check_tag(tag)
        spoilt = [name for name, values in weights.items() if not values.isfinite().all()]
        if spoilt:
            incoming.notes.append(f"{incoming.name}:{tag}: not all values are finite in {', '.join(spoilt)}")
    for name, text in incoming.files.items():
        if not _NAME.fullmatch(name):
            allowed = "up to 100 letters, digits and _ can, and - inside"
            raise UsageError(f"{name!r} cannot name a network here ({allowed}); give another with name=")
        own = folder.root / "networks" / f"{name}.yaml"
        there = folder.files("networks").get(name)
        if there and there.read_text(encoding="utf-8") == text:
            continue
        if there and not there.is_relative_to(shipped("networks")):
            message = f"there is another network in {display(there)}"
            raise UsageError(f"{message}; give this one another name with name=, or delete that file")
        if there:
            incoming.notes.append(f"{name} hides the network of that name that ships")
        files.append(own)
    if not files and not incoming.weights:
        incoming.notes.append(f"{incoming.name} is in this workspace already")
    return Arrived(incoming.name, list(incoming.weights), files, incoming.notes)


def _settle(folder: Folder, found: Iterable[Incoming], arrived: Iterable[Arrived]) -> None:
    """Write network files and weights; if some cannot be written, no new file and no new tag stays."""
    with ExitStack() as undo:
        for incoming, what in zip(found, arrived, strict=True):
            try:
                for path in what.files:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    undo.callback(path.unlink, missing_ok=True)
                    path.write_text(incoming.files[path.stem], encoding="utf-8")
            except OSError as error:
                place = display(Path(error.filename or folder.root))
                raise DianneError(f"{place}: cannot be written: {error.strerror}") from error
            _store(Store(folder.models), incoming, undo)
        undo.pop_all()


def _store(store: Store, incoming: Incoming, undo: ExitStack) -> None:
    inner = {name: text for name, text in incoming.files.items() if name != incoming.name}
    for tag, weights in incoming.weights.items():
        manifest = Manifest(
            network=incoming.name,
            text=incoming.files[incoming.name],
            parameters=incoming.parameters,
            texts=inner,
            job={"command": "import", **incoming.job},
            labels=incoming.labels,
            dataset=incoming.dataset,
            **incoming.manifest,
            versions={
                "dianne": importlib.metadata.version("dianne"),
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
        )
        known = store.has(incoming.name, tag)
        store.put(tag, manifest, weights)
        if not known:
            undo.callback(history.untag, store, [incoming.name], tag)

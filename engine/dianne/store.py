"""Weights under tags.

A tag of a network is a small file that names a manifest; the manifest (JSON) says where the weights came
from and names a blob (safetensors). Manifests and blobs are named by the sha256 of their content and never
change, so moving a tag is one atomic rename, and its history is the chain of parents.

    models/refs/Encoder/vae             the sha256 of a manifest
    models/manifests/ab/abcd….json      network, job, iteration, loss, parent, blob
    models/blobs/12/1234….safetensors   the weights
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from dianne.document import display
from dianne.errors import DianneError, UsageError, suggest
from dianne.workspace import alone_in

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 2  # 1 had no metrics and no labels


class StoreError(DianneError):
    """The store cannot be read or written, or holds what does not fit."""


class MisfitError(StoreError):
    """Stored weights are of other names or shapes than the network."""


@dataclass(frozen=True)
class Manifest:
    """Where some weights came from; enough to build their network again.

    Attributes:
        network: its name.
        text: its YAML.
        parameters: the values of its parameters.
        texts: the YAML of the networks inside it, by name.
        overrides: keys of modules that were set for the job, such as `Dropout.rate`.
        blob: sha256 of the weights.
        job: identifier, command, networks, dataset, options and seed of the job.
        iteration: how many iterations these weights have learned.
        loss: the last loss and its terms, by name.
        metrics: what an evaluation found, by name; the first is the one by which TAG@best is chosen.
        labels: names of the classes, or the characters, of the data.
        dataset: name and fingerprint of the data.
        versions: of dianne, torch and python.
        created: when, ISO 8601 in UTC.
        parent: the manifest that the tag named before, or the one that the weights started from.
        format: of this file.
    """

    network: str
    text: str
    parameters: dict[str, Any]
    texts: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    blob: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    iteration: int = 0
    loss: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    labels: list[str] | None = None
    dataset: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    parent: str | None = None
    format: int = FORMAT


def check_tag(tag: str) -> str:
    """A tag as given, if it can be one.

    Raises:
        UsageError: it is empty, too long, or holds a character that commands need for themselves.
    """
    bad = sorted({sign for sign in tag if sign in ":,~=" or sign.isspace() or not sign.isprintable()})
    message = "1 to 100 characters without blanks and without : , ~ ="
    if not tag or len(tag) > 100 or bad:
        found = repr("".join(bad)) if bad else "nothing" if not tag else f"{len(tag)} characters"
        raise UsageError(f"{tag!r} cannot be a tag: a tag has {message}; found {found}")
    if len(_safe(tag)) > 250:
        raise UsageError(f"'{tag}' cannot be a tag: its letters need too much space in the name of a file")
    return tag


class Store:
    """The weights of one workspace.

    Args:
        root: its `models` folder; made when something is stored.
    """

    def __init__(self, root: Path):
        self.root = root

    # ------------------------------------------------------------------------------------------- reading

    def networks(self) -> list[str]:
        """Names of all networks that have tags."""
        refs = self.root / "refs"
        return sorted(unquote(path.name) for path in refs.iterdir()) if refs.is_dir() else []

    def tags(self, network: str) -> dict[str, Manifest]:
        """The tags of a network by name; empty if it has none."""
        folder = self.root / "refs" / _safe(network)
        names = sorted(p.name for p in folder.iterdir() if p.suffix != ".tmp") if folder.is_dir() else []
        return {unquote(name): self.manifest(network, unquote(name)) for name in names}

    def resolve(self, network: str, tag: str) -> str:
        """The identifier of the manifest that a tag names.

        Raises:
            UsageError: there is no such tag; names the nearest.
        """
        ref = self._ref(network, tag)
        try:
            found = _identifier(ref)
        except FileNotFoundError:
            known = (
                [unquote(p.name) for p in ref.parent.iterdir() if p.suffix != ".tmp"]
                if ref.parent.is_dir()
                else []
            )
            if known:
                hint = suggest(tag, known, f"tags of {network}")
            else:
                hint = f"; nothing is stored for {network} in {display(self.root)}/"
            raise UsageError(f"{network} has no tag '{tag}'{hint}") from None
        except OSError as error:
            raise StoreError(f"{display(ref)}: cannot be read: {error.strerror}") from error
        if not found:
            raise StoreError(f"{display(ref)}: its content was changed; restore it from a copy")
        return found

    def has(self, network: str, tag: str) -> bool:
        """Whether a network has a tag."""
        return self._ref(network, tag).is_file()

    def manifest(self, network: str, tag: str) -> Manifest:
        """What is known about the weights under a tag; raises as `resolve` and `read_manifest`."""
        return self.read_manifest(self.resolve(network, tag))

    def read_manifest(self, identifier: str) -> Manifest:
        """The manifest of that identifier.

        Raises:
            StoreError: it is missing, spoilt, or of a newer version of dianne.
        """
        path = self._path("manifests", identifier)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{display(path)}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != identifier:
            raise StoreError(f"{display(path)}: its content was changed; restore it from a copy")
        data = json.loads(content)
        if data.get("format", 0) > FORMAT:
            raise StoreError(
                f"{display(path)}: was written by a newer dianne (format {data['format']}, this one reads "
                f"up to {FORMAT}); upgrade dianne"
            )
        return Manifest(**data)

    def weights(self, manifest: Manifest) -> dict[str, Tensor]:
        """The weights that a manifest names, by name such as `hidden1.weight`.

        Raises:
            StoreError: the blob is missing or its content was changed.
        """
        import safetensors.torch  # here, so that listing tags does not import torch

        path = self._path("blobs", manifest.blob)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{display(path)}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != manifest.blob:
            raise StoreError(f"{display(path)}: its content was changed; restore it from a copy")
        return safetensors.torch.load(content)

    # ------------------------------------------------------------------------------------------- writing

    def put(self, tag: str, manifest: Manifest, weights: Mapping[str, Tensor]) -> str:
        """Store weights and move a tag to them.

        Args:
            tag: without restrictions but those of `check_tag`.
            manifest: what to write down; blob, parent and time are filled in (a given parent stays).
            weights: by name.

        Returns:
            The identifier of the new manifest.

        Raises:
            StoreError: it cannot be written; the tag is as it was.
        """
        import safetensors.torch
        import torch

        ref = self._ref(manifest.network, tag)
        try:
            tensors = {
                name: value.detach().clone(memory_format=torch.contiguous_format)
                for name, value in weights.items()
            }
            blob = self._write("blobs", safetensors.torch.save(tensors))
            with alone_in(ref.parent):  # nobody else moves the tag between looking at it and moving it
                parent = _identifier(ref) if ref.is_file() else manifest.parent
                created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
                entries = {**asdict(manifest), "blob": blob, "parent": parent, "created": created}
                text = json.dumps(entries, indent=1, default=str) + "\n"
                identifier = self._write("manifests", text.encode())
                _replace(ref, f"{identifier}\n".encode())
        except OSError as error:
            place = display(Path(error.filename or self.root))
            raise StoreError(f"{place}: cannot be written: {error.strerror}; nothing was changed") from error
        return identifier

    def _write(self, kind: str, content: bytes) -> str:
        identifier = hashlib.sha256(content).hexdigest()
        path = self._path(kind, identifier)
        if not path.is_file() or path.read_bytes() != content:  # a spoilt file is mended
            _replace(path, content)
        return identifier

    def _path(self, kind: str, identifier: str) -> Path:
        suffix = {"blobs": ".safetensors", "manifests": ".json"}[kind]
        return self.root / kind / identifier[:2] / f"{identifier}{suffix}"

    def _ref(self, network: str, tag: str) -> Path:
        return self.root / "refs" / _safe(network) / _safe(check_tag(tag))


def _safe(name: str) -> str:
    return quote(name, safe="@+ ").replace(".", "%2E")


def _replace(path: Path, content: bytes) -> None:
    """Put content in place in one step: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # mkstemp hides its files from everyone else
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # the file is in place, and not every file system can do this
            os.fsync(folder)
    finally:
        os.close(folder)


def _identifier(ref: Path) -> str | None:
    found = ref.read_bytes().strip()
    return found.decode() if re.fullmatch(b"[0-9a-f]{64}", found) else None


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a network: all of them, or none.

    Args:
        module: the network.
        weights: by name.
        source: how messages name the weights, such as "Encoder:vae".

    Raises:
        MisfitError: names or shapes differ; lists every difference.
    """
    differences = list(_differences(module, weights))
    if differences:
        lines = "\n".join(f"  {line}" for line in differences)
        raise MisfitError(f"{source} does not fit the network; nothing was loaded\n{lines}")
    module.load_state_dict(dict(weights), strict=False)  # shared weights have one name of several


def named_weights(module: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers by name; those that modules share once, under the first of their names."""
    seen: set[int] = set()
    found = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            found[name] = value.detach()
    return found


def _differences(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[str]:
    wanted = named_weights(module)
    for name, tensor in wanted.items():
        if name not in weights:
            yield f"{name}: missing from the tag"
        elif weights[name].shape != tensor.shape:
            yield f"{name}: stored {tuple(weights[name].shape)}, the network has {tuple(tensor.shape)}"
        elif weights[name].is_floating_point() != tensor.is_floating_point():
            stored, own = (str(one.dtype).removeprefix("torch.") for one in (weights[name], tensor))
            yield f"{name}: stored {stored}, the network has {own}"
    for name in weights:
        if name not in wanted:
            yield f"{name}: stored, but the network has no such weight"

"""The store: weights under tags, in a folder or behind a URL."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dianne.document import display
from dianne.errors import UsageError, suggest
from dianne.store import addresses
from dianne.store.errors import StoreError, reason, spoilt
from dianne.store.files import Files
from dianne.store.local import LocalFiles
from dianne.store.manifest import Manifest, decode, encode
from dianne.store.remote import RemoteFiles
from dianne.store.weights import add, decode_weights, encode_weights

if TYPE_CHECKING:
    from torch import Tensor

Following = Callable[[str | None], str]
"""Writes the manifest that follows the one of this identifier (None: there is none); gives its own."""


def open_files(root: Path | str) -> Files:
    """The files of a store in a folder, or behind a URL."""
    if isinstance(root, str) and "://" in root:
        if root.startswith("file://"):
            return LocalFiles(Path(unquote(urlsplit(root).path)))
        return RemoteFiles(root)
    return LocalFiles(Path(root))


def cache() -> Path:
    """The folder in which blobs of remote stores are kept: in DIANNE_CACHE, else in the system's place."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DIANNE_CACHE") or Path(base) / "dianne") / "weights"


class Store:
    """The weights of one workspace.

    Args:
        root: its `models` folder, made when something is stored; or a URL such as s3://bucket/prefix.
    """

    def __init__(self, root: Path | str):
        self.root = root
        self.files = open_files(root)
        self.cache = LocalFiles(cache()) if isinstance(self.files, RemoteFiles) else None

    # ------------------------------------------------------------------------------------------- reading

    def refs(self) -> list[tuple[str, str]]:
        """Network and tag of all that is stored, by name."""
        return self._refs_below("refs")

    def networks(self) -> list[str]:
        """Names of all networks that have tags."""
        return list(dict.fromkeys(network for network, _ in self.refs()))

    def names(self, network: str) -> list[str]:
        """Names of the tags of a network."""
        return [tag for _, tag in self._refs_below(f"refs/{addresses.safe(network)}")]

    def _refs_below(self, folder: str) -> list[tuple[str, str]]:
        with self.reading(folder):
            found = [file.path for file in self.files.below(folder)]
        return sorted(named for path in found if (named := addresses.named_by(path)))

    def tags(self, network: str) -> dict[str, Manifest]:
        """The tags of a network by name; empty if it has none. Raises as `manifest`."""
        return {tag: self.manifest(network, tag) for tag in self.names(network)}

    def has(self, network: str, tag: str) -> bool:
        """Whether a network has a tag of that name; not any other address."""
        try:
            path = addresses.ref(network, tag)
        except UsageError:  # `vae~1` is no name of a tag
            return False
        with self.reading(path):
            return self.files.has(path)

    def resolve(self, network: str, address: str) -> str:
        """The identifier of the manifest that is meant by a tag, `TAG~3`, or digits of a manifest.

        Raises:
            UsageError: there is no such tag, or its history is shorter; names the nearest tag.
            StoreError: a file on the way is spoilt.
        """
        tag, back = addresses.entry(address)
        newest = self._named(network, tag)
        if not back:
            return newest
        entries = list(islice(self._chain(newest), back + 1))
        if len(entries) > back:
            return entries[back][0]
        ends = "gc has removed what was before it" if entries[-1][1].parent else "the history starts there"
        oldest = f"{network}:{tag}~{len(entries) - 1}"
        raise UsageError(f"there is no {network}:{address}; the oldest is {oldest} ({ends})")

    def manifest(self, network: str, address: str) -> Manifest:
        """What is known about some weights; raises as `resolve` and `read_manifest`."""
        return self.read_manifest(self.resolve(network, address))

    def read_manifest(self, identifier: str) -> Manifest:
        """The manifest of that identifier.

        Raises:
            StoreError: it is missing, spoilt, or of a newer version of dianne.
        """
        content = self.manifest_file(identifier)
        return decode(content, lambda: self.files.name(addresses.manifest(identifier)))

    def manifest_file(self, identifier: str) -> bytes:
        """The content of a manifest's file, its hash checked; raises as `read_manifest`."""
        return self._checked(addresses.manifest(identifier))

    def history(self, network: str, address: str) -> Iterator[tuple[str, Manifest]]:
        """Identifiers and manifests, the newest first; raises as `resolve` and `read_manifest`."""
        return self._chain(self.resolve(network, address))

    def weights(self, manifest: Manifest) -> dict[str, Tensor]:
        """The weights that a manifest names, by name such as `hidden1.weight`.

        Raises:
            StoreError: the blob is missing or its content was changed.
        """
        return decode_weights(self.blob(manifest.blob))

    def blob(self, identifier: str) -> bytes:
        """The file of some weights, its hash checked; raises as `weights`."""
        path = addresses.blob(identifier)
        if self.cache is None:
            return self._checked(path)
        with suppress(OSError):
            content = self.cache.read(path)
            if hashlib.sha256(content).hexdigest() == identifier:
                return content
        content = self._checked(path)
        with suppress(OSError):  # a cache that is full or read-only only costs time
            self.cache.write(path, content)
        return content

    def ends_at(self, identifier: str) -> bool:
        """Whether histories that reach a manifest end there, as gc has removed it."""
        path = addresses.pruned(identifier)
        with self.reading(path):
            return not self.has_manifest(identifier) and self.files.has(path)

    def _named(self, network: str, tag: str) -> str:
        path = addresses.ref(network, tag)
        try:
            found = addresses.identifier_in(self.files.read(path))
        except FileNotFoundError:
            return self._abbreviated(network, tag)
        except OSError as error:
            raise StoreError(f"{self.files.name(path)}: cannot be read: {reason(error)}") from error
        if not found:
            raise spoilt(self.files.name(path))
        return found

    def _abbreviated(self, network: str, digits: str) -> str:
        """The manifest whose identifier begins so; what is wrong, in terms of tags, if there is none."""
        found: list[str] = []
        if addresses.is_prefix(digits):
            folder = f"manifests/{digits[:2]}"
            with self.reading(folder):
                files = [file.path for file in self.files.below(folder) if file.path.endswith(".json")]
            identifiers = map(addresses.identifier_of, files)
            found = [identifier for identifier in identifiers if identifier.startswith(digits)]
        if len(found) > 1:
            listed = ", ".join(identifier[: addresses.SHORT] for identifier in found)
            raise UsageError(f"several manifests begin with {digits}: {listed}")
        if not found:
            known = self.names(network)
            nothing = f"; nothing is stored for {network} in {self._shown()}"
            hint = suggest(digits, known, f"tags of {network}") if known else nothing
            raise UsageError(f"{network} has no tag '{digits}'{hint}")
        other = self.read_manifest(found[0]).network
        if other != network:
            raise UsageError(f"{digits} is a manifest of {other}, not of {network}: write {other}:{digits}")
        return found[0]

    def _chain(self, identifier: str | None) -> Iterator[tuple[str, Manifest]]:
        while identifier:
            try:
                manifest = self.read_manifest(identifier)
            except StoreError:
                if self.ends_at(identifier):
                    return
                raise
            yield identifier, manifest
            identifier = manifest.parent

    def has_manifest(self, identifier: str) -> bool:
        """Whether there is a manifest of that identifier, whole or spoilt."""
        path = addresses.manifest(identifier)
        with self.reading(path):
            return self.files.has(path)

    def _checked(self, path: str) -> bytes:
        """The content of a file that is named by it."""
        with self.reading(path):
            content = self.files.read(path)
        if hashlib.sha256(content).hexdigest() != addresses.identifier_of(path):
            raise spoilt(self.files.name(path))
        return content

    def _shown(self) -> str:
        return f"{self.files.name().rstrip('/')}/"

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """Say what could not be read."""
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.files.name(path)}: cannot be read: {reason(error)}") from error

    # ------------------------------------------------------------------------------------------- writing

    def put(self, tag: str, manifest: Manifest, weights: Mapping[str, Tensor]) -> str:
        """Store weights and move a tag to them.

        A job that was killed and stores again what the tag names by now leaves the tag as it is.

        Args:
            tag: without restrictions but those of `check_tag`.
            manifest: what to write down; blob, parent and time are filled in (a given parent stays).
            weights: by name.

        Returns:
            The identifier of the tag's manifest.

        Raises:
            StoreError: it cannot be written; the tag is as it was.
        """
        addresses.check_tag(tag)
        with self.writing():
            filled = replace(manifest, blob=self.write_blob(encode_weights(weights)))

        def following(current: str | None) -> str:
            if current and filled.repeats(self._readable(current) or manifest):
                return current
            return self.write_manifest(replace(filled, parent=current or manifest.parent))

        return self.advance(manifest.network, tag, following)

    def accumulate(self, tag: str, manifest: Manifest, deltas: Mapping[str, Tensor]) -> str:
        """Add to the weights under a tag, in one step: no other writer comes in between.

        Args:
            tag: where nothing is stored yet, the deltas are.
            manifest: as for `put`.
            deltas: by name of the weight.

        Returns:
            The identifier of the new manifest.

        Raises:
            MisfitError: shapes differ.
            StoreError: the weights are spoilt, or it cannot be written; the tag is as it was.
        """
        source = f"{manifest.network}:{tag}"

        def following(current: str | None) -> str:
            weights = self.weights(self.read_manifest(current)) if current else {}
            blob = self.write_blob(encode_weights(add(weights, deltas, source)))
            return self.write_manifest(replace(manifest, blob=blob, parent=current or manifest.parent))

        return self.advance(manifest.network, tag, following)

    def advance(self, network: str, tag: str, following: Following) -> str:
        """Move a tag to the manifest that `following` writes; in one step, whoever else moves it.

        Raises:
            StoreError: it cannot be written; the tag is as it was.
        """
        found = ""

        def change(before: bytes | None) -> bytes:
            nonlocal found
            found = following(addresses.identifier_in(before))
            return f"{found}\n".encode()

        with self.writing():
            self.files.update(addresses.ref(network, tag), change)
        return found

    def write_blob(self, content: bytes) -> str:
        """Put a file of weights in place; its identifier."""
        identifier = hashlib.sha256(content).hexdigest()
        self.files.write(addresses.blob(identifier), content)
        return identifier

    def write_manifest(self, manifest: Manifest) -> str:
        """Put a manifest in place, with the time; its identifier."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        content = encode(replace(manifest, created=now))
        identifier = hashlib.sha256(content).hexdigest()
        self.files.write(addresses.manifest(identifier), content)
        return identifier

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say what could not be written."""
        try:
            yield
        except OSError as error:
            local = isinstance(self.files, LocalFiles) and error.filename
            place = display(Path(error.filename)) if local else self.files.name()
            raise StoreError(f"{place}: cannot be written: {reason(error)}; nothing was changed") from error

    def _readable(self, identifier: str) -> Manifest | None:
        with suppress(StoreError):
            return self.read_manifest(identifier)
        return None

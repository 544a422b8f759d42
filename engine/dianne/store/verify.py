"""Reading everything that is stored once more, to see that it still is what was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from dianne.errors import UsageError
from dianne.store import addresses
from dianne.store.errors import StoreError, reason, spoilt
from dianne.store.files import Found
from dianne.store.manifest import Manifest
from dianne.store.store import Store


@dataclass(frozen=True)
class Affected:
    """A tag whose history holds something spoilt.

    Attributes:
        network: its network.
        tag: its name.
        back: how many entries before the newest the fault is (the first of several).
        whole: the identifier of the newest entry that can be loaded; None if there is none.
    """

    network: str
    tag: str
    back: int
    whole: str | None

    @property
    def address(self) -> str:
        """Where the fault is, as NETWORK:TAG~N."""
        return f"{self.network}:{self.tag}" + (f"~{self.back}" if self.back else "")


@dataclass
class Verified:
    """What was found.

    Attributes:
        tags: how many were followed.
        files: how many were read.
        size: their bytes.
        faults: what is wrong, by the path of the file.
        affected: the tags that reach a spoilt file.
    """

    tags: int = 0
    files: int = 0
    size: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    affected: list[Affected] = field(default_factory=list)


def verify(store: Store, weights: str | None = None) -> Verified:
    """Hash all files, and follow every history.

    Args:
        store: the store.
        weights: only what the tags of NETWORK reach, or only the history of NETWORK:TAG.

    Raises:
        UsageError: there is no such network or tag.
        StoreError: the store cannot be listed.
    """
    if weights is None:
        return _Walk(store).run(store.refs(), everything=True)
    if ":" in weights:
        return _Walk(store).run([addresses.parse_one(weights)])
    refs = [(weights, tag) for tag in store.names(weights)]
    if not refs:
        raise UsageError(f"nothing is stored for {weights} in {store.files.name()}/")
    return _Walk(store).run(refs)


class _Walk:
    """Hashes each file once, however many tags reach it."""

    def __init__(self, store: Store):
        self.store = store
        self.found = Verified()
        self.seen: dict[str, bool] = {}  # by path: whether it is whole
        with store.reading("manifests"), store.reading("blobs"):
            self.sizes = {f.path: f for kind in ("manifests", "blobs") for f in store.files.below(kind)}

    def run(self, refs: list[tuple[str, str]], everything: bool = False) -> Verified:
        for network, tag in refs:
            self._follow(network, tag)
        for file in self.sizes.values() if everything else ():
            if file.path.endswith((".json", ".safetensors")):
                self._whole(file.path)
        return self.found

    def _follow(self, network: str, tag: str) -> None:
        """Walk through one history; note the first fault in it, and the newest entry without."""
        self.found.tags += 1
        first: int | None = None
        newest: str | None = None
        tip: str | None = None
        try:
            tip = self.store.resolve(network, tag)
        except StoreError as error:
            self._fault(addresses.ref(network, addresses.entry(tag)[0]), str(error))
            first = 0
        for back, (identifier, manifest) in enumerate(self._chain(tip)):
            fine = manifest is not None and self._whole(addresses.blob(manifest.blob))
            if not fine and first is None:
                first = back
            if fine and newest is None:
                newest = identifier
        if first is not None:
            whole = newest or self._dangling(network)
            self.found.affected.append(Affected(network, tag, first, whole))

    def _chain(self, identifier: str | None) -> Iterator[tuple[str, Manifest | None]]:
        """Identifiers and manifests, None for one that is spoilt, where the history is lost."""
        while identifier and not self._ends_at(identifier):
            manifest = self._manifest(identifier)
            yield identifier, manifest
            identifier = manifest.parent if manifest else None

    def _ends_at(self, identifier: str) -> bool:
        return addresses.manifest(identifier) not in self.sizes and addresses.pruned(identifier) in self.sizes

    def _manifest(self, identifier: str) -> Manifest | None:
        path = addresses.manifest(identifier)
        if not self._whole(path):
            return None
        try:
            return self.store.read_manifest(identifier)
        except StoreError as error:
            self._fault(path, str(error))
            return None

    def _whole(self, path: str) -> bool:
        """Whether a file is what its name says; hashes it the first time."""
        if path not in self.seen:
            self.seen[path] = self._hash(path)
        return self.seen[path]

    def _hash(self, path: str) -> bool:
        name = self.store.files.name(path)
        try:
            digest = self.store.files.digest(path)
        except OSError as error:
            self._fault(path, f"{name}: cannot be read: {reason(error)}")
            return False
        self.found.files += 1
        self.found.size += self.sizes.get(path, Found(path, 0, 0)).size
        if digest != addresses.identifier_of(path):
            self._fault(path, str(spoilt(name)))
            return False
        return True

    def _fault(self, path: str, message: str) -> None:
        self.found.faults.setdefault(path, message)

    def _dangling(self, network: str) -> str | None:
        """The newest whole manifest that none follows; rather one without a tag, as the lost one has."""
        found: dict[str, Manifest] = {}
        for path in self.sizes:
            if path.startswith("manifests/") and path.endswith(".json"):
                identifier = addresses.identifier_of(path)
                manifest = self._manifest(identifier)
                if manifest and manifest.network == network and self._whole(addresses.blob(manifest.blob)):
                    found[identifier] = manifest
        followed = {manifest.parent for manifest in found.values()}
        ends = [identifier for identifier in found if identifier not in followed]
        named = {self._tip(other, tag) for other, tag in self.store.refs() if other == network}
        return max(ends, key=lambda end: (end not in named, found[end].created), default=None)

    def _tip(self, network: str, tag: str) -> str | None:
        with suppress(StoreError):
            return self.store.resolve(network, tag)
        return None

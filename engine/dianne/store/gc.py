"""Taking away what no tag can reach any more.

A file goes if no tag reaches it and it is older than a day. Young manifests count as tags do, with all they
reach, for whoever has just written one is about to name it. A writer that finds its file already there makes
it young, under a lock under which gc looks at a file's age once more just before it removes it. `tag` and
`rollback`, which can give a name to old weights that have none, wait until gc is done. Where the clock went
back, files seem to be from the future; they count as young.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from dianne.store import addresses
from dianne.store.errors import StoreError, spoilt
from dianne.store.files import GRACE, Found
from dianne.store.manifest import Manifest
from dianne.store.store import Store


@dataclass
class Swept:
    """What was removed, or would be.

    Attributes:
        removed: files.
        kept: how many stay.
        young: how many of them only because they are young.
    """

    removed: list[Found] = field(default_factory=list)
    kept: int = 0
    young: int = 0

    @property
    def size(self) -> int:
        """Bytes removed."""
        return sum(found.size for found in self.removed)


def collect(store: Store, keep: int | None = None, dry_run: bool = False, now: float | None = None) -> Swept:
    """Remove what is reachable from no tag, or only beyond the newest entries of its history.

    Args:
        store: the store.
        keep: how many entries of each history stay reachable; all if left out.
        dry_run: only tell.
        now: the time, in seconds since 1970; the clock's if left out.

    Raises:
        StoreError: a tag or a manifest is spoilt, so nobody knows what it reaches; nothing was removed.
    """
    before = (time.time() if now is None else now) - GRACE
    with store.writing():
        if not store.files.below("manifests"):
            return Swept()
        with store.files.alone():
            return _collect(store, keep, dry_run, before)


def _collect(store: Store, keep: int | None, dry_run: bool, before: float) -> Swept:
    files = store.files.below("")
    walk = _Walk(store, keep)
    for network, tag in store.refs():
        walk.follow_tag(network, tag)
    named = walk.paths()
    for file in files:
        if file.modified > before and file.path.startswith("manifests/") and file.path.endswith(".json"):
            walk.follow(addresses.identifier_of(file.path))
    walk.close()
    reached = walk.paths()
    swept = Swept()
    for file in reversed(files):  # manifests before their blobs
        stays = not file.path.endswith(".tmp") and not file.path.startswith(("manifests/", "blobs/"))
        if stays or file.path in reached or file.modified > before:
            swept.kept += 1
            swept.young += not stays and file.path not in named
        else:
            swept.removed.append(file)
    if not dry_run and swept.removed:
        for identifier in walk.cut():  # before they are: an empty file finds a place on a full disk, too
            store.files.write(addresses.pruned(identifier), b"")
        swept.removed = [file for file in swept.removed if store.files.remove(file.path, before)]
    return swept


class _Walk:
    """Follows histories, as far as they are to be kept.

    Attributes:
        known: the manifests that stay, by identifier.
    """

    def __init__(self, store: Store, keep: int | None):
        self.store = store
        self.keep = float("inf") if keep is None else keep
        self.known: dict[str, Manifest] = {}
        self.left: dict[str, float] = {}  # by manifest: how many entries were still to be kept there
        self.faults: dict[str, None] = {}  # a set in the order in which they were found

    def follow_tag(self, network: str, tag: str) -> None:
        """Follow the history of a tag."""
        path = addresses.ref(network, tag)
        if identifier := addresses.identifier_in(self.store.files.read(path)):
            self.follow(identifier)
        else:
            self.faults[str(spoilt(self.store.files.name(path)))] = None

    def follow(self, start: str) -> None:
        """Follow a history from a manifest on."""
        left, identifier = self.keep, start
        while left > self.left.get(identifier, 0):
            self.left[identifier] = left
            try:
                manifest = self.known.get(identifier) or self.store.read_manifest(identifier)
            except StoreError as error:
                if not self.store.ends_at(identifier):
                    self.faults[str(error)] = None
                return
            self.known[identifier] = manifest
            if manifest.parent is None:
                return
            left, identifier = left - 1, manifest.parent

    def close(self) -> None:
        """Raise StoreError if anything could not be followed."""
        if self.faults:
            lines = "\n".join(f"  {fault}" for fault in self.faults)
            raise StoreError(
                "nothing was removed: what these files name is unknown; `dianne verify` tells more\n" + lines
            )

    def paths(self) -> set[str]:
        """The files of all that stays."""
        manifests = {addresses.manifest(identifier) for identifier in self.known}
        ends = {addresses.pruned(identifier) for identifier in self.cut()}
        return manifests | ends | {addresses.blob(manifest.blob) for manifest in self.known.values()}

    def cut(self) -> set[str]:
        """Identifiers of the manifests at which histories end from now on."""
        parents = {manifest.parent for manifest in self.known.values() if manifest.parent}
        return parents - self.known.keys()

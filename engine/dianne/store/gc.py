"""Taking away what no tag can reach any more.

A file goes if no tag reaches it and it is older than a day. Young manifests count as tags do, with all they
reach, for whoever has just written one is about to name it. A writer that finds its file already there makes
it young, under a lock under which gc looks at a file's age once more just before it removes it. `tag` and
`rollback`, which can give a name to old weights that have none, wait until gc is done. Where the clock went
back, files seem to be from the future; they count as young.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from dianne.store import addresses
from dianne.store.errors import StoreError, spoilt
from dianne.store.files import GRACE, Found
from dianne.store.manifest import Manifest
from dianne.store.store import PRUNED, Store


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
    reached, cut = _reached(store, keep, [file for file in files if file.modified > before])
    swept = Swept()
    for file in sorted(files, key=lambda file: file.path, reverse=True):  # manifests before their blobs
        temporary = file.path.endswith(".tmp")
        if file.path in reached or (not temporary and not file.path.startswith(("manifests/", "blobs/"))):
            swept.kept += 1
        elif file.modified > before:
            swept.kept += 1
            swept.young += 1
        else:
            swept.removed.append(file)
    if not dry_run and swept.removed:
        note_cut(store, cut)
        swept.removed = [file for file in swept.removed if store.files.remove(file.path, before)]
    return swept


def _reached(store: Store, keep: int | None, young: list[Found]) -> tuple[set[str], set[str]]:
    """The paths of all manifests and blobs that stay, and the identifiers at which histories are cut off."""
    faults: list[str] = []
    known: dict[str, Manifest] = {}
    deepest: dict[str, float] = {}  # by manifest: how many of its ancestors have been walked
    pruned = store.pruned()
    for root in _roots(store, young, faults):
        left = float("inf") if keep is None else keep
        identifier: str | None = root
        while identifier and left > deepest.get(identifier, 0):
            if identifier in pruned and not store.files.has(addresses.manifest(identifier)):
                break
            deepest[identifier] = left
            try:
                known[identifier] = known.get(identifier) or store.read_manifest(identifier)
            except StoreError as error:
                faults.append(str(error))
                break
            left -= 1
            identifier = known[identifier].parent
    if faults:
        lines = "\n".join(f"  {fault}" for fault in dict.fromkeys(faults))
        raise StoreError(
            "nothing was removed: what these files name is unknown; `dianne verify` tells more\n" + lines
        )
    cut = {parent for manifest in known.values() if (parent := manifest.parent) and parent not in known}
    manifests = {addresses.manifest(identifier) for identifier in known}
    return manifests | {addresses.blob(manifest.blob) for manifest in known.values()}, cut


def _roots(store: Store, young: list[Found], faults: list[str]) -> Iterator[str]:
    for network, tag in store.refs():
        path = addresses.ref(network, tag)
        found = addresses.identifier_in(store.files.read(path))
        if found:
            yield found
        else:
            faults.append(str(spoilt(store.files.name(path))))
    for file in young:
        if file.path.startswith("manifests/") and file.path.endswith(".json"):
            yield addresses.identifier_of(file.path)


def note_cut(store: Store, cut: set[str]) -> None:
    """Write down where histories end from now on, before they do."""

    def change(before: bytes | None) -> bytes:
        known = set((before or b"").decode().split())
        return "".join(f"{identifier}\n" for identifier in sorted(known | cut)).encode()

    if cut:
        store.files.update(PRUNED, change)

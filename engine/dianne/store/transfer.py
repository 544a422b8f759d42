"""Copying histories from one store to another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from dianne.errors import UsageError
from dianne.store import addresses
from dianne.store.manifest import Manifest
from dianne.store.store import Store


@dataclass(frozen=True)
class Copied:
    """What was copied of one tag.

    Attributes:
        network: its network.
        tag: its name.
        before: the identifier that it named over there; None if it was not there.
        after: the one that it names now.
        entries: of the history that were missing there.
        size: bytes written.
        forced: whether entries over there are no longer reached by it.
    """

    network: str
    tag: str
    before: str | None
    after: str
    entries: int
    size: int
    forced: bool


def copy(source: Store, target: Store, network: str, tag: str, force: bool = False) -> Copied:
    """Copy a tag with its history; only what is missing over there.

    Args:
        source: where the tag is.
        target: where it shall be.
        network: its network.
        tag: its name.
        force: move the tag over there even if it has gone another way since.

    Raises:
        UsageError: there is no such tag, or the one over there is no ancestor of it; it is as it was.
        StoreError: something is spoilt, or cannot be written; the tag over there is as it was.
    """
    addresses.check_tag(tag)
    history = list(source.history(network, tag))
    known = {identifier for identifier, _ in history}
    _refuse(source, target, network, tag, known, force)
    entries, size = _copy_missing(source, target, history)
    before: str | None = None

    def following(current: str | None) -> str:
        nonlocal before
        before = current
        if current and current not in known and not force:
            raise _gone_another_way(source, target, network, tag, current)
        return history[0][0]

    after = target.advance(network, tag, following)
    forced = before is not None and before not in known
    return Copied(network, tag, before, after, entries, size, forced)


def copy_newest(source: Store, target: Store, network: str, address: str) -> None:
    """Make an address mean the same in another, new store: no more of a history is copied than it needs.

    Raises:
        UsageError: there are no such weights.
        StoreError: something is spoilt, or cannot be written.
    """
    name, back = addresses.entry(address)
    history = list(islice(source.history(network, name), back + 1))
    for entry in history:
        _copy_missing(source, target, [entry])
    if source.has(network, name):
        target.advance(network, name, lambda _: history[0][0])


def _refuse(source: Store, target: Store, network: str, tag: str, known: set[str], force: bool) -> None:
    """Look before anything is copied; the tag is looked at once more when it moves."""
    if not force and target.has(network, tag):
        current = target.resolve(network, tag)
        if current not in known:
            raise _gone_another_way(source, target, network, tag, current)


def _gone_another_way(source: Store, target: Store, network: str, tag: str, current: str) -> UsageError:
    here, there = source.files.name(), target.files.name()
    return UsageError(
        f"{network}:{tag} in {there} names {current[: addresses.SHORT]}, which is not in its history in "
        f"{here}: somebody has stored there since; get that under another tag first, or give --force to "
        "leave it behind"
    )


def _copy_missing(source: Store, target: Store, history: list[tuple[str, Manifest]]) -> tuple[int, int]:
    """Copy the oldest first, so that a manifest over there always has its history; entries and bytes."""
    missing: list[tuple[str, Manifest]] = []
    for identifier, manifest in history:
        if target.has_manifest(identifier):
            break
        missing.append((identifier, manifest))
    size = 0
    with target.writing():
        if missing and missing[-1][1].parent and missing[-1] == history[-1]:
            target.files.write(addresses.pruned(missing[-1][1].parent), b"")  # gc has cut it here, too
        for identifier, manifest in reversed(missing):
            weights, entry = source.blob(manifest.blob), source.manifest_file(identifier)
            target.files.write(addresses.blob(manifest.blob), weights)
            target.files.write(addresses.manifest(identifier), entry)
            size += len(weights) + len(entry)
    return len(missing), size

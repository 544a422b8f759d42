"""What happened to a tag, and how to change it: every change is one more entry, so that it can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dianne.errors import UsageError
from dianne.store import addresses
from dianne.store.errors import StoreError
from dianne.store.manifest import FORMAT, Manifest
from dianne.store.store import Store


@dataclass(frozen=True)
class Entry:
    """One entry of a history.

    Attributes:
        back: how many are newer; `TAG~back` is its address.
        identifier: of its manifest.
        manifest: where its weights came from.
        note: how the tag came to them, if not by going on: rolled back, or started from another tag.
    """

    back: int
    identifier: str
    manifest: Manifest
    note: str


@dataclass(frozen=True)
class Moved:
    """A tag that was moved, or removed.

    Attributes:
        network: its network.
        tag: its name.
        before: the identifier that it named; None if it was not there.
        after: the one that it names now; None if it is gone.
    """

    network: str
    tag: str
    before: str | None
    after: str | None


def log(store: Store, network: str, address: str) -> Iterator[Entry]:
    """The history of some weights, the newest first; raises as `Store.history`."""
    previous: tuple[int, str, Manifest] | None = None
    for back, (identifier, manifest) in enumerate(store.history(network, address)):
        if previous:
            yield Entry(*previous, _note(previous[2], manifest))
        previous = back, identifier, manifest
    if previous:
        yield Entry(*previous, _note(previous[2], None))


def _note(manifest: Manifest, older: Manifest | None) -> str:
    """What a manifest says, or the tag from which its job started if this is the job's first entry."""
    if manifest.note or (older and older.job.get("id") == manifest.job.get("id")):
        return manifest.note
    options = manifest.job.get("options", {})
    origins = (options.get(key) for key in (f"{manifest.network}.initTag", "initTag"))
    origin = None if options.get("clean") else next((found for found in origins if found), None)
    return f"started from {origin}" if origin else ""


def tag(store: Store, networks: Iterable[str], address: str, tags: Iterable[str]) -> list[Moved]:
    """Give stored weights more tags; one that is there gets one more entry in its history.

    Raises:
        UsageError: there are no such weights, or a name cannot be a tag; nothing was changed.
    """
    chosen = {network: store.resolve(network, address) for network in networks}
    names = [addresses.check_tag(name) for name in tags]
    manifests = {network: store.read_manifest(identifier) for network, identifier in chosen.items()}
    with store.writing(), store.files.alone():
        return [
            _point(store, name, manifests[network], identifier, f"tagged from {network}:{address}")
            for network, identifier in chosen.items()
            for name in names
        ]


def rollback(store: Store, networks: Iterable[str], address: str) -> list[Moved]:
    """Put the weights of `TAG~N` under the tag again, as one more entry of its history.

    Raises:
        UsageError: there are no such weights, or the address does not say how far; nothing was changed.
    """
    name, back = addresses.entry(address)
    if not back:
        raise UsageError(
            f"'{address}' does not say how far to go back: write {name}~1 for the weights before these; "
            f"to take those of another tag: dianne tag NETWORK:OTHER {name}"
        )
    chosen = {network: store.resolve(network, address) for network in networks}
    manifests = {network: store.read_manifest(identifier) for network, identifier in chosen.items()}
    with store.writing(), store.files.alone():
        return [
            _point(store, name, manifests[network], identifier, f"rolled back to {network}:{address}")
            for network, identifier in chosen.items()
        ]


def untag(store: Store, networks: Iterable[str], name: str) -> list[Moved]:
    """Take a tag away; its weights stay until gc, and for a day at least.

    Raises:
        UsageError: there is no such tag; nothing was changed.
    """
    addresses.check_tag(name)
    networks = list(networks)
    for network in networks:
        if not store.has(network, name):
            store.resolve(network, name)  # says what is near
            raise UsageError(f"'{name}' is a manifest of {network}, and no tag")
    return [_remove(store, network, name) for network in networks]


def _point(store: Store, name: str, manifest: Manifest, identifier: str, why: str) -> Moved:
    """Move a tag to weights that are there, in one step."""
    before: str | None = None

    def following(current: str | None) -> str:
        nonlocal before
        before = current
        _renew(store, identifier)
        if current is None or not _whole(store, current):
            return identifier
        if current == identifier:
            return current
        note = f"{why} ({identifier[: addresses.SHORT]})"
        return store.write_manifest(replace(manifest, parent=current, note=note, format=FORMAT))

    after = store.advance(manifest.network, name, following)
    return Moved(manifest.network, name, before, after)


def _remove(store: Store, network: str, name: str) -> Moved:
    found: str | None = None

    def change(before: bytes | None) -> None:
        nonlocal found
        found = addresses.identifier_in(before)
        if found and _whole(store, found):
            _renew(store, found)

    with store.writing():
        store.files.update(addresses.ref(network, name), change)
    return Moved(network, name, found, None)


def _renew(store: Store, identifier: str) -> None:
    """Make a manifest young, so that gc leaves it and its history alone for a day."""
    path = addresses.manifest(identifier)
    store.files.write(path, store.files.read(path))


def _whole(store: Store, identifier: str) -> bool:
    try:
        store.read_manifest(identifier)
    except StoreError:
        return False
    return True

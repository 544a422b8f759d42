"""verify lists every spoilt file at once, whom it touches, and what is still whole."""

from pathlib import Path

import pytest
from storing import numbers, put, refused, stored

from dianne.errors import UsageError
from dianne.store import addresses, history
from dianne.store.verify import Affected, verify

CHANGED = "its content was changed; restore it from a copy"


def flip(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def place(store, kind, address):
    identifier = store.resolve("Encoder", address)
    if kind == "blob":
        return store.root / addresses.blob(store.read_manifest(identifier).blob)
    return store.root / addresses.manifest(identifier)


def test_a_whole_store_is_counted(store):
    put(store, "vae", 1, 2)
    put(store, "vae", 1, network="Decoder")
    found = verify(store)
    assert (found.tags, found.files, found.faults, found.affected) == (2, 5, {}, [])
    assert found.size == sum(p.stat().st_size for p in Path("models").rglob("*.*"))
    assert verify(store, "Decoder").files == 2
    assert verify(store, "Encoder:vae~1").files == 2


@pytest.mark.parametrize("spoil", [flip, truncate])
def test_a_spoilt_blob_is_told_with_the_tags_that_reach_it(store, spoil):
    put(store, "vae", 1, 2, 3)
    put(store, "other", 4)
    history.tag(store, ["Encoder"], "vae~1", ["good"])
    blob = place(store, "blob", "vae~1")
    spoil(blob)
    found = verify(store)
    assert list(found.faults.values()) == [f"{blob}: {CHANGED}"]
    first, third = store.resolve("Encoder", "vae~2"), store.resolve("Encoder", "vae")
    assert found.affected == [Affected("Encoder", "good", 0, first), Affected("Encoder", "vae", 1, third)]
    assert stored(store, "vae") == 3
    history.tag(store, ["Encoder"], first, ["good"])
    assert stored(store, "good") == 1
    assert verify(store, "Encoder:other").faults == {}


@pytest.mark.parametrize("spoil", [flip, truncate, Path.unlink])
def test_weights_before_a_spoilt_manifest_are_found_again(store, spoil):
    put(store, "vae", 1, 2, 3)
    put(store, "vae@best", 2)
    whole = store.resolve("Encoder", "vae~1")
    path = place(store, "manifest", "vae")
    spoil(path)
    found = verify(store)
    what = "cannot be read: No such file or directory" if spoil is Path.unlink else CHANGED
    assert list(found.faults.values()) == [f"{path}: {what}"]
    assert found.affected == [Affected("Encoder", "vae", 0, whole)]
    history.tag(store, ["Encoder"], whole[:12], ["vae"])
    assert numbers(store, "vae") == [2, 1]


@pytest.mark.parametrize("content", [b"", b"0" * 30, b"\0" * 65])
def test_a_reference_that_is_half_a_file_is_told_and_mended(store, content):
    *_, last = put(store, "vae", 1, 2)
    put(store, "other", 3)
    path = store.root / "refs/Encoder/vae"
    path.write_bytes(content)
    found = verify(store)
    assert list(found.faults.values()) == [f"{path}: {CHANGED}"]
    assert found.affected == [Affected("Encoder", "vae", 0, last)]
    history.tag(store, ["Encoder"], last[:12], ["vae"])
    assert numbers(store, "vae") == [2, 1]
    assert verify(store).faults == {}


def test_every_fault_is_listed_at_once(store):
    put(store, "vae", 1, 2, 3)
    put(store, "vae", 1, 2, network="Decoder")
    put(store, "lost", 9)
    spoilt = [place(store, "blob", "vae"), place(store, "manifest", "vae~1"), place(store, "blob", "lost")]
    history.untag(store, ["Encoder"], "lost")
    for path in spoilt:
        flip(path)
    found = verify(store)
    assert sorted(found.faults.values()) == sorted(f"{path}: {CHANGED}" for path in spoilt)
    assert [one.tag for one in found.affected] == ["vae"]


def test_a_manifest_of_a_newer_dianne_is_told(store):
    from dianne.store import FORMAT

    put(store, "vae", 1, format=FORMAT + 1)
    (path,) = (store.root / "manifests").rglob("*.json")
    assert list(verify(store).faults.values()) == [
        f"{path}: was written by a newer dianne (format {FORMAT + 1}, this one reads up to {FORMAT}); "
        "upgrade dianne"
    ]


def test_what_is_not_there_cannot_be_verified(store):
    put(store, "vae", 1)
    assert refused(UsageError, verify, store, "Decoder") == "nothing is stored for Decoder in models/"
    assert (
        refused(UsageError, verify, store, "Encoder:vea") == "Encoder has no tag 'vea'; did you mean 'vae'?"
    )

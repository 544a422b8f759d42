"""A disk that is full or read-only, files that are spoilt: a message, and the last good weights are there."""

import os
import resource
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from storing import numbers, put, refused, stored, tomorrow

from dianne.store import Store, StoreError, addresses, history
from dianne.store.gc import collect
from dianne.store.verify import verify

MODELS = Path("models")
FULL = "models: cannot be written: No space left on device; nothing was changed"


def snapshot():
    """The content of every file that counts: those of refs, and temporary ones anywhere."""
    paths = [path for path in (MODELS / "refs").rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in [*paths, *MODELS.rglob("*.tmp")]}


@contextmanager
def files_no_longer_than(size):
    """A disk that is full after so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("number", [2, 1], ids=["no place for the blob", "nor for the manifest"])
def test_a_full_disk_leaves_the_tag_as_it_was(store, number):
    put(store, "vae", 1)
    before = snapshot()
    with files_no_longer_than(50):
        message = refused(StoreError, put, store, "vae", number, text="other")
    assert message == "models: cannot be written: File too large; nothing was changed"
    assert snapshot() == before
    assert (stored(store, "vae"), verify(store).faults) == (1, {})


@pytest.mark.parametrize("failing", range(1, 7))
def test_whichever_step_fails_a_put_that_fails_changes_nothing(store, monkeypatch, failing):
    put(store, "vae", 1)
    before, steps = snapshot(), []

    def fsync(handle, real=os.fsync):
        steps.append(handle)
        if len(steps) == failing:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    message = ""
    try:
        put(store, "vae", 2)
    except StoreError as error:
        message = str(error)
    assert (message, snapshot() == before) in [(FULL, True), ("", False)]
    assert len(steps) >= failing


def test_a_tiny_disk_that_fills_up_keeps_the_last_weights(store, mounted):
    with mounted(MODELS, "size=256k"):
        count, message = 0, ""
        while not message:
            try:
                put(store, "vae", count)
                count += 1
            except StoreError as error:
                message = str(error)
        assert message.endswith(": cannot be written: No space left on device; nothing was changed")
        assert 5 < count < 1000
        assert stored(store, "vae") == count - 1
        assert numbers(store, "vae") == list(range(count))[::-1]
        found = verify(store)
        assert (found.faults, found.affected) == ({}, [])
        assert not list(MODELS.rglob("*.tmp"))
        collect(store, keep=2, now=tomorrow())
        put(store, "vae", count)
        assert stored(store, "vae") == count


def test_a_folder_that_is_read_only_can_be_read_and_says_so_to_writers(store, mounted):
    with mounted(MODELS, "size=1m"):
        put(store, "vae", 1, 2)
        subprocess.run(["mount", "-o", "remount,ro", str(MODELS)], check=True)
        assert (stored(store, "vae"), stored(store, "vae~1"), verify(store).faults) == (2, 1, {})
        for change in (
            lambda: put(store, "vae", 3),
            lambda: history.rollback(store, ["Encoder"], "vae~1"),
            lambda: history.tag(store, ["Encoder"], "vae", ["good"]),
            lambda: history.untag(store, ["Encoder"], "vae"),
        ):
            message = refused(StoreError, change)
            assert message.startswith("models")
            assert message.endswith(": cannot be written: Read-only file system; nothing was changed")
        assert (store.names("Encoder"), stored(store, "vae")) == (["vae"], 2)


def test_a_file_in_the_place_of_the_folder_is_reported(store):
    MODELS.write_text("")
    assert refused(StoreError, put, store, "vae", 1) == (
        "models: cannot be written: File exists; nothing was changed"
    )


def test_somebody_elses_file_is_replaced_where_it_cannot_be_touched(store, monkeypatch):
    put(store, "vae", 1)

    def utime(*_):
        raise PermissionError

    monkeypatch.setattr(os, "utime", utime)
    put(store, "other", 1)
    assert stored(store, "other") == 1


def test_a_clock_that_goes_back_does_not_change_the_order_of_a_history(store, monkeypatch):
    import datetime

    import dianne.store.store as module

    class Back(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(1999, 1, 1, tzinfo=tz)

    put(store, "vae", 1)
    monkeypatch.setattr(module.datetime, "datetime", Back)
    put(store, "vae", 2)
    assert [entry.manifest.created[:4] == "1999" for entry in history.log(store, "Encoder", "vae")] == [
        True,
        False,
    ]
    assert (numbers(store, "vae"), stored(store, "vae")) == ([2, 1], 2)


def test_two_learners_on_one_tag_keep_the_entries_of_both(store):
    first, second = Store(MODELS), Store(MODELS)
    for number in range(3):
        put(first, "vae", number, job={"id": "a"})
        put(second, "vae", 10 + number, job={"id": "b"})
    assert numbers(store, "vae") == [12, 2, 11, 1, 10, 0]


def test_what_can_be_read_survives_every_fault_of_the_newest_entry(store):
    spoilings = [lambda p: p.write_bytes(p.read_bytes()[:20]), lambda p: p.write_bytes(b""), Path.unlink]
    for number, spoil in enumerate(spoilings):
        tag = f"t{number}"
        put(store, tag, 1, 2)
        newest = store.manifest("Encoder", tag)
        if number == 0:
            put(store, "elsewhere", 1)
        spoil(MODELS / addresses.blob(newest.blob))
        assert [one.whole for one in verify(store, f"Encoder:{tag}").affected] == [newest.parent]
        history.rollback(store, ["Encoder"], f"{tag}~1")
        assert stored(store, tag) == 1


def test_files_of_somebody_else_among_the_tags_are_no_tags(store):
    put(store, "v1.0/best+", 1)
    for name in (".DS_Store", "Encoder/.DS_Store", "Encoder/.nfs0001", "Encoder/deeper/vae", "Encoder/x.tmp"):
        path = MODELS / "refs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("anything")
    assert store.refs() == [("Encoder", "v1.0/best+")]
    assert list(store.tags("Encoder")) == ["v1.0/best+"]
    assert verify(store).faults == {}
    collect(store, keep=1, now=tomorrow())
    assert stored(store, "v1.0/best+") == 1

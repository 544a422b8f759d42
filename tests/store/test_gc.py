"""gc removes what no tag reaches, never what is young, and nothing at all where it cannot know."""

import os
import time
from pathlib import Path

import pytest
from storing import DAY, numbers, put, refused, stored, tomorrow

from dianne.store import StoreError, addresses, history
from dianne.store.gc import collect


def paths(kind=""):
    return sorted(str(path) for path in (Path("models") / kind).rglob("*") if path.is_file())


def test_what_a_tag_reaches_stays(store):
    put(store, "vae", *range(5))
    before = paths()
    swept = collect(store, now=tomorrow())
    assert (swept.removed, swept.kept, swept.young, paths()) == ([], 11, 0, before)


def test_what_no_tag_reaches_goes_once_it_is_a_day_old(store):
    put(store, "vae", 1, 2)
    kept = paths()
    put(store, "other", 3, 4)
    history.untag(store, ["Encoder"], "other")
    swept = collect(store)
    assert (swept.removed, swept.kept, swept.young) == ([], 9, 4)
    swept = collect(store, now=tomorrow())
    assert paths() == kept
    assert (len(swept.removed), swept.kept) == (4, 5)
    assert swept.size == sum(found.size for found in swept.removed) > 0


def test_a_dry_run_tells_the_same_and_removes_nothing(store):
    put(store, "vae", *range(5))
    before = paths()
    told = collect(store, keep=2, dry_run=True, now=tomorrow())
    assert paths() == before
    done = collect(store, keep=2, now=tomorrow())
    assert [found.path for found in told.removed] == [found.path for found in done.removed]
    assert len(done.removed) == 6


def test_the_newest_entries_of_every_history_are_kept_and_what_is_cut_off_is_no_fault(store):
    from dianne.errors import UsageError
    from dianne.store.verify import verify

    put(store, "vae", *range(6))
    history.tag(store, ["Encoder"], "vae~4", ["early"])
    collect(store, keep=2, now=tomorrow())
    assert (numbers(store, "vae"), numbers(store, "early")) == ([5, 4], [1, 0])
    assert refused(UsageError, store.resolve, "Encoder", "vae~2") == (
        "there is no Encoder:vae~2; the oldest is Encoder:vae~1 (gc has removed what was before it)"
    )
    assert verify(store).faults == {}
    put(store, "vae", 6)
    assert numbers(store, "vae") == [6, 5, 4]
    assert collect(store, now=tomorrow()).removed == []


def test_young_entries_beyond_those_to_keep_stay(store):
    put(store, "vae", *range(5))
    assert collect(store, keep=1).removed == []
    assert numbers(store, "vae") == [4, 3, 2, 1, 0]


def test_a_blob_that_another_entry_uses_too_stays(store):
    put(store, "vae", 1, 2, 1)
    collect(store, keep=1, now=tomorrow())
    assert stored(store, "vae") == 1
    assert len(paths("blobs")) == 1
    assert [Path(path).suffix for path in paths("manifests")] in ([".json", ".pruned"], [".pruned", ".json"])


def test_what_was_untagged_today_stays_for_a_day_with_its_history(store):
    put(store, "vae", 1, 2)
    for path in paths("manifests") + paths("blobs"):
        os.utime(path, (0, 0))
    (moved,) = history.untag(store, ["Encoder"], "vae")
    assert collect(store).removed == []
    history.tag(store, ["Encoder"], moved.before, ["vae"])
    assert numbers(store, "vae") == [2, 1]


def test_what_killed_writers_left_is_swept_once_it_is_a_day_old(store):
    put(store, "vae", 1)
    left = [Path(path).with_name("tmpabc.tmp") for path in paths()]
    for path in left:
        path.write_text("half")
    collect(store)
    assert all(path.exists() for path in left)
    assert len(collect(store, now=tomorrow()).removed) == 3
    assert not any(path.exists() for path in left)
    assert stored(store, "vae") == 1


def test_nothing_is_removed_when_the_clock_went_back(store):
    put(store, "vae", 1)
    history.untag(store, ["Encoder"], "vae")
    for path in paths():
        os.utime(path, (time.time() + 90 * DAY,) * 2)
    assert collect(store, now=time.time() - 300 * DAY).removed == []
    assert collect(store, now=tomorrow(80)).removed == []
    assert len(collect(store, now=tomorrow(100)).removed) == 2


def test_a_blob_that_is_stored_again_becomes_young(store):
    put(store, "vae", 1)
    (blob,) = paths("blobs")
    os.utime(blob, (0, 0))
    put(store, "other", 1)
    assert time.time() - Path(blob).stat().st_mtime < 60


def test_a_file_that_became_young_after_gc_looked_stays(store, monkeypatch):
    put(store, "vae", 1)
    history.untag(store, ["Encoder"], "vae")
    now = tomorrow()
    removed = type(store.files).remove

    def remove(files, path, before):
        place = Path("models") / path
        os.utime(place, (now, now))  # somebody has just stored the same again
        return removed(files, path, before)

    monkeypatch.setattr(type(store.files), "remove", remove)
    assert collect(store, now=now).removed == []
    assert len(paths("blobs")) == 1


def cut(path):
    path.write_bytes(path.read_bytes()[:30])


@pytest.mark.parametrize(("kind", "spoil"), [("refs", cut), ("manifests", cut), ("manifests", Path.unlink)])
def test_a_spoilt_file_stops_it(store, kind, spoil):
    put(store, "vae", 1, 2)
    put(store, "other", 3)
    history.untag(store, ["Encoder"], "other")
    place = {
        "refs": store.root / "refs/Encoder/vae",
        "manifests": store.root / addresses.manifest(store.resolve("Encoder", "vae~1")),
    }[kind]
    spoil(place)
    before = paths()
    fault = (
        "cannot be read: No such file or directory"
        if spoil is Path.unlink
        else ("its content was changed; restore it from a copy")
    )
    assert refused(StoreError, collect, store, now=tomorrow()) == (
        "nothing was removed: what these files name is unknown; `dianne verify` tells more\n"
        f"  {place}: {fault}"
    )
    assert paths() == before


def test_a_store_without_anything_has_nothing_to_remove(store):
    assert collect(store).removed == []
    assert not Path("models").exists()

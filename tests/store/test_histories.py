"""Histories: every entry has an address, and every change of a tag is one more entry."""

import pytest
from storing import BARE, numbers, put, refused, stored

from dianne.errors import UsageError
from dianne.store import Store, StoreError, addresses, history


def test_earlier_entries_are_found_by_how_far_back_they_are(store):
    identifiers = put(store, "vae", 1, 2, 3, 4)
    assert [store.resolve("Encoder", f"vae~{back}") for back in range(4)] == identifiers[::-1]
    assert [stored(store, address) for address in ("vae", "vae~0", "vae~3")] == [4, 4, 1]
    assert refused(UsageError, store.resolve, "Encoder", "vae~4") == (
        "there is no Encoder:vae~4; the oldest is Encoder:vae~3 (the history starts there)"
    )


def test_snapshots_are_tags_with_histories_of_their_own(store):
    put(store, "vae", 1, 2)
    put(store, "vae@1000", 7)
    put(store, "vae@best", 8, 9)
    assert [stored(store, address) for address in ("vae@1000", "vae@best", "vae@best~1")] == [7, 9, 8]


def test_manifests_are_found_by_the_digits_with_which_they_begin(store):
    first, _ = put(store, "vae", 1, 2)
    assert {store.resolve("Encoder", first[:length]) for length in (7, 12, 64)} == {first}
    assert stored(store, f"{first[:7]}~0") == 1
    message = f"Encoder has no tag '{first[:6]}'; tags of Encoder: vae"
    assert refused(UsageError, store.resolve, "Encoder", first[:6]) == message
    assert refused(UsageError, store.resolve, "Decoder", first[:9]) == (
        f"{first[:9]} is a manifest of Encoder, not of Decoder: write Encoder:{first[:9]}"
    )


def test_digits_that_are_of_several_manifests_name_none(store, monkeypatch):
    (first,) = put(store, "vae", 1)
    other = first[:20] + "0" * 44
    (store.root / addresses.manifest(other)).write_text("")
    assert refused(UsageError, store.resolve, "Encoder", first[:8]) == (
        f"several manifests begin with {first[:8]}: {', '.join(x[:12] for x in sorted((first, other)))}"
    )


def test_a_tag_that_looks_like_digits_is_a_tag(store):
    first, _ = put(store, "vae", 1, 2)
    put(store, first[:7], 5)
    assert stored(store, first[:7]) == 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Encoder:vae", (["Encoder"], "vae")),
        ("Encoder, Decoder,Encoder:vae@best~12", (["Encoder", "Decoder"], "vae@best~12")),
    ],
)
def test_weights_are_called_by_networks_and_address(text, found):
    assert addresses.parse(text) == found


@pytest.mark.parametrize("text", ["Encoder", "Encoder:", ":vae", "Encoder,:vae", ""])
def test_what_names_no_weights_is_refused(text):
    assert refused(UsageError, addresses.parse, text) == (
        f"'{text}' names no weights; write NETWORK:TAG, such as Encoder:vae or Encoder,Decoder:vae~1"
    )


def test_nothing_is_stored_under_an_entry_of_a_history(store):
    message = (
        "'vae~1' is an entry of a history, which never changes: it can be read, but nothing can be stored "
        "there; store under 'vae' or another tag"
    )
    put(store, "vae", 1, 2)
    assert refused(UsageError, put, store, "vae~1", 3) == message
    assert refused(UsageError, history.tag, store, ["Encoder"], "vae", ["good", "vae~1"]) == message
    assert refused(UsageError, history.untag, store, ["Encoder"], "vae~1") == message
    assert store.names("Encoder") == ["vae"]


# --------------------------------------------------------------------------------------------------- moving


def test_a_rollback_is_an_entry_that_can_be_rolled_back(store):
    first, _, third = put(store, "vae", 1, 2, 3)
    (moved,) = history.rollback(store, ["Encoder"], "vae~2")
    assert (moved.before, moved.after) == (third, store.resolve("Encoder", "vae"))
    assert store.manifest("Encoder", "vae").note == f"rolled back to Encoder:vae~2 ({first[:12]})"
    assert (stored(store, "vae"), numbers(store, "vae")) == (1, [1, 3, 2, 1])
    history.rollback(store, ["Encoder"], "vae~1")
    assert numbers(store, "vae") == [3, 1, 3, 2, 1]


def test_networks_are_rolled_back_together_or_not_at_all(store):
    for network in ("Encoder", "Decoder"):
        put(store, "vae", 1, 2, network=network)
    history.rollback(store, ["Encoder", "Decoder"], "vae~1")
    assert [stored(store, "vae", network) for network in ("Encoder", "Decoder")] == [1, 1]
    put(store, "vae", 3, network="Encoder")
    assert refused(UsageError, history.rollback, store, ["Encoder", "Decoder"], "vae~3") == (
        "there is no Decoder:vae~3; the oldest is Decoder:vae~2 (the history starts there)"
    )
    assert [stored(store, "vae", network) for network in ("Encoder", "Decoder")] == [3, 1]


def test_a_rollback_says_how_far(store):
    put(store, "vae", 1)
    assert refused(UsageError, history.rollback, store, ["Encoder"], "vae") == (
        "'vae' does not say how far to go back: write vae~1 for the weights before these; to take those of "
        "another tag: dianne tag NETWORK:OTHER vae"
    )


def test_a_new_tag_shares_the_history_of_the_weights_that_it_is_given_to(store):
    _, second, _ = put(store, "vae", 1, 2, 3)
    history.tag(store, ["Encoder"], "vae~1", ["good", "published"])
    assert store.resolve("Encoder", "good") == store.resolve("Encoder", "published") == second
    assert numbers(store, "good") == [2, 1]
    put(store, "vae", 4)
    assert numbers(store, "good") == [2, 1]


def test_a_tag_that_is_there_keeps_its_history_when_it_is_given_to_other_weights(store):
    (identifier,) = put(store, "best", 9)
    put(store, "vae", 1, 2)
    history.tag(store, ["Encoder"], "best", ["vae"])
    assert numbers(store, "vae") == [9, 2, 1]
    assert store.manifest("Encoder", "vae").note == f"tagged from Encoder:best ({identifier[:12]})"
    before = store.resolve("Encoder", "best")
    history.tag(store, ["Encoder"], "best", ["best"])
    assert store.resolve("Encoder", "best") == before


def test_a_tag_that_was_taken_away_comes_back_by_its_manifest(store):
    put(store, "vae", 1, 2)
    (moved,) = history.untag(store, ["Encoder"], "vae")
    assert (store.names("Encoder"), moved.after) == ([], None)
    history.tag(store, ["Encoder"], moved.before[:12], ["vae"])
    assert numbers(store, "vae") == [2, 1]


def test_only_what_is_there_is_taken_away(store):
    (identifier,) = put(store, "vae", 1)
    message = "Encoder has no tag 'vea'; did you mean 'vae'?"
    assert refused(UsageError, history.untag, store, ["Encoder"], "vea") == message
    assert refused(UsageError, history.untag, store, ["Encoder"], identifier[:9]) == (
        f"'{identifier[:9]}' is a manifest of Encoder, and no tag"
    )
    put(store, "vae", 1, network="Decoder")
    put(store, "only", 1, network="Decoder")
    assert "Encoder has no tag 'only'" in refused(
        UsageError, history.untag, store, ["Decoder", "Encoder"], "only"
    )
    assert store.has("Decoder", "only")


# ------------------------------------------------------------------------------------------------------ log


def test_a_log_tells_how_a_tag_came_to_its_weights(store):
    put(store, "base", 1, 2, job={"id": "a"})
    start = store.resolve("Encoder", "base")
    job = {"id": "b", "options": {"initTag": "base"}}
    put(store, "vae", 3, 4, job=job, parent=start)
    history.rollback(store, ["Encoder"], "vae~1")
    notes = [
        (entry.back, entry.manifest.iteration, entry.note) for entry in history.log(store, "Encoder", "vae")
    ]
    third = store.resolve("Encoder", "vae~2")
    assert notes == [
        (0, 3, f"rolled back to Encoder:vae~1 ({third[:12]})"),
        (1, 4, ""),
        (2, 3, "started from base"),
        (3, 2, ""),
        (4, 1, ""),
    ]


def test_a_tag_of_one_network_to_start_from_is_told(store):
    put(store, "vae", 3, job={"id": "b", "options": {"Encoder.initTag": "mine", "Decoder.initTag": "other"}})
    assert [entry.note for entry in history.log(store, "Encoder", "vae")] == ["started from mine"]


def test_what_a_resumed_job_stores_again_is_no_new_entry(store):
    job = {"id": "a"}
    _, second = put(store, "vae", 1, 2, job=job)
    assert put(store, "vae", 2, job=job) == [second]
    assert put(store, "vae", 2, job={"id": "b"}) != [second]
    assert numbers(store, "vae") == [2, 2, 1]
    put(store, "vae", 2)
    put(store, "vae", 2)
    assert len(numbers(store, "vae")) == 5  # who says no job makes entries


def test_a_better_metric_of_the_same_weights_is_a_new_entry(store):
    put(store, "vae@best", 1, job={"id": "a"}, metrics={"accuracy": 0.5})
    put(store, "vae@best", 1, job={"id": "a"}, metrics={"accuracy": 0.6})
    assert [m.metrics["accuracy"] for _, m in store.history("Encoder", "vae@best")] == [0.6, 0.5]


def test_a_history_that_lost_an_entry_is_told_up_to_there(store):
    put(store, "vae", 1, 2, 3)
    path = store.root / addresses.manifest(store.resolve("Encoder", "vae~1"))
    path.unlink()
    entries = history.log(store, "Encoder", "vae")
    assert refused(StoreError, list, entries) == f"{path}: cannot be read: No such file or directory"
    assert stored(store, "vae") == 3


def test_manifests_of_older_formats_are_read(store):
    import hashlib
    import json

    (identifier,) = put(store, "vae", 1)
    data = json.loads((store.root / addresses.manifest(identifier)).read_text())
    for version, missing in ((1, ("note", "metrics", "labels")), (2, ("note",))):
        old = {**{key: value for key, value in data.items() if key not in missing}, "format": version}
        content = json.dumps(old).encode()
        name = hashlib.sha256(content).hexdigest()
        path = store.root / addresses.manifest(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        found = Store(store.root).read_manifest(name)
        assert (found.format, found.note, found.metrics, found.iteration) == (version, "", {}, 1)


def test_what_is_no_manifest_is_refused_though_its_hash_is_right(store):
    import hashlib

    for content in (b"[]", b'{"a": 1}', b"\xff", b'{"format": "x"}'):
        name = hashlib.sha256(content).hexdigest()
        path = store.root / addresses.manifest(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        assert refused(StoreError, store.read_manifest, name) == f"{path}: is no manifest"


# ----------------------------------------------------------------------------------------------- accumulate


def test_deltas_add_up_and_the_first_is_the_value(store):
    import torch

    store.accumulate("sum", BARE, {"a": torch.tensor([1.0, 2.0])})
    store.accumulate("sum", BARE, {"a": torch.tensor([0.5, 0.5]), "b": torch.tensor(3)})
    found = store.weights(store.manifest("Encoder", "sum"))
    assert {name: value.tolist() for name, value in found.items()} == {"a": [1.5, 2.5], "b": 3}
    assert len(numbers(store, "sum")) == 2


def test_deltas_keep_the_precision_of_the_weights(store):
    import torch

    store.put("sum", BARE, {"a": torch.tensor([1.0], dtype=torch.bfloat16)})
    store.accumulate("sum", BARE, {"a": torch.tensor([0.5])})
    assert store.weights(store.manifest("Encoder", "sum"))["a"].dtype == torch.bfloat16


def test_deltas_of_another_shape_are_refused(store):
    import torch

    from dianne.store import MisfitError

    put(store, "vae", 1)
    before = store.resolve("Encoder", "vae")
    deltas = {"layer.weight": torch.zeros(2), "other": torch.zeros(2)}
    assert refused(MisfitError, store.accumulate, "vae", BARE, deltas) == (
        "the deltas do not fit Encoder:vae; nothing was added\n"
        "  layer.weight: stored (3,), the delta has (2,)"
    )
    assert store.resolve("Encoder", "vae") == before

"""The store: what was put under a tag comes out again, whole, whatever happens in between."""

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storing import refused
from torch import nn

from dianne.errors import UsageError
from dianne.store import (
    FORMAT,
    Manifest,
    MisfitError,
    Store,
    StoreError,
    check_tag,
    load_weights,
    named_weights,
)

MODELS = Path("models")
MANIFEST = Manifest(
    network="Encoder",
    text="modules: {}\n",
    parameters={"latentDims": 2, "rate": 0.5, "wide": True},
    job={"id": "1", "options": {"maxIterations": 5, "autoencode": True}},
    iteration=5,
    loss={"loss": 0.1, "kl": float("inf")},
    dataset={"name": "Digits", "fingerprint": "ab"},
    versions={"dianne": "1"},
)
WEIGHTS = {"hidden.weight": torch.tensor([[1.5, -2.0], [0.1, 3e-9]])}
OTHERS = {"hidden.weight": torch.zeros(2, 2)}


def same(weights, others):
    """Whether two sets of weights have the same names, types and bits."""
    return weights.keys() == others.keys() and all(
        weights[name].dtype == others[name].dtype and torch.equal(weights[name], others[name])
        for name in weights
    )


def files(kind):
    """Paths in a folder of the store, temporary ones included."""
    return sorted(path for path in (MODELS / kind).rglob("*") if path.is_file())


def snapshot():
    """The content of every file that counts: those of refs, and temporary ones anywhere."""
    return {path: path.read_bytes() for path in [*files("refs"), *MODELS.rglob("*.tmp")]}


def flip(path, index=-1):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[index] ^= 0x80
    path.write_bytes(content)


# -------------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    "weights",
    [
        WEIGHTS,
        {"half": torch.tensor([1.5, -0.1], dtype=torch.bfloat16), "double": torch.tensor([0.1]).double()},
        {"count": torch.tensor(2**40), "mask": torch.tensor([True, False])},
        {"turned": torch.arange(6.0).view(2, 3).T, "every second": torch.arange(6.0)[::2]},
        {"nothing": torch.empty(0, 3)},
        {},
    ],
    ids=["floats", "precisions", "numbers and masks", "views", "an empty tensor", "no weights"],
)
def test_weights_come_back_as_they_were(store, weights):
    store.put("vae", MANIFEST, weights)
    assert same(store.weights(store.manifest("Encoder", "vae")), weights)


def test_a_weight_with_two_names_comes_back_under_both(store):
    tied = {"encoder.weight": WEIGHTS["hidden.weight"], "decoder.weight": WEIGHTS["hidden.weight"]}
    store.put("vae", MANIFEST, tied)
    assert same(store.weights(store.manifest("Encoder", "vae")), tied)


def test_a_manifest_comes_back_with_its_blob_and_its_time(store):
    identifier = store.put("vae", MANIFEST, WEIGHTS)
    manifest = store.manifest("Encoder", "vae")
    assert manifest == replace(MANIFEST, blob=manifest.blob, created=manifest.created)
    assert len(manifest.blob) == 64
    assert manifest.created.endswith("+00:00")
    assert store.resolve("Encoder", "vae") == identifier
    assert store.read_manifest(identifier) == manifest


def test_a_workspace_without_weights_has_no_networks_and_no_tags(store):
    assert (store.networks(), store.tags("Encoder"), store.has("Encoder", "vae")) == ([], {}, False)
    assert not MODELS.exists()


def test_networks_and_tags_are_listed_by_name(store):
    for network, tag in [("Encoder", "vae"), ("Decoder", "vae"), ("Encoder", "best")]:
        store.put(tag, replace(MANIFEST, network=network), WEIGHTS)
    assert store.networks() == ["Decoder", "Encoder"]
    assert list(store.tags("Encoder")) == ["best", "vae"]
    assert list(store.tags("Decoder")) == ["vae"]


def test_moving_a_tag_keeps_what_it_named_before_as_its_parent(store):
    first = store.put("vae", MANIFEST, WEIGHTS)
    second = store.put("vae", replace(MANIFEST, iteration=9), OTHERS)
    assert store.resolve("Encoder", "vae") == second
    assert store.manifest("Encoder", "vae").parent == first
    assert store.read_manifest(first).parent is None
    assert same(store.weights(store.read_manifest(first)), WEIGHTS)
    assert same(store.weights(store.read_manifest(second)), OTHERS)


def test_a_new_tag_remembers_the_weights_that_it_started_from(store):
    first = store.put("vae", MANIFEST, WEIGHTS)
    store.put("finer", replace(MANIFEST, parent=first), OTHERS)
    assert store.manifest("Encoder", "finer").parent == first
    assert store.manifest("Encoder", "vae").parent is None


def test_equal_weights_are_stored_once(store):
    for tag in ("one", "two", "one"):
        store.put(tag, MANIFEST, WEIGHTS)
    assert len(files("blobs")) == 1
    store.put("two", MANIFEST, OTHERS)
    assert len(files("blobs")) == 2


def test_files_can_be_read_by_everyone_and_none_is_left_over(store):
    store.put("vae", MANIFEST, WEIGHTS)
    found = files("")
    assert [path.suffix for path in found] == [".safetensors", ".json", ""]
    assert {path.stat().st_mode & 0o777 for path in found} == {0o644}


# ------------------------------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    "tag", ["a-b", "mnist/vae", "ünï", "..", ".", "@", "vae@500", "vae.tmp", "%2E", "日本"]
)
def test_a_tag_may_have_odd_characters(store, tag):
    store.put(tag, MANIFEST, WEIGHTS)
    assert store.has("Encoder", tag)
    assert same(store.weights(store.manifest("Encoder", tag)), WEIGHTS)
    assert list(store.tags("Encoder")) == [tag]
    assert {path.parent for path in files("refs")} == {MODELS / "refs" / "Encoder"}


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters=":,~="), min_size=1,
                       max_size=20), min_size=1, max_size=5))  # fmt: skip
def test_whatever_may_be_a_tag_can_be_stored_and_listed(tmp_path_factory, tags):
    store = Store(tmp_path_factory.mktemp("models"))
    identifiers = {tag: store.put(tag, MANIFEST, {}) for tag in map(check_tag, tags)}
    assert store.tags("Encoder").keys() == tags
    assert {tag: store.resolve("Encoder", tag) for tag in tags} == identifiers


@pytest.mark.parametrize("letter", ["x", ".", "ü", "日", "🎲"])
def test_the_longest_tag_of_any_alphabet_can_be_stored(store, letter):
    tag = letter
    with suppress(UsageError):
        while check_tag(tag + letter):
            tag += letter
    assert len(tag) >= 20
    assert not store.has("Encoder", tag)
    store.put(tag, MANIFEST, WEIGHTS)
    assert list(store.tags("Encoder")) == [tag]


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("", "nothing"),
        ("a:b", "':'"),
        ("a b", "' '"),
        ("x=1,y~2", "',=~'"),
        ("x" * 101, "101 characters"),
        ("x" * 101 + "@best", "101 characters"),
        ("x" * 100 + "@other", "106 characters"),
    ],
)
def test_what_commands_need_for_themselves_is_refused_in_a_tag(store, tag, found):
    assert refused(UsageError, store.put, tag, MANIFEST, WEIGHTS) == (
        f"'{tag}' cannot be a tag: a tag has 1 to 100 characters without blanks and without : , ~ =; "
        f"found {found}"
    )
    assert not MODELS.exists()


@pytest.mark.parametrize("tag", ["x" * 100, "ü" * 40])
def test_what_jobs_append_to_a_tag_always_fits(store, tag):
    for suffix in ("@ema", "@best", "@123456789012"):
        store.put(tag + suffix, MANIFEST, WEIGHTS)
        assert store.has("Encoder", tag + suffix)
    assert refused(UsageError, check_tag, "ü" * 41) == (
        f"'{'ü' * 41}' cannot be a tag: its letters need too much space in the name of a file"
    )


@pytest.mark.parametrize(("tag", "found"), [("a\nb", r"'\n'"), ("a\x1b[31m", r"'\x1b'"), ("a\0", r"'\x00'")])
def test_a_character_that_cannot_be_seen_is_shown_by_its_code(tag, found):
    assert refused(UsageError, check_tag, tag) == (
        f"{tag!r} cannot be a tag: a tag has 1 to 100 characters without blanks and without : , ~ =; "
        f"found {found}"
    )


def test_an_unknown_tag_is_reported_with_the_nearest(store):
    store.put("mnist-vae", MANIFEST, WEIGHTS)
    assert refused(UsageError, store.resolve, "Encoder", "mnist-vea") == (
        "Encoder has no tag 'mnist-vea'; did you mean 'mnist-vae'?"
    )


def test_where_no_tag_is_near_all_are_listed(store):
    store.put("vae", MANIFEST, WEIGHTS)
    store.put("ünï", MANIFEST, WEIGHTS)
    assert refused(UsageError, store.manifest, "Encoder", "best") == (
        "Encoder has no tag 'best'; tags of Encoder: vae, ünï"
    )


def test_where_nothing_is_stored_the_message_says_so(store):
    assert refused(UsageError, store.resolve, "Encoder", "vae") == (
        "Encoder has no tag 'vae'; nothing is stored for Encoder in models/"
    )


def test_what_a_killed_writer_left_is_no_tag(store):
    store.put("vae", MANIFEST, WEIGHTS)
    (MODELS / "refs/Encoder/tmp12345.tmp").write_bytes(b"")
    assert list(store.tags("Encoder")) == ["vae"]
    assert refused(UsageError, store.resolve, "Encoder", "best") == (
        "Encoder has no tag 'best'; tags of Encoder: vae"
    )


# ------------------------------------------------------------------------------------------- spoilt files


@pytest.mark.parametrize("index", [0, 40, -1])
def test_a_changed_blob_is_not_loaded(store, index):
    store.put("vae", MANIFEST, WEIGHTS)
    (blob,) = files("blobs")
    flip(blob, index)
    manifest = store.manifest("Encoder", "vae")
    assert (
        refused(StoreError, store.weights, manifest)
        == f"{blob}: its content was changed; restore it from a copy"
    )


@pytest.mark.parametrize("index", [0, 100, -1])
def test_a_changed_manifest_is_not_believed(store, index):
    store.put("vae", MANIFEST, WEIGHTS)
    (path,) = files("manifests")
    flip(path, index)
    message = f"{path}: its content was changed; restore it from a copy"
    assert refused(StoreError, store.manifest, "Encoder", "vae") == message
    assert refused(StoreError, store.tags, "Encoder") == message


@pytest.mark.parametrize(
    "content",
    [b"", b"\xe4" + b"0" * 63, b"0" * 63, b"\0" * 64, b"../../../secret"],
    ids=["empty", "no text", "short", "zeros", "a path"],
)
def test_a_changed_reference_is_not_followed_and_new_weights_replace_it(store, content):
    store.put("vae", MANIFEST, WEIGHTS)
    (path,) = files("refs")
    path.write_bytes(content)
    message = f"{path}: its content was changed; restore it from a copy"
    assert refused(StoreError, store.resolve, "Encoder", "vae") == message
    store.put("vae", MANIFEST, OTHERS)
    assert store.manifest("Encoder", "vae").parent is None


@pytest.mark.parametrize("kind", ["blobs", "manifests"])
def test_a_file_that_is_gone_is_missed(store, kind):
    store.put("vae", MANIFEST, WEIGHTS)
    (path,) = files(kind)
    path.unlink()
    assert refused(StoreError, lambda: store.weights(store.manifest("Encoder", "vae"))) == (
        f"{path}: cannot be read: No such file or directory"
    )


def test_storing_the_same_weights_again_mends_a_changed_blob(store):
    store.put("vae", MANIFEST, WEIGHTS)
    (blob,) = files("blobs")
    flip(blob)
    store.put("vae", MANIFEST, WEIGHTS)
    assert same(store.weights(store.manifest("Encoder", "vae")), WEIGHTS)


def test_a_manifest_of_a_newer_version_is_refused(store):
    identifier = store.put("vae", replace(MANIFEST, format=FORMAT + 1), WEIGHTS)
    (path,) = files("manifests")
    assert json.loads(path.read_text())["format"] == FORMAT + 1
    assert refused(StoreError, store.read_manifest, identifier) == (
        f"{path}: was written by a newer dianne (format {FORMAT + 1}, this one reads up to {FORMAT}); "
        "upgrade dianne"
    )


# ------------------------------------------------------------------------------------------ into a network


def network():
    """A network with weights and a counter, all of them ones."""
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(1)
    return module


def test_weights_are_loaded_whatever_their_precision():
    weights = {name: torch.full_like(tensor, 2) for name, tensor in network().state_dict().items()}
    weights["0.weight"] = weights["0.weight"].bfloat16()
    module = network()
    load_weights(module, weights, "Encoder:vae")
    found = module.state_dict()
    assert {name: tensor.unique().tolist() for name, tensor in found.items()} == {n: [2] for n in found}
    assert found["0.weight"].dtype == torch.float32


def test_weights_that_do_not_fit_are_listed_and_none_is_loaded():
    module = network()
    weights = {name: torch.full_like(tensor, 2) for name, tensor in module.state_dict().items()}
    del weights["0.bias"]
    weights["0.weight"] = torch.zeros(3, 4)
    weights["1.num_batches_tracked"] = torch.zeros(1)
    weights["2.weight"] = torch.zeros(3)
    assert refused(MisfitError, load_weights, module, weights, "Encoder:vae") == (
        "Encoder:vae does not fit the network; nothing was loaded\n"
        "  0.weight: stored (3, 4), the network has (3, 2)\n"
        "  0.bias: missing from the tag\n"
        "  1.num_batches_tracked: stored (1,), the network has ()\n"
        "  2.weight: stored, but the network has no such weight"
    )
    assert all(torch.equal(tensor, torch.ones_like(tensor)) for tensor in module.state_dict().values())


def test_weights_that_modules_share_are_stored_once_and_loaded_into_all_of_them():
    def shared():
        module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        module[1].weight = module[0].weight
        return module

    learned, fresh = shared(), shared()
    weights = named_weights(learned)
    assert list(weights) == ["0.weight", "0.bias", "1.bias"]
    load_weights(fresh, weights, "Encoder:vae")
    assert fresh[1].weight is fresh[0].weight
    assert same(fresh.state_dict(), learned.state_dict())


def test_a_fraction_does_not_fit_a_whole_number():
    module = network()
    weights = {**module.state_dict(), "1.num_batches_tracked": torch.tensor(1.5)}
    assert refused(MisfitError, load_weights, module, weights, "Encoder:vae") == (
        "Encoder:vae does not fit the network; nothing was loaded\n"
        "  1.num_batches_tracked: stored float32, the network has int64"
    )


def test_listing_tags_does_not_import_torch(store):
    store.put("vae", MANIFEST, WEIGHTS)
    program = (
        "import sys; from pathlib import Path; from dianne.store import Store; "
        "print(list(Store(Path('models')).tags('Encoder'))); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "['vae']\n")

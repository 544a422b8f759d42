"""Packages: what goes into one runs elsewhere, and nothing in it is executed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from zoo import ALL, RANDOM, network, results, samples, stored

import dianne
from dianne.errors import DianneError
from dianne.interop import package
from dianne.store import Store


@pytest.mark.parametrize("which", ALL)
def test_every_network_comes_out_of_its_package_as_it_went_in(tmp_path: Path, which: str) -> None:
    found = network(tmp_path / "here", which)
    graph = stored(tmp_path / "here", found)
    path = dianne.Workspace(tmp_path / "here").pack(found.name, tag="t", out=str(tmp_path / "a.dianne"))
    given = samples(found, graph)
    opened = package.deployed(path)
    (arrived,) = dianne.Workspace(tmp_path / "there").import_(path)
    assert (arrived.name, arrived.tags) == (found.name, ["t"])
    assert bool(arrived.notes) == (which in RANDOM)
    back = dianne.Workspace(tmp_path / "there").deploy(found.name, "t").module
    for one, two, three in zip(*(results(m, given) for m in (graph, opened.module, back)), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    workspace = dianne.Workspace(tmp_path / "here")
    workspace.learn("MLP", "Digits", tag="digits", maxIterations=3, hidden=5, seed=1)
    return workspace.pack("MLP", tag="digits", out=str(tmp_path / "MLP-digits.dianne"))


def test_a_package_holds_all_that_is_known_of_the_network(tmp_path: Path, packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert sorted(archive.namelist()) == [
            "dataset.yaml", "example.safetensors", "manifest.json", "networks/MLP.yaml", "package.json",
            "weights.safetensors",
        ]  # fmt: skip
        assert archive.read("dataset.yaml").startswith(b"name: Digits")
        example = safetensors.torch.load(archive.read("example.safetensors"))
        assert {name: tuple(value.shape) for name, value in example.items()} == {
            "input.image": (2, 1, 28, 28), "output.output": (2, 10),
        }  # fmt: skip
    dianne.Workspace(tmp_path / "there").import_(packed, name="Theirs", tag="new")
    there, here = (Store(tmp_path / folder / "models") for folder in ("there", "here"))
    mine, theirs = here.manifest("MLP", "digits"), there.manifest("Theirs", "new")
    assert theirs.labels == mine.labels == [str(digit) for digit in range(10)]
    assert (theirs.iteration, theirs.loss, theirs.dataset) == (3, mine.loss, mine.dataset)
    assert theirs.parameters == {"hidden": 5, "classes": 10}
    assert dianne.Workspace(tmp_path / "there").evaluate("Theirs", "Digits", tag="new").metrics
    dianne.Workspace(tmp_path / "there").learn("Theirs", "Digits", tag="new", maxIterations=2)


def test_a_package_is_forwarded_from_the_command_line(tmp_path: Path, packed: Path) -> None:
    command = [sys.executable, "-m", "dianne", "forward", packed.name, "Digits", "range=0,1", "--json"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    found = torch.tensor(json.loads(run.stdout))
    data = dianne.Workspace(tmp_path / "here").dataset("Digits").batch(slice(0, 2)).input
    with torch.no_grad():
        wanted = dianne.Workspace(tmp_path / "here").deploy("MLP", "digits").module(data)
    torch.testing.assert_close(found, wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MLP-digits.dianne", "here"]


def changed(path: Path, **changes: bytes | Callable[[bytes], bytes] | None) -> Path:
    """A package with other files; names are written with _ for . and /."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    other = path.with_name("changed.dianne")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in files.items():
            change = changes.get(name.replace(".", "_").replace("/", "_"), content)
            if change is not None:
                archive.writestr(name, change(content) if callable(change) else change)
    return other


def refused(path: Path) -> str:
    workspace = path.parent / "workspace"
    with pytest.raises(DianneError) as caught:
        dianne.Workspace(workspace).import_(path)
    assert not workspace.exists()
    with pytest.raises(DianneError) as opened:
        package.deployed(path)
    assert str(opened.value) == str(caught.value)
    return str(caught.value).replace(f"{path}", "P")


def test_a_package_names_no_classes_of_a_program(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packed.parent)
    Path("evil.py").write_text("open('ran', 'w').close()\nclass Evil: pass\n")
    for old, new in ((b"type: Sigmoid", b"type: evil:Evil"), (b"type: Sigmoid", b'type: "${x}"')):
        text = packed_text(packed).replace(old, new).replace(b"hidden: 50,", b'hidden: 50, x: "evil:Evil",')
        found = refused(changed(packed, networks_MLP_yaml=text))
        assert (
            "'evil:Evil' is a class of somebody's program, which a file from elsewhere may not name" in found
        )
    assert not Path("ran").exists()
    assert "evil" not in sys.modules


def test_networks_that_a_package_does_not_use_stay_in_it(tmp_path: Path, packed: Path) -> None:
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("networks/Extra.yaml", "modules: {x: {type: 'evil:Evil'}}")
    (arrived,) = dianne.Workspace(tmp_path / "there").import_(packed, name="Theirs")
    assert [path.name for path in arrived.files] == ["Theirs.yaml"]
    assert dianne.Workspace(tmp_path / "there").store.manifest("Theirs", "digits").texts == {}


def packed_text(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("networks/MLP.yaml")


def test_a_package_that_is_not_whole_is_refused(packed: Path) -> None:
    def newer(content: bytes) -> bytes:
        return content.replace(b'"format": 1', b'"format": 9')

    assert refused(changed(packed, weights_safetensors=None)) == (
        "changed.dianne: has no weights.safetensors; it is no package, or cut off".replace(
            "changed.dianne", "P"
        )
    )
    assert refused(changed(packed, package_json=newer)) == (
        "P: was written by a newer dianne (format 9, this one reads up to 1); upgrade dianne"
    )
    assert refused(changed(packed, manifest_json=b"[" * 100_000)).startswith("P: its manifest is spoilt: ")
    assert refused(changed(packed, manifest_json=b'{"labels": 3}')).startswith("P: its manifest is spoilt: ")
    assert refused(changed(packed, weights_safetensors=pickle.dumps(os.getcwd))).startswith(
        "P/weights.safetensors: is spoilt: "
    )
    weights = safetensors.torch.save({"hidden.weight": torch.zeros(5, 784)})
    assert refused(changed(packed, weights_safetensors=weights)) == (
        "P: MLP has 3,985 weights, more than are in it"
    )
    assert refused(changed(packed, networks_MLP_yaml=None)) == "P: has no networks/MLP.yaml, or no manifest"
    with pytest.raises(DianneError) as missing:
        package.deployed(packed.with_name("missing.dianne"))
    assert str(missing.value) == f"there is no {packed.with_name('missing.dianne')}"
    cut = packed.with_name("cut.dianne")
    cut.write_bytes(packed.read_bytes()[:-40])
    assert "is cut off or no archive" in refused(cut)


def test_other_weights_than_those_of_the_example_are_told(packed: Path) -> None:
    def zeros(content: bytes) -> bytes:
        return safetensors.torch.save({k: v * 0 for k, v in safetensors.torch.load(content).items()})

    (arrived,) = dianne.Workspace(packed.parent / "w").import_(changed(packed, weights_safetensors=zeros))
    assert arrived.notes[0].endswith(
        "its example gives something else at output; it may be random, or its weights are not the "
        "ones it was made with"
    )

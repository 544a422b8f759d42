"""Weights of torch come into a network by name, or by order and shape; else not at all."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from zoo import TYPES, network, results, samples, stored

import dianne
from dianne.errors import DianneError
from dianne.interop.torch_import import Match, match
from dianne.store import Store


def peer() -> nn.Module:
    """What somebody else has written in place of MLP with 8 hidden units."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 8), nn.Sigmoid(), nn.Linear(8, 10), nn.LogSoftmax(1)
    ).eval()


@pytest.mark.parametrize("form", ["safetensors", "pt", "old pt", "wrapped", "parallel"])
def test_a_state_dict_of_any_form_comes_in_by_order_and_shape(tmp_path: Path, form: str) -> None:
    state = peer().state_dict()
    path = tmp_path / "weights"
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    elif form == "wrapped":
        torch.save({"epoch": 3, "state_dict": state}, path)
    elif form == "parallel":
        torch.save({f"module.{name}": value for name, value in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "pt")
    workspace = dianne.Workspace(tmp_path / "w")
    (arrived,) = workspace.import_(path, into="MLP", tag="theirs", hidden=8)
    assert arrived.tags == ["theirs"]
    assert arrived.files == []
    assert arrived.mapping == [
        Match("hidden.weight", "1.weight", (8, 784), "order"), Match("hidden.bias", "1.bias", (8,), "order"),
        Match("scores.weight", "3.weight", (10, 8), "order"), Match("scores.bias", "3.bias", (10,), "order"),
    ]  # fmt: skip
    x = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(workspace.deploy("MLP", "theirs").module(x), peer()(x))
    manifest = Store(tmp_path / "w" / "models").manifest("MLP", "theirs")
    assert manifest.parameters == {"hidden": 8, "classes": 10}
    assert manifest.job["mapping"]["scores.bias"] == "3.bias"


@pytest.mark.parametrize("which", [*TYPES, "network ResNet20"])
def test_weights_that_left_as_safetensors_come_back_by_name(tmp_path: Path, which: str) -> None:
    found = network(tmp_path, which)
    graph = stored(tmp_path, found)
    workspace = dianne.Workspace(tmp_path)
    path = workspace.export(found.name, "safetensors", tag="t", out=str(tmp_path / "a.safetensors"))
    if not graph.state_dict():
        with pytest.raises(DianneError, match="holds no tensors by name"):
            workspace.import_(path, into=found.name)
        return
    small = {"planes": 4, "blocks": 2} if which == "network ResNet20" else {}
    (arrived,) = workspace.import_(path, into=found.name, tag="back", **small)
    assert {one.by for one in arrived.mapping} == {"name"}
    back = workspace.deploy(found.name, "back").module
    given = samples(found, graph)
    for one, other in zip(results(graph, given), results(back, given), strict=True):
        assert torch.equal(one, other)


def test_what_is_left_over_or_could_be_either_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"a": torch.ones(8, 784), "b": torch.ones(10), "c": torch.ones(9)}, path)
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(tmp_path / "w").import_(path, into="MLP", hidden=8)
    assert str(refused.value) == (
        f"{path}: cannot tell which tensor is which weight; nothing was stored\n"
        "  hidden.weight [8, 784]: has no tensor\n"
        "  hidden.bias [8]: has no tensor\n"
        "  scores.weight [10, 8]: has no tensor\n"
        "  scores.bias [10]: has no tensor\n"
        "  a [8, 784]: is no weight of the network\n"
        "  b [10]: is no weight of the network\n"
        "  c [9]: is no weight of the network"
    )
    assert not (tmp_path / "w").exists()


def test_names_count_more_than_order_and_unique_shapes_than_nothing() -> None:
    wanted = {"a": (2,), "b": (2,), "c": (3,), "d": (4,)}
    assert [one.source for one in match(wanted, {"b": (2,), "a": (2,), "y": (4,), "x": (3,)}, "f")] == [
        *"abxy"
    ]
    with pytest.raises(DianneError):  # two of one shape, in an order that may be wrong
        match(wanted, {"x": (3,), "y": (2,), "z": (2,), "d": (4,)}, "f")
    with pytest.raises(DianneError):  # the name is right, the shape is not
        match(wanted, {"a": (5,), "b": (2,), "c": (3,), "d": (4,)}, "f")


def test_an_order_that_a_file_does_not_keep_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    square = {f"{word}.{part}": torch.ones(8, 8) if part == "weight" else torch.ones(8)
              for word in ("second", "first") for part in ("weight", "bias")}  # fmt: skip
    safetensors.torch.save_file(square, path)
    file = tmp_path / "w" / "networks" / "Two.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "modules:\n  x: {type: Input, shape: [8]}\n  a: {type: Linear, output: 8}\n"
        "  b: {type: Linear, output: 8}\n  y: {type: Output}\n"
    )
    with pytest.raises(DianneError, match="cannot tell which tensor is which weight"):
        dianne.Workspace(tmp_path / "w").import_(path, into="Two")
    torch.save(square, path.with_suffix(".pt"))
    (arrived,) = dianne.Workspace(tmp_path / "w").import_(path.with_suffix(".pt"), into="Two")
    assert [one.source for one in arrived.mapping] == list(square)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("w.pt", {}, "w.pt: holds weights alone; name the network that takes them, such as into=MLP"),
        ("w.pt", {"into": "MPL"}, "there is no network 'MPL' in w/networks/ or among those that ship; did "
         "you mean 'MLP'?"),
        ("w.pt", {"into": "MLP", "hiden": 3}, "import: 1 problem\n  option 'hiden': nothing here reads "
         "'hiden'; did you mean 'hidden'?"),
        ("w.pt", {"hidden": 3}, "import: 1 problem\n  option 'hidden': nothing here reads 'hidden'; options: "
         "into, name, shape, shapes, tag"),
        ("w.pt", {"into": "MLP", "name": "Mine"}, "name= does not go with into=, whose network has all of "
         "that; leave it out"),
        ("w.pt", {"into": "MLP", "shape": "3"}, "shape= does not go with into=, whose network has all of "
         "that; leave it out"),
        ("cut.pt", {"into": "MLP"}, "cut.pt: is cut off or no archive (File is not a zip file); delete "
         "it, and get it again"),
        ("cut old.pt", {"into": "MLP"}, "cut old.pt: cannot be read as weights: it is cut off or spoilt"),
        ("list.pt", {"into": "MLP"}, "list.pt: holds no tensors by name; expected a model's state_dict(), as "
         "torch.save writes it"),
        ("object.pt", {"into": "MLP"}, "object.pt: cannot be read as weights: it holds more than tensors; "
         "expected a model's state_dict(), as torch.save writes it"),
        ("script.pt", {"into": "MLP"}, "script.pt: holds a program of TorchScript; expected a model's "
         "state_dict(), as torch.save writes it"),
        ("cut.safetensors", {"into": "MLP"}, "cut.safetensors: cannot be read as weights: it is cut off or "
         "spoilt"),
        ("net.json", {"into": "MLP"}, "net.json: is a network of DIANNE, and needs no into=; leave it out"),
        ("text", {"into": "MLP"}, "text: is nothing that can be imported; known are: a network of DIANNE, a "
         "package, an ONNX file, weights of torch"),
    ],
)  # fmt: skip
def test_what_cannot_come_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    state = peer().state_dict()
    torch.save(state, "w.pt")
    Path("cut.pt").write_bytes(Path("w.pt").read_bytes()[:-100])
    torch.save(state, "old.pt", _use_new_zipfile_serialization=False)
    Path("cut old.pt").write_bytes(Path("old.pt").read_bytes()[:3000])
    torch.save([1, 2], "list.pt")
    torch.save(peer(), "object.pt")
    with zipfile.ZipFile("script.pt", "w") as script:
        for inside in ("data.pkl", "code/__torch__.py", "constants.pkl"):
            script.writestr(f"script/{inside}", "")
    safetensors.torch.save_file(state, "whole.safetensors")
    Path("cut.safetensors").write_bytes(Path("whole.safetensors").read_bytes()[:-100])
    Path("net.json").write_text("{}")
    Path("text").write_text("nothing")
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(tmp_path / "w").import_(name, **options)
    assert str(refused.value) == message
    assert not (tmp_path / "w").exists()


def test_weights_that_are_not_finite_are_told(tmp_path: Path) -> None:
    state = peer().state_dict()
    state["3.bias"][2] = torch.nan
    torch.save(state, tmp_path / "w.pt")
    workspace = dianne.Workspace(tmp_path / "w")
    (arrived,) = workspace.import_(tmp_path / "w.pt", into="MLP", hidden=8)
    assert arrived.notes == ["MLP:imported: not all values are finite in scores.bias"]


def test_the_mapping_is_shown_before_it_is_applied(tmp_path: Path) -> None:
    torch.save(peer().state_dict(), tmp_path / "w.pt")
    command = [sys.executable, "-m", "dianne", "import", "w.pt", "into=MLP", "hidden=8", "tag=a", "--dry-run"]
    shown = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert shown == (
        "weight         tensor    shape     found by\n"
        "hidden.weight  1.weight  [8, 784]  order\n"
        "hidden.bias    1.bias    [8]       order\n"
        "scores.weight  3.weight  [10, 8]   order\n"
        "scores.bias    3.bias    [10]      order\n"
        "would store MLP:a\n"
    )
    assert not (tmp_path / "models").exists()

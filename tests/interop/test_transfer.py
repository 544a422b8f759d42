"""The way in and out that all formats share: what is refused, and that nothing half-written stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from zoo import network, stored

import dianne
from dianne.errors import DianneError


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dianne.Workspace:
    """In the working folder, with weights `Mine:t`."""
    monkeypatch.chdir(tmp_path)
    stored(tmp_path, network(tmp_path, "Linear"))
    return dianne.Workspace(tmp_path)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("nothing", {}, "there is no file or folder nothing"),
        ("https://a.org/x", {}, "https://a.org/x: an address cannot be imported; fetch the file first"),
        ("hf://a/b", {}, "hf://a/b: an address cannot be imported; `dianne pull` fetches it"),
        ("networks/Mine.yaml", {}, "networks/Mine.yaml: a network file is not imported; put it into "
         "networks/"),
        ("Mine-t.dianne", {"shape": "3"}, "Mine-t.dianne: a package says the shapes of its samples; leave "
         "yours out"),
        ("Mine-t.dianne", {"name": "../x"}, "'../x' cannot name a network here (up to 100 letters, digits "
         "and _ can, and - inside); give another with name="),
        ("Mine-t.dianne", {"into": "Mine"}, "Mine-t.dianne: is a package, and needs no into=; leave it out"),
    ],
)  # fmt: skip
def test_what_does_not_come_in_is_told_and_leaves_nothing(
    tmp_path: Path, workspace: dianne.Workspace, path: str, options: dict[str, str], message: str
) -> None:
    workspace.pack("Mine", tag="t")
    before = everything(tmp_path)
    with pytest.raises(DianneError) as refused:
        workspace.import_(path, **options)
    assert str(refused.value) == message
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("format", "out", "message"),
    [
        ("onnyx", "x.onnx", "unknown format 'onnyx'; did you mean 'onnx'?"),
        ("safetensors", "x.onnx", "out=x.onnx: the name of such a file ends in .safetensors"),
        ("torch", "there", "there is there already; delete it, or write somewhere else with out="),
        ("torch", "no/x", "out=no/x: there is no folder no"),
    ],
)
def test_what_does_not_leave_is_told_and_leaves_nothing(
    tmp_path: Path, workspace: dianne.Workspace, format: str, out: str, message: str
) -> None:
    (tmp_path / "there").mkdir()
    before = everything(tmp_path)
    with pytest.raises(DianneError) as refused:
        workspace.export("Mine", format, tag="t", out=out)
    assert str(refused.value) == message
    assert everything(tmp_path) == before


def test_several_networks_do_not_leave_at_once(workspace: dianne.Workspace) -> None:
    with pytest.raises(DianneError) as refused:
        workspace.export("Mine,Mine", "torch", tag="t")
    assert str(refused.value) == "'Mine,Mine' names several networks; each leaves by itself"


def test_a_network_whose_weights_cannot_be_stored_is_not_written(
    workspace: dianne.Workspace, tmp_path: Path
) -> None:
    package = workspace.pack("Mine", tag="t")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "models").touch()
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(tmp_path / "there").import_(package)
    assert str(refused.value) == "there/models: cannot be written: File exists; nothing was changed"
    assert not list((tmp_path / "there").rglob("*.yaml"))


@pytest.fixture
def theirs(workspace: dianne.Workspace, tmp_path: Path) -> Path:
    """A folder with two networks of DIANNE, First and Second."""
    (tmp_path / "theirs").mkdir()
    for name in ("First", "Second"):
        workspace.export("Mine", "dianne", tag="t", out=f"theirs/{name}")
        rename(tmp_path / "theirs" / name, "Mine", name)
    return Path("theirs")


def rename(place: Path, old: str, new: str) -> None:
    text = (place / "modules.txt").read_text()
    assert text.count(old) == 1
    (place / "modules.txt").write_text(text.replace(old, new))


def test_of_several_networks_all_arrive_or_none(theirs: Path, tmp_path: Path) -> None:
    other = dianne.Workspace(tmp_path / "there")
    blocked = tmp_path / "there" / "models" / "refs" / "Second"
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    with pytest.raises(DianneError) as refused:
        other.import_(theirs)
    assert str(refused.value) == (
        "there/models/refs/Second: cannot be written: File exists; nothing was changed"
    )
    assert not list((tmp_path / "there").rglob("*.yaml"))
    assert other.store.networks() == []
    blocked.unlink()
    assert [found.name for found in other.import_(theirs)] == ["First", "Second"]
    assert other.store.networks() == ["First", "Second"]


def test_two_different_networks_of_one_name_do_not_arrive(theirs: Path, tmp_path: Path) -> None:
    rename(theirs / "Second", "Second", "First")
    rename(theirs / "Second", '"name": "m"', '"name": "other"')
    before = everything(tmp_path)
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(tmp_path / "there").import_(theirs)
    assert str(refused.value) == (
        "theirs: holds different networks 'First'; import each by itself, under another name with name="
    )
    assert everything(tmp_path) == before

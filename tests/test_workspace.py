"""Names are looked up in the workspace first, then in what ships."""

from pathlib import Path

import pytest

from dianne.errors import MANY, ConfigError, UsageError
from dianne.workspace import Folder, shipped


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty workspace, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


def write(folder, path, text=""):
    file = folder.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("kind", "suffix"), [("networks", ".yaml"), ("strategies", ".py"), ("datasets", ".yaml")]
)
def test_an_empty_workspace_has_what_ships(folder, kind, suffix):
    files = folder.files(kind)
    assert files == {path.stem: path for path in shipped(kind).rglob(f"*{suffix}") if path.stem != "__init__"}
    assert files


def test_a_file_is_found_by_its_name_in_any_folder_below(folder):
    mine = write(folder, "networks/deep/down/Mine.yaml")
    assert folder.find("networks", "Mine") == mine
    assert folder.find("networks", "MLP") == shipped("networks") / "MLP.yaml"


def test_a_file_of_the_workspace_hides_the_shipped_one(folder):
    mine = write(folder, "networks/MLP.yaml")
    assert folder.find("networks", "MLP") == mine
    assert folder.find("datasets", "MNIST") == shipped("datasets") / "MNIST.yaml"


@pytest.mark.parametrize(
    "path",
    ["networks/.Mine.yaml", "networks/_Mine.yaml", "networks/Mine.txt", "Mine.yaml", "networks/Mine.yaml/x"],
)
def test_hidden_files_other_files_and_folders_are_no_networks(folder, path):
    before = folder.files("networks")
    write(folder, path)
    assert folder.files("networks") == before


def test_the_repository_is_itself_a_workspace_whose_files_are_not_found_twice():
    root = shipped("networks").resolve().parent
    assert [place.resolve() for place in Folder(root).places("networks")] == [root / "networks"]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("networks", "Encodr", "there is no network 'Encodr' in networks/ or among those that ship; "
                               "did you mean 'Encoder'?"),
        ("networks", "encoder", "there is no network 'encoder' in networks/ or among those that ship; "
                                "did you mean 'Encoder'?"),
        ("networks", "Minee", "there is no network 'Minee' in networks/ or among those that ship; "
                              "did you mean 'Mine'?"),
        ("datasets", "mnist", "there is no dataset 'mnist' in datasets/ or among those that ship; "
                              "did you mean 'MNIST'?"),
        ("strategies", "feedforward", "there is no strategy 'feedforward' in strategies/ or among those that "
                                      "ship; did you mean 'feed_forward'?"),
    ],
)  # fmt: skip
def test_a_name_that_is_nowhere_is_refused_with_the_nearest(folder, kind, name, message):
    write(folder, "networks/Mine.yaml")
    with pytest.raises(UsageError) as fault:
        folder.find(kind, name)
    assert str(fault.value) == message


def test_a_name_near_to_none_gets_all_names(folder):
    with pytest.raises(UsageError) as fault:
        folder.find("networks", "Qqq")
    known = sorted(folder.files("networks"), key=str.lower)
    names = ", ".join([*known[:MANY], "…"])
    assert str(fault.value) == (
        f"there is no network 'Qqq' in networks/ or among those that ship; known: {names}"
    )


@pytest.mark.parametrize("name", ["../MLP", "networks/MLP", "MLP.yaml", "", ".", "/MLP"])
def test_a_path_is_no_name(folder, name):
    write(folder, "MLP.yaml")
    with pytest.raises(UsageError, match=r"^there is no network '"):
        folder.find("networks", name)


def test_a_workspace_keeps_weights_and_its_own_state_in_their_folders(folder):
    assert (folder.models, folder.state) == (folder.root / "models", folder.root / ".dianne")
    assert list(folder.root.iterdir()) == []  # looking makes nothing


# ------------------------------------------------------------------------------------------------ dianne.yaml


def settle(root, text):
    (root / "dianne.yaml").write_text(text)
    return Folder(root).models


def test_weights_lie_in_models_unless_the_workspace_says_otherwise(tmp_path):
    assert Folder(tmp_path).models == tmp_path / "models"
    assert settle(tmp_path, "models: s3://bucket/prefix\n") == "s3://bucket/prefix"
    assert settle(tmp_path, "models: ../shared\n") == tmp_path / "../shared"
    assert settle(tmp_path, "models: /data/weights\n") == Path("/data/weights")


def test_what_a_workspace_says_wrongly_is_told_with_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as fault:
        settle(tmp_path, "modles: s3://bucket\nmodels: 3\n")
    assert str(fault.value) == (
        "dianne.yaml: 2 problems\n"
        "  dianne.yaml:1:1: unknown key 'modles'; did you mean 'models'?\n"
        "  dianne.yaml:2:9: models: expected a folder or a URL such as s3://bucket/prefix, found 3"
    )
    with pytest.raises(ConfigError) as fault:
        settle(tmp_path, "models:\n")
    assert str(fault.value) == (
        "dianne.yaml: 1 problem\n"
        "  dianne.yaml:1:8: models: expected a folder or a URL such as s3://bucket/prefix, found nothing"
    )

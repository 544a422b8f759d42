"""Publishing to a hub and pulling from one, against a stand-in that speaks its protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub import Hub
from hub import hub as running
from zoo import network, results, samples, stored

import dianne
from dianne.errors import DianneError
from dianne.interop.hub import publish, pull
from dianne.workspace import Folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    with running() as (address, held):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", "good")
        yield held


def test_what_is_published_can_be_pulled_elsewhere(tmp_path: Path, hub: type[Hub]) -> None:
    found = network(tmp_path / "here", "network Residual")
    graph = stored(tmp_path / "here", found)
    address = publish(Folder(tmp_path / "here"), "Mine", {"tag": "t", "repo": "user/mine"})
    assert address == "hf://user/mine"
    assert sorted(hub.repositories["user/mine"]) == ["Mine-t.dianne", "README.md"]
    card = hub.repositories["user/mine"]["README.md"].decode()
    assert card.startswith("---\nlibrary_name: dianne\ntags: [dianne]\n---\n\n# Mine\n\n")
    assert "    dianne pull hf://user/mine\n" in card
    assert "| network | Mine |\n| tag | t |\n| trained on | unknown |\n" in card
    (arrived,) = pull(Folder(tmp_path / "there"), address, {"name": "Theirs", "tag": "new"})
    assert (arrived.name, arrived.tags) == ("Theirs", ["new"])
    back = dianne.Workspace(tmp_path / "there").deploy("Theirs", "new").module
    given = samples(found, graph)
    assert torch.equal(results(graph, given)[0], results(back, given)[0])
    publish(Folder(tmp_path / "here"), "Mine", {"tag": "t", "repo": "user/mine"})  # once more


def test_a_hub_that_refuses_is_told_in_a_line(
    tmp_path: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, network(tmp_path, "Linear"))
    with pytest.raises(DianneError) as refused:
        pull(Folder(tmp_path), "hf://user/nothing", {})
    address = os.environ["HF_ENDPOINT"]
    assert str(refused.value) == (
        f"hf://user/nothing: there is no such repository on {address}, or you may not see it"
    )
    hub.repositories["user/other"] = {"README.md": b""}
    with pytest.raises(DianneError) as refused:
        pull(Folder(tmp_path), "hf://user/other", {})
    assert str(refused.value) == "hf://user/other: expected one file that ends in .dianne, found none"
    for wrong in ("hf://user", "hf://a/b/c", "hf://../x"):
        with pytest.raises(DianneError, match="is no repository of a hub; write USER/NAME"):
            pull(Folder(tmp_path), wrong, {})
    monkeypatch.setenv("HF_TOKEN", "bad")
    with pytest.raises(DianneError) as refused:
        publish(Folder(tmp_path), "Mine", {"tag": "t", "repo": "user/mine"})
    assert str(refused.value) == (
        f"the hub {address} cannot be used: it wants to know who you are; log in with: hf auth login"
    )
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    with pytest.raises(DianneError) as refused:
        pull(Folder(tmp_path), "hf://user/mine", {})
    assert str(refused.value).startswith("the hub nonsense cannot be used: ")


def test_a_hub_that_is_out_of_order_is_asked_once(tmp_path: Path, hub: type[Hub]) -> None:
    hub.failing = True
    with pytest.raises(DianneError, match="cannot be used: Server error '503 Service Unavailable'"):
        pull(Folder(tmp_path), "hf://user/mine", {})
    assert len(hub.asked) == 1


def test_what_is_pulled_is_not_trusted(tmp_path: Path, hub: type[Hub]) -> None:
    hub.repositories["user/mine"] = {"evil.dianne": b"PK\3\4 nothing"}
    with pytest.raises(DianneError, match="is cut off or no archive"):
        pull(Folder(tmp_path / "w"), "hf://user/mine", {})
    hub.repositories["user/mine"] = {"../evil.dianne": b"PK\3\4 nothing"}
    with pytest.raises(DianneError, match="expected one file"):
        pull(Folder(tmp_path / "w"), "hf://user/mine", {})
    assert not (tmp_path / "w").exists()

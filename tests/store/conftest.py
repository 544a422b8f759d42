"""A store in an empty folder."""

from pathlib import Path

import pytest

from dianne.store import Store


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store():
    return Store(Path("models"))

"""The folders in which names are looked up: the user's workspace first, then what ships with dianne."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from dianne.document import Document, display, load
from dianne.errors import ConfigError, UsageError, suggest

SETTINGS = "dianne.yaml"
SAFE_PATH = ["-P"] if sys.version_info >= (3, 11) else []
"""For Python started in a workspace, which is no place for modules: it has a folder called `datasets`."""
KINDS = {"networks": ".yaml", "strategies": ".py", "datasets": ".yaml"}
SINGULAR = {"networks": "network", "strategies": "strategy", "datasets": "dataset"}


def shipped(kind: str) -> Path:
    """The folder of networks, strategies or datasets that came with the installation."""
    spec = importlib.util.find_spec(f"dianne.{kind}")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"the installation is incomplete: dianne.{kind} is missing; install dianne again")
    return Path(next(iter(spec.submodule_search_locations)))


@dataclass(frozen=True)
class Folder:
    """One workspace: `networks/`, `strategies/`, `datasets/`, `models/` and `dianne.yaml` below `root`."""

    root: Path

    @property
    def models(self) -> Path | str:
        """Where weights are stored: the folder `models`, or what `dianne.yaml` names; a URL is a str."""
        return _read_settings(self.root).models

    @property
    def state(self) -> Path:
        """Where the workspace keeps what is not the user's to edit."""
        return self.root / ".dianne"

    def places(self, kind: str) -> list[Path]:
        """The folders searched for files of a kind, in order."""
        own = self.root / kind
        theirs = shipped(kind)
        return [own] if own.resolve() == theirs.resolve() else [own, theirs]

    def files(self, kind: str) -> dict[str, Path]:
        """All files of a kind by name (the file's stem); the workspace's own hide shipped ones."""
        found: dict[str, Path] = {}
        own, *others = self.places(kind)
        for path in _below(own, kind):
            found.setdefault(path.stem, path)
        if kind == "datasets":
            for name, path in self._json_descriptors():
                found.setdefault(name, path)
        for place in others:
            for path in _below(place, kind):
                found.setdefault(path.stem, path)
        return found

    def _json_descriptors(self) -> Iterator[tuple[str, Path]]:
        """Descriptors of DIANNE in the workspace: JSON files with a `name`; others are data."""
        for path in sorted((self.root / "datasets").rglob("*.json")):
            try:
                name = load(path).data.get("name")
            except ConfigError:
                continue
            if isinstance(name, str | int):
                yield str(name), path

    def walk(self, kind: str) -> Iterator[Path]:
        """All files of a kind, the workspace's own first."""
        for place in self.places(kind):
            yield from _below(place, kind)

    def find(self, kind: str, name: str) -> Path:
        """The file that declares `name`.

        Raises:
            UsageError: there is none; names the nearest.
        """
        files = self.files(kind)
        if name in files:
            return files[name]
        own = f"{display(self.root / kind)}/"
        hint = suggest(name, files)
        raise UsageError(f"there is no {SINGULAR[kind]} '{name}' in {own} or among those that ship{hint}")


@dataclass(frozen=True)
class Settings:
    """What `dianne.yaml` says of a workspace.

    Attributes:
        models: a folder, or a URL such as s3://bucket/prefix.
    """

    models: Path | str


def _read_settings(root: Path) -> Settings:
    path = root / SETTINGS
    return settings(load(path), root) if path.is_file() else Settings(root / "models")


def settings(document: Document, root: Path) -> Settings:
    """The settings in a document; folders are relative to `root`.

    Raises:
        ConfigError: it holds something else; every fault with its line.
    """
    known = [field.name for field in fields(Settings)]
    for key in document.data:
        if key not in known:
            document.report((key,), f"unknown key '{key}'{suggest(key, known, 'keys')}", of_key=True)
    found = document.data.get("models", "models")
    if not isinstance(found, str) or not found:
        shown = "nothing" if found in (None, "") else found
        document.report(
            ("models",), f"models: expected a folder or a URL such as s3://bucket/prefix, found {shown}"
        )
    document.close()
    return Settings(found if "://" in found else root / Path(found).expanduser())


def _below(place: Path, kind: str) -> list[Path]:
    return sorted(
        path
        for path in place.rglob(f"*{KINDS[kind]}")
        if path.is_file() and not path.name.startswith((".", "_"))
    )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be; other processes that want it wait.

    The lock goes with the process, however it ends.

    Raises:
        OSError: the folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

"""Networks that a test writes into the empty folder it works in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import dianne
from dianne.errors import ConfigError
from dianne.network.network import Network
from dianne.workspace import shipped


def write(files: Mapping[str, str]) -> None:
    """Files of the working directory by path."""
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")


def network(text: str, *, files: Mapping[str, str] | None = None, **parameters: Any) -> Network:
    """The checked network of `networks/Mine.yaml`, beside other files by path."""
    write({"networks/Mine.yaml": text, **(files or {})})
    return dianne.Workspace().describe("Mine", **parameters)


def fault(text: str, *, files: Mapping[str, str] | None = None, **parameters: Any) -> str:
    """What `network` is refused with; the place of shipped files is written `shipped/`."""
    with pytest.raises(ConfigError) as refused:
        network(text, files=files, **parameters)
    return str(refused.value).replace(f"{shipped('networks')}/", "shipped/")


def between(shape: str, *modules: str) -> str:
    """A file with an input of a shape, modules in a row, and an output."""
    rows = ("x: {type: Input, shape: " + shape + "}", *modules, "y: {type: Output}")
    return "modules:\n" + "".join(f"  {row}\n" for row in rows)

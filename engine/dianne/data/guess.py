"""Descriptors guessed from files."""

from __future__ import annotations

import ast
import csv
import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import yaml

from dianne.data.files import DataError, locate
from dianne.document import display
from dianne.errors import UsageError
from dianne.workspace import Folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MOST_CLASSES = 1000
KNOWN = (
    ".csv and .tsv (CSV), .txt (CharSequenceDataset), .py (Python), IDX files whose names hold 'images' and "
    "'labels', or a folder of them"
)


def add(folder: Folder, name: str, path: Path) -> Path:
    """Write `datasets/NAME.yaml` for some data.

    Args:
        folder: the workspace.
        name: of the dataset.
        path: the file or folder of the data, which stay where they are.

    Returns:
        The descriptor's path.

    Raises:
        UsageError: the name cannot be a file's or is taken, or it is not plain what the data are.
        DataError: the data cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for a dataset; take letters, digits, '.', '-' and '_'")
    target = folder.root / "datasets" / f"{name}.yaml"
    taken = folder.files("datasets").get(name)
    if taken or target.exists():
        raise UsageError(
            f"there is a dataset '{name}' already: {display(taken or target)}; take another name"
        )
    if not path.exists():
        raise UsageError(f"there is no {display(path)}")
    try:
        found = guessed(folder, name, path)
        target.parent.mkdir(exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.writelines(_line(key, value) for key, value in found.items())
    except UnicodeDecodeError as error:
        raise DataError(f"{display(path)}: is no text in UTF-8 (byte {error.start})") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{display(path)}: cannot be read or described: {error}") from error
    return target


def _line(key: str, value: Any) -> str:
    """One key of a descriptor."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return f"{key}: {text.removesuffix(chr(10)).removesuffix(chr(10) + '...')}\n"


def guessed(folder: Folder, name: str, path: Path) -> dict[str, Any]:
    """The keys of a descriptor of some data; raises as `add`."""
    kind = path.suffix.lower()
    if kind in (".csv", ".tsv"):
        return {"type": "CSV", "file": _written(folder, name, path), **_table(path)}
    if kind == ".txt":
        return {"type": "CharSequenceDataset", "file": _written(folder, name, path)}
    if kind == ".py":
        return {"type": "Python", "function": _function(folder, path)}
    if path.is_dir() or "idx" in path.name or "ubyte" in path.name:
        return _idx(folder, name, path)
    raise UsageError(f"what {display(path)} holds cannot be told from its name; known are {KNOWN}")


def _written(folder: Folder, name: str, path: Path) -> str:
    """A file as a descriptor names it: by its name where it is looked for, else by its whole path."""
    found = locate(folder, name, path.name)
    return path.name if found and found.resolve() == path.resolve() else str(path.resolve())


def _table(path: Path) -> dict[str, Any]:
    """The separator, and the classes if the last column holds words."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        start = file.read(65536)
        file.seek(0)
        tab = path.suffix.lower() == ".tsv"
        signs = "\t" if tab else ",;\t|"
        sign = max(signs, key=start.partition("\n")[0].count)
        rows = [row for row in csv.reader(file, delimiter=sign) if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError(f"{display(path)}: holds no rows")
    header = not any(_is_number(cell) for cell in rows[0])
    words = [row[-1].strip() for row in rows[header:]]
    keys: dict[str, Any] = {} if tab or sign == "," else {"separator": sign}
    if words and not all(_is_number(word) or not word for word in words):
        labels = sorted({word for word in words if word})
        if len(labels) > _MOST_CLASSES:
            raise UsageError(
                f"the last column of {display(path)} holds {len(labels):,} different words, too many "
                "for classes"
            )
        keys["labels"] = labels
    return keys


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _function(folder: Folder, path: Path) -> str:
    """The first public function of a file."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise DataError(f"{display(path)}:{error.lineno}: is no Python: {error.msg}") from error
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]
    if not names:
        raise UsageError(f"{display(path)} has no function that could give samples")
    inside = path.resolve().is_relative_to(folder.root.resolve())
    place = path.resolve().relative_to(folder.root.resolve()) if inside else path.resolve()
    return f"{place.as_posix()}:{names[0]}"


def _idx(folder: Folder, name: str, path: Path) -> dict[str, Any]:
    """Images and labels in pairs, those to learn from first."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    images = [file for file in files if file.is_file() and "images" in file.name]
    images.sort(key=lambda file: not file.name.startswith("train"))
    pairs = [(file, _labels_of(file)) for file in images]
    if not pairs:
        raise UsageError(f"what {display(path)} holds cannot be told from its names; known are {KNOWN}")
    counts = [_shape(file)[0] for file, _ in pairs]
    highest = max(max(_values(labels), default=0) for _, labels in pairs)
    dims = _shape(images[0])[1:]
    found: dict[str, Any] = {
        "type": "IDX",
        "labels": list(range(highest + 1)),
        "inputDims": [1, *dims] if len(dims) == 2 else dims,
        "inputs": [_written(folder, name, file).removesuffix(".gz") for file, _ in pairs],
        "targets": [_written(folder, name, labels).removesuffix(".gz") for _, labels in pairs],
    }
    if len(pairs) == 2 and images[0].name.startswith("train"):
        found["parts"] = {"train": f"0:{counts[0]}", "test": f"{counts[0]}:{sum(counts)}"}
    return found


def _labels_of(images: Path) -> Path:
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    for candidate in (name, name.removesuffix(".gz"), f"{name}.gz"):
        if (found := images.with_name(candidate)).is_file():
            return found
    raise UsageError(f"{display(images)} needs its labels beside it, in a file {name}")


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def _shape(path: Path) -> list[int]:
    data = _bytes(path)
    rank = data[3] if len(data) > 3 and data[:2] == b"\0\0" else 0
    if not rank or len(data) < 4 + 4 * rank:
        raise DataError(f"{display(path)}: is no IDX file: it begins with {data[:4].hex(' ') or 'nothing'}")
    return [int.from_bytes(data[at : at + 4], "big") for at in range(4, 4 + 4 * rank, 4)]


def _values(path: Path) -> bytes:
    """Class indices; those of other kinds than bytes are not classes."""
    shape, data = _shape(path), _bytes(path)
    if len(shape) != 1 or data[2] != 8:
        raise DataError(f"{display(path)}: holds no class indices of one byte each")
    return data[8:]

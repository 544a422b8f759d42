"""Columns of an Arrow table, which Parquet files and Hugging Face's datasets are."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Room
from dianne.data.readers.images import decoded, stacked
from dianne.data.readers.making import misfit, of_arrays
from dianne.data.readers.opening import Opening
from dianne.data.rows import Array
from dianne.errors import suggest

MISSING = "type {} needs a library that is not installed; run: pip install 'dianne[hf]'"
ROWS = 1000  # that are read together, where not all are


@dataclass(frozen=True)
class Table:
    """Rows of a pyarrow.Table.

    Attributes:
        opening: of the dataset.
        rows: the table.
        first: the number of its first row.
    """

    opening: Opening
    rows: Any
    first: int = 0

    @property
    def described(self) -> Described:
        """The dataset."""
        return self.opening.described

    def where(self, row: int, name: str) -> str:
        """A cell, for messages."""
        return f"{self.described.name}: row {self.first + row:,}: column '{name}'"


def dataset_of(table: Table) -> Dataset:
    """The dataset of a table: columns `inputs` and `targets`.

    If left out, the last column is the target, and all before it are the input. Numbers, lists of numbers of
    one length, and pictures (encoded, in bytes) are understood; classes are numbers, or words of `labels`.

    Raises:
        ConfigError: a column is not there.
        DataError: a cell cannot be used; names row and column.
        TooLargeError: its pictures do not fit into memory.
    """
    described, names = table.described, list(table.rows.column_names)
    descriptor = described.descriptor
    targets = [_name(described, "targets", name, names) for name in descriptor.targets]
    if not targets and not descriptor.inputs:
        targets = names[-1:]
    inputs = [_name(described, "inputs", name, names) for name in descriptor.inputs]
    inputs = inputs or [name for name in names if name not in targets]
    if not inputs:
        raise misfit(described, "inputs", f"inputs: the table has no columns but {', '.join(names)}")
    if described.labels and len(targets) != 1:
        found = len(targets)
        raise misfit(described, "targets", f"targets: classes stand in one column, found {found}")
    values = _joined(table, inputs)
    if not targets:
        return of_arrays(table.opening, ([values], []), None)
    classes = _classes(table, targets[0], described.labels) if described.labels else _joined(table, targets)
    return of_arrays(table.opening, ([values], []), ([classes], []))


def _name(described: Described, key: str, name: str, names: list[str]) -> str:
    if name in names:
        return name
    if name.isdecimal() and int(name) < len(names):
        return names[int(name)]
    raise misfit(described, key, f"{key}: there is no column '{name}'{suggest(name, names, 'columns')}")


def _joined(table: Table, names: list[str]) -> Array:
    """One column as it is; several, side by side: (n, columns)."""
    columns = [(name, _values(table, name)) for name in names]
    if len(columns) == 1:
        array = columns[0][1]
        return array.reshape(-1, 1) if array.ndim == 1 else array
    for name, array in columns:
        if array.ndim != 1:
            found = list(array.shape[1:])
            raise DataError(
                f"{table.described.name}: column '{name}': each cell is {found}; such a column stands alone"
            )
    return np.stack([array for _, array in columns], 1)


def _values(table: Table, name: str) -> Array:
    """(n, ...) numbers of a column of numbers, lists or pictures."""
    column = table.rows[name]
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{table.where(row, name)}: expected a value, found nothing")
    kind = str(column.type)
    if kind.startswith(("struct<bytes", "binary", "large_binary")):
        return _pictures(table, name)
    shape: list[int] = []
    column = column.combine_chunks()
    while "list<" in str(column.type):
        lengths = np.asarray(_lengths(column))
        if not len(lengths):
            break
        odd = lengths != lengths[0]
        if odd.any():
            cell = int(odd.argmax())
            row = cell // max(prod(shape), 1)
            raise DataError(
                f"{table.where(row, name)}: has a list of {lengths[cell]:,}, expected {lengths[0]:,} as in "
                f"row {table.first:,}"
            )
        shape.append(int(lengths[0]))
        column = column.flatten()
    return _numbers(table, name, column).reshape(-1, *shape)


def _lengths(column: Any) -> Array:
    import pyarrow.compute

    return np.asarray(pyarrow.compute.fill_null(pyarrow.compute.list_value_length(column), 0))


def _numbers(table: Table, name: str, column: Any) -> Array:
    array = np.asarray(column)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{table.described.name}: column '{name}': expected numbers, found {column.type}")
    return array


def _pictures(table: Table, name: str) -> Array:
    descriptor, column = table.described.descriptor, table.rows[name]
    room, images = Room(table.opening.limit), []
    places = [table.where(row, name) for row in range(len(column))]
    for cell, place in zip(column, places, strict=True):
        value = cell.as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        images.append(decoded(data or b"", place, descriptor.size, descriptor.grey))
        room.take(place, images[-1].size)
    return stacked(images, places)


def _classes(table: Table, name: str, labels: list[str]) -> Array:
    """(n,) whole numbers; words are looked up among the labels."""
    column = table.rows[name]
    if "string" not in str(column.type):
        return _values(table, name)
    known = {label: index for index, label in enumerate(labels)}
    words = column.to_pylist()
    for row, word in enumerate(words):
        if word not in known:
            hint = suggest(word or "", labels, "labels")
            raise DataError(f"{table.where(row, name)}: expected a label, found {word!r}{hint}")
    return np.array([known[word] for word in words])

"""Tables of numbers in text files, a row a sample."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError
from dianne.data.readers.making import READERS, made, misfit
from dianne.data.readers.opening import Opening
from dianne.errors import suggest

_TIMES = 12  # sizes of the file: a cell of text takes about 60 bytes and two places in lists


@dataclass(frozen=True)
class _Table:
    """The cells of a file.

    Attributes:
        file: its name.
        names: of the columns; their numbers, if the file has no names.
        columns: the cells of each column, without blanks around them.
        lines: for each row the line in the file.
    """

    file: str
    names: list[str]
    columns: list[tuple[str, ...]]
    lines: list[int]

    def where(self, row: int, column: int) -> str:
        return f"{self.file}:{self.lines[row]}: column '{self.names[column]}'"


@READERS.register("CSV")
@READERS.register("CSVDataset")
def read_csv(opening: Opening) -> Dataset:
    """A table: some columns are the input, others the target, or one with the class of each row.

    Values are taken as they are. Classes are written as their label or as its index.
    """
    described = opening.described
    file = described.descriptor.file
    if file is None:
        raise misfit(described, "file", "type CSV needs a 'file'")
    data = opening.contents([file], _TIMES, "store it as .npy or Parquet, ")[file]
    table = _parsed(described, file, data)
    inputs, targets = _chosen(described, table)
    values = _numbers(table, inputs)
    labels, dims = described.labels, described.descriptor.target_dims
    if labels:
        return made(described, values, _classes(table, targets[0], labels))
    return made(described, values, _numbers(table, targets).reshape(-1, *(dims or [len(targets)])))


def _parsed(described: Described, file: str, data: bytes) -> _Table:
    descriptor = described.descriptor
    separator = descriptor.separator or ("\t" if file.removesuffix(".gz").endswith(".tsv") else ",")
    rows, lines = [], []
    try:
        reader = csv.reader(
            io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator, strict=True
        )
        for row in reader:
            if row:  # not an empty line
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{file}:{line}: is no UTF-8 text: it holds the byte {data[error.start]:02x}"
        ) from error
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num}: is no row of cells: {error}") from error
    if not rows:
        raise DataError(f"{file}: is empty")
    width = len(rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise DataError(f"{file}:{line}: has {len(row)} columns, expected {width} as in line {lines[0]}")
    named = descriptor.header
    if named is None:
        named = not any(_is_number(cell) for cell in rows[0])
    names = rows[0] if named else [str(column) for column in range(width)]
    if len(rows) == named:
        raise DataError(f"{file}: holds no samples")
    columns = list(zip(*rows[named:], strict=True))
    return _Table(file, names, columns, lines[named:])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _chosen(described: Described, table: _Table) -> tuple[list[int], list[int]]:
    """The columns of inputs and of targets, by name or by their places."""
    descriptor, width = described.descriptor, len(table.names)
    targets = [_column(described, "targets", name, table) for name in descriptor.targets]
    count = len(targets) or (1 if described.labels else prod(descriptor.target_dims or [1]))
    if described.labels and count > 1:
        raise misfit(described, "targets", f"targets: classes stand in one column, found {count}")
    if descriptor.inputs:
        inputs = [_column(described, "inputs", name, table) for name in descriptor.inputs]
    else:
        first = descriptor.input_offset
        free = width if targets else width - descriptor.target_offset - count
        others = [column for column in range(first, max(free, 0)) if column not in targets]
        inputs = others[: prod(descriptor.input_dims)] if descriptor.input_dims else others
    if not targets and inputs:
        start = inputs[-1] + 1 + descriptor.target_offset
        targets = list(range(start, start + count))
    wanted = prod(descriptor.input_dims) if descriptor.input_dims else max(len(inputs), 1)
    if len(inputs) < wanted or max(targets) >= width:
        raise misfit(
            described,
            "inputDims" if descriptor.input_dims else "file",
            f"{table.file} has {width} columns, too few for {wanted} of inputs and {count} of targets where "
            "they should be",
        )
    return inputs, targets


def _column(described: Described, key: str, name: str, table: _Table) -> int:
    if name in table.names:
        return table.names.index(name)
    if name.isdecimal() and int(name) < len(table.names):
        return int(name)
    hint = suggest(name, table.names, "columns")
    raise misfit(described, key, f"{key}: {table.file} has no column '{name}'{hint}")


def _numbers(table: _Table, columns: list[int]) -> Tensor:
    """(rows, columns) float32.

    Raises:
        DataError: a cell holds no finite number.
    """
    values = np.empty((len(table.lines), len(columns)), np.float32)
    for place, column in enumerate(columns):
        cells = table.columns[column]
        try:
            values[:, place] = np.array(cells, dtype=object).astype(np.float64)
        except ValueError:
            row = next(row for row, cell in enumerate(cells) if not _is_number(cell))
        else:
            if np.isfinite(values[:, place]).all():
                continue
            row = int(np.isfinite(values[:, place]).argmin())
        found = f"'{cells[row]}'" if cells[row] else "nothing"
        raise DataError(f"{table.where(row, column)}: expected a number, found {found}")
    return torch.from_numpy(values)


def _classes(table: _Table, column: int, labels: list[str]) -> Tensor:
    """(rows,) int64 indices of labels.

    Raises:
        DataError: a cell holds neither a label nor the index of one.
    """
    cells, rows, inverse = np.unique(table.columns[column], return_index=True, return_inverse=True)
    texts = [str(cell) if cell in labels else re.sub(r"\.0*$", "", cell) for cell in cells]
    by_name = any(text in labels for text in texts)
    known = labels if by_name else [str(index) for index in range(len(labels))]
    for text, row in sorted(zip(texts, rows, strict=True), key=lambda pair: pair[1]):
        if text not in known:
            cell = table.columns[column][row]
            found = f"'{cell}'" if cell else "nothing"
            hint = suggest(text, labels, "labels")
            raise DataError(f"{table.where(int(row), column)}: expected a label, found {found}{hint}")
    return torch.tensor([known.index(text) for text in texts])[torch.from_numpy(inverse)]

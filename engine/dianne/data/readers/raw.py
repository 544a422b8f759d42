"""Raw bytes: samples one behind the other, with their classes in front of each or in files of their own."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, contents
from dianne.data.readers.making import READERS, classes_of, made, misfit, pairs, tensor
from dianne.workspace import Folder

Bytes = NDArray[np.uint8]


@READERS.register("FileDataset")
@READERS.register("RawDataset")
def read_raw(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Pixels in bytes, in the order of `inputDims`.

    A record is a byte with the class and then the sample; with `targets` the classes are in those files.
    """
    descriptor = described.descriptor
    if not descriptor.input_dims:
        message = f"type {descriptor.type} needs 'inputDims', the shape of a sample"
        raise misfit(described, "inputDims", message)
    size, labels = prod(descriptor.input_dims), classes_of(described)
    if descriptor.targets:
        images, classes = read_pairs(folder, described, progress, size)
    else:
        images, classes = read_records(folder, described, progress, 1, size)
    return made(described, tensor(images), tensor(classes), labels)


def read_records(
    folder: Folder, described: Described, progress: Progress | None, head: int, size: int
) -> tuple[Bytes, Bytes]:
    """Samples (n, size) and classes (n,) of the files `inputs`, whose records begin with `head` bytes.

    The last of these is the class.

    Raises:
        ConfigError: no files are named.
        DataError: a file ends within a record, or a class has no label; names the byte.
    """
    names = described.descriptor.inputs
    if not names:
        raise misfit(described, "inputs", f"type {described.descriptor.type} needs 'inputs', a list of files")
    tables = []
    for name, data in contents(folder, described, names, progress).items():
        table = rows(name, data, head + size)
        check_classes(described, name, table[:, head - 1], head + size, head - 1)
        tables.append(table)
    table = np.concatenate(tables)
    return table[:, head:], table[:, head - 1]


def read_pairs(
    folder: Folder, described: Described, progress: Progress | None, size: int, first: int = 0
) -> tuple[Bytes, Bytes]:
    """Samples (n, size) of the files `inputs` and classes (n,) of the files `targets`.

    Args:
        folder: the workspace.
        described: the dataset.
        progress: told of downloads.
        size: bytes of a sample.
        first: the byte that stands for class 0.

    Raises:
        ConfigError: there are not as many targets as inputs.
        DataError: two files do not belong together, one ends within a sample, or a class has no label.
    """
    files = pairs(described)
    data = contents(folder, described, [name for pair in files for name in pair], progress)
    inputs, targets = [], []
    for name, of_classes in files:
        inputs.append(rows(name, data[name], size))
        classes = np.frombuffer(data[of_classes], np.uint8)
        if len(classes) != len(inputs[-1]):
            raise DataError(
                f"{of_classes}: holds {len(classes):,} classes, expected {len(inputs[-1]):,} as in {name}"
            )
        check_classes(described, of_classes, classes, 1, 0, first)
        targets.append(classes - np.uint8(first))
    return np.concatenate(inputs), np.concatenate(targets)


def rows(name: str, data: bytes, size: int) -> Bytes:
    """(n, size) of a file; raises DataError if it ends within one of its records."""
    over = len(data) % size
    if over:
        raise DataError(
            f"{name}: its last record, at byte {len(data) - over:,}, has {over:,} bytes, expected {size:,}"
        )
    return np.frombuffer(data, np.uint8).reshape(-1, size)


def check_classes(
    described: Described, name: str, classes: Bytes, stride: int, offset: int, first: int = 0
) -> None:
    """Refuse classes without a label.

    Args:
        described: the dataset.
        name: of the file.
        classes: (n,) as they stand in the file.
        stride: bytes from one class to the next.
        offset: bytes in front of the first.
        first: the byte that stands for class 0.

    Raises:
        DataError: a byte is no class; names its place.
    """
    last = first + len(classes_of(described)) - 1
    odd = (classes < first) | (classes > last)
    if odd.any():
        row = int(odd.argmax())
        raise DataError(
            f"{name}: byte {row * stride + offset:,}: expected a class from {first} to {last}, "
            f"found {classes[row]}"
        )

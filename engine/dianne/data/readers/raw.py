"""Raw bytes: samples one behind the other, with their classes in front of each or in files of their own."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from numpy.typing import NDArray

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError
from dianne.data.mapping import Blob
from dianne.data.readers.making import READERS, classes_of, made, misfit, pairs, tensor
from dianne.data.readers.opening import Opening, bytes_of
from dianne.data.rows import Samples

Bytes = NDArray[np.uint8]


@READERS.register("FileDataset")
@READERS.register("RawDataset")
def read_raw(opening: Opening) -> Dataset:
    """Pixels in bytes, in the order of `inputDims`.

    A record is a byte with the class and then the sample; with `targets` the classes are in those files.
    """
    described = opening.described
    descriptor = described.descriptor
    if not descriptor.input_dims:
        message = f"type {descriptor.type} needs 'inputDims', the shape of a sample"
        raise misfit(described, "inputDims", message)
    size, labels = prod(descriptor.input_dims), classes_of(described)
    if descriptor.targets:
        images, classes = read_pairs(opening, size)
    else:
        images, classes = read_records(opening, 1, size)
    return made(described, images, tensor(classes), labels)


def read_records(opening: Opening, head: int, size: int, skip: int = 0) -> tuple[Samples, Bytes]:
    """Samples (n, size - skip) and classes (n,) of the files `inputs`, whose records begin with `head` bytes.

    The last of these is the class; the first `skip` bytes of a sample are left out.

    Raises:
        ConfigError: no files are named.
        DataError: a file ends within a record, or a class has no label; names the byte.
    """
    described = opening.described
    names = described.descriptor.inputs
    if not names:
        raise misfit(described, "inputs", f"type {described.descriptor.type} needs 'inputs', a list of files")
    blobs = opening.blobs(names)
    samples, classes = [], []
    for name, blob in blobs.items():
        table = rows(name, blob, head + size)
        samples.append(table[:, head + skip :])
        classes.append(opening.copied(table[:, head - 1], blob))
        check_classes(described, name, classes[-1], head + size, head - 1)
    return opening.joined(samples, list(blobs.values())), np.concatenate(classes)


def read_pairs(
    opening: Opening, size: int, first: int = 0, view: Callable[[Bytes], Bytes] = lambda table: table
) -> tuple[Samples, Bytes]:
    """Samples (n, size) of the files `inputs` and classes (n,) of the files `targets`.

    Args:
        opening: the dataset.
        size: bytes of a sample.
        first: the byte that stands for class 0.
        view: samples (n, size) in another order.

    Raises:
        ConfigError: there are not as many targets as inputs.
        DataError: two files do not belong together, one ends within a sample, or a class has no label.
    """
    described = opening.described
    files = pairs(described)
    blobs = opening.blobs([name for pair in files for name in pair])
    inputs, targets = [], []
    for name, of_classes in files:
        inputs.append(rows(name, blobs[name], size))
        classes = opening.copied(bytes_of(blobs[of_classes]), blobs[of_classes])
        if len(classes) != len(inputs[-1]):
            raise DataError(
                f"{of_classes}: holds {len(classes):,} classes, expected {len(inputs[-1]):,} as in {name}"
            )
        check_classes(described, of_classes, classes, 1, 0, first)
        targets.append(classes - np.uint8(first))
    return opening.joined(
        [view(table) for table in inputs], [blobs[name] for name, _ in files]
    ), np.concatenate(targets)


def rows(name: str, blob: Blob, size: int) -> Bytes:
    """(n, size) of a file; raises DataError if it ends within one of its records."""
    data = bytes_of(blob)
    over = len(data) % size
    if over:
        raise DataError(
            f"{name}: its last record, at byte {len(data) - over:,}, has {over:,} bytes, expected {size:,}"
        )
    return data.reshape(-1, size)


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

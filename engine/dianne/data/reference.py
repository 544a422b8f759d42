"""Descriptors of DIANNE, the Java framework: JSON files, told in the words of ours."""

from __future__ import annotations

import re
from typing import Any

from dianne.document import Document

_BY_NAME = {  # in this order, by how a name begins
    "MNIST": "MNIST", "CIFAR-100": "CIFAR100", "CIFAR-10": "CIFAR10", "STL-10": "STL10", "SVHN": "SVHN",
}  # fmt: skip
_DIGITS = [str(digit) for digit in range(10)]
_KNOWN: dict[str, dict[str, Any]] = {
    "MNIST": {
        "type": "IDX",
        "inputDims": [1, 28, 28],
        "labels": _DIGITS,
        "inputs": ["train-images.idx3-ubyte", "t10k-images.idx3-ubyte"],
        "targets": ["train-labels.idx1-ubyte", "t10k-labels.idx1-ubyte"],
        "parts": {"train": "0:60000", "test": "60000:70000"},
    },
    "CIFAR10": {
        "labels": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
        "inputs": [*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin"],
        "parts": {"train": "0:50000", "test": "50000:60000"},
    },
    "CIFAR100": {
        "labelsFile": "fine_label_names.txt",
        "targetDims": [100],
        "inputs": ["train.bin", "test.bin"],
        "parts": {"train": "0:50000", "test": "50000:60000"},
    },
    "STL10": {
        "labelsFile": "class_names.txt",
        "targetDims": [10],
        "inputs": ["train_X.bin", "test_X.bin"],
        "targets": ["train_y.bin", "test_y.bin"],
        "parts": {"train": "0:5000", "test": "5000:13000"},
    },
    "SVHN": {
        "labels": _DIGITS,
        "inputs": ["train_images.bin", "test_images.bin"],
        "targets": ["train_labels.bin", "test_labels.bin"],
        "parts": {"train": "0:73257", "test": "73257:99289"},
    },
}  # what the framework knows of these sets without being told
_SEPARATORS = {r"\t": "\t", r"\s": " ", r"\s+": " "}  # there a regular expression


def translated(document: Document) -> dict[str, Any]:
    """The keys of a descriptor as ours; reports keys that can only be said otherwise."""
    data = dict(document.data)
    for key in ("adapter", "targetFilter"):
        if key in data:
            message = f"{key}: this is no dataset but a view of one; write it as options of the job"
            document.report((key,), message, of_key=True)
    name = str(data.get("name", ""))
    by_name = (kind for start, kind in _BY_NAME.items() if name.startswith(start))
    kind = data.get("type") or next(by_name, name)
    values: dict[str, Any] = {"type": kind, **_KNOWN.get(str(kind), {})}
    files = data.pop("files", None)
    if files is not None:
        values["inputs"] = files
    renamed = {"inputFiles": "inputs", "targetFiles": "targets"}
    taken = {renamed.get(key, key): value for key, value in data.items()}
    if kind in _KNOWN:  # what they know is not told otherwise, except for the files
        taken = {key: value for key, value in taken.items() if key in ("name", "dir", "inputs", "targets")}
    values.update(taken)
    if str(kind) in ("CSVDataset", "CSV"):
        _table(values)
    return values


def _table(values: dict[str, Any]) -> None:
    """The keys of a CSVDataset: classes are named, the separator is a character."""
    dims, named = values.get("targetDims"), values.keys() & {"labels", "labelsFile"}
    count = dims[0] if isinstance(dims, list) and len(dims) == 1 else None
    classes = str(values.get("classification")).lower() == "true"
    if classes and not named and isinstance(count, int) and count < 100_000:
        values["labels"] = [str(index) for index in range(count)]
    if "labels" in values or "labelsFile" in values:
        values.pop("targetDims", None)
    files = values.pop("inputs", None)
    if isinstance(files, list) and len(files) == 1:
        values.setdefault("file", files[0])
    separator = values.get("separator")
    if isinstance(separator, str):
        plain = _SEPARATORS.get(separator, re.sub(r"^\\(?=\W$)", "", separator))
        values["separator"] = plain
    values.setdefault("header", False)

"""Samples that come in parts, and are put into one file that is mapped because they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dianne.data.dataset import Dataset
from dianne.data.files import DataError
from dianne.data.mapping import MappedFile, converted, seal, sealed
from dianne.data.readers.making import made
from dianne.data.readers.opening import Opening, bytes_of
from dianne.data.rows import in_memory

Parts = Callable[[Opening], Iterator[Dataset]]


def streamed(opening: Opening, identity: str, parts: Parts) -> Dataset:
    """The dataset that several make, one behind the other.

    Args:
        opening: of the whole.
        identity: of the files that they come from.
        parts: gives them.

    Raises:
        DataError: one of them is spoilt, or they hold samples of different shapes.
    """
    descriptor = opening.described.descriptor
    how = descriptor.model_dump_json(exclude={"adapters", "parts", "no_samples"})
    file = MappedFile(converted(f"{identity} {how}", lambda path: _write(opening, parts, path)))
    about = sealed(file)
    kind = np.dtype([(key, about[key][0], tuple(about[key][1])) for key in ("input", "target")])
    records = bytes_of(file)[: about["count"] * kind.itemsize].view(kind)
    inputs, targets = (opening.joined([records[key]], [file]) for key in ("input", "target"))
    return replace(made(opening.described, inputs, targets), autoencode=about["autoencode"])


def _write(opening: Opening, parts: Parts, path: Path) -> None:
    """Records of an input and its target, as they are in memory."""
    descriptor = opening.described.descriptor.model_copy(update={"no_samples": None})  # of the whole
    each = replace(opening, described=replace(opening.described, descriptor=descriptor))
    about: dict[str, Any] = {}
    count = 0
    with path.open("wb") as file:
        for part in parts(each):
            arrays = {"input": in_memory(part.inputs).numpy(), "target": in_memory(part.targets).numpy()}
            layout = {key: (array.dtype.str, list(array.shape[1:])) for key, array in arrays.items()}
            about = about or {**layout, "autoencode": part.autoencode}
            for key, found in layout.items():
                if found != about[key]:
                    raise DataError(
                        f"{part.name}: row {count:,}: its {key} is {found[1]}, expected {about[key][1]} as "
                        "in row 0"
                    )
            records = np.empty(len(part), [(key, kind, tuple(dims)) for key, (kind, dims) in layout.items()])
            for key, array in arrays.items():
                records[key] = array
            file.write(records.tobytes())
            count += len(part)
        if not count:
            raise DataError(f"{opening.described.name}: holds no samples")
        seal(file, {**about, "count": count})

"""Readers of dataset types: from files, or from a library, to tensors."""

from __future__ import annotations

from dianne.data.adapters import stack
from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import Progress
from dianne.data.memory import limit_of
from dianne.data.readers import (
    arrays,
    cifar,
    function,
    huggingface,
    idx,
    image_folder,
    parquet,
    raw,
    scikit,
    segmentation,
    stl,
    svhn,
    table,
    text,
)  # fmt: skip
from dianne.data.readers.adapting import adapted
from dianne.data.readers.making import READERS, Reader, with_labels
from dianne.data.readers.opening import Opening
from dianne.errors import ConfigError, Problem, UsageError
from dianne.workspace import Folder

__all__ = ["READERS", "TYPES", "open_dataset", "reader_of"]
TYPES = (
    idx, raw, cifar, stl, svhn, image_folder, segmentation, text, table, arrays, parquet, huggingface, scikit,
    function,
)  # fmt: skip
"""The files of the readers; importing one registers its type."""


def open_dataset(
    folder: Folder, described: Described, progress: Progress | None = None, memory_limit: int | None = None
) -> Dataset:
    """Read a dataset whole, or map it.

    Args:
        folder: the workspace.
        described: the dataset.
        progress: told of downloads.
        memory_limit: bytes of memory that its samples may take; half of what is free if left out.

    Raises:
        ConfigError: its type is unknown, or its keys do not fit its files.
        DataError: files are missing or spoilt, or do not fit and cannot be mapped.
    """
    reader = reader_of(described)
    opening = with_labels(Opening(folder, described, progress, limit_of(memory_limit)))
    dataset = adapted(reader(opening), opening.described)
    return stack.described(dataset, opening.described)


def reader_of(described: Described) -> Reader:
    """The reader of a descriptor's type.

    Raises:
        ConfigError: its type is unknown.
    """
    try:
        return READERS.get(described.descriptor.type)
    except UsageError as error:
        where = described.document.where(("type",))
        raise ConfigError(described.document.source, [Problem(where, str(error))]) from error

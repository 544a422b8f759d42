"""What a reader is given: the files of a dataset, in memory or mapped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, TooLargeError, contents
from dianne.data.mapping import Blob, CacheError, MappedFile, converted, mapped
from dianne.data.memory import shown
from dianne.data.rows import Array, InFiles, Samples, in_memory
from dianne.workspace import Folder


@dataclass(frozen=True)
class Opening:
    """A dataset that is being opened.

    Attributes:
        folder: the workspace.
        described: the dataset.
        progress: told of downloads.
        limit: bytes of memory that its samples may take.
    """

    folder: Folder
    described: Described
    progress: Progress | None
    limit: int

    def contents(self, names: list[str], times: int = 1, remedy: str = "") -> dict[str, bytes]:
        """Files by name, in memory, for readers that need them whole.

        Args:
            names: of the files.
            times: how much memory reading takes, in sizes of the files.
            remedy: what to do, but for more memory.

        Raises:
            DataError: they are missing or spoilt, or do not fit.
        """
        try:
            return contents(self.folder, self.described, names, self.progress, self.limit // times)
        except TooLargeError as error:
            raise self.refusal(error.where, error.size, times, remedy) from error

    def refusal(self, where: str, size: int, times: int = 1, remedy: str = "") -> DataError:
        """The fault that samples do not fit, and cannot be mapped."""
        reading = f", and reading takes about {times} times as much memory" if times > 1 else ""
        return DataError(
            f"{where}: has {shown(size)}{reading}, but samples may take {shown(self.limit)}, and type "
            f"{self.described.descriptor.type} is not read in parts; {remedy}{'or ' if remedy else ''}raise "
            "memoryLimit"
        )

    def blobs(self, names: list[str]) -> dict[str, Blob]:
        """Files by name: in memory, or all of them mapped if they do not fit; raises DataError."""
        try:
            return dict(contents(self.folder, self.described, names, self.progress, self.limit))
        except TooLargeError:
            return mapped(self.folder, self.described, names, self.progress)

    def joined(
        self, arrays: Sequence[Array], blobs: Sequence[Blob], dtype: torch.dtype | None = None
    ) -> Samples:
        """Arrays (n, ...) over files, one behind the other: a tensor, or mapped if a file is.

        Args:
            arrays: all of one shape.
            blobs: over which they lie.
            dtype: of the samples; that of the arrays if left out.
        """
        files = [blob for blob in blobs if isinstance(blob, MappedFile)]
        if files:
            return InFiles([array for array in arrays if len(array)] or arrays[:1], files, dtype)
        whole = np.concatenate(arrays)
        return torch.from_numpy(whole.astype(whole.dtype.newbyteorder("="), copy=False)).to(dtype)

    def copied(self, array: Array, blob: Blob) -> Array:
        """An array over a file, in memory; of values that stand far apart there is a copy in the cache."""
        if not len(array):
            return array
        values = self.joined([array], [blob])
        if isinstance(values, InFiles) and not array.flags.c_contiguous:
            with suppress(CacheError):
                path = converted(f"{values.identity()} values", lambda part: _copy(values, part))
                copy: Array = np.fromfile(path, array.dtype).reshape(array.shape)
                return copy
        return in_memory(values).numpy()


def _copy(values: InFiles, path: Path) -> None:
    with path.open("wb") as file:
        for chunk in values.chunks():
            chunk.numpy().tofile(file)


def bytes_of(blob: Blob) -> Array:
    """(bytes,) uint8 over the content of a file."""
    return np.frombuffer(blob.buffer if isinstance(blob, MappedFile) else blob, np.uint8)

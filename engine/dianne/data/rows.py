"""Samples that do not lie in one tensor: they stay in files, or are of different shapes.

They are read as a tensor is: `rows[indices]` are those samples, in memory of their own.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dianne.data.mapping import MappedFile

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
CHUNK = 16 << 20  # bytes that are looked at together


class Rows(ABC):
    """Samples side by side, read when they are asked for.

    Attributes:
        dtype: of what is read.
        shape: (n, *dims), as that of a tensor.
    """

    dtype: torch.dtype
    shape: Shape

    def __len__(self) -> int:
        return self.shape[0]

    def dim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        """The samples at (b,) indices."""
        if isinstance(indices, slice):
            indices = torch.arange(*indices.indices(len(self)))
        return self.read(indices)

    @abstractmethod
    def read(self, indices: Tensor) -> Tensor:
        """(b, *dims) at (b,) int64 indices."""

    def reshape(self, *shape: int) -> Rows:
        """The same samples in another shape (n, *dims)."""
        return Changed(self, lambda rows: rows.reshape(-1, *shape[1:]), shape[1:], f"shape {list(shape[1:])}")

    @abstractmethod
    def choose(self, index: Tensor | slice | list[int]) -> Rows:
        """The rows of some indices in their order, not read yet."""

    @abstractmethod
    def identity(self) -> str:
        """What tells these rows from all others without reading them; "" if they cannot be told apart."""

    @property
    @abstractmethod
    def changed(self) -> int:
        """When a file under these rows changed last, in ns."""

    def chunks(self) -> Iterator[Tensor]:
        """All samples in turn, some at a time."""
        step = max(1, CHUNK // self.width())
        return (self[at : at + step] for at in range(0, len(self), step))

    def width(self) -> int:
        """Bytes that are touched for a sample, where all are read in turn."""
        return max(1, prod(self.shape[1:]) * self.dtype.itemsize)

    def numpy(self) -> Array:
        """All samples, in memory."""
        array: Array = torch.cat(list(self.chunks())).numpy()
        return array


Samples = Tensor | Rows


def chosen(values: Samples, index: Tensor | slice | list[int]) -> Samples:
    """Some of the samples in the order of their indices; of rows that are not in memory none is read."""
    return values.choose(index) if isinstance(values, Rows) else values[index]


def in_memory(values: Samples) -> Tensor:
    """All samples as a tensor."""
    return torch.from_numpy(values.numpy()) if isinstance(values, Rows) else values


def chunks_of(values: Samples) -> Iterator[Tensor]:
    """All samples in turn, some at a time."""
    if isinstance(values, Rows):
        return values.chunks()
    step = max(1, CHUNK // max(1, values[:1].nbytes))
    return (values[at : at + step] for at in range(0, len(values), step))


class InFiles(Rows):
    """Samples that stay in files; those that are asked for are read from there.

    They are read, not taken from mapped memory: a system that caches files in large pieces maps such a piece
    for every sample that is touched, and soon the whole file counts as memory of this process.

    Args:
        arrays: (n, ...) over mapped files, any kind of number, all of the same shape.
        files: over which they lie.
        dtype: of what is read; that of the arrays if left out.

    Raises:
        ValueError: the bytes of a sample do not lie together.
    """

    def __init__(
        self, arrays: Sequence[Array], files: Sequence[MappedFile], dtype: torch.dtype | None = None
    ):
        self.pieces = [_Piece(array, files) for array in arrays]
        self.files = list(files)
        self.arrays = list(arrays)
        kind = arrays[0].dtype.newbyteorder("=")
        self.dtype = dtype or torch.from_numpy(np.empty(0, kind)).dtype
        self.ends = np.cumsum([len(array) for array in arrays])
        self.shape = (int(self.ends[-1]), *arrays[0].shape[1:])
        self.order: slice | Array = slice(0, len(self))  # places in all arrays

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        """The samples at (b,) indices, or a range of them; raises DataError if a file was cut meanwhile."""
        if not (isinstance(indices, slice) and isinstance(self.order, slice)):
            return super().__getitem__(indices)
        start, stop, _ = indices.indices(len(self))
        first, behind = self.order.start + start, self.order.start + max(start, stop)
        starts = self.ends - [piece.count for piece in self.pieces]
        found = [
            piece.range(max(first - begin, 0), min(behind - begin, piece.count))
            for piece, begin in zip(self.pieces, starts.tolist(), strict=True)
            if begin < behind and begin + piece.count > first
        ]
        return self._made(np.concatenate(found) if found else np.empty((0, *self.arrays[0].shape[1:])))

    def read(self, indices: Tensor) -> Tensor:
        """(b, *dims) at (b,) int64 indices."""
        where = indices.numpy()
        if where.size and not 0 <= where.min() <= where.max() < len(self):
            raise IndexError(f"expected indices from 0 to {len(self) - 1:,}")
        places = self.order.start + where if isinstance(self.order, slice) else self.order[where]
        if len(self.pieces) == 1:
            return self._made(self.pieces[0].at(places))
        found = np.empty((len(places), *self.arrays[0].shape[1:]), self.arrays[0].dtype)
        of = np.searchsorted(self.ends, places, side="right")
        for part in np.unique(of).tolist():
            here, piece = of == part, self.pieces[part]
            found[here] = piece.at(places[here] - self.ends[part] + piece.count)
        return self._made(found)

    def _made(self, found: Array) -> Tensor:
        values = torch.from_numpy(np.ascontiguousarray(found, found.dtype.newbyteorder("=")))
        return values.to(self.dtype).reshape(len(found), *self.shape[1:])

    def width(self) -> int:
        """From one sample to the next."""
        return max(super().width(), *(piece.stride for piece in self.pieces))

    def choose(self, index: Tensor | slice | list[int]) -> InFiles:
        """As a range of places, or a list of them (8 bytes each)."""
        order: slice | Array
        if isinstance(index, slice) and isinstance(self.order, slice):
            start, stop, _ = index.indices(len(self))
            order = slice(self.order.start + start, self.order.start + max(start, stop))
        else:
            own = self.order
            places = np.arange(own.start, own.stop) if isinstance(own, slice) else own
            order = places[index] if isinstance(index, slice) else places[np.asarray(index)]
        size = order.stop - order.start if isinstance(order, slice) else len(order)
        return self._like((size, *self.shape[1:]), order)

    def reshape(self, *shape: int) -> InFiles:
        """The same samples in another shape."""
        return self._like(shape, self.order)

    def _like(self, shape: Shape, order: slice | Array) -> InFiles:
        other = InFiles(self.arrays, self.files, self.dtype)
        other.shape, other.order = shape, order
        return other

    @property
    def changed(self) -> int:
        """The latest of all files."""
        return max((file.changed for file in self.files), default=0)

    def identity(self) -> str:
        """Files, places in them, and the order."""
        order = self.order
        digest = str(order) if isinstance(order, slice) else hashlib.sha256(order.tobytes()).hexdigest()
        return "\n".join([*(piece.identity() for piece in self.pieces), str(self.dtype), digest])


class _Piece:
    """The rows of an array over a mapped file, by their places in the file."""

    def __init__(self, array: Array, files: Sequence[MappedFile]):
        address = array.__array_interface__["data"][0]
        self.file, self.start = next(
            (file, address - begin)
            for file in files
            if (begin := file.address()) <= address <= begin + len(file.buffer)
        )
        self.dims, self.strides, self.kind = array.shape[1:], array.strides[1:], array.dtype
        self.count, self.stride = len(array), int(array.strides[0])
        inside = sum((dim - 1) * stride for dim, stride in zip(self.dims, self.strides, strict=True))
        self.width = inside + self.kind.itemsize  # bytes from a row's first to its last
        if self.count > 1 and not self.width <= self.stride:
            raise ValueError(f"{self.file.path}: the values of a sample do not lie together")

    def at(self, places: Array) -> Array:
        """(b, *dims) at (b,) places."""
        starts = (self.start + places * self.stride).tolist()
        return self._viewed(self.file.pieces(starts, self.width), len(starts), self.width)

    def range(self, first: int, behind: int) -> Array:
        """(n, *dims) from one place to before another."""
        size = (behind - first - 1) * self.stride + self.width
        data = self.file.pieces([self.start + first * self.stride], size)
        return self._viewed(data, behind - first, self.stride)

    def _viewed(self, data: bytearray, count: int, stride: int) -> Array:
        view: Array = np.ndarray((count, *self.dims), self.kind, data, 0, (stride, *self.strides))
        return view

    def identity(self) -> str:
        """The file, and the places of the rows in it."""
        where = self.start, self.count, self.stride, self.dims, self.strides, self.kind.str
        return f"{self.file.identity} {where}"


class Changed(Rows):
    """Rows behind a function that changes every sample on its own, as `frame` and `pad` do.

    Args:
        source: the samples.
        function: of batches (b, ...).
        dims: shape of a sample behind it.
        what: tells this function from others.
    """

    def __init__(self, source: Rows, function: Callable[[Tensor], Tensor], dims: Shape, what: str):
        self.source, self.function, self.what = source, function, what
        self.dtype, self.shape = function(source[:1]).dtype, (len(source), *dims)

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        """Changed once they are read."""
        return self.function(self.source[indices])

    def read(self, indices: Tensor) -> Tensor:
        """As `rows[indices]`."""
        return self[indices]

    def choose(self, index: Tensor | slice | list[int]) -> Changed:
        """Of the source."""
        return Changed(self.source.choose(index), self.function, self.shape[1:], self.what)

    @property
    def changed(self) -> int:
        """As of the source."""
        return self.source.changed

    def identity(self) -> str:
        """That of the source, and of the function."""
        source = self.source.identity()
        return f"{source}\n{self.what}" if source else ""
